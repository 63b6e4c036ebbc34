/*
 * Goal: which channels came to have members, and which have none any more, is told once each and in
 * order, for whoever subscribes elsewhere in their stead; what cancels out between two looks is
 * not.
 */
#include "pubsub/channel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct arena arena;
static struct channel_table *table;

static int setup(void **state)
{
    const struct channel_limits limits = {
        .channels_max = 3, .subscriptions_max = 8, .conns_max = 8, .tracks = true, .arena = &arena};

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

static void assert_no_members(void)
{
    struct channel_counts counts = {0};

    channel_read_counts(table, &counts);
    assert_int_equal(counts.channels, 0);
    assert_int_equal(counts.subscriptions, 0);
}

static void assert_nothing_left(void)
{
    assert_no_members();
    assert_int_equal(arena.used, 0);
    channel_check(table);
    arena_check(&arena);
}

static void assert_change(const char *name, bool has_members)
{
    struct channel_change change;

    assert_true(channel_next_change(table, &change));
    assert_true(slice_equal(change.name, slice_text(name)));
    assert_int_equal(change.has_members, has_members);
    assert_int_equal(change.is_pattern, strchr(name, '*') != NULL);
    assert_true(channel_next_change(table, &change)); /* the same until it is done */
    assert_true(slice_equal(change.name, slice_text(name)));
    channel_change_done(table);
    channel_check(table);
}

static void assert_no_change(void)
{
    struct channel_change change;

    assert_false(channel_next_change(table, &change));
    channel_check(table);
}

static void test_changes(void **state)
{
    (void)state;
    assert_no_change();
    assert_int_equal(subscribe("a", 0), CHANNEL_SUBSCRIBED);
    assert_int_equal(subscribe("b.*", 0), CHANNEL_SUBSCRIBED);
    assert_int_equal(subscribe("a", 1), CHANNEL_SUBSCRIBED); /* the second is none */
    assert_change("a", true);
    assert_change("b.*", true);
    assert_no_change();
    leave(0);
    assert_change("b.*", false);
    assert_no_change();
    leave(1);
    assert_no_members();
    assert_false(channel_reaches(table, slice_text("a"), 1)); /* though it is still there */
    assert_change("a", false);
    assert_no_change();
    assert_nothing_left();
}

/* Who comes and goes between two looks is no change; and the other way round. */
static void test_changes_that_cancel(void **state)
{
    (void)state;
    assert_int_equal(subscribe("a", 0), CHANNEL_SUBSCRIBED);
    leave(0);
    assert_no_change();
    assert_nothing_left();

    assert_int_equal(subscribe("a", 0), CHANNEL_SUBSCRIBED);
    assert_change("a", true);
    leave(0);
    assert_int_equal(subscribe("a", 1), CHANNEL_SUBSCRIBED);
    assert_no_change();
    leave(1);
    assert_change("a", false);
    assert_nothing_left();
}

/* A channel that ended counts until its change is taken. */
static void test_changes_hold_their_channel(void **state)
{
    (void)state;
    assert_int_equal(subscribe("a", 0), CHANNEL_SUBSCRIBED);
    assert_int_equal(subscribe("b", 0), CHANNEL_SUBSCRIBED);
    assert_int_equal(subscribe("c", 0), CHANNEL_SUBSCRIBED);
    leave(0);
    assert_int_equal(subscribe("d", 0), CHANNEL_FULL);
    assert_no_change();
    assert_int_equal(subscribe("d", 0), CHANNEL_SUBSCRIBED);
    assert_change("d", true);
    leave(0);
    assert_change("d", false);
    assert_nothing_left();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_changes),
        TEST(test_changes_that_cancel),
        TEST(test_changes_hold_their_channel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
