/*
 * broker.h - how messages reach this host and leave it: one interface, several brokers.
 *
 * A broker belongs to one thread, the relay's (server/relay.h), and never blocks it: a call starts
 * something, and what comes of it is taken with broker_next. It says what a broker gives and
 * nothing of any one of them; memory.c and redis.c are behind it.
 *
 * Life: open -> { broker_poll -> poll(2) -> broker_turn -> broker_next until false } -> close.
 *
 * A ticket is the caller's number for a request; each request that started ends in exactly one
 * event with its ticket, also when the broker vanishes. What is lent in an event (slices, arrays)
 * is good until the next broker_next, broker_turn or broker_close.
 *
 * Order: publications of one channel come in the order in which the broker numbered them, and never
 * twice. A channel with history has an epoch, the random name of its stream, and offsets that count
 * from 1 within it; a broker that was away catches up with its followed channels by offset.
 */
#pragma once

#include "base/bytes.h"

#include <poll.h>

#define BROKER_EPOCH_SIZE_MAX 16
#define BROKER_FDS_MAX        64 /* that one broker waits on */

struct broker;

enum broker_outcome {
    BROKER_DONE,
    BROKER_AWAY,          /* no connection: nothing was sent */
    BROKER_UNKNOWN,       /* the connection was lost before the answer: it may have been done */
    BROKER_FULL,          /* too many requests in flight, or no room: nothing was done */
    BROKER_REFUSED,       /* the broker answered with an error, or in a wrong shape */
    BROKER_UNAVAILABLE,   /* this broker, or this channel, does not have it */
    BROKER_UNRECOVERABLE, /* the position is of another epoch */
    BROKER_OUTCOMES
};

MUST_CHECK const char *broker_outcome_name(enum broker_outcome outcome);

struct broker_position {
    uint64_t offset;                       /* of the newest publication; 0: none yet */
    char epoch[BROKER_EPOCH_SIZE_MAX + 1]; /* "" when the channel has no history */
};

/* What a channel keeps: the options of its namespace. size 0: no history. */
struct broker_history {
    uint32_t size;  /* publications */
    uint32_t age_s; /* of a publication; the stream's epoch and top stay longer */
};

struct broker_publication {
    struct slice channel;
    struct slice payload;
    bool is_binary;                /* else text, which is UTF-8 */
    bool is_unmarked;              /* nobody said which: the namespace's frame choice decides */
    uint64_t offset;               /* 0: live only */
    const char *epoch;             /* "" when offset is 0 */
    struct slice user;             /* who sent it, when a client did, else empty */
    struct slice conn_id;          /* likewise */
    uint64_t time_ms;              /* Unix time at which a client sent it */
    struct slice idempotency_key;  /* empty: none */
    struct broker_history history; /* of its channel */
};

/* Somebody present in a channel. */
struct broker_member {
    struct slice conn_id;
    struct slice user;
};

struct broker_history_query {
    uint32_t limit;  /* publications; 0: the position alone */
    bool is_reverse; /* newest first */
    bool has_since;  /* only those after (reverse: before) this position */
    struct broker_position since;
};

enum broker_event_kind {
    BROKER_PUBLICATION, /* for the subscribers on this host */
    BROKER_PUBLISHED,   /* answer to publish and to forward: outcome, position */
    BROKER_HISTORY,     /* answer: outcome, position, publications */
    BROKER_PRESENCE,    /* answer: outcome, members */
    BROKER_REMOVED,     /* answer to history_remove: outcome */
};

struct broker_event {
    enum broker_event_kind kind;
    uint64_t ticket;
    enum broker_outcome outcome;
    struct broker_position position;
    struct broker_publication publication;         /* BROKER_PUBLICATION */
    const struct broker_publication *publications; /* BROKER_HISTORY */
    uint32_t publication_count;
    const struct broker_member *members; /* BROKER_PRESENCE */
    uint32_t member_count;
};

struct broker_health {
    bool is_up;             /* requests are taken */
    uint64_t round_trip_us; /* of the last canary: published here and received again; 0: none yet */
    uint64_t canary_age_ms; /* since the last one came back */
    uint64_t reconnects;
    uint64_t caught_up;     /* publications delivered from history after a gap */
    uint64_t gaps;          /* times that publications of a channel were lost for good */
    uint64_t malformed;     /* replies of a wrong shape */
    uint64_t errors;        /* that the broker answered */
    uint64_t joins_refused; /* no room for the member */
    uint32_t requests;      /* in flight */
    uint32_t followed;      /* channels and patterns */
};

/* Whether the answer to a history query since the client's position has all that it missed, in
 * order: never a part of it. An empty epoch of the client's stands for any. */
MUST_CHECK bool broker_has_recovered(const struct broker_position *client,
                                     const struct broker_event *history);

/*
 * What every broker provides. publish and the queries return BROKER_DONE when they started (an
 * event follows), else why not (no event follows). Slices are copied when they are needed later.
 */
struct broker_kind {
    const char *name; /* "memory" */
    bool follows;     /* wants to be told which channels have subscribers here */

    void (*close)(struct broker *broker);

    /* Fills in what to wait for, at most BROKER_FDS_MAX; *wake_ms: the latest time to call turn. */
    uint32_t (*poll)(struct broker *broker, struct pollfd *fds, uint64_t now_ms, uint64_t *wake_ms);
    void (*turn)(struct broker *broker, const struct pollfd *fds, uint32_t count, uint64_t now_ms);
    bool (*next)(struct broker *broker, struct broker_event *event);

    enum broker_outcome (*publish)(struct broker *broker, uint64_t ticket,
                                   const struct broker_publication *publication);
    /* To backends: what a client sent, with who and when, to the place that the options name. */
    enum broker_outcome (*forward)(struct broker *broker, uint64_t ticket,
                                   const struct broker_publication *publication);
    enum broker_outcome (*history)(struct broker *broker, uint64_t ticket, struct slice channel,
                                   const struct broker_history_query *query);
    enum broker_outcome (*history_remove)(struct broker *broker, uint64_t ticket,
                                          struct slice channel);
    enum broker_outcome (*presence)(struct broker *broker, uint64_t ticket, struct slice channel);

    /* Kept by the broker, also over a reconnect: no answer. name of a pattern: with its '*'.
     * history: so that the broker knows what to catch up with. */
    void (*follow)(struct broker *broker, struct slice name, bool is_pattern,
                   const struct broker_history *history);
    void (*unfollow)(struct broker *broker, struct slice name, bool is_pattern);
    void (*join)(struct broker *broker, struct slice channel, const struct broker_member *member);
    void (*leave)(struct broker *broker, struct slice channel, struct slice conn_id);

    void (*health)(struct broker *broker, struct broker_health *health, uint64_t now_ms);
};

/* The first member of every broker's own struct. */
struct broker {
    const struct broker_kind *kind;
};
