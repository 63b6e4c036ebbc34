/*
 * Goal: every counter of the relay has exactly one name, an outcome carries its broker's name, and
 * entries of one name stand together.
 */
#include "server/relay_counts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#define COUNTERS (offsetof(struct relay_counts, request_time) / sizeof(struct counter))

static void test_every_counter_is_named_once(void **state)
{
    const struct metric *named[COUNTERS] = {0};

    (void)state;
    assert_int_equal(relay_metrics_size, COUNTERS + 1); /* and the histogram, which is the last */
    assert_int_equal(sizeof(struct relay_counts),
                     offsetof(struct relay_counts, request_time) + sizeof(struct histogram));
    for (size_t i = 0; i < relay_metrics_size; i++) {
        const struct metric *metric = &relay_metrics[i];
        assert_memory_equal(metric->name, "limpet_broker_", 14);
        if (metric->type == METRIC_HISTOGRAM_NS) {
            assert_int_equal(metric->offset, offsetof(struct relay_counts, request_time));
            continue;
        }
        assert_null(named[metric->offset / sizeof(struct counter)]);
        named[metric->offset / sizeof(struct counter)] = metric;
    }
    for (unsigned i = 0; i < BROKER_OUTCOMES; i++) {
        size_t offset = offsetof(struct relay_counts, settled) + i * sizeof(struct counter);
        assert_string_equal(named[offset / sizeof(struct counter)]->label_value,
                            broker_outcome_name((enum broker_outcome)i));
    }
}

static void test_entries_of_one_name_stand_together(void **state)
{
    (void)state;
    for (size_t i = 1; i < relay_metrics_size; i++) {
        if (strcmp(relay_metrics[i].name, relay_metrics[i - 1].name) == 0) {
            assert_string_equal(relay_metrics[i].help, relay_metrics[i - 1].help);
            continue;
        }
        for (size_t before = 0; before < i; before++) {
            assert_string_not_equal(relay_metrics[i].name, relay_metrics[before].name);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_counter_is_named_once),
        cmocka_unit_test(test_entries_of_one_name_stand_together),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
