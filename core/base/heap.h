/*
 * heap.h - a bounded heap of 64-bit keys, the smallest on top, in reserved memory.
 *
 * For an order that is wanted once, of many, a few at a time: to push a key costs the same whatever
 * is in it, to pop one costs the logarithm, and nothing is ever sorted in one go. Whoever pushes
 * must know that there is room.
 */
#pragma once

#include "base/bytes.h"

struct heap {
    uint64_t *keys;
    uint32_t count;
    uint32_t count_max;
};

/* Room for count_max keys. Returns 0 or -errno. */
MUST_CHECK int heap_open(struct heap *heap, uint32_t count_max);
void heap_close(struct heap *heap); /* no-op when open failed, or on zeros */

void heap_push(struct heap *heap, uint64_t key);

/* Takes the smallest key; the heap must not be empty. */
MUST_CHECK uint64_t heap_pop(struct heap *heap);

/* Forgets all keys and gives the memory back. */
void heap_clear(struct heap *heap);

/* Asserts that no key is smaller than the one above it: for tests and the simulator. */
void heap_check(const struct heap *heap);
