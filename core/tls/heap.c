#include "tls/heap.h"

#include <pthread.h>
#include <stdlib.h>
#include <wolfssl/ssl.h>

/* Before every block; as large as malloc's alignment, so that the block keeps it. */
struct heap_header {
    uint32_t size; /* bytes behind the header */
    bool counted;
    uint8_t padding[11];
};
static_assert(sizeof(struct heap_header) == 16, "keeps the alignment of malloc");

static _Thread_local struct {
    size_t used;
    size_t peak;
    size_t limit;
    uint32_t depth; /* heap_enter without heap_leave */
} heap;

static struct heap_header *header_of(void *block)
{
    return (struct heap_header *)block - 1;
}

static void *block_take(size_t size)
{
    const bool counted = heap.depth > 0;
    if (size > UINT32_MAX || (counted && size > heap.limit - heap.used)) {
        return NULL;
    }
    struct heap_header *header = malloc(sizeof(*header) + size);
    if (!header) {
        return NULL;
    }
    header->size = (uint32_t)size;
    header->counted = counted;
    if (counted) {
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
    if (header->counted) {
        ASSERT(heap.used >= header->size); /* also: it is freed by the thread that made it */
        heap.used -= header->size;
    }
    /* The library wipes most of its secrets itself; 13 KB of wiping cost 0.2 us a handshake. */
    secret_wipe(block, header->size);
    free(header);
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
