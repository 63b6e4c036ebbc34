#include "bench/histogram.h"

#include <math.h>

#define STEPS_BITS 7
static_assert(HISTOGRAM_STEPS == 1 << STEPS_BITS, "a power of two");
static_assert(HISTOGRAM_BUCKETS == (64 - STEPS_BITS + 1) * HISTOGRAM_STEPS, "every 64-bit value");

static uint32_t bucket_of(uint64_t value)
{
    if (value < HISTOGRAM_STEPS) {
        return (uint32_t)value;
    }
    uint32_t shift = 63 - STEPS_BITS - (uint32_t)__builtin_clzll(value);
    uint32_t step = (uint32_t)(value >> shift) - HISTOGRAM_STEPS;
    return (shift + 1) * HISTOGRAM_STEPS + step;
}

/* The largest value of a bucket. */
static uint64_t bucket_end(uint32_t bucket)
{
    if (bucket < HISTOGRAM_STEPS) {
        return bucket;
    }
    uint32_t shift = bucket / HISTOGRAM_STEPS - 1;
    uint64_t start = (uint64_t)(HISTOGRAM_STEPS + bucket % HISTOGRAM_STEPS) << shift;
    return start + (((uint64_t)1 << shift) - 1);
}

void histogram_record(struct histogram *histogram, uint64_t value)
{
    if (histogram->count == 0 || value < histogram->min) {
        histogram->min = value;
    }
    if (value > histogram->max) {
        histogram->max = value;
    }
    histogram->buckets[bucket_of(value)]++;
    histogram->count++;
    histogram->sum += (double)value;
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
    if (from->count == 0) {
        return;
    }
    if (into->count == 0 || from->min < into->min) {
        into->min = from->min;
    }
    if (from->max > into->max) {
        into->max = from->max;
    }
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        into->buckets[i] += from->buckets[i];
    }
    into->count += from->count;
    into->sum += from->sum;
}

uint64_t histogram_percentile(const struct histogram *histogram, double percent)
{
    uint64_t seen = 0;

    ASSERT(percent >= 0);
    ASSERT(percent <= 100);
    if (histogram->count == 0) {
        return 0;
    }
    uint64_t rank = (uint64_t)ceil(percent / 100 * (double)histogram->count);
    if (rank == 0) {
        return histogram->min;
    }
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += histogram->buckets[i];
        if (seen >= rank) {
            uint64_t end = bucket_end(i);
            return end < histogram->max ? end : histogram->max;
        }
    }
    return histogram->max;
}

double histogram_mean(const struct histogram *histogram)
{
    return histogram->count == 0 ? 0 : histogram->sum / (double)histogram->count;
}

uint64_t histogram_between(const struct histogram *histogram, uint64_t low, uint64_t high)
{
    uint64_t count = 0;

    ASSERT(low <= high);
    for (uint32_t i = bucket_of(low); i <= bucket_of(high); i++) {
        count += histogram->buckets[i];
    }
    return count;
}
