/*
 * Goal: every 64-bit value finds its bucket, percentiles are never too low and at most 1/128 too
 * high, and merging is the same as recording everything in one.
 */
#include "bench/histogram.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void test_empty(void **state)
{
    static const struct histogram empty;

    (void)state;
    assert_int_equal(histogram_percentile(&empty, 50), 0);
    assert_true(histogram_mean(&empty) == 0);
    assert_int_equal(histogram_between(&empty, 0, UINT64_MAX), 0);
}

static void test_one_value_is_bounded(void **state)
{
    (void)state;
    for (uint32_t bit = 0; bit < 64; bit++) {
        for (int near = -1; near <= 1; near++) {
            struct histogram histogram = {0};
            uint64_t value = ((uint64_t)1 << bit) + (uint64_t)(int64_t)near;
            histogram_record(&histogram, value);
            histogram_record(&histogram, UINT64_MAX);
            uint64_t shown = histogram_percentile(&histogram, 50);
            assert_true(shown >= value);
            assert_true(shown - value <= value / HISTOGRAM_STEPS);
            assert_int_equal(histogram_percentile(&histogram, 0), value);
            assert_true(histogram_percentile(&histogram, 100) == UINT64_MAX);
        }
    }
}

static void test_percentiles_by_rank(void **state)
{
    static struct histogram histogram;

    (void)state;
    for (uint64_t value = 1; value <= 100; value++) {
        histogram_record(&histogram, value);
    }
    assert_int_equal(histogram_percentile(&histogram, 0), 1);
    assert_int_equal(histogram_percentile(&histogram, 1), 1);
    assert_int_equal(histogram_percentile(&histogram, 50), 50);
    assert_int_equal(histogram_percentile(&histogram, 50.5), 51);
    assert_int_equal(histogram_percentile(&histogram, 99), 99);
    assert_int_equal(histogram_percentile(&histogram, 100), 100);
    assert_true(histogram_mean(&histogram) == 50.5);
    assert_int_equal(histogram_between(&histogram, 10, 20), 11);
}

/* What is shown is never above the largest value seen. */
static void test_the_largest_value_bounds_what_is_shown(void **state)
{
    static struct histogram histogram;

    (void)state;
    histogram_record(&histogram, 1000000);
    assert_int_equal(histogram_percentile(&histogram, 99.9), 1000000);
}

static void test_merge_equals_recording_in_one(void **state)
{
    static struct histogram one;
    static struct histogram parts[3]; /* the last stays empty */
    static struct histogram merged;
    uint64_t value = 1;

    (void)state;
    for (uint32_t i = 0; i < 10000; i++) {
        value = value * 6364136223846793005u + 1442695040888963407u;
        histogram_record(&one, value >> 34);
        histogram_record(&parts[i % 2], value >> 34);
    }
    for (uint32_t i = 0; i < 3; i++) {
        histogram_merge(&merged, &parts[i]);
    }
    assert_memory_equal(merged.buckets, one.buckets, sizeof(one.buckets));
    assert_int_equal(merged.count, one.count);
    assert_int_equal(merged.min, one.min);
    assert_int_equal(merged.max, one.max);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_one_value_is_bounded),
        cmocka_unit_test(test_percentiles_by_rank),
        cmocka_unit_test(test_the_largest_value_bounds_what_is_shown),
        cmocka_unit_test(test_merge_equals_recording_in_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
