/*
 * counts.h - what a shard counts: one block of counters a shard, and the table that names them.
 */
#pragma once

#include "admin/metrics.h"
#include "broker/broker.h"
#include "server/admission.h"
#include "server/namespace_counts.h"
#include "session/token.h"
#include "ws/upgrade.h"

enum handshake_outcome {
    HANDSHAKE_OUTCOME_FULL,    /* completed, full */
    HANDSHAKE_OUTCOME_RESUMED, /* completed, by ticket */
    HANDSHAKE_OUTCOME_FAILED,  /* alert sent or received */
    HANDSHAKE_OUTCOME_TIMEOUT,
    HANDSHAKE_OUTCOME_GAVE_WAY, /* the peer was slow, and others waited for its place */
    HANDSHAKE_OUTCOME_RESET,    /* the peer left during it */
    HANDSHAKE_OUTCOME_SILENT,   /* closed before a ClientHello: probes */
    HANDSHAKE_OUTCOMES
};

/* Why a handshake failed: what the alert said that was sent, by its name in the RFC. */
enum handshake_failure {
    FAILURE_UNEXPECTED_MESSAGE,
    FAILURE_HANDSHAKE_FAILURE, /* no common suite, group or signature algorithm */
    FAILURE_ILLEGAL_PARAMETER,
    FAILURE_DECODE_ERROR,
    FAILURE_PROTOCOL_VERSION,
    FAILURE_OTHER,
    FAILURE_PEER_ALERT, /* the client's: it does not like our certificate, perhaps */
    FAILURE_PLAIN_HTTP,
    HANDSHAKE_FAILURES
};

/* Why a connection that had been opened was closed; each with its close code. */
enum close_cause {
    CAUSE_CLIENT,        /* the peer's close frame */
    CAUSE_PROTOCOL,      /* 1002 */
    CAUSE_UTF8,          /* 1007 */
    CAUSE_DEFLATE,       /* 1007: not what permessage-deflate makes */
    CAUSE_POLICY,        /* 1008 */
    CAUSE_TOO_BIG,       /* 1009 */
    CAUSE_INTERNAL,      /* no memory for it, not even to say so: no close frame */
    CAUSE_SHUTDOWN,      /* 1001 */
    CAUSE_AGE,           /* 1012 */
    CAUSE_DRAIN,         /* 1012 */
    CAUSE_FULL,          /* 1013 */
    CAUSE_TOKEN_EXPIRED, /* 3000 */
    CAUSE_PONG_TIMEOUT,  /* 3008 */
    CAUSE_SLOW_CONSUMER, /* its queue is full: no close frame, which it would not read */
    CAUSE_RESET,         /* no close frame: end of stream, reset */
    CAUSE_TLS,           /* a bad record */
    CLOSE_CAUSES
};

enum refusal {
    REFUSED_CONNECTIONS, /* the whole server or shard is full */
    REFUSED_BANNED,      /* limits.banned */
    REFUSED_NOT_ALLOWED, /* limits.allowed */
    REFUSED_PROXY,       /* not in proxy.trusted */
    REFUSED_PROXY_HEADER,
    REFUSED_ADDRESS,   /* per address */
    REFUSED_USER,      /* per user */
    REFUSED_MEMORY,    /* arena or pool exhausted */
    REFUSED_ADMISSION, /* waited too long for its handshake to begin */
    REFUSALS
};

/* Pools whose use is shown. */
enum counted_pool {
    COUNTED_TLS,
    COUNTED_OPENINGS,
    COUNTED_PARTIALS,
    COUNTED_NODES,
    COUNTED_POOLS
};

/* The first bounds of histograms. */
#define COUNTS_US_NS 1000u
#define COUNTS_MS_NS 1000000u

struct counts {
    struct counter connections_open;     /* gauge: after the upgrade */
    struct counter connections_held;     /* gauge: every accepted socket */
    struct counter connections_capacity; /* gauge: of the server's, this shard's share */
    struct counter sockets_max;          /* gauge: of its table */
    struct counter accepted;
    struct counter accept_errors; /* ENFILE, EMFILE, ... */
    struct counter handshakes[HANDSHAKE_OUTCOMES];
    struct counter handshake_failures[HANDSHAKE_FAILURES];
    struct counter handshakes_in_flight;
    struct counter handshakes_waiting;
    struct counter admissions[ADMISSION_CLASSES][ADMISSION_OUTCOMES];
    struct counter admission_tokens; /* gauge */
    struct counter hellos_only_h2;
    struct counter hellos_hybrid; /* with a share of X25519MLKEM768 */
    struct counter upgrades[UPGRADE_REASONS];
    struct counter tokens[TOKEN_OUTCOMES];
    struct counter refused[REFUSALS];
    struct counter closed[CLOSE_CAUSES];
    struct counter upgrade_timeouts;
    struct counter close_timeouts;
    struct counter pings_sent;
    struct counter pongs_received;
    struct counter pings_received;
    struct counter messages_received;
    struct counter messages_sent;
    struct counter bytes_received; /* TLS records */
    struct counter bytes_sent;
    struct counter publications;
    struct counter messages_inflated;
    struct counter frames_deflated;      /* made, each for all who get it */
    struct counter publications_refused; /* the client may not publish */
    struct counter publications_lost;    /* no room or no memory to encode them on this shard */
    struct counter dropped[SLOW_KEEP_LATEST + 1];        /* publications, by enum slow_policy */
    struct counter mailbox_full;                         /* requests not taken by the relay */
    struct counter publications_failed[BROKER_OUTCOMES]; /* their senders were told: 1013 */
    struct counter receive_no_buffer;                    /* -ENOBUFS */
    struct counter completion_overflows;
    struct counter ticks;
    struct counter ticked_ms; /* when the last tick was: see alive.h */
    struct counter ring_enters;
    struct counter pool_used[COUNTED_POOLS]; /* gauge: items taken */
    struct counter pool_size[COUNTED_POOLS]; /* gauge: items there are */
    struct counter arena_size;               /* gauge: bytes */
    struct counter arena_bytes;              /* gauge */
    struct counter queue_bytes;              /* gauge: waiting for connections */
    struct counter kernel_bytes;             /* gauge: of these, held by the kernel */
    struct counter fanouts_waiting;          /* gauge: publications */
    struct counter tls_heap_bytes;           /* gauge: library heap of handshakes in flight */
    struct counter channels;                 /* gauge */
    struct counter subscriptions;            /* gauge */
    struct counter timers;                   /* gauge */
    struct counter drain_state;              /* gauge: enum drain_state */
    struct counter drain_remaining;          /* gauge: open connections that it has yet to tell */
    struct counter drain_closed;
    struct histogram tick_time;      /* ns, base 1 us */
    struct histogram timer_lag;      /* ns, base 1 ms: from a deadline to its work */
    struct histogram handshake_time; /* ns, base 1 ms: accept to Finished */
    struct histogram upgrade_time;   /* ns, base 1 ms: Finished to the answer */
    struct histogram fanout_time;    /* ns, base 1 us: a publication's arrival to its end */
    struct histogram admission_time; /* ns, base 1 ms: whole ClientHello to its turn */
    struct namespace_counts namespaces[NAMESPACE_PLACES]; /* shown by another table */
};

extern const struct metric counts_metrics[];
extern const size_t counts_metrics_size;
