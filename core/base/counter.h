/*
 * counter.h - a number that one thread counts and others may read at any time.
 *
 * One writer: no lock prefix, a plain add on x86-64; readers see a whole, perhaps slightly old,
 * value.
 */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

typedef _Atomic uint64_t counter_value;

struct counter {
    counter_value value;
};

static inline uint64_t counter_read(const struct counter *counter)
{
    return atomic_load_explicit(&counter->value, memory_order_relaxed);
}

static inline void counter_set(struct counter *counter, uint64_t value)
{
    atomic_store_explicit(&counter->value, value, memory_order_relaxed);
}

static inline void counter_add(struct counter *counter, uint64_t amount)
{
    counter_set(counter, counter_read(counter) + amount);
}
