/*
 * client.h - the life of one client: connect, TLS, upgrade, then idle, answering pings.
 *
 * An idle client is its place in two arrays, 24 bytes and its TLS state, and an armed poll;
 * whatever it needs while busy is a struct work from its thread's pool. All calls from the worker's
 * thread.
 */
#pragma once

#include "base/pool.h"
#include "bench/deliveries.h"
#include "bench/outcome.h"
#include "bench/returns.h"
#include "bench/stamp.h"
#include "bench/target.h"
#include "io/ring.h"
#include "tls/client.h"
#include "ws/frame.h"

enum client_stage {
    CLIENT_NONE,
    CLIENT_CONNECT,
    CLIENT_TLS,
    CLIENT_UPGRADE,
    CLIENT_OPEN,
    CLIENT_CLOSING, /* counted already; waits for its operations */
    CLIENT_GONE,
};

struct client {
    struct ws_reader reader;
    uint32_t work;      /* number in the worker's pool + 1; 0: none, idle */
    uint8_t stage;      /* enum client_stage */
    uint8_t operations; /* in flight on the ring */
    uint8_t poll_cancelled;
    uint8_t control_open : 1; /* the work holds the beginning of a control frame */
    uint8_t message_open : 1; /* the same of a message */
};
static_assert(sizeof(struct client) == 24, "one per connection");

#define WORK_OUTPUT_SIZE   20480 /* the largest request (16 KB) in its record, and a Finished */
#define WORK_INPUT_SIZE    (TLS_RECORD_SIZE_MAX + CLIENT_BUFFER_SIZE)
#define WORK_TEXT_SIZE     4096 /* the answer's head */
#define CLIENT_BUFFER_SIZE 4096

struct work {
    uint64_t started_ns;
    uint64_t connected_ns;
    uint64_t secured_ns;
    uint32_t handshake; /* NONE when there is none; kept until the ticket comes, if it is wanted */
    bool is_resumed;
    uint32_t group; /* whose work it is */
    uint32_t number;
    uint32_t index; /* of the connection among all: chooses its token */
    uint32_t input_size;
    uint32_t output_size;
    uint32_t sending; /* bytes of output that the ring has */
    uint32_t text_size;
    struct sockaddr_in6 source;
    char key[REQUEST_KEY_SIZE];
    uint8_t control[WS_CONTROL_SIZE_MAX + 3];
    uint32_t control_size;
    uint8_t head[STAMP_SIZE]; /* of a message that comes in pieces */
    uint32_t head_size;
    uint8_t output[WORK_OUTPUT_SIZE];
    uint8_t text[WORK_TEXT_SIZE];
    uint8_t input[WORK_INPUT_SIZE];
};

/* A ring and the clients whose sockets it holds, by number. */
struct group {
    struct ring *ring;
    int event_fd; /* readable when the ring has something to do */
    struct client *clients;
    uint8_t *states; /* TLS states of state_size each */
    uint32_t first;  /* index of its first client among all */
    uint32_t client_count;
    uint32_t started;
    bool has_queued; /* operations may wait for ring_wait to submit them */
};

enum latency_step {
    LATENCY_CONNECT,
    LATENCY_TLS,
    LATENCY_UPGRADE,
    LATENCY_TOTAL,
    LATENCY_STEPS
};

#define HTTP_STATUS_MAX 599
#define CLOSE_CODE_MAX  4999

/* What the clients of one thread share. */
struct clients {
    const struct target *target;
    const char *const *headers;
    uint32_t header_count;
    const struct tokens *tokens;
    struct tls_client *tls;
    uint32_t state_size;
    struct pool works;
    uint32_t receiving; /* receives in flight */
    struct group *groups;
    uint32_t group_count;
    uint64_t timeout_ns;
    struct load_counts counts;
    struct histogram latency[LATENCY_STEPS];
    uint32_t http_statuses[HTTP_STATUS_MAX + 1];
    uint32_t close_codes[CLOSE_CODE_MAX + 1];
    struct deliveries deliveries; /* without an audience messages are only counted */
    uint32_t *ready;              /* echo: clients whose message came back; NULL: not wanted */
    uint32_t ready_head;          /* a ring of ready_max */
    uint32_t ready_count;
    uint32_t ready_max;
    struct returns *returns; /* who is cut off comes back; NULL: nobody does */
    uint32_t first;          /* index of the thread's first client, for returns */
    uint64_t cut_ns;         /* when they were cut off; 0: not yet */
    int tls_error;           /* the library's number or alert of the last failed handshake */
};

MUST_CHECK uint64_t client_clock(void); /* CLOCK_MONOTONIC, ns */

/* Starts the group's next client. source: family 0 for the kernel's choice. False when every struct
 * work is in use. */
MUST_CHECK bool client_start(struct clients *clients, uint32_t group, uint32_t index,
                             const struct sockaddr_in6 *source);
void client_handle(struct clients *clients, uint32_t group, const struct ring_event *event,
                   uint8_t *buffer);

/* Starts a client that has gone once more. */
MUST_CHECK bool client_restart(struct clients *clients, uint32_t group, uint32_t number,
                               const struct sockaddr_in6 *source);

/* Closes an open client's socket without a word. False when it is not open. */
bool client_cut(struct clients *clients, uint32_t group, uint32_t number);

/* Whether the client is open and has room for a message of size bytes, MESSAGE_SIZE_MAX at most. */
MUST_CHECK bool client_can_send(struct clients *clients, uint32_t group, uint32_t number,
                                uint32_t size);

/* Sends it. False when the connection's keys are used up. */
bool client_send(struct clients *clients, uint32_t group, uint32_t number, struct slice payload);

/* Gives up what was started more than timeout_ns ago and is not open. */
void client_expire(struct clients *clients, uint64_t now_ns);

/* Sends a close frame, and closes. False when every struct work is in use: later, then. */
MUST_CHECK bool client_leave(struct clients *clients, uint32_t group, uint32_t number);
