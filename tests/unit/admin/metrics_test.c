/*
 * Goal: what is rendered is the exposition format 0.0.4 to the byte: one header a name, one series
 * a shard, histograms cumulative and in seconds, exactly three escapes in a label, valid UTF-8, and
 * never more bytes than the room for them.
 */
#include "admin/metrics.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#define NOW_MS 5000

static struct kernel kernel;

/* --- histogram -------------------------------------------------------------------------------- */

static uint32_t bucket_of(uint64_t value, uint64_t base)
{
    struct histogram histogram = {0};

    histogram_add(&histogram, value, base);
    assert_int_equal(counter_read(&histogram.sum), value);
    for (uint32_t i = 0; i <= HISTOGRAM_BUCKETS; i++) {
        if (counter_read(&histogram.buckets[i]) == 1) {
            return i;
        }
    }
    fail();
    return NONE;
}

static void test_histogram_bounds_are_inclusive(void **state)
{
    (void)state;
    assert_int_equal(bucket_of(0, 1000), 0);
    assert_int_equal(bucket_of(1000, 1000), 0);
    for (uint32_t i = 1; i < HISTOGRAM_BUCKETS; i++) {
        uint64_t bound = 1000ull << i;
        assert_int_equal(bucket_of(bound / 2 + 1, 1000), i);
        assert_int_equal(bucket_of(bound, 1000), i);
        assert_int_equal(bucket_of(bound + 1, 1000), i + 1);
    }
    assert_int_equal(bucket_of(UINT64_MAX, 1000), HISTOGRAM_BUCKETS);
    assert_int_equal(bucket_of(UINT64_MAX, 1), HISTOGRAM_BUCKETS);
    assert_int_equal(bucket_of(2, 1), 1);
    assert_int_equal(bucket_of(3, 1), 2);
    assert_int_equal(bucket_of(5, 1), 3);
}

/* --- escapes ---------------------------------------------------------------------------------- */

static void assert_escaped(struct slice value, size_t room, const char *expected)
{
    char out[256];

    memset(out, '#', sizeof(out));
    size_t size = metrics_escape(value, out, room);
    assert_int_equal(size, strlen(expected));
    assert_memory_equal(out, expected, size);
    assert_int_equal(out[size], '#'); /* nothing beyond what it says */
    assert_true(size < room);
}

static void test_escapes_are_exactly_three(void **state)
{
    (void)state;
    assert_escaped(slice_text("plain"), 64, "plain");
    assert_escaped(slice_text(""), 64, "");
    assert_escaped(slice_text("a\"b"), 64, "a\\\"b");
    assert_escaped(slice_text("a\\b"), 64, "a\\\\b");
    assert_escaped(slice_text("a\nb"), 64, "a\\nb");
    assert_escaped(slice_text("\t\r\x01'{}"), 64, "\t\r\x01'{}");
    assert_escaped(slice_text("a\"} 1\nevil{x=\""), 64, "a\\\"} 1\\nevil{x=\\\"");
}

#define REPLACED "\xef\xbf\xbd"

static void test_only_utf8_comes_out(void **state)
{
    (void)state;
    assert_escaped(slice_text("h\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"), 64,
                   "h\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
    assert_escaped(slice_text("\xf4\x8f\xbf\xbf\xed\x9f\xbf\xe0\xa0\x80\xf0\x90\x80\x80"), 64,
                   "\xf4\x8f\xbf\xbf\xed\x9f\xbf\xe0\xa0\x80\xf0\x90\x80\x80");
    assert_escaped(slice_text("\xff"), 64, REPLACED);
    assert_escaped(slice_text("a\x80z"), 64, "a" REPLACED "z");
    assert_escaped(slice_text("\xc0\xaf"), 64, REPLACED REPLACED); /* too long a form */
    assert_escaped(slice_text("\xe0\x9f\xbf"), 64, REPLACED REPLACED REPLACED);
    assert_escaped(slice_text("\xf0\x8f\xbf\xbf"), 64, REPLACED REPLACED REPLACED REPLACED);
    assert_escaped(slice_text("\xed\xa0\x80"), 64, REPLACED REPLACED REPLACED); /* a surrogate */
    assert_escaped(slice_text("\xf4\x90\x80\x80"), 64, REPLACED REPLACED REPLACED REPLACED);
    assert_escaped(slice_text("\xf5\x80\x80\x80"), 64, REPLACED REPLACED REPLACED REPLACED);
    assert_escaped(slice_text("\xe2\x82"), 64, REPLACED REPLACED); /* cut short */
    assert_escaped(slice_text("\xe2\x82z"), 64, REPLACED REPLACED "z");
}

static void test_room_is_never_passed(void **state)
{
    char large[4096];

    (void)state;
    memset(large, 'x', sizeof(large));
    char out[16];
    assert_int_equal(metrics_escape(slice_from(large, sizeof(large)), out, sizeof(out)), 15);
    assert_escaped(slice_text("ab\""), 4, "ab"); /* no half escape */
    assert_escaped(slice_text("ab\""), 5, "ab\\\"");
    assert_escaped(slice_text("a\xe2\x82\xac"), 4, "a"); /* no half code point */
    assert_escaped(slice_text("a\xe2\x82\xac"), 5, "a\xe2\x82\xac");
    assert_escaped(slice_text("a"), 1, "");
}

/* --- text ------------------------------------------------------------------------------------- */

struct block {
    struct counter good;
    struct counter bad;
    struct counter open;
    struct histogram time;
};

static const struct metric table[] = {
    {"t_checks_total", "Checks.", METRIC_COUNTER, "outcome", "good", offsetof(struct block, good),
     0, NULL, NULL},
    {"t_checks_total", "Checks.", METRIC_COUNTER, "outcome", "b\"d", offsetof(struct block, bad), 0,
     NULL, NULL},
    {"t_open", "Open now.", METRIC_GAUGE, NULL, NULL, offsetof(struct block, open), 0, NULL, NULL},
    {"t_seconds", "Time.", METRIC_HISTOGRAM_NS, NULL, NULL, offsetof(struct block, time), 1000000,
     NULL, NULL},
};

static char *render(const void *const *blocks, size_t block_count)
{
    const struct metrics metrics = {.table = table,
                                    .table_size = sizeof(table) / sizeof(table[0]),
                                    .blocks = blocks,
                                    .block_count = block_count};
    size_t size = 0;
    char *text = metrics_render(&metrics, &kernel, NOW_MS, &size);

    assert_non_null(text);
    assert_int_equal(size, strlen(text));
    return text;
}

static void test_counters_and_gauges(void **state)
{
    static struct block blocks[2];
    const void *const all[] = {&blocks[0], &blocks[1]};
    const char *expected = "# HELP t_checks_total Checks.\n"
                           "# TYPE t_checks_total counter\n"
                           "t_checks_total{shard=\"0\",outcome=\"good\"} 7\n"
                           "t_checks_total{shard=\"1\",outcome=\"good\"} 0\n"
                           "t_checks_total{shard=\"0\",outcome=\"b\\\"d\"} 0\n"
                           "t_checks_total{shard=\"1\",outcome=\"b\\\"d\"} 18446744073709551615\n"
                           "# HELP t_open Open now.\n"
                           "# TYPE t_open gauge\n"
                           "t_open{shard=\"0\"} 1\n"
                           "t_open{shard=\"1\"} 2\n"
                           "# HELP t_seconds Time.\n";

    (void)state;
    counter_set(&blocks[0].good, 7);
    counter_set(&blocks[1].bad, UINT64_MAX);
    counter_set(&blocks[0].open, 1);
    counter_set(&blocks[1].open, 2);
    char *text = render(all, 2);
    assert_memory_equal(text, expected, strlen(expected));
    free(text);
}

/* A second table, whose one block is the whole process's. */
static void test_a_shared_block_has_no_shard(void **state)
{
    static struct block block;
    static const struct metric shared_table[] = {
        {"t_requests_total", "Requests.", METRIC_COUNTER, "method", "publish",
         offsetof(struct block, good), 0, "outcome", "o\"k"},
        {"t_requests_total", "Requests.", METRIC_COUNTER, NULL, NULL, offsetof(struct block, bad),
         0, "outcome", "bad"},
        {"t_waiting", "Waiting.", METRIC_GAUGE, NULL, NULL, offsetof(struct block, open), 0, NULL,
         NULL},
        {"t_answer_seconds", "Time.", METRIC_HISTOGRAM_NS, NULL, NULL, offsetof(struct block, time),
         1000, NULL, NULL},
    };
    const void *const all[] = {&block};
    const struct metrics shared = {.table = shared_table,
                                   .table_size = sizeof(shared_table) / sizeof(shared_table[0]),
                                   .blocks = all,
                                   .block_count = 1,
                                   .is_shared = true};
    const struct metrics metrics = {
        .table = table, .table_size = 1, .blocks = all, .block_count = 1, .next = &shared};
    const char *expected = "# HELP t_checks_total Checks.\n"
                           "# TYPE t_checks_total counter\n"
                           "t_checks_total{shard=\"0\",outcome=\"good\"} 3\n"
                           "# HELP t_requests_total Requests.\n"
                           "# TYPE t_requests_total counter\n"
                           "t_requests_total{method=\"publish\",outcome=\"o\\\"k\"} 3\n"
                           "t_requests_total{outcome=\"bad\"} 0\n"
                           "# HELP t_waiting Waiting.\n"
                           "# TYPE t_waiting gauge\n"
                           "t_waiting 1\n"
                           "# HELP t_answer_seconds Time.\n"
                           "# TYPE t_answer_seconds histogram\n"
                           "t_answer_seconds_bucket{le=\"1e-06\"} 0\n";
    size_t size = 0;

    (void)state;
    counter_set(&block.good, 3);
    counter_set(&block.open, 1);
    char *text = metrics_render(&metrics, &kernel, NOW_MS, &size);
    assert_non_null(text);
    assert_memory_equal(text, expected, strlen(expected));
    assert_non_null(strstr(text, "\nt_answer_seconds_bucket{le=\"+Inf\"} 0\n"));
    assert_non_null(strstr(text, "\nt_answer_seconds_count 0\n"));
    free(text);
}

/* Of all shards together. */
static void test_histogram_is_cumulative_and_in_seconds(void **state)
{
    static struct block one;
    static struct block two;
    const void *const all[] = {&one, &two};

    (void)state;
    histogram_add(&one.time, 500000, 1000000);         /* 0.5 ms */
    histogram_add(&two.time, 2000000, 1000000);        /* 2 ms */
    histogram_add(&two.time, UINT64_MAX / 4, 1000000); /* 146 years */
    char *text = render(all, 2);
    assert_non_null(strstr(text, "# TYPE t_seconds histogram\n"
                                 "t_seconds_bucket{le=\"0.001\"} 1\n"
                                 "t_seconds_bucket{le=\"0.002\"} 2\n"
                                 "t_seconds_bucket{le=\"0.004\"} 2\n"));
    assert_non_null(strstr(text, "t_seconds_bucket{le=\"8388.608\"} 2\n"
                                 "t_seconds_bucket{le=\"+Inf\"} 3\n"
                                 "t_seconds_sum 4611686018.429887903\n"
                                 "t_seconds_count 3\n"));
    free(text);
}

static void test_an_age_is_that_of_now(void **state)
{
    static struct counter times[4];
    static const struct metric ages[] = {
        {"t_age_seconds", "Age.", METRIC_AGE_MS, NULL, NULL, 0, 0, NULL, NULL}};
    const void *const all[] = {&times[0], &times[1], &times[2], &times[3]};
    const struct metrics metrics = {
        .table = ages, .table_size = 1, .blocks = all, .block_count = 4};
    const char *expected = "# HELP t_age_seconds Age.\n"
                           "# TYPE t_age_seconds gauge\n"
                           "t_age_seconds{shard=\"0\"} 1.234\n"
                           "t_age_seconds{shard=\"1\"} 0.000\n"
                           "t_age_seconds{shard=\"2\"} 0.000\n"
                           "t_age_seconds{shard=\"3\"} 0.000\n";
    size_t size = 0;

    (void)state;
    counter_set(&times[0], NOW_MS - 1234);
    counter_set(&times[1], 0); /* not yet */
    counter_set(&times[2], NOW_MS + 1);
    counter_set(&times[3], UINT64_MAX); /* never again */
    char *text = metrics_render(&metrics, &kernel, NOW_MS, &size);
    assert_non_null(text);
    assert_memory_equal(text, expected, strlen(expected));
    free(text);
}

static void test_gauges_of_time_are_in_seconds(void **state)
{
    static struct counter times[2];
    static const struct metric gauges[] = {
        {"t_ms_seconds", "Ms.", METRIC_GAUGE_MS, NULL, NULL, 0, 0, NULL, NULL},
        {"t_us_seconds", "Us.", METRIC_GAUGE_US, NULL, NULL, sizeof(times[0]), 0, NULL, NULL}};
    const void *const all[] = {times};
    const struct metrics metrics = {
        .table = gauges, .table_size = 2, .blocks = all, .block_count = 1, .is_shared = true};
    const char *expected = "# HELP t_ms_seconds Ms.\n# TYPE t_ms_seconds gauge\n"
                           "t_ms_seconds 12.345\n"
                           "# HELP t_us_seconds Us.\n# TYPE t_us_seconds gauge\n"
                           "t_us_seconds 0.000070\n";
    size_t size = 0;

    (void)state;
    counter_set(&times[0], 12345);
    counter_set(&times[1], 70);
    char *text = metrics_render(&metrics, &kernel, NOW_MS, &size);
    assert_non_null(text);
    assert_memory_equal(text, expected, strlen(expected));
    free(text);
}

static double value_of(const char *text, const char *name)
{
    char start[128];

    (void)snprintf(start, sizeof(start), "\n%s ", name);
    const char *line = strstr(text, start);
    assert_non_null(line);
    return strtod(line + strlen(start), NULL);
}

static void test_the_process_is_described(void **state)
{
    (void)state;
    char *text = render(NULL, 0);
    double fds = value_of(text, "process_open_fds");
    double now = (double)time(NULL);
    assert_true(value_of(text, "process_resident_memory_bytes") > 100000);
    assert_true(value_of(text, "process_cpu_seconds_total") >= 0);
    assert_true(value_of(text, "process_max_fds") >= fds);
    assert_true(value_of(text, "process_start_time_seconds") > now - 600);
    assert_true(value_of(text, "process_start_time_seconds") < now + 2);
    free(text);

    FILE *file = fopen("/dev/null", "re");
    assert_non_null(file);
    text = render(NULL, 0);
    assert_true(value_of(text, "process_open_fds") == fds + 1);
    free(text);
    assert_int_equal(fclose(file), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_histogram_bounds_are_inclusive),
        cmocka_unit_test(test_escapes_are_exactly_three),
        cmocka_unit_test(test_only_utf8_comes_out),
        cmocka_unit_test(test_room_is_never_passed),
        cmocka_unit_test(test_counters_and_gauges),
        cmocka_unit_test(test_a_shared_block_has_no_shard),
        cmocka_unit_test(test_histogram_is_cumulative_and_in_seconds),
        cmocka_unit_test(test_an_age_is_that_of_now),
        cmocka_unit_test(test_gauges_of_time_are_in_seconds),
        cmocka_unit_test(test_the_process_is_described),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
