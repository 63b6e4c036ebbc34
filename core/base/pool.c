#include "base/pool.h"

#include <errno.h>
#include <sys/mman.h>

#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24 /* Linux 5.18; missing in older headers */
#endif

#define CHILDREN    64U
#define COUNT_LIMIT (1U << 24) /* CHILDREN ^ POOL_LEVELS_MAX */

static uint32_t chunks(const struct pool *pool)
{
    return (pool->count_max + POOL_CHUNK_ITEMS - 1) / POOL_CHUNK_ITEMS;
}

static size_t chunk_size(const struct pool *pool)
{
    return (size_t)POOL_CHUNK_ITEMS * pool->item_size;
}

static uint32_t parents(uint32_t count)
{
    return (count + CHILDREN - 1) / CHILDREN;
}

/*
 * Everything that the pool knows about its items lies in one mapping: the levels of the tree, the
 * counts, the flags. Sets the pointers relative to memory and returns the size.
 */
static size_t lay_out_index(struct pool *pool, uint64_t *memory)
{
    uint32_t words = parents(pool->count_max);
    size_t at = 0; /* in words */

    pool->levels = 0;
    for (;;) {
        pool->full[pool->levels++] = memory + at;
        at += words;
        if (words == 1) {
            break;
        }
        words = parents(words);
    }
    pool->chunk_count = (uint16_t *)(memory + at);
    pool->chunk_touched = (uint8_t *)(pool->chunk_count + chunks(pool));
    return at * sizeof(uint64_t) + chunks(pool) * (sizeof(uint16_t) + sizeof(uint8_t));
}

static size_t index_size(const struct pool *pool)
{
    struct pool measure = {.count_max = pool->count_max};
    uint64_t start = 0;

    return lay_out_index(&measure, &start);
}

/* What does not exist is full: the search then needs no bounds. */
static void fill_tails(struct pool *pool)
{
    uint32_t count = pool->count_max;

    for (uint32_t level = 0; level < pool->levels; level++) {
        if (count % CHILDREN != 0) {
            pool->full[level][count / CHILDREN] = ~0ULL << count % CHILDREN;
        }
        count = parents(count);
    }
}

/* Address space only: the system gives memory when an item is first touched. */
static void *reserve(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return memory == MAP_FAILED ? NULL : memory;
}

int pool_open(struct pool *pool, enum pool_kind kind, uint32_t item_size, uint32_t count_max)
{
    ASSERT(item_size > 0);
    ASSERT(item_size % 2 == 0);

    *pool = (struct pool){.item_size = item_size, .count_max = count_max};
    if (count_max == 0 || count_max > COUNT_LIMIT) {
        return -EINVAL;
    }

    size_t slab_size = chunks(pool) * chunk_size(pool);
    uint64_t *memory = reserve(index_size(pool));
    pool->slab = reserve(slab_size);
    if (memory == NULL || pool->slab == NULL) {
        goto no_memory;
    }
    if (kind == POOL_SECRET) {
        if (madvise(pool->slab, slab_size, MADV_DONTDUMP) != 0) {
            goto no_memory;
        }
        /* On fault: locking must not touch what nobody uses. Needs RLIMIT_MEMLOCK for all of it. */
        pool->locked = mlock2(pool->slab, slab_size, MLOCK_ONFAULT) == 0;
    }
    (void)lay_out_index(pool, memory);
    fill_tails(pool);
    return 0;

no_memory:;
    int error = errno;
    if (memory != NULL) {
        munmap(memory, index_size(pool));
    }
    if (pool->slab != NULL) {
        munmap(pool->slab, slab_size);
    }
    *pool = (struct pool){0};
    return -error;
}

void pool_close(struct pool *pool)
{
    if (pool->slab == NULL) {
        return;
    }
    munmap(pool->slab, chunks(pool) * chunk_size(pool));
    munmap(pool->full[0], index_size(pool));
    *pool = (struct pool){0};
}

static uint64_t bit(uint32_t number)
{
    return 1ULL << number % CHILDREN;
}

uint32_t pool_take(struct pool *pool)
{
    uint32_t number = 0;

    for (uint32_t level = pool->levels; level-- > 0;) {
        uint64_t free = ~pool->full[level][number];
        if (free == 0) {
            ASSERT(level == pool->levels - 1); /* a parent that is not full has such a child */
            return NONE;
        }
        number = number * CHILDREN + (uint32_t)__builtin_ctzll(free);
    }
    pool_take_number(pool, number);
    return number;
}

void pool_take_number(struct pool *pool, uint32_t number)
{
    ASSERT(!pool_is_taken(pool, number));

    pool->count++;
    pool->chunk_count[number / POOL_CHUNK_ITEMS]++;
    pool->chunk_touched[number / POOL_CHUNK_ITEMS] = 1;
    for (uint32_t level = 0; level < pool->levels; level++) {
        uint64_t *word = &pool->full[level][number / CHILDREN];
        *word |= bit(number);
        if (~*word != 0) {
            break;
        }
        number /= CHILDREN;
    }
}

void pool_give(struct pool *pool, uint32_t number)
{
    ASSERT(pool_is_taken(pool, number));

    pool->count--;
    pool->chunk_count[number / POOL_CHUNK_ITEMS]--;
    for (uint32_t level = 0; level < pool->levels; level++) {
        uint64_t *word = &pool->full[level][number / CHILDREN];
        bool was_full = ~*word == 0;
        *word &= ~bit(number);
        if (!was_full) {
            break;
        }
        number /= CHILDREN;
    }
}

bool pool_is_taken(const struct pool *pool, uint32_t number)
{
    ASSERT(number < pool->count_max);
    return (pool->full[0][number / CHILDREN] & bit(number)) != 0;
}

size_t pool_trim(struct pool *pool, void (*released)(void *context, uint32_t first_number),
                 void *context)
{
    /* The plain advice refuses locked pages; the other keeps the lock for what is touched next. */
    int advice = pool->locked ? MADV_DONTNEED_LOCKED : MADV_DONTNEED;
    size_t given_back = 0;

    for (uint32_t chunk = 0; chunk < chunks(pool); chunk++) {
        if (pool->chunk_count[chunk] != 0 || !pool->chunk_touched[chunk]) {
            continue;
        }
        if (madvise(pool->slab + chunk * chunk_size(pool), chunk_size(pool), advice) != 0) {
            continue;
        }
        pool->chunk_touched[chunk] = 0;
        given_back += chunk_size(pool);
        if (released != NULL) {
            released(context, chunk * POOL_CHUNK_ITEMS);
        }
    }
    return given_back;
}
