/*
 * Goal: who is subscribed is exactly who subscribed and has not left, in whatever order they come
 * and go; names are compared by bytes; every limit refuses without a trace; nothing is left at the
 * end.
 */
#include "pubsub/channel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define CHANNELS      100U
#define SUBSCRIPTIONS 20000U
#define CONNS         20000U

static struct arena arena;
static struct channel_table *table;
static uint32_t lists[CONNS];

static int setup(void **state)
{
    const struct channel_limits limits = {
        .channels_max = CHANNELS, .subscriptions_max = SUBSCRIPTIONS, .arena = &arena};

    (void)state;
    memset(lists, 0xff, sizeof(lists)); /* NONE */
    if (arena_open(&arena, 1 << 20) != 0) {
        return -1;
    }
    table = channel_table_open(&limits);
    return table == NULL ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    channel_table_close(table);
    arena_close(&arena);
    return 0;
}

static enum channel_outcome subscribe(const char *name, uint32_t conn)
{
    enum channel_outcome outcome = channel_subscribe(table, slice_text(name), conn, &lists[conn]);

    channel_check(table);
    return outcome;
}

static void leave(uint32_t conn)
{
    channel_unsubscribe_all(table, conn, &lists[conn]);
    channel_check(table);
    assert_int_equal(lists[conn], NONE);
}

static bool has(const char *name, uint32_t conn)
{
    struct channel_members members = channel_find(table, slice_text(name));

    for (uint32_t i = 0; i < members.count; i++) {
        if (members.conn_numbers[i] == conn) {
            return true;
        }
    }
    return false;
}

static uint32_t count(const char *name)
{
    return channel_find(table, slice_text(name)).count;
}

static void assert_counts(uint32_t channels, uint32_t subscriptions)
{
    struct channel_counts counts = {0};

    channel_read_counts(table, &counts);
    assert_int_equal(counts.channels, channels);
    assert_int_equal(counts.subscriptions, subscriptions);
}

static void assert_nothing_left(void)
{
    assert_counts(0, 0);
    assert_int_equal(arena.used, 0);
    channel_check(table);
    arena_check(&arena);
}

static void test_subscribe(void **state)
{
    (void)state;
    assert_int_equal(count("news"), 0);
    assert_int_equal(subscribe("news", 7), CHANNEL_SUBSCRIBED);
    assert_int_equal(subscribe("news", 7), CHANNEL_ALREADY);
    assert_int_equal(subscribe("sport", 7), CHANNEL_SUBSCRIBED);
    assert_int_equal(subscribe("news", 7), CHANNEL_ALREADY); /* not the first of its list */
    assert_int_equal(subscribe("news", 8), CHANNEL_SUBSCRIBED);
    assert_counts(2, 3);
    assert_int_equal(count("news"), 2);
    assert_true(has("news", 7));
    assert_true(has("news", 8));
    assert_false(has("sport", 8));

    leave(7);
    assert_int_equal(count("news"), 1);
    assert_true(has("news", 8));
    assert_int_equal(count("sport"), 0);
    leave(7); /* has none: nothing happens */
    leave(8);
    assert_nothing_left();
}

static void test_names(void **state)
{
    char longest[CHANNEL_NAME_MAX + 2];
    const char with_zero[] = {'a', 0, 'b'};

    (void)state;
    memset(longest, 'x', sizeof(longest));
    /* 24 bytes are kept inline, 25 in the arena, 255 are allowed. */
    for (size_t size = 1; size <= CHANNEL_NAME_MAX; size++) {
        uint32_t conn = (uint32_t)size;
        struct slice name = slice_from(longest, size);
        assert_int_equal(channel_subscribe(table, name, conn, &lists[conn]), CHANNEL_SUBSCRIBED);
        struct channel_members members = channel_find(table, name);
        assert_int_equal(members.count, 1);
        assert_int_equal(members.conn_numbers[0], conn);
        if (size >= CHANNELS) {
            leave(conn - CHANNELS + 1); /* the table is full otherwise */
        }
    }
    for (uint32_t conn = 1; conn < CONNS; conn++) {
        channel_unsubscribe_all(table, conn, &lists[conn]);
    }
    assert_nothing_left();

    uint32_t *list = &lists[0];
    struct slice too_long = slice_from(longest, CHANNEL_NAME_MAX + 1);
    assert_int_equal(channel_subscribe(table, too_long, 0, list), CHANNEL_BAD_NAME);
    assert_int_equal(channel_subscribe(table, slice_from(NULL, 0), 0, list), CHANNEL_BAD_NAME);
    assert_int_equal(channel_find(table, too_long).count, 0);
    assert_int_equal(channel_find(table, slice_from(NULL, 0)).count, 0);
    assert_nothing_left();

    assert_int_equal(channel_subscribe(table, slice_from(with_zero, 3), 0, list),
                     CHANNEL_SUBSCRIBED);
    assert_int_equal(channel_find(table, slice_from(with_zero, 1)).count, 0);
    assert_int_equal(subscribe("A", 1), CHANNEL_SUBSCRIBED);
    assert_int_equal(count("a"), 0);
    leave(0);
    leave(1);
    assert_nothing_left();
}

static void test_channels_full(void **state)
{
    char name[16];

    (void)state;
    for (uint32_t i = 0; i < CHANNELS; i++) {
        (void)snprintf(name, sizeof(name), "c%u", i);
        assert_int_equal(subscribe(name, i), CHANNEL_SUBSCRIBED);
    }
    assert_int_equal(subscribe("one more", 0), CHANNEL_FULL);
    assert_int_equal(count("one more"), 0);
    assert_counts(CHANNELS, CHANNELS);
    assert_int_equal(subscribe("c1", 0), CHANNEL_SUBSCRIBED); /* one that exists has room */
    leave(3);
    assert_int_equal(subscribe("one more", 0), CHANNEL_SUBSCRIBED);
    for (uint32_t i = 0; i < CHANNELS; i++) {
        leave(i);
    }
    assert_nothing_left();
}

static void test_subscriptions_full(void **state)
{
    const struct channel_limits limits = {
        .channels_max = 4, .subscriptions_max = 2, .arena = &arena};

    (void)state;
    channel_table_close(table);
    table = channel_table_open(&limits);
    assert_non_null(table);
    assert_int_equal(subscribe("a", 0), CHANNEL_SUBSCRIBED);
    assert_int_equal(subscribe("a", 1), CHANNEL_SUBSCRIBED);
    assert_int_equal(subscribe("a", 2), CHANNEL_FULL);
    assert_int_equal(lists[2], NONE);
    assert_int_equal(subscribe("b", 2), CHANNEL_FULL); /* nor does an empty channel stay behind */
    assert_counts(1, 2);
    leave(0);
    assert_int_equal(subscribe("b", 2), CHANNEL_SUBSCRIBED);
    leave(1);
    leave(2);
    assert_nothing_left();
}

static void test_arena_full(void **state)
{
    uint32_t all = arena_take(&arena, 1 << 20);
    const char *const long_name = "a name that is too long for its place in the channel";

    (void)state;
    assert_int_not_equal(all, NONE);
    assert_int_equal(subscribe("a", 0), CHANNEL_SUBSCRIBED); /* needs no block */
    assert_int_equal(subscribe("a", 1), CHANNEL_SUBSCRIBED);
    assert_int_equal(subscribe("a", 2), CHANNEL_FULL); /* the third member does */
    assert_int_equal(lists[2], NONE);
    assert_int_equal(subscribe(long_name, 2), CHANNEL_FULL);
    assert_counts(1, 2);
    arena_give(&arena, all);
    assert_int_equal(subscribe("a", 2), CHANNEL_SUBSCRIBED);
    assert_int_equal(subscribe(long_name, 2), CHANNEL_SUBSCRIBED);

    /* A full arena does not keep anyone from leaving, though nothing can move. */
    all = arena_take(&arena, 1 << 19);
    assert_int_not_equal(all, NONE);
    leave(0);
    leave(2);
    leave(1);
    arena_give(&arena, all);
    assert_nothing_left();
}

/* Up to 20,000 members and back: at every size the ones that should be there are. */
static void test_grow_and_shrink(void **state)
{
    static bool inside[CONNS];

    (void)state;
    memset(inside, 0, sizeof(inside));
    for (uint32_t conn = 0; conn < CONNS; conn++) {
        assert_int_equal(channel_subscribe(table, slice_text("all"), conn, &lists[conn]),
                         CHANNEL_SUBSCRIBED);
        inside[conn] = true;
        assert_int_equal(count("all"), conn + 1);
    }
    channel_check(table);
    uint32_t refused = NONE;
    assert_int_equal(channel_subscribe(table, slice_text("all"), CONNS, &refused), CHANNEL_FULL);
    for (uint32_t i = 0; i < CONNS; i++) {
        uint32_t conn = (uint32_t)((uint64_t)i * 7919 % CONNS);
        channel_unsubscribe_all(table, conn, &lists[conn]);
        inside[conn] = false;
        if (i % 997 == 0 || i > CONNS - 20) {
            struct channel_members members = channel_find(table, slice_text("all"));
            channel_check(table);
            assert_int_equal(members.count, CONNS - 1 - i);
            for (uint32_t at = 0; at < members.count; at++) {
                assert_true(inside[members.conn_numbers[at]]);
            }
        }
    }
    assert_nothing_left();
}

/* The room follows the number of members down, and a block of 8 serves from 3 to 8 members. */
static void test_room(void **state)
{
    (void)state;
    for (uint32_t conn = 0; conn < 9; conn++) {
        size_t room = conn < 2 ? 0 : conn < 8 ? 64 : 128;
        assert_int_equal(subscribe("a", conn), CHANNEL_SUBSCRIBED);
        assert_int_equal(arena.used, room);
    }
    for (uint32_t conn = 0; conn < 9; conn++) {
        uint32_t left = 8 - conn;
        size_t room = left > 4 ? 128 : left > 2 ? 64 : 0;
        leave(conn);
        assert_int_equal(arena.used, room);
    }
    assert_nothing_left();
}

static void test_trim(void **state)
{
    (void)state;
    assert_int_equal(channel_trim(table), 0);
    for (uint32_t conn = 0; conn < 3000; conn++) {
        assert_int_equal(channel_subscribe(table, slice_text("all"), conn, &lists[conn]),
                         CHANNEL_SUBSCRIBED);
    }
    for (uint32_t conn = 1024; conn < 3000; conn++) {
        channel_unsubscribe_all(table, conn, &lists[conn]);
    }
    assert_int_equal(channel_trim(table), (size_t)2 * 1024 * 12); /* two chunks of subscriptions */
    channel_check(table);
    assert_int_equal(count("all"), 1024);
    for (uint32_t conn = 0; conn < 1024; conn++) {
        channel_unsubscribe_all(table, conn, &lists[conn]);
    }
    assert_int_equal(channel_trim(table), (size_t)1024 * 12 + (size_t)1024 * 64);
    assert_nothing_left();
}

static void test_open(void **state)
{
    struct channel_limits limits = {.channels_max = 0, .subscriptions_max = 1, .arena = &arena};

    (void)state;
    assert_null(channel_table_open(&limits));
    limits = (struct channel_limits){.channels_max = 1, .subscriptions_max = 0, .arena = &arena};
    assert_null(channel_table_open(&limits));
    limits.subscriptions_max = (1U << 24) + 1;
    assert_null(channel_table_open(&limits));
    channel_table_close(NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_subscribe),
        TEST(test_names),
        TEST(test_channels_full),
        TEST(test_arena_full),
        TEST(test_grow_and_shrink),
        TEST(test_subscriptions_full),
        TEST(test_room),
        TEST(test_trim),
        TEST(test_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
