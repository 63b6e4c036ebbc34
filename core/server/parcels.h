/*
 * parcels.h - what shards, and the main thread, say to a shard through its mailbox.
 */
#pragma once

#include "io/mailbox.h"
#include "ws/frame.h"

struct shard;
struct server;
struct ring;

/* To every other shard: publish on yours. What a full mailbox refuses is counted. */
void parcels_publish(struct shard *shard, struct slice channel, enum ws_opcode opcode,
                     struct slice payload);

/* From the main thread, which owns ring: every shard stops within stop_ms, which is not 0. No
 * parcel: it need not wait behind publications. The wake-ups go out with the next ring_wait. */
void parcels_stop(struct server *server, uint32_t stop_ms, struct ring *ring);

/* The step of the tick: acts on what has arrived, up to a bound, as long as fan-outs have room for
 * more. True when more may wait. */
MUST_CHECK bool parcels_take(struct shard *shard);
