#include "server/alive.h"

#include "server/counts.h"

uint32_t shards_first_silent(const void *const *blocks, size_t count, uint64_t now_ms)
{
    for (size_t i = 0; i < count; i++) {
        const struct counts *counts = blocks[i];
        const uint64_t ticked_ms = counter_read(&counts->ticked_ms);
        /* It may have ticked since the caller looked at the clock. */
        if (ticked_ms != 0 && now_ms > ticked_ms && now_ms - ticked_ms > ALIVE_SILENCE_MS_MAX) {
            return (uint32_t)i;
        }
    }
    return NONE;
}

bool shards_are_alive(const void *const *blocks, size_t count, uint64_t now_ms)
{
    return shards_first_silent(blocks, count, now_ms) == NONE;
}
