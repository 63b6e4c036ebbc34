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
static uint32_t members[2 * CONNS];

static int setup(void **state)
{
    const struct channel_limits limits = {
        .channels_max = CHANNELS,
        .subscriptions_max = SUBSCRIPTIONS,
        .conns_max = CONNS,
        .arena = &arena,
    };

    (void)state;
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
    enum channel_outcome outcome = channel_subscribe(table, slice_text(name), conn);

    channel_check(table);
    return outcome;
}

static void leave(uint32_t conn)
{
    channel_unsubscribe_all(table, conn);
    channel_check(table);
}

/* Who gets what is published to name, into members. */
static uint32_t collect(struct slice name)
{
    struct channel_matches matches;

    channel_match(table, name, &matches);
    assert_true(matches.members <= 2 * CONNS);
    uint32_t count = channel_collect(table, &matches, members);
    assert_true(count <= matches.members);
    return count;
}

static bool has(const char *name, uint32_t conn)
{
    uint32_t count = collect(slice_text(name));
    uint32_t found = 0;

    for (uint32_t i = 0; i < count; i++) {
        found += members[i] == conn ? 1 : 0;
    }
    assert_true(found <= 1);
    assert_int_equal(channel_reaches(table, slice_text(name), conn), found == 1);
    return found == 1;
}

static uint32_t count(const char *name)
{
    return collect(slice_text(name));
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
        assert_int_equal(channel_subscribe(table, name, conn), CHANNEL_SUBSCRIBED);
        assert_int_equal(collect(name), 1);
        assert_int_equal(members[0], conn);
        if (size >= CHANNELS) {
            leave(conn - CHANNELS + 1); /* the table is full otherwise */
        }
    }
    for (uint32_t conn = 1; conn < CONNS; conn++) {
        channel_unsubscribe_all(table, conn);
    }
    assert_nothing_left();

    struct slice too_long = slice_from(longest, CHANNEL_NAME_MAX + 1);
    assert_int_equal(channel_subscribe(table, too_long, 0), CHANNEL_BAD_NAME);
    assert_int_equal(channel_subscribe(table, slice_from(NULL, 0), 0), CHANNEL_BAD_NAME);
    assert_int_equal(collect(too_long), 0);
    assert_int_equal(collect(slice_from(NULL, 0)), 0);
    assert_nothing_left();

    assert_int_equal(channel_subscribe(table, slice_from(with_zero, 3), 0), CHANNEL_SUBSCRIBED);
    assert_int_equal(collect(slice_from(with_zero, 1)), 0);
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
        .channels_max = 4, .subscriptions_max = 2, .conns_max = 3, .arena = &arena};

    (void)state;
    channel_table_close(table);
    table = channel_table_open(&limits);
    assert_non_null(table);
    assert_int_equal(subscribe("a", 0), CHANNEL_SUBSCRIBED);
    assert_int_equal(subscribe("a", 1), CHANNEL_SUBSCRIBED);
    assert_int_equal(subscribe("a", 2), CHANNEL_FULL);
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
    assert_int_equal(subscribe("a", 2), CHANNEL_SUBSCRIBED);
    assert_int_equal(subscribe("a", 3), CHANNEL_SUBSCRIBED);
    assert_int_equal(subscribe("a", 4), CHANNEL_FULL); /* the fifth member does */
    assert_int_equal(subscribe(long_name, 2), CHANNEL_FULL);
    assert_counts(1, 4);
    arena_give(&arena, all);
    assert_int_equal(subscribe("a", 4), CHANNEL_SUBSCRIBED);
    assert_int_equal(subscribe(long_name, 2), CHANNEL_SUBSCRIBED);

    /* A full arena does not keep anyone from leaving, though nothing can move. */
    all = arena_take(&arena, 1 << 19);
    assert_int_not_equal(all, NONE);
    leave(0);
    leave(2);
    leave(4);
    leave(3);
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
        assert_int_equal(channel_subscribe(table, slice_text("all"), conn), CHANNEL_SUBSCRIBED);
        inside[conn] = true;
        assert_int_equal(count("all"), conn + 1);
    }
    channel_check(table);
    assert_int_equal(channel_subscribe(table, slice_text("one more"), 0), CHANNEL_FULL);
    for (uint32_t i = 0; i < CONNS; i++) {
        uint32_t conn = (uint32_t)((uint64_t)i * 7919 % CONNS);
        channel_unsubscribe_all(table, conn);
        inside[conn] = false;
        if (i % 997 == 0 || i > CONNS - 20) {
            channel_check(table);
            assert_int_equal(count("all"), CONNS - 1 - i);
            for (uint32_t at = 0; at < CONNS - 1 - i; at++) {
                assert_true(inside[members[at]]);
            }
        }
    }
    assert_nothing_left();
}

/* The room follows the number of members down, and a block of 64 bytes serves from 5 to 16. */
static void test_room(void **state)
{
    (void)state;
    for (uint32_t conn = 0; conn < 17; conn++) {
        size_t room = conn < 4 ? 0 : conn < 16 ? 64 : 128;
        assert_int_equal(subscribe("a", conn), CHANNEL_SUBSCRIBED);
        assert_int_equal(arena.used, room);
    }
    for (uint32_t conn = 0; conn < 17; conn++) {
        uint32_t left = 16 - conn;
        size_t room = left > 8 ? 128 : left > 4 ? 64 : 0;
        leave(conn);
        assert_int_equal(arena.used, room);
    }
    assert_nothing_left();
}

/* Above 256 there are chunks: one more when the last is full, one less when two are empty. */
static void test_chunks(void **state)
{
    static const struct {
        uint32_t count;
        size_t used; /* blocks of 1,024 bytes, and the list of them */
    } up[] = {{256, 1024},      {257, 2048 + 64},       {512, 2048 + 64},
              {513, 3072 + 64}, {16 * 256, 16384 + 64}, {16 * 256 + 1, 17 * 1024 + 128}},
      down[] = {{16 * 256 - 255, 17 * 1024 + 128}, {15 * 256, 16384 + 128}, {1, 2048 + 128}};
    uint32_t conn = 0;

    (void)state;
    for (size_t i = 0; i < sizeof(up) / sizeof(up[0]); i++) {
        while (conn < up[i].count) {
            assert_int_equal(subscribe("a", conn++), CHANNEL_SUBSCRIBED);
        }
        assert_int_equal(arena.used, up[i].used);
        channel_check(table);
    }
    for (size_t i = 0; i < sizeof(down) / sizeof(down[0]); i++) {
        while (conn > down[i].count) {
            leave(--conn);
        }
        assert_int_equal(arena.used, down[i].used);
        channel_check(table);
    }
    leave(0);
    assert_nothing_left();
}

/* Takes all that the arena has left; returns the number of blocks. */
static uint32_t fill_arena(uint32_t *blocks)
{
    uint32_t count = 0;

    for (size_t size = arena.size; size >= ARENA_BLOCK_MIN; size /= 2) {
        while ((blocks[count] = arena_take(&arena, size)) != NONE) {
            count++;
        }
    }
    return count;
}

/* Without room for a chunk, or for the longer list of chunks, nothing changes. */
static void test_no_room_for_a_chunk(void **state)
{
    static uint32_t blocks[(1 << 20) / ARENA_BLOCK_MIN];
    const uint32_t full = 16 * 256;

    (void)state;
    for (uint32_t conn = 0; conn < full; conn++) {
        assert_int_equal(channel_subscribe(table, slice_text("a"), conn), CHANNEL_SUBSCRIBED);
    }
    const uint32_t spare = arena_take(&arena, 1024);
    uint32_t count_taken = fill_arena(blocks);
    assert_int_equal(subscribe("a", full), CHANNEL_FULL);
    arena_give(&arena, spare); /* for the chunk alone */
    assert_int_equal(subscribe("a", full), CHANNEL_FULL);
    assert_int_equal(count("a"), full);
    while (count_taken > 0) {
        arena_give(&arena, blocks[--count_taken]);
    }
    assert_int_equal(subscribe("a", full), CHANNEL_SUBSCRIBED);
    for (uint32_t conn = 0; conn <= full; conn++) {
        channel_unsubscribe_all(table, conn);
    }
    assert_nothing_left();
}

/* What the figures of memory say: 14 bytes a subscription, and the channel's own once: its entry,
 * and the list of its 64 chunks. */
static void test_cost(void **state)
{
    size_t used = arena.used;

    (void)state;
    for (uint32_t conn = 0; conn < 16384; conn++) {
        assert_int_equal(channel_subscribe(table, slice_text("all"), conn), CHANNEL_SUBSCRIBED);
    }
    assert_int_equal(arena.used - used, 16384 * 4 + 64 * 4);
    for (uint32_t conn = 0; conn < 16384; conn++) {
        channel_unsubscribe_all(table, conn);
    }
    assert_int_equal(channel_trim(table), (size_t)16384 * 10 + (size_t)POOL_CHUNK_ITEMS * 64);
    assert_nothing_left();
}

static void test_trim(void **state)
{
    (void)state;
    assert_int_equal(channel_trim(table), 0);
    for (uint32_t conn = 0; conn < 2 * POOL_CHUNK_ITEMS + 1000; conn++) {
        assert_int_equal(channel_subscribe(table, slice_text("all"), conn), CHANNEL_SUBSCRIBED);
    }
    for (uint32_t conn = POOL_CHUNK_ITEMS; conn < 2 * POOL_CHUNK_ITEMS + 1000; conn++) {
        channel_unsubscribe_all(table, conn);
    }
    /* Two chunks of subscriptions. */
    assert_int_equal(channel_trim(table), (size_t)2 * POOL_CHUNK_ITEMS * 10);
    channel_check(table);
    assert_int_equal(count("all"), POOL_CHUNK_ITEMS);
    for (uint32_t conn = 0; conn < POOL_CHUNK_ITEMS; conn++) {
        channel_unsubscribe_all(table, conn);
    }
    assert_int_equal(channel_trim(table), (size_t)POOL_CHUNK_ITEMS * (10 + 64));
    for (uint32_t first = 0; first < CONNS; first += POOL_CHUNK_ITEMS) {
        channel_trim_conns(table, first); /* the last one is not whole */
    }
    assert_int_equal(subscribe("all", CONNS - 1), CHANNEL_SUBSCRIBED);
    leave(CONNS - 1);
    assert_nothing_left();
}

/* One of several subscriptions ends, wherever it stands in the connection's list. */
static void test_unsubscribe(void **state)
{
    static const char *const names[] = {"a", "b", "c"};
    struct channel_counts counts;

    (void)state;
    assert_false(channel_unsubscribe(table, slice_text("a"), 0));
    for (uint32_t first = 0; first < 3; first++) {
        for (uint32_t i = 0; i < 3; i++) {
            assert_int_equal(subscribe(names[i], 0), CHANNEL_SUBSCRIBED);
            assert_int_equal(subscribe(names[i], 1), CHANNEL_SUBSCRIBED);
        }
        assert_true(channel_unsubscribe(table, slice_text(names[first]), 0));
        channel_check(table);
        assert_false(channel_unsubscribe(table, slice_text(names[first]), 0));
        assert_counts(3, 5);
        for (uint32_t i = 0; i < 3; i++) {
            assert_int_equal(has(names[i], 0), i != first);
            assert_true(has(names[i], 1));
        }
        leave(0);
        leave(1);
    }
    channel_read_counts(table, &counts);
    assert_int_equal(counts.unsubscribes, 3);
    assert_nothing_left();
}

static void test_patterns(void **state)
{
    (void)state;
    assert_int_equal(subscribe("news.*", 1), CHANNEL_SUBSCRIBED);
    assert_int_equal(subscribe("*", 2), CHANNEL_SUBSCRIBED);
    assert_int_equal(subscribe("news.sport.*", 3), CHANNEL_SUBSCRIBED);
    assert_int_equal(subscribe("news.sport", 4), CHANNEL_SUBSCRIBED);
    assert_int_equal(subscribe("news.*", 1), CHANNEL_ALREADY);

    assert_int_equal(count("news.sport"), 3); /* 1, 2, 4 */
    assert_false(has("news.sport", 3));
    assert_int_equal(count("news.sport.golf"), 3);
    assert_false(has("news.sport.golf", 4));
    assert_int_equal(count("news."), 2); /* the rest may be empty */
    assert_int_equal(count("news"), 1);
    assert_int_equal(count("other"), 1);
    assert_int_equal(count("news.*"), 2); /* the pattern's name is a name with the prefix, too */

    leave(2);
    assert_int_equal(count("other"), 0);
    leave(1);
    assert_int_equal(count("news.sport"), 1);
    assert_int_equal(count("news.sport.x"), 1);
    leave(3);
    assert_int_equal(count("news.sport.x"), 0);
    leave(4);
    assert_nothing_left();
}

/* Whoever is subscribed to several matches gets a publication once. */
static void test_several_matches(void **state)
{
    (void)state;
    for (uint32_t conn = 0; conn < 40; conn++) {
        if (conn % 2 == 0) {
            assert_int_equal(subscribe("a.b", conn), CHANNEL_SUBSCRIBED);
        }
        if (conn % 3 == 0) {
            assert_int_equal(subscribe("a*", conn), CHANNEL_SUBSCRIBED);
        }
        if (conn % 5 == 0) {
            assert_int_equal(subscribe("a.*", conn), CHANNEL_SUBSCRIBED);
        }
    }
    for (uint32_t conn = 0; conn < 40; conn++) {
        bool expected = conn % 2 == 0 || conn % 3 == 0 || conn % 5 == 0;
        assert_int_equal(has("a.b", conn), expected);
    }
    for (uint32_t conn = 0; conn < 40; conn++) {
        leave(conn);
    }
    assert_nothing_left();
}

/* Patterns of every length, up to the longest name. */
static void test_pattern_lengths(void **state)
{
    const struct channel_limits limits = {
        .channels_max = 300, .subscriptions_max = 300, .conns_max = 300, .arena = &arena};
    char name[CHANNEL_NAME_MAX];
    char pattern[CHANNEL_NAME_MAX];

    (void)state;
    channel_table_close(table);
    table = channel_table_open(&limits);
    assert_non_null(table);
    memset(name, 'x', sizeof(name));
    memset(pattern, 'x', sizeof(pattern));
    for (uint32_t size = 1; size <= CHANNEL_NAME_MAX; size++) {
        pattern[size - 1] = '*';
        assert_int_equal(channel_subscribe(table, slice_from(pattern, size), size),
                         CHANNEL_SUBSCRIBED);
        pattern[size - 1] = 'x';
    }
    channel_check(table);
    assert_int_equal(channel_subscribe(table, slice_from(name, CHANNEL_NAME_MAX), 0),
                     CHANNEL_SUBSCRIBED);
    for (uint32_t size = 1; size < CHANNEL_NAME_MAX; size++) {
        assert_int_equal(collect(slice_from(name, size)), size + 1);
    }
    assert_int_equal(collect(slice_from(name, CHANNEL_NAME_MAX)), CHANNEL_MATCHES_MAX);
    for (uint32_t conn = 0; conn <= CHANNEL_NAME_MAX; conn++) {
        channel_unsubscribe_all(table, conn);
    }
    assert_int_equal(collect(slice_from(name, CHANNEL_NAME_MAX)), 0);
    assert_nothing_left();
}

static void test_open(void **state)
{
    struct channel_limits limits = {
        .channels_max = 1, .subscriptions_max = 1, .conns_max = 1, .arena = &arena};

    (void)state;
    channel_table_close(table);
    table = channel_table_open(&limits);
    assert_non_null(table);
    limits.channels_max = 0;
    assert_null(channel_table_open(&limits));
    limits.channels_max = 1;
    limits.conns_max = 0;
    assert_null(channel_table_open(&limits));
    limits.conns_max = 1;
    limits.subscriptions_max = 0;
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
        TEST(test_chunks),
        TEST(test_no_room_for_a_chunk),
        TEST(test_cost),
        TEST(test_trim),
        TEST(test_unsubscribe),
        TEST(test_patterns),
        TEST(test_several_matches),
        TEST(test_pattern_lengths),
        TEST(test_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
