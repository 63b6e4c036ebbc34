/*
 * clock.h - the monotonic clock, for threads beside the shards: main, relay, admin, fetches. A
 * shard's time comes from ring_wait.
 */
#pragma once

#include "base/assert.h"

#include <stdint.h>
#include <time.h>

static inline uint64_t clock_now_ns(void)
{
    struct timespec now;

    ASSERT(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static inline uint64_t clock_now_ms(void)
{
    return clock_now_ns() / 1000000;
}
