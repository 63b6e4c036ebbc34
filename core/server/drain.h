/*
 * drain.h - how a shard lets its connections go: oldest first, at a pace, at moments by chance.
 *
 *   order  from              meanwhile and afterwards
 *   drain  `limpet drain`    nobody is let in; each is told 1012, "come back", by the end of the
 *                            given time; then the server waits, for the undo or the stop
 *   undo   `limpet drain`    listens again; whoever was told to go has gone
 *   stop   SIGTERM, SIGINT   nobody is let in; each is told 1001, in good time before the end, in
 *                            which the shard ends; a second one tells all at once
 *
 * The order comes from another thread as one number, which every shard looks at in each tick.
 */
#pragma once

#include "base/counter.h"
#include "base/heap.h"
#include "base/pace.h"

struct shard;
struct server;
struct ring;

#define DRAIN_OVER_MS_MAX 86400000u

enum drain_order {
    ORDER_NONE,
    ORDER_DRAIN,
    ORDER_UNDO,
    ORDER_STOP,
};

enum drain_state { /* also what limpet_drain_state says */
    DRAIN_NONE,
    DRAIN_GATHERING, /* puts the connections in order */
    DRAIN_CLOSING,
    DRAIN_DONE, /* all were told */
};

struct drain {
    uint8_t state;           /* enum drain_state */
    bool is_last;            /* the shard ends afterwards */
    uint64_t order;          /* the last one seen */
    struct counter followed; /* the same, for the main thread: limpet_drain_state is of it */
    uint32_t next_number;    /* gathering: the next to look at */
    uint32_t newest;         /* gathering: the last generation given out when it began */
    uint64_t step_ms;        /* when to look at the pace again */
    uint64_t stop_by_ms;     /* is_last: the shard ends, whoever is left */
    struct pace pace;
    struct heap waiting; /* those to tell, the oldest on top */
};

/* --- from the main thread, which owns ring: the wake-ups go out with its next ring_wait --- */

/* within_ms: until the last is told, or (ORDER_STOP) until the shard has ended; 0: at once. */
void drain_give_order(struct server *server, enum drain_order order, uint32_t within_ms,
                      struct ring *ring);

/* --- the shard's --- */

MUST_CHECK int drain_open(struct drain *drain, uint32_t count_max);
void drain_close(struct drain *drain); /* no-op when open failed, or on zeros */

/* Looks whether there is a new order, and follows it. */
void drain_obey(struct shard *shard);

/* Nobody is let in: sockets do not listen, requests are answered 503. */
MUST_CHECK bool drain_is_on(const struct shard *shard);

/* The step of the tick: tells those who are due, up to a bound. */
void drain_step(struct shard *shard);

/* So long the next step can wait; UINT64_MAX: there is none. */
MUST_CHECK uint64_t drain_wait_ms(const struct shard *shard);

/* It was told to stop, and the time for it has passed. */
MUST_CHECK bool drain_is_over(const struct shard *shard);

/* Asserts its invariants: for tests and the simulator. */
void drain_check(struct shard *shard);
