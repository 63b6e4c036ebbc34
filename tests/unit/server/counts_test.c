/*
 * Goal: the table that names the counters is complete and true: every counter of the struct has one
 * entry and no two share one, a label that repeats another module's names repeats them exactly, and
 * every name is one that Prometheus takes.
 */
#include "server/counts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static size_t width_of(const struct metric *metric)
{
    return metric->type == METRIC_HISTOGRAM_NS ? sizeof(struct histogram) : sizeof(struct counter);
}

/* Marks the bytes that the entry names; false when one had a name already. */
static bool mark(uint8_t *named, const struct metric *metric)
{
    size_t end = metric->offset + width_of(metric);
    bool is_new = true;

    assert_true(end <= sizeof(struct counts));
    for (size_t at = metric->offset; at < end; at++) {
        is_new = is_new && named[at] == 0;
        named[at] = 1;
    }
    return is_new;
}

static void test_every_byte_of_the_block_is_named_once(void **state)
{
    static uint8_t named[sizeof(struct counts)];
    const size_t table_end = offsetof(struct counts, namespaces); /* these have a table of theirs */

    (void)state;
    for (size_t i = 0; i < counts_metrics_size; i++) {
        if (!mark(named, &counts_metrics[i])) {
            fail_msg("%s names a counter that has a name already", counts_metrics[i].name);
        }
    }
    const uint8_t *nameless = memchr(named, 0, table_end);
    if (nameless) {
        fail_msg("the counter at byte %td of struct counts has no name", nameless - named);
    }
}

static const struct metric *find(size_t offset)
{
    for (size_t i = 0; i < counts_metrics_size; i++) {
        if (counts_metrics[i].offset == offset) {
            return &counts_metrics[i];
        }
    }
    fail();
    return NULL;
}

static void test_labels_are_the_names_of_the_enums(void **state)
{
    (void)state;
    for (unsigned i = 0; i < UPGRADE_REASONS; i++) {
        size_t offset = offsetof(struct counts, upgrades) + i * sizeof(struct counter);
        assert_string_equal(find(offset)->label_value, upgrade_reason_name((enum upgrade_reason)i));
    }
    for (unsigned i = 0; i < TOKEN_OUTCOMES; i++) {
        size_t offset = offsetof(struct counts, tokens) + i * sizeof(struct counter);
        assert_string_equal(find(offset)->label_value, token_outcome_name((enum token_outcome)i));
    }
}

static void test_outcomes_are_those_of_brokers(void **state)
{
    (void)state;
    for (unsigned i = 0; i < BROKER_OUTCOMES; i++) {
        size_t offset = offsetof(struct counts, publications_failed) + i * sizeof(struct counter);
        assert_string_equal(find(offset)->label_value, broker_outcome_name((enum broker_outcome)i));
    }
}

static bool ends_with(const char *text, const char *end)
{
    size_t size = strlen(text);

    return size >= strlen(end) && strcmp(text + size - strlen(end), end) == 0;
}

static void test_names_follow_the_conventions(void **state)
{
    (void)state;
    for (size_t i = 0; i < counts_metrics_size; i++) {
        const struct metric *metric = &counts_metrics[i];
        assert_int_equal(strspn(metric->name, "abcdefghijklmnopqrstuvwxyz0123456789_"),
                         strlen(metric->name));
        assert_memory_equal(metric->name, "limpet_", 7);
        assert_int_equal(ends_with(metric->name, "_total"), metric->type == METRIC_COUNTER);
        assert_true(ends_with(metric->help, "."));
        assert_int_equal(metric->label == NULL, metric->label_value == NULL);
        assert_int_equal(metric->base != 0, metric->type == METRIC_HISTOGRAM_NS);
    }
}

/* One HELP and TYPE a name: entries of one name stand together, with one help, type and label. */
static void test_entries_of_one_name_stand_together(void **state)
{
    (void)state;
    for (size_t i = 1; i < counts_metrics_size; i++) {
        const struct metric *metric = &counts_metrics[i];
        const struct metric *previous = &counts_metrics[i - 1];
        if (strcmp(metric->name, previous->name) == 0) {
            assert_string_equal(metric->help, previous->help);
            assert_int_equal(metric->type, previous->type);
            assert_string_equal(metric->label, previous->label);
            continue;
        }
        for (size_t before = 0; before < i; before++) {
            assert_string_not_equal(metric->name, counts_metrics[before].name);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_byte_of_the_block_is_named_once),
        cmocka_unit_test(test_labels_are_the_names_of_the_enums),
        cmocka_unit_test(test_outcomes_are_those_of_brokers),
        cmocka_unit_test(test_names_follow_the_conventions),
        cmocka_unit_test(test_entries_of_one_name_stand_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
