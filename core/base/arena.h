/*
 * arena.h - blocks of any size up to a bound, named by number: a buddy allocator over one mapping.
 *
 * For what lives briefly or varies in size: partial records, send buffers, messages, names.
 * Bounded: a full arena is a limit that was reached, and the caller refuses at the edge. Blocks are
 * powers of two from ARENA_BLOCK_MIN; a number is an offset in units of ARENA_BLOCK_MIN, so it fits
 * 32 bits.
 */
#pragma once

#include "base/bytes.h"

#define ARENA_BLOCK_MIN 64 /* bytes: one cache line */
#define ARENA_ORDERS    27 /* 64 B .. 4 GiB */

struct arena {
    uint8_t *memory;
    uint8_t *order; /* by block: state and order of the block that starts there, 0 inside one */
    size_t size;    /* bytes, a power of two */
    size_t used;    /* bytes in taken blocks */
    uint32_t free_head[ARENA_ORDERS];
    uint32_t orders; /* the largest block is ARENA_BLOCK_MIN << (orders - 1) == size */
    bool dirty;      /* blocks were given since the last trim */
};

/* size, at most 4 GiB, is rounded up to a power of two: address space, touched as it is used.
 * Returns 0 or -errno. */
MUST_CHECK int arena_open(struct arena *arena, size_t size);
void arena_close(struct arena *arena); /* no-op when open failed, or on zeros */

/* A block of at least size bytes (size > 0), or NONE when there is no room. Not zeroed. */
MUST_CHECK uint32_t arena_take(struct arena *arena, size_t size);
void arena_give(struct arena *arena, uint32_t block);

/* Bytes that the block has room for. */
MUST_CHECK size_t arena_block_size(const struct arena *arena, uint32_t block);

static inline void *arena_at(const struct arena *arena, uint32_t block)
{
    ASSERT((size_t)block * ARENA_BLOCK_MIN < arena->size);
    return arena->memory + (size_t)block * ARENA_BLOCK_MIN;
}

/* Gives the memory of free blocks back to the system: of all large ones (64 KB and more), of a few
 * small ones. Returns their bytes, an upper bound of what the system got. */
size_t arena_trim(struct arena *arena);

/* Asserts every invariant: free lists, orders, sums. O(blocks): for tests and the simulator. */
void arena_check(const struct arena *arena);
