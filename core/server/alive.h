/*
 * alive.h - whether every shard still turns its loop: for /health/live, and for the watchdog of
 * whatever supervises the process.
 *
 * Each tick notes its time in the shard's counters (counts.ticked_ms), and an idle shard ticks once
 * a second: one that has not for ALIVE_SILENCE_MS_MAX hangs, or gets no time to run.
 */
#pragma once

#include "base/bytes.h"

#define ALIVE_SILENCE_MS_MAX 10000
#define ALIVE_ENDED          UINT64_MAX /* ticked_ms of a shard that has stopped: it is not awaited */

/* blocks: each shard's struct counts. now_ms: the monotonic clock. A shard that is still to be
 * opened is alive, and so is one that has stopped as it was told. Any thread. */
MUST_CHECK bool shards_are_alive(const void *const *blocks, size_t count, uint64_t now_ms);

/* The first that is not, or NONE. */
MUST_CHECK uint32_t shards_first_silent(const void *const *blocks, size_t count, uint64_t now_ms);
