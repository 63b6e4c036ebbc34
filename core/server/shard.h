/*
 * shard.h - one core and all it owns: ring, listeners, connections, pools, timers, channels.
 *
 * Everything in here is touched by the shard's own thread only; the rest of the program reaches it
 * by its mailbox, and reads its counters.
 */
#pragma once

#include "base/arena.h"
#include "base/pool.h"
#include "base/queue.h"
#include "base/tally.h"
#include "base/wheel.h"
#include "io/mailbox.h"
#include "io/ring.h"
#include "pubsub/channel.h"
#include "server/accepting.h"
#include "server/admission.h"
#include "server/budget.h"
#include "server/conn.h"
#include "server/counts.h"
#include "server/drain.h"
#include "server/errands.h"
#include "server/fanout.h"
#include "server/identities.h"
#include "server/options.h"
#include "server/relay.h"
#include "server/waiting.h"
#include "session/identity.h"
#include "session/token.h"
#include "tls/handshake.h"
#include "ws/deflate.h"
#include "ws/upgrade.h"

#define SHARD_EVENTS_MAX 1024 /* completions a tick */
#define SHARDS_MAX       256u

/* What all shards of a server share, all of it immutable or safe for many threads. */
struct server {
    const struct options *options; /* as at the start: for what only a new start changes */
    const struct budget *budget;
    struct settings_desk *desk; /* what a reload can change; NULL (simulator): it is all here */
    const struct certificate_set *certificates; /* without a desk */
    const struct token_keys *token_keys;        /* without a desk; NULL: no token wanted */
    struct ticket_keys *tickets;                /* NULL: none */
    struct tally *open;                         /* connections open, under one key */
    struct tally *addresses;                    /* NULL: no limit per address */
    struct tally *users;                        /* NULL: no limit per user */
    struct mailbox *mailboxes[SHARDS_MAX];
    int ring_fds[SHARDS_MAX]; /* to wake them */
    struct counter order;     /* the main thread's, see drain.h; 0: none yet */
    uint32_t shard_count;
    struct key_sources *key_sources; /* NULL (simulator): all keys are files */
    struct relay *relay;             /* between shards and broker */
    struct identity_key identity_key;
};

struct settings_desk;
struct settings;

struct shard {
    const struct server *server;
    const struct settings *settings;     /* held; NULL without a desk */
    const struct options *options;       /* the settings', as of this tick */
    const struct token_keys *token_keys; /* likewise; NULL: no token wanted */
    uint64_t renew_next_ms;              /* there was no memory for newer settings */
    uint32_t number;
    struct ring *ring;
    uint64_t now_ns; /* monotonic, as of this tick */
    uint64_t now_ms;
    uint64_t start_ms;
    uint32_t generation; /* the last one given out */

    struct accepting accepting;
    struct drain drain;

    struct pool conns;
    struct pool tls[TLS_CLASSES];
    struct pool openings;
    struct pool partials;
    struct pool nodes;
    struct arena arena;
    struct wheel wheel;
    struct queue dirty;         /* numbers to flush */
    struct queue reap;          /* dead numbers with nothing in flight */
    struct queue continuing;    /* handshakes that have input */
    struct admission admission; /* connections whose ClientHello is whole */
    struct channel_table *channels;
    struct fanout fanout;
    struct errands errands;
    struct identities identities;
    struct tls_server *tls_server;
    struct upgrade_rules rules;
    struct ws_limits ws_limits;
    struct ws_limits ws_limits_deflate; /* with permessage-deflate */
    struct deflater *deflater;          /* NULL: it is switched off */
    uint32_t ping;                      /* the ping frame: one message for all */

    bool starved; /* the arena had no room for a send or a run in this tick: try again soon */
    uint64_t queue_bytes;   /* of all connections in waiting.h */
    uint64_t kernel_bytes;  /* of these: what the kernel holds for sends that take long */
    uint32_t send_size;     /* what it is taken to hold when it does not say */
    uint32_t buffers_short; /* ticks for which receive buffers count as short */
    bool work_left;         /* a bounded step of the last tick did not finish: do not sleep */
    uint32_t open_count;    /* connections of this shard in the server's count */
    uint32_t serving_count; /* in CONN_OPEN: of these, those not yet told or asked to close */
    uint32_t open_entry;
    uint64_t trim_next_ms;
    struct log_limit only_h2_lines;
    struct log_limit overdue_lines;
    struct log_limit probe_lines;
    struct log_limit refusal_lines;
    struct log_limit network_lines;
    struct log_limit proxy_lines;
    struct log_limit header_lines;
    struct counts counts;
    struct ring_event events[SHARD_EVENTS_MAX];
};

/* Opens everything but the ring and the listeners (accepting_listen); the memory of a shard is
 * reserved here. NULL with a message. */
MUST_CHECK struct shard *shard_open(const struct server *server, uint32_t number, char *message,
                                    size_t message_size);

/* On the shard's own thread: opens the ring; its descriptor is for ring_wake. Returns 0 or -1 with
 * a message. */
MUST_CHECK int shard_open_ring(struct shard *shard, char *message, size_t message_size);

/* One turn: wait, handle completions and parcels, expire deadlines, step handshakes, flush, reap.
 * False when the shard has stopped and nothing is left. */
MUST_CHECK bool shard_tick(struct shard *shard);

void shard_close(struct shard *shard);

/* The server's count of open connections: one more (false when connections_max are open), one less.
 */
bool shard_count_open(struct shard *shard, bool open);

/* Asserts every invariant of every structure: for tests and the simulator. */
void shard_check(struct shard *shard);
