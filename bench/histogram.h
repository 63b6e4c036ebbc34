/*
 * histogram.h - latencies with a bounded relative error, as HdrHistogram has it.
 *
 * Values below 128 are exact; above, each power of two is cut into 128 steps: no value is shown
 * more than 0.8 % too high, and none too low. 58 KB, whatever is recorded.
 */
#pragma once

#include "base/bytes.h"

#define HISTOGRAM_STEPS   128 /* a power of two */
#define HISTOGRAM_BUCKETS (58 * HISTOGRAM_STEPS)

struct histogram {
    uint64_t buckets[HISTOGRAM_BUCKETS];
    uint64_t count;
    uint64_t min; /* valid when count > 0 */
    uint64_t max;
    double sum;
};

void histogram_record(struct histogram *histogram, uint64_t value);
void histogram_merge(struct histogram *into, const struct histogram *from);

/* The value that percent (0 to 100) of the values do not exceed; 0 when there are none. */
MUST_CHECK uint64_t histogram_percentile(const struct histogram *histogram, double percent);
MUST_CHECK double histogram_mean(const struct histogram *histogram);

/* How many values lie in [low, high], to the bucket. */
MUST_CHECK uint64_t histogram_between(const struct histogram *histogram, uint64_t low,
                                      uint64_t high);
