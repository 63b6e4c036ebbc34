/*
 * feed.h - the messages that one thread publishes: how many may go now, which is next, and what
 * their subscribers are to receive.
 *
 * By a rate, or flat out: then as many are under way as the window allows, and the next goes when
 * enough of them have arrived everywhere. Pure but for the counters, which others may read.
 */
#pragma once

#include "base/counter.h"
#include "bench/audience.h"

struct feed_options {
    const struct audience *audience; /* borrowed */
    uint32_t publishers;
    double rate;           /* messages per second; 0: flat out */
    uint64_t messages_max; /* 0: until end_ns */
    uint64_t duration_ns;  /* 0: until messages_max */
    uint32_t window;       /* flat out: messages under way */
    uint32_t size;         /* of a message: MESSAGE_SIZE_MIN to MESSAGE_SIZE_MAX */
    uint64_t seed;         /* of the order of channels */
};

struct feed {
    struct feed_options options;
    uint32_t *sequences; /* by publisher and channel */
    uint64_t random;
    uint64_t start_ns; /* 0: not started */
    uint64_t received; /* when last asked */
    uint64_t received_ns;
    uint64_t forgiven; /* deliveries that are not waited for any more */
    struct counter published;
    struct counter expected; /* deliveries of them */
    struct counter refused;  /* messages; they are not expected */
    struct counter is_done;
};

/* Returns 0, or -1 when there is no memory. */
MUST_CHECK int feed_open(struct feed *feed, const struct feed_options *options);
void feed_close(struct feed *feed);

/* By the thread whose feed it is from here on. */
void feed_start(struct feed *feed, uint64_t now_ns);

/* How many messages may go now; received: deliveries so far. Sets is_done when none is left. */
MUST_CHECK uint32_t feed_due(struct feed *feed, uint64_t now_ns, uint64_t received);

/* Until feed_due may say more than it did, but for deliveries. */
MUST_CHECK uint64_t feed_wait_ns(const struct feed *feed, uint64_t now_ns);

MUST_CHECK uint32_t feed_channel(struct feed *feed); /* of the next message, at random */

/* Writes the publisher's next message to the channel, options.size bytes. */
void feed_next(struct feed *feed, uint64_t now_ns, uint32_t publisher, uint32_t channel,
               uint8_t *out);

/* A message to this channel was not accepted. */
void feed_refuse(struct feed *feed, uint32_t channel);
