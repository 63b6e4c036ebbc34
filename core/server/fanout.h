/*
 * fanout.h - from a publication that has arrived to the queues of its subscribers, step by step.
 *
 * A publication becomes one message, encoded once and counted, which waits for its channel's turn.
 * The turn is a run over those who are subscribed when it starts. A tick takes a bounded number of
 * steps, and channels with work take turns within it: a small one never waits behind a large one,
 * nor do heartbeats and handshakes. Within a channel order always holds: a run ends before the next
 * starts, and what has come meanwhile goes together, as one message of up to a record. A flood goes
 * at the speed of the majority of its subscribers: the next run is held back for a while when most
 * have not taken the last one.
 */
#pragma once

#include "base/pool.h"
#include "ws/frame.h"

#define FANOUT_TOPIC_SIZE 336 /* bytes: the name takes most of it */

struct shard;

struct fanout {
    struct pool topics; /* channels with publications that wait or are being delivered */
    uint32_t *buckets;  /* topic number + 1, by the hash of its channel's name */
    uint32_t bucket_count;
    uint32_t turn;    /* the topic whose turn was last: its next is the first; or NONE */
    uint32_t waiting; /* publications */
    size_t waiting_size;
    bool is_holding; /* what waits is held back for some milliseconds: try again soon */
    uint64_t hash_key[2];
};

/* Room for topics_max channels. Returns 0 or -errno. */
MUST_CHECK int fanout_open(struct fanout *fanout, uint32_t topics_max);
void fanout_close(struct fanout *fanout); /* no-op on zeros */

/* There is room for one more publication. Without it the publication must wait where it is. */
MUST_CHECK bool fanout_has_room(const struct shard *shard);

/* A publication for the channel's subscribers on this shard. Counted as lost when there is no
 * memory, or no room. */
void fanout_publish(struct shard *shard, struct slice channel, enum ws_opcode opcode,
                    struct slice payload);

/* The step of the tick. True when there is more to do at once. */
MUST_CHECK bool fanout_step(struct shard *shard);

/* Asserts every invariant: for tests and the simulator. */
void fanout_check(const struct shard *shard);
