/*
 * pool.h - items of one size, named by number; all address space is reserved at the start.
 *
 * The lowest free number is taken first, so a pool that shrinks packs itself, and whole chunks of
 * it become empty and can be given back to the system. Items hold no free list: a free item's bytes
 * are whatever its last owner left (wipe secrets before pool_give), or zero after a trim. A bitmap
 * tree (64 children a node) finds the lowest free number in at most four steps.
 */
#pragma once

#include "base/bytes.h"

#define POOL_CHUNK_ITEMS 2048 /* of any multiple of 2 bytes: a chunk is then whole 4 KiB pages */
#define POOL_LEVELS_MAX  4    /* 64^4 = 16.7 million items */

enum pool_kind {
    POOL_PLAIN,
    POOL_SECRET, /* kept out of core dumps (MADV_DONTDUMP) and, where the limit allows, of swap */
};

struct pool {
    uint8_t *slab;
    uint32_t item_size; /* bytes, a multiple of 2 */
    uint32_t count_max;
    uint32_t count; /* taken now */
    uint32_t levels;
    bool locked; /* POOL_SECRET: the system agreed never to swap the items out */
    uint64_t *full[POOL_LEVELS_MAX]; /* bit set: taken (level 0), or every child full */
    uint16_t *chunk_count;           /* items taken, by chunk */
    uint8_t *chunk_touched;          /* the chunk may hold memory */
};

/* count_max in [1, 64^4]. Returns 0 or -errno. */
MUST_CHECK int pool_open(struct pool *pool, enum pool_kind kind, uint32_t item_size,
                         uint32_t count_max);
void pool_close(struct pool *pool); /* no-op when open failed, or on zeros */

/* The lowest free number, or NONE when the pool is full. */
MUST_CHECK uint32_t pool_take(struct pool *pool);

/* Takes the given number, which must be free: for pools whose numbers are chosen elsewhere. */
void pool_take_number(struct pool *pool, uint32_t number);
void pool_give(struct pool *pool, uint32_t number);
MUST_CHECK bool pool_is_taken(const struct pool *pool, uint32_t number);

static inline void *pool_at(const struct pool *pool, uint32_t number)
{
    ASSERT(number < pool->count_max);
    return pool->slab + (size_t)number * pool->item_size;
}

/*
 * Gives the memory of empty chunks back to the system; returns the bytes given back. released, when
 * not NULL, is called for each such chunk with its first number: for arrays that run beside the
 * pool.
 */
size_t pool_trim(struct pool *pool, void (*released)(void *context, uint32_t first_number),
                 void *context);
