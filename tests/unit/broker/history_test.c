/*
 * Goal: offsets count from 1 without a gap, what is kept is exactly the newest publications that
 * size, age and bytes allow, every query gives the range it names, and a stream's epoch and top
 * outlive its items for as long as nobody else needs the place.
 */
#include "broker/history.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#define AGE_S UINT64_C(60)

static struct history *history;

static void open_with(uint32_t streams_max, size_t bytes_max)
{
    const struct history_limits limits = {.streams_max = streams_max, .bytes_max = bytes_max};

    history = history_open(&limits);
    assert_non_null(history);
}

static int setup(void **state)
{
    (void)state;
    open_with(8, 1 << 20);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    history_check(history);
    history_close(history);
    history = NULL;
    return 0;
}

static enum broker_outcome add_sized(const char *channel, struct slice payload, uint32_t size,
                                     uint64_t now_ms, struct broker_position *position)
{
    const struct broker_publication publication = {
        .channel = slice_text(channel),
        .payload = payload,
        .user = slice_text("ann"),
        .conn_id = slice_text("conn-1"),
        .time_ms = 12345,
        .history = {.size = size, .age_s = (uint32_t)AGE_S},
    };
    const enum broker_outcome outcome = history_add(history, &publication, now_ms, position);

    history_check(history);
    return outcome;
}

/* Adds one; returns its offset. */
static uint64_t add(const char *channel, const char *payload, uint32_t size, uint64_t now_ms)
{
    struct broker_position position = {0};

    assert_int_equal(add_sized(channel, slice_text(payload), size, now_ms, &position), BROKER_DONE);
    assert_true(position.epoch[0] != '\0');
    return position.offset;
}

static struct broker_event read_query(const char *channel, struct broker_history_query query,
                                      uint64_t now_ms)
{
    struct broker_event event = {0};

    history_read(history, slice_text(channel), &query, now_ms, &event);
    history_check(history);
    return event;
}

static struct broker_event read_all(const char *channel, uint64_t now_ms)
{
    return read_query(channel, (struct broker_history_query){.limit = 1000}, now_ms);
}

static void assert_offsets(const struct broker_event *event, uint64_t first, uint64_t last)
{
    const uint64_t count = (first < last ? last - first : first - last) + 1;

    assert_int_equal(event->outcome, BROKER_DONE);
    assert_int_equal(event->publication_count, count);
    for (uint64_t i = 0; i < count; i++) {
        assert_int_equal(event->publications[i].offset, first < last ? first + i : first - i);
    }
}

static void test_offsets_and_content(void **state)
{
    (void)state;
    assert_int_equal(add("a", "one", 10, 0), 1);
    assert_int_equal(add("a", "", 10, 0), 2);
    assert_int_equal(add("b", "other", 10, 0), 1);
    assert_int_equal(add("a", "three", 10, 0), 3);

    const struct broker_event event = read_all("a", 0);
    assert_offsets(&event, 1, 3);
    assert_int_equal(event.position.offset, 3);
    const struct broker_publication *third = &event.publications[2];
    assert_true(slice_equal(third->payload, slice_text("three")));
    assert_true(slice_equal(third->channel, slice_text("a")));
    assert_true(slice_equal(third->user, slice_text("ann")));
    assert_true(slice_equal(third->conn_id, slice_text("conn-1")));
    assert_int_equal(third->time_ms, 12345);
    assert_string_equal(third->epoch, event.position.epoch);
    assert_int_equal(event.publications[1].payload.size, 0);
}

static void test_every_stream_has_its_epoch(void **state)
{
    (void)state;
    const struct broker_position a = read_all("a", 0).position;
    const struct broker_position b = read_all("b", 0).position;

    assert_int_equal(a.offset, 0);
    assert_true(a.epoch[0] != '\0');
    assert_string_not_equal(a.epoch, b.epoch);
    assert_string_equal(a.epoch, read_all("a", 0).position.epoch);
}

static void test_size(void **state)
{
    (void)state;
    for (uint64_t i = 1; i <= 3; i++) {
        assert_int_equal(add("a", "x", 3, 0), i);
    }
    struct broker_event event = read_all("a", 0);
    assert_offsets(&event, 1, 3);
    add("a", "x", 3, 0);
    event = read_all("a", 0);
    assert_offsets(&event, 2, 4);
    add("a", "x", 1, 0); /* a smaller size takes hold at once */
    event = read_all("a", 0);
    assert_offsets(&event, 5, 5);
    for (uint64_t i = 6; i <= 1000; i++) {
        assert_int_equal(add("a", "x", 100, 0), i);
    }
    event = read_all("a", 0);
    assert_offsets(&event, 901, 1000);
}

static void test_age(void **state)
{
    (void)state;
    add("a", "x", 10, 1000);
    add("a", "y", 10, 2000);
    struct broker_event event = read_all("a", 1000 + AGE_S * 1000 - 1);
    assert_offsets(&event, 1, 2);
    event = read_all("a", 1000 + AGE_S * 1000);
    assert_offsets(&event, 2, 2);
    const struct broker_position before = event.position;
    event = read_all("a", 2000 + AGE_S * 1000);
    assert_int_equal(event.publication_count, 0);
    assert_int_equal(event.position.offset, 2); /* the top outlives its items */
    assert_string_equal(event.position.epoch, before.epoch);
    assert_int_equal(add("a", "z", 10, 100000), 3);
}

static void test_sweep_frees_what_nobody_reads(void **state)
{
    struct history_counts counts;

    (void)state;
    add("a", "x", 10, 0);
    add("b", "x", 10, 1);
    history_sweep(history, AGE_S * 1000 - 1);
    history_read_counts(history, &counts);
    assert_int_equal(counts.items, 2);
    history_sweep(history, AGE_S * 1000);
    history_read_counts(history, &counts);
    assert_int_equal(counts.items, 1);
    history_sweep(history, AGE_S * 1000 + 1);
    history_read_counts(history, &counts);
    assert_int_equal(counts.items, 0);
    assert_int_equal(counts.bytes, 0);
    assert_int_equal(counts.streams, 2);
}

static void test_ranges(void **state)
{
    const struct {
        struct broker_history_query query;
        uint64_t first;
        uint64_t last; /* 0: nothing */
    } cases[] = {
        {{.limit = 0}, 0, 0},
        {{.limit = 1}, 4, 4},
        {{.limit = 3}, 4, 6},
        {{.limit = 7}, 4, 10},
        {{.limit = 8}, 4, 10},
        {{.limit = UINT32_MAX}, 4, 10},
        {{.limit = 2, .is_reverse = true}, 10, 9},
        {{.limit = 9, .is_reverse = true}, 10, 4},
        {{.limit = 9, .has_since = true, .since = {.offset = 0}}, 4, 10},
        {{.limit = 9, .has_since = true, .since = {.offset = 3}}, 4, 10},
        {{.limit = 9, .has_since = true, .since = {.offset = 4}}, 5, 10},
        {{.limit = 2, .has_since = true, .since = {.offset = 4}}, 5, 6},
        {{.limit = 9, .has_since = true, .since = {.offset = 9}}, 10, 10},
        {{.limit = 9, .has_since = true, .since = {.offset = 10}}, 0, 0},
        {{.limit = 9, .has_since = true, .since = {.offset = 11}}, 0, 0},
        {{.limit = 9, .has_since = true, .since = {.offset = UINT64_MAX}}, 0, 0},
        {{.limit = 9, .is_reverse = true, .has_since = true, .since = {.offset = 10}}, 9, 4},
        {{.limit = 2, .is_reverse = true, .has_since = true, .since = {.offset = 7}}, 6, 5},
        {{.limit = 9, .is_reverse = true, .has_since = true, .since = {.offset = 11}}, 10, 4},
        {{.limit = 9, .is_reverse = true, .has_since = true, .since = {.offset = 5}}, 4, 4},
        {{.limit = 9, .is_reverse = true, .has_since = true, .since = {.offset = 4}}, 0, 0},
        {{.limit = 9, .is_reverse = true, .has_since = true, .since = {.offset = 0}}, 0, 0},
    };

    (void)state;
    for (uint32_t i = 0; i < 10; i++) {
        add("a", "x", 7, 0); /* 4 to 10 are kept */
    }
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct broker_event event = read_query("a", cases[i].query, 0);
        assert_int_equal(event.position.offset, 10);
        if (cases[i].last == 0) {
            assert_int_equal(event.outcome, BROKER_DONE);
            assert_int_equal(event.publication_count, 0);
        } else {
            assert_offsets(&event, cases[i].first, cases[i].last);
        }
    }
}

static void test_epoch_of_a_query(void **state)
{
    struct broker_history_query query = {.limit = 9, .has_since = true};

    (void)state;
    add("a", "x", 7, 0);
    const struct broker_position top = read_all("a", 0).position;
    query.since = top;
    query.since.offset = 0;
    struct broker_event event = read_query("a", query, 0);
    assert_offsets(&event, 1, 1);
    query.since.epoch[0] ^= 1;
    event = read_query("a", query, 0);
    assert_int_equal(event.outcome, BROKER_UNRECOVERABLE);
    assert_int_equal(event.publication_count, 0);
    assert_string_equal(event.position.epoch, top.epoch); /* says where to go on */
    query.since.epoch[0] = '\0';                          /* any */
    event = read_query("a", query, 0);
    assert_offsets(&event, 1, 1);
}

static void test_bytes(void **state)
{
    static uint8_t payload[500];
    struct broker_position position;
    struct history_counts counts;

    (void)state;
    history_close(history);
    open_with(8, 2000);
    /* Three of them fit, over all channels; the oldest of all goes first. */
    assert_int_equal(add_sized("a", slice_from(payload, sizeof(payload)), 10, 0, &position),
                     BROKER_DONE);
    history_read_counts(history, &counts);
    assert_in_range(counts.bytes, sizeof(payload) + 1, 2000 / 3);
    add_sized("b", slice_from(payload, sizeof(payload)), 10, 0, &position);
    add_sized("b", slice_from(payload, sizeof(payload)), 10, 0, &position);
    history_read_counts(history, &counts);
    assert_int_equal(counts.items, 3);
    add_sized("b", slice_from(payload, sizeof(payload)), 10, 0, &position);
    history_read_counts(history, &counts);
    assert_int_equal(counts.items, 3);
    struct broker_event event = read_all("a", 0);
    assert_int_equal(event.publication_count, 0);
    event = read_all("b", 0);
    assert_offsets(&event, 1, 3);
    add_sized("b", slice_from(payload, sizeof(payload)), 10, 0, &position);
    event = read_all("b", 0);
    assert_offsets(&event, 2, 4);
}

static void test_larger_than_all(void **state)
{
    static uint8_t payload[2001];
    struct broker_position position = {0};
    struct history_counts counts;
    size_t fits = 0;

    (void)state;
    history_close(history);
    open_with(8, 2000);
    add("a", "x", 10, 0);
    for (size_t size = sizeof(payload); fits == 0; size--) {
        if (add_sized("b", slice_from(payload, size), 10, 0, &position) == BROKER_DONE) {
            fits = size;
        }
    }
    history_read_counts(history, &counts);
    assert_int_equal(counts.bytes, 2000); /* the largest fills it */
    assert_int_equal(counts.items, 1);
    assert_int_equal(position.offset, 1); /* those that were refused have no offset */
    assert_int_equal(read_all("a", 0).publication_count, 0);
}

static void test_streams_make_room(void **state)
{
    (void)state;
    history_close(history);
    open_with(2, 1 << 20);
    add("a", "x", 10, 0);
    const struct broker_position empty = read_all("b", 0).position; /* has no items */
    add("c", "x", 10, 0);                                           /* takes b's place */
    assert_int_equal(read_all("a", 0).publication_count, 1);
    assert_int_equal(read_all("c", 0).publication_count, 1);
    struct broker_event event = read_all("b", 0);
    assert_int_equal(event.outcome, BROKER_FULL); /* who only reads takes nobody's items */
    add("a", "y", 10, 0);
    add("b", "x", 10, 0); /* takes the place of c, which rested longest */
    assert_int_equal(read_all("a", 0).publication_count, 2);
    event = read_all("b", 0);
    assert_int_equal(event.publication_count, 1);
    assert_string_not_equal(event.position.epoch, empty.epoch);
    assert_int_equal(read_all("c", 0).outcome, BROKER_FULL);
}

static void test_remove(void **state)
{
    (void)state;
    add("a", "x", 10, 0);
    add("a", "y", 10, 0);
    const struct broker_position before = read_all("a", 0).position;
    history_remove(history, slice_text("a"));
    history_remove(history, slice_text("never there"));
    const struct broker_event event = read_all("a", 0);
    assert_int_equal(event.publication_count, 0);
    assert_int_equal(event.position.offset, 2);
    assert_string_equal(event.position.epoch, before.epoch);
    assert_int_equal(add("a", "z", 10, 0), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_offsets_and_content, setup, teardown),
        cmocka_unit_test_setup_teardown(test_every_stream_has_its_epoch, setup, teardown),
        cmocka_unit_test_setup_teardown(test_size, setup, teardown),
        cmocka_unit_test_setup_teardown(test_age, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sweep_frees_what_nobody_reads, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ranges, setup, teardown),
        cmocka_unit_test_setup_teardown(test_epoch_of_a_query, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_larger_than_all, setup, teardown),
        cmocka_unit_test_setup_teardown(test_streams_make_room, setup, teardown),
        cmocka_unit_test_setup_teardown(test_remove, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
