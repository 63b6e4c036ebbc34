#include "base/heap.h"

#include <errno.h>
#include <sys/mman.h>

int heap_open(struct heap *heap, uint32_t count_max)
{
    ASSERT(count_max > 0);
    void *memory = mmap(NULL, count_max * sizeof(uint64_t), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        return -errno;
    }
    *heap = (struct heap){.keys = memory, .count_max = count_max};
    return 0;
}

void heap_close(struct heap *heap)
{
    if (heap->keys) {
        munmap(heap->keys, heap->count_max * sizeof(uint64_t));
    }
    *heap = (struct heap){0};
}

void heap_push(struct heap *heap, uint64_t key)
{
    uint64_t *keys = heap->keys;

    ASSERT(heap->count < heap->count_max);
    uint32_t hole = heap->count++;
    while (hole > 0 && keys[(hole - 1) / 2] > key) {
        keys[hole] = keys[(hole - 1) / 2];
        hole = (hole - 1) / 2;
    }
    keys[hole] = key;
}

uint64_t heap_pop(struct heap *heap)
{
    uint64_t *keys = heap->keys;

    ASSERT(heap->count > 0);
    const uint64_t smallest = keys[0];
    const uint64_t last = keys[--heap->count];
    uint32_t hole = 0;
    for (;;) {
        uint32_t below = 2 * hole + 1;
        if (below >= heap->count) {
            break;
        }
        if (below + 1 < heap->count && keys[below + 1] < keys[below]) {
            below++;
        }
        if (keys[below] >= last) {
            break;
        }
        keys[hole] = keys[below];
        hole = below;
    }
    keys[hole] = last;
    return smallest;
}

void heap_clear(struct heap *heap)
{
    heap->count = 0;
    madvise(heap->keys, heap->count_max * sizeof(uint64_t), MADV_DONTNEED);
}

void heap_check(const struct heap *heap)
{
    ASSERT(heap->count <= heap->count_max);
    for (uint32_t i = 1; i < heap->count; i++) {
        ASSERT(heap->keys[(i - 1) / 2] <= heap->keys[i]);
    }
}
