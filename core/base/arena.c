#include "base/arena.h"

#include <errno.h>
#include <sys/mman.h>

#define FREE      0x80U /* in order[]: the block is free; the rest is its order + 1 */
#define PAGE_SIZE 4096U
#define TRIM_MIN  65536U /* below this a system call costs more than the memory is worth, */
#define SMALL_MAX 4U     /* unless there are few: an arena that a crowd has left has one a size */

/* A free block holds its place in the list of its order. */
struct free_block {
    uint32_t previous;
    uint32_t next;
};

static struct free_block *free_at(const struct arena *arena, uint32_t block)
{
    return arena_at(arena, block);
}

static uint32_t order_of(const struct arena *arena, uint32_t block)
{
    uint32_t state = arena->order[block];

    ASSERT(state != 0); /* else no block starts here */
    return (state & ~FREE) - 1;
}

static size_t order_size(uint32_t order)
{
    return (size_t)ARENA_BLOCK_MIN << order;
}

/* The least order whose blocks hold size bytes. */
static uint32_t order_for(size_t size)
{
    size_t blocks = (size + ARENA_BLOCK_MIN - 1) / ARENA_BLOCK_MIN;

    return blocks <= 1 ? 0 : 64 - (uint32_t)__builtin_clzll(blocks - 1);
}

static void push_free(struct arena *arena, uint32_t block, uint32_t order)
{
    uint32_t next = arena->free_head[order];

    arena->order[block] = (uint8_t)(FREE | (order + 1));
    *free_at(arena, block) = (struct free_block){.previous = NONE, .next = next};
    if (next != NONE) {
        free_at(arena, next)->previous = block;
    }
    arena->free_head[order] = block;
}

static void unlink_free(struct arena *arena, uint32_t block, uint32_t order)
{
    struct free_block place = *free_at(arena, block);

    if (place.previous != NONE) {
        free_at(arena, place.previous)->next = place.next;
    } else {
        arena->free_head[order] = place.next;
    }
    if (place.next != NONE) {
        free_at(arena, place.next)->previous = place.previous;
    }
    arena->order[block] = 0;
}

static void *reserve(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return memory == MAP_FAILED ? NULL : memory;
}

int arena_open(struct arena *arena, size_t size)
{
    *arena = (struct arena){0};
    if (size == 0 || size > order_size(ARENA_ORDERS - 1)) {
        return -EINVAL;
    }

    uint32_t order = order_for(size);
    arena->size = order_size(order);
    arena->orders = order + 1;
    arena->memory = reserve(arena->size);
    if (arena->memory == NULL) {
        return -errno;
    }
    arena->order = reserve(arena->size / ARENA_BLOCK_MIN);
    if (arena->order == NULL) {
        int error = errno;
        munmap(arena->memory, arena->size);
        *arena = (struct arena){0};
        return -error;
    }
    for (uint32_t i = 0; i < ARENA_ORDERS; i++) {
        arena->free_head[i] = NONE;
    }
    push_free(arena, 0, order);
    return 0;
}

void arena_close(struct arena *arena)
{
    if (arena->memory == NULL) {
        return;
    }
    munmap(arena->memory, arena->size);
    munmap(arena->order, arena->size / ARENA_BLOCK_MIN);
    *arena = (struct arena){0};
}

uint32_t arena_take(struct arena *arena, size_t size)
{
    ASSERT(size > 0);
    if (size > arena->size) {
        return NONE;
    }

    uint32_t wanted = order_for(size);
    uint32_t order = wanted;
    while (order < arena->orders && arena->free_head[order] == NONE) {
        order++;
    }
    if (order == arena->orders) {
        return NONE;
    }

    uint32_t block = arena->free_head[order];
    unlink_free(arena, block, order);
    while (order > wanted) { /* keep the lower half, free the upper one */
        order--;
        push_free(arena, block + (1U << order), order);
    }
    arena->order[block] = (uint8_t)(order + 1);
    arena->used += order_size(order);
    return block;
}

void arena_give(struct arena *arena, uint32_t block)
{
    ASSERT(block < arena->size / ARENA_BLOCK_MIN);
    ASSERT((arena->order[block] & FREE) == 0);

    uint32_t order = order_of(arena, block);
    arena->used -= order_size(order);
    arena->order[block] = 0;
    while (order + 1 < arena->orders) {
        uint32_t buddy = block ^ (1U << order);
        if (arena->order[buddy] != (FREE | (order + 1))) {
            break;
        }
        unlink_free(arena, buddy, order);
        block &= ~(1U << order);
        order++;
    }
    push_free(arena, block, order);
    arena->dirty = true;
}

size_t arena_block_size(const struct arena *arena, uint32_t block)
{
    ASSERT(block < arena->size / ARENA_BLOCK_MIN);
    ASSERT((arena->order[block] & FREE) == 0);
    return order_size(order_of(arena, block));
}

/* A free block keeps its first page, which holds the list. What order[] says of its inside is
 * zeros, as the system gives them. */
static size_t trim_block(const struct arena *arena, uint32_t block, uint32_t order)
{
    uint8_t *memory = arena_at(arena, block);
    const size_t rest = order_size(order) - PAGE_SIZE;
    const size_t inside = 1U << order;

    if (inside > PAGE_SIZE) {
        (void)madvise(arena->order + block + PAGE_SIZE, inside - PAGE_SIZE, MADV_DONTNEED);
    }
    return madvise(memory + PAGE_SIZE, rest, MADV_DONTNEED) == 0 ? rest : 0;
}

size_t arena_trim(struct arena *arena)
{
    size_t given_back = 0;

    if (!arena->dirty) {
        return 0;
    }
    arena->dirty = false;
    for (uint32_t order = order_for((size_t)2 * PAGE_SIZE); order < arena->orders; order++) {
        uint32_t left = order_size(order) < TRIM_MIN ? SMALL_MAX : UINT32_MAX;
        for (uint32_t block = arena->free_head[order]; block != NONE && left > 0; left--) {
            given_back += trim_block(arena, block, order);
            block = free_at(arena, block)->next;
        }
    }
    return given_back;
}

/* Every entry of the list is a free block of this order. Returns how many. */
static uint32_t check_list(const struct arena *arena, uint32_t order)
{
    uint32_t count = 0;
    uint32_t previous = NONE;
    uint32_t block = arena->free_head[order];

    while (block != NONE) {
        ASSERT(arena->order[block] == (FREE | (order + 1)));
        ASSERT(free_at(arena, block)->previous == previous);
        count++;
        previous = block;
        block = free_at(arena, block)->next;
    }
    return count;
}

static void check_block(const struct arena *arena, uint32_t block, uint32_t order)
{
    ASSERT(order < arena->orders);
    ASSERT(block % (1U << order) == 0);
    for (uint32_t inside = block + 1; inside < block + (1U << order); inside++) {
        ASSERT(arena->order[inside] == 0);
    }
    if ((arena->order[block] & FREE) != 0 && order + 1 < arena->orders) {
        ASSERT(arena->order[block ^ (1U << order)] != arena->order[block]); /* else they merge */
    }
}

void arena_check(const struct arena *arena)
{
    uint32_t free_count[ARENA_ORDERS] = {0};
    size_t used = 0;
    size_t block = 0;

    while (block < arena->size / ARENA_BLOCK_MIN) {
        uint32_t order = order_of(arena, (uint32_t)block);
        check_block(arena, (uint32_t)block, order);
        if ((arena->order[block] & FREE) != 0) {
            free_count[order]++;
        } else {
            used += order_size(order);
        }
        block += 1U << order;
    }
    ASSERT(used == arena->used);
    for (uint32_t order = 0; order < arena->orders; order++) {
        ASSERT(check_list(arena, order) == free_count[order]);
    }
}
