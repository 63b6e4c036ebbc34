/*
 * errands.h - what a shard has to tell the relay and must not lose when its mailbox is full: which
 * channels have subscribers, who is present, and the answer to who wants to know its channels. A
 * step of the tick posts what waits, up to a bound.
 */
#pragma once

#include "base/queue.h"
#include "pubsub/channel.h"

struct shard;

struct errands {
    struct queue joining; /* connections whose joins are to be posted */
    uint32_t join_at;     /* of the first of them: the last subscription that was posted */
    uint32_t leaves_left; /* that may be posted in this tick */
    bool is_stuck;        /* the relay's mailbox was full: try again soon */
    bool is_late;         /* a leave was put off: try again at once */
    uint32_t report;      /* of channels: who wants it, 0 nobody */
    uint32_t report_at;   /* next channel */
    uint8_t report_glob_size;
    uint8_t report_glob[CHANNEL_NAME_MAX];
};

/* Returns 0 or -errno. */
MUST_CHECK int errands_open(struct errands *errands, uint32_t conns_max);
void errands_close(struct errands *errands); /* no-op on zeros */

/* A connection has opened with all its subscriptions. */
void errands_opened(struct shard *shard, uint32_t number);

/* It ends: posts its leaves and ends its subscriptions. False: not yet, call again in a later tick;
 * the connection must stay until then. */
MUST_CHECK bool errands_leave(struct shard *shard, uint32_t number);

/* The relay wants to know which channels match the glob. One report at a time. */
void errands_report(struct shard *shard, uint32_t report, struct slice glob);

/* The step of the tick. True when more is to be done at once. */
MUST_CHECK bool errands_step(struct shard *shard);
