/*
 * conn.h - one client connection: 64 bytes of plain numbers, one cache line.
 *
 * A connection is named by a number: its slot in the shard's table of sockets, chosen by the kernel
 * when it accepts. What a connection needs only for a while hangs on by number: an opening until
 * the upgrade, a partial when input was cut in the middle, queue nodes and a send while bytes wait
 * to go. An idle open connection has none of these.
 *
 * States, and what may be in flight in each (beside a peer-name query right after the accept, and
 * the question what the kernel holds when a send takes long):
 *
 *   CONN_FREE       nothing
 *   CONN_ACCEPTED   the peer's address is asked for: name
 *   CONN_HANDSHAKE  has an opening: a step that its bytes wait for, poll or receive, or a send
 *   CONN_UPGRADE    has an opening, and TLS keys unless it is plain: poll or receive, send
 *   CONN_OPEN       counted, heartbeats run: poll or receive, send
 *   CONN_CLOSING    our close frame is queued or sent, theirs awaited: poll or receive, send
 *   CONN_LINGER     last bytes are queued or sent, input is thrown away: poll or receive, send
 *   CONN_DEAD       freed by the reaper when nothing is in flight any more
 */
#pragma once

#include "tls/record.h"
#include "ws/frame.h"

enum conn_state {
    CONN_FREE,
    CONN_ACCEPTED,
    CONN_HANDSHAKE,
    CONN_UPGRADE,
    CONN_OPEN,
    CONN_CLOSING,
    CONN_LINGER,
    CONN_DEAD,
};

enum conn_flag {
    CONN_DIRTY = 1,     /* stands in the shard's dirty list */
    CONN_FINISHING = 2, /* when the queue is empty: close_notify, then the end */
    CONN_LINGERS = 4,   /* after the last bytes wait for the peer's FIN, else close at once */
    CONN_COUNTED = 8,   /* holds a place in the server's count of open connections */
    CONN_REAPING = 16,  /* stands in the shard's reap list */
    CONN_STREAM_ENDED =
        32,                /* the peer's close_notify, FIN or an error came: nothing more to read */
    CONN_MAY_PUBLISH = 64, /* what it sends may go where plain.publish_channel says */
    CONN_DEFLATE = 128,    /* permessage-deflate was agreed on */
};

enum conn_operation {
    CONN_POLLING = 1,
    CONN_RECEIVING = 2,
    CONN_SENDING = 4,
    CONN_NAMING = 8,
    CONN_STEPPING = 16, /* in one of the handshake queues */
    CONN_SHUTTING = 32, /* the socket's close */
    CONN_ASKING = 64,   /* what the kernel holds */
};

enum conn_deadline {
    DEADLINE_NONE,
    DEADLINE_HANDSHAKE,
    DEADLINE_UPGRADE,
    DEADLINE_PING, /* time to send one */
    DEADLINE_PONG, /* something must have been heard by now */
    DEADLINE_END,  /* token expiry or age */
    DEADLINE_CLOSE,
    DEADLINE_LINGER,
};

/* ends_s: seconds since the shard's start at which the connection ends; 0 never. The top bit says
 * why. */
#define CONN_ENDS_BY_AGE 0x80000000u

struct conn {
    uint32_t generation : 24; /* of the shard's running count, so it differs from the slot's last */
    uint32_t alert : 8;       /* the TLS alert to end with; 0: close_notify */
    uint8_t state;            /* enum conn_state */
    uint8_t flags;            /* enum conn_flag */
    uint8_t in_flight;        /* enum conn_operation */
    uint8_t deadline;         /* enum conn_deadline: what the wheel's entry of this number means */
    uint32_t tls; /* class (top 2 bits) and number in its pool; NONE before the handshake's end, and
                     of a listener without TLS always */
    uint32_t opening;    /* until open, else NONE */
    uint32_t partial;    /* while a record, frame or message is incomplete, else NONE */
    uint32_t queue_tail; /* last node of the circular send queue (its next is the first), or NONE */
    uint32_t queue_bytes; /* of this connection in waiting.h */
    uint32_t send;        /* arena block of the send in flight, or NONE */
    struct ws_reader reader;
    uint32_t user;    /* tally entry, or NONE */
    uint32_t address; /* tally entry, or NONE */
    uint32_t ends_s;
    uint32_t kernel_bytes; /* held for a send that takes long, when it was asked; in queue_bytes */
};
static_assert(sizeof(struct conn) == 64, "one cache line");

/* What an open connection keeps while its input is cut in the middle. */
struct partial {
    uint32_t record; /* arena block: an incomplete TLS record, or NONE */
    uint32_t record_size;
    uint32_t message; /* arena block: a message whose end has not come, or NONE */
    uint32_t message_size;
    uint8_t control_size;
    uint8_t control[WS_CONTROL_SIZE_MAX]; /* a control frame whose end has not come */
    uint8_t pad[2];
};
static_assert(sizeof(struct partial) == 144, "a multiple of 4");

struct shard;

/* Puts a fresh connection into slot number, which must be free. */
struct conn *conn_init(struct shard *shard, uint32_t number);

/* The connection of a number, whatever its state. */
MUST_CHECK struct conn *conn_at(struct shard *shard, uint32_t number);

/* Its TLS state, which it must have. */
MUST_CHECK struct tls_state *conn_tls(struct shard *shard, const struct conn *conn);

/* Moves it on to a state; the shard counts those that are open. */
void conn_set_state(struct shard *shard, struct conn *conn, enum conn_state state);

/* Makes a place for keys; false when the pool is full. */
MUST_CHECK bool conn_keep_keys(struct shard *shard, struct conn *conn, const struct tls_keys *keys);

/* Its partial, made when there is none; NULL when the pool is full (counted). */
MUST_CHECK struct partial *conn_partial(struct shard *shard, struct conn *conn);

/* Marks it dead: nothing more is sent or read; the reaper frees it. Safe to call in any state. */
void conn_kill(struct shard *shard, uint32_t number);

/* An operation of the number has completed; a dead connection may now be ready for the reaper. */
void conn_completed(struct shard *shard, uint32_t number, enum conn_operation operation);

/* The tick's last step: closes the sockets of dead connections that have nothing in flight. */
void conn_reap(struct shard *shard);

/* The socket's close has completed: the number is free. */
void conn_free(struct shard *shard, uint32_t number);

/* Asserts a connection's invariants: for tests and the simulator. */
void conn_check(struct shard *shard, uint32_t number);
