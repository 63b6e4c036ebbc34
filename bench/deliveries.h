/*
 * deliveries.h - what the subscribers of one thread received: counted, checked for order and
 * duplicates, and timed.
 *
 * 16 bytes for each publisher, subscriber and channel of the subscriber; 58 KB of latencies.
 */
#pragma once

#include "base/counter.h"
#include "bench/audience.h"
#include "bench/histogram.h"
#include "bench/track.h"

/* Written by one thread, read by everyone. */
struct delivery_counts {
    struct counter received; /* each message of each subscriber once */
    struct counter reordered;
    struct counter duplicated;
    struct counter foreign; /* messages that are not ours, or not for who got them */
};

struct deliveries {
    const struct audience *audience;
    uint32_t publishers;
    uint32_t first; /* the thread's first subscriber */
    uint32_t count;
    struct track *tracks; /* by subscriber, place of the channel, publisher */
    struct delivery_counts counts;
    struct histogram latency; /* ns */
};

/* Returns 0, or -1 when there is no memory. The audience is borrowed. */
MUST_CHECK int deliveries_open(struct deliveries *deliveries, const struct audience *audience,
                               uint32_t publishers, uint32_t first, uint32_t count);
void deliveries_close(struct deliveries *deliveries);

/* head: the beginning of a message that ended at now_ns. True when it is one of ours and new. */
bool deliveries_take(struct deliveries *deliveries, uint32_t subscriber, struct slice head,
                     uint64_t now_ns);
