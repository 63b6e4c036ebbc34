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

/* From the main thread, which owns ring: stop within stop_ms. Returns false when the mailbox is
 * full. */
MUST_CHECK bool parcels_stop(const struct server *server, uint32_t shard_number, uint32_t stop_ms,
                             struct ring *ring);

/* The step of the tick: acts on what has arrived, up to a bound. True when more may wait. */
MUST_CHECK bool parcels_take(struct shard *shard);
