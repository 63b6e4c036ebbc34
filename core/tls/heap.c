#include "tls/heap.h"

#include "base/arena.h"

#include <pthread.h>
#include <stdlib.h>
#include <wolfssl/ssl.h>

/*
 * Handshakes come in crowds, and glibc keeps what a crowd has freed (measured: 0.45 MB a thread,
 * whatever malloc_trim does, 21 MB without it). So their blocks come from an arena of their own
 * thread, which gives all of it back. Address space only: the limit in heap_allow is what bounds
 * it.
 */
#define ARENA_SIZE_MIN (256u << 20)

/* Before every block; as large as malloc's alignment, so that the block keeps it. */
struct heap_header {
    uint32_t size;  /* bytes behind the header */
    uint32_t block; /* of the arena: a handshake's, counted; NONE: malloc's */
    uint8_t padding[8];
};
static_assert(sizeof(struct heap_header) == 16, "keeps the alignment of malloc");

static _Thread_local struct {
    size_t used;
    size_t peak;
    size_t limit;
    uint32_t depth; /* heap_enter without heap_leave */
    struct arena arena;
} heap;

static struct heap_header *header_of(void *block)
{
    return (struct heap_header *)block - 1;
}

static void *block_take(size_t size)
{
    struct heap_header *header = NULL;
    uint32_t block = NONE;

    if (size > UINT32_MAX - sizeof(*header)) {
        return NULL;
    }
    if (heap.depth == 0) {
        header = malloc(sizeof(*header) + size);
    } else if (heap.arena.size > 0 && size <= heap.limit - heap.used) {
        block = arena_take(&heap.arena, sizeof(*header) + size);
        header = block == NONE ? NULL : arena_at(&heap.arena, block);
    }
    if (!header) {
        return NULL;
    }
    header->size = (uint32_t)size;
    header->block = block;
    if (block != NONE) {
        heap.used += size;
        heap.peak = heap.used > heap.peak ? heap.used : heap.peak;
    }
    return header + 1;
}

static void block_give(void *block)
{
    if (!block) {
        return;
    }
    struct heap_header *header = header_of(block);
    /* The library wipes most of its secrets itself; 13 KB of wiping cost 0.2 us a handshake. */
    secret_wipe(block, header->size);
    if (header->block == NONE) {
        free(header);
        return;
    }
    ASSERT(heap.used >= header->size); /* also: it is freed by the thread that made it */
    heap.used -= header->size;
    arena_give(&heap.arena, header->block);
}

static void *block_resize(void *block, size_t size)
{
    if (!block) {
        return block_take(size);
    }
    void *larger = block_take(size);
    if (!larger) {
        return NULL;
    }
    const size_t size_before = header_of(block)->size;
    memcpy(larger, block, size_before < size ? size_before : size);
    block_give(block);
    return larger;
}

static void install(void)
{
    const int allocators = wolfSSL_SetAllocators(block_take, block_give, block_resize);
    ASSERT(allocators == 0);
    const int ready = wolfSSL_Init();
    ASSERT(ready == WOLFSSL_SUCCESS);
}

void heap_install(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    const int error = pthread_once(&once, install);
    ASSERT(error == 0);
}

void heap_allow(int64_t size)
{
    if (size < 0) {
        ASSERT(heap.limit >= (size_t)-size);
    }
    heap.limit += (size_t)size;
    if (heap.limit == 0) {
        ASSERT(heap.used == 0);
        arena_close(&heap.arena);
    } else if (heap.arena.size == 0) {
        const size_t wanted = 2 * heap.limit; /* blocks are powers of two */
        if (arena_open(&heap.arena, wanted > ARENA_SIZE_MIN ? wanted : ARENA_SIZE_MIN) != 0) {
            heap.arena.size = 0; /* no address space: every block is refused, as over the limit */
        }
    }
}

void heap_trim(void)
{
    if (heap.arena.size > 0) {
        (void)arena_trim(&heap.arena);
    }
}

void heap_enter(void)
{
    heap.depth++;
}

void heap_leave(void)
{
    ASSERT(heap.depth > 0);
    heap.depth--;
}

size_t heap_used(void)
{
    return heap.used;
}

size_t heap_peak(void)
{
    return heap.peak;
}

void heap_peak_reset(void)
{
    heap.peak = heap.used;
}

void *heap_take(size_t size)
{
    heap_enter();
    void *block = block_take(size);
    heap_leave();
    return block;
}

void heap_give(void *block)
{
    block_give(block);
}
