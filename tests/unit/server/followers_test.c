/*
 * Goal: the broker is told of a name's first follower and of its last leaving, and of nothing else;
 * a channel's shards are those that follow it or a pattern that it matches.
 */
#include "server/followers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static struct followers followers;

static void open_for(uint32_t shard_count)
{
    assert_int_equal(followers_open(&followers, shard_count), 0);
}

static enum followers_outcome add(const char *name, uint32_t shard)
{
    return followers_add(&followers, slice_text(name), name[strlen(name) - 1] == '*', shard);
}

static enum followers_outcome end(const char *name, uint32_t shard)
{
    return followers_remove(&followers, slice_text(name), name[strlen(name) - 1] == '*', shard);
}

static uint64_t shards_of(const char *channel)
{
    return followers_of(&followers, slice_text(channel));
}

static void test_first_and_last(void **state)
{
    (void)state;
    open_for(3);
    assert_int_equal(shards_of("a"), 0);
    assert_int_equal(add("a", 0), FOLLOWERS_CHANGED);
    assert_int_equal(add("a", 2), FOLLOWERS_SAME);
    assert_int_equal(add("b", 1), FOLLOWERS_CHANGED);
    assert_int_equal(shards_of("a"), 5);
    assert_int_equal(shards_of("b"), 2);
    assert_int_equal(end("a", 0), FOLLOWERS_SAME);
    assert_int_equal(shards_of("a"), 4);
    assert_int_equal(end("a", 2), FOLLOWERS_CHANGED);
    assert_int_equal(shards_of("a"), 0);
    assert_int_equal(end("a", 2), FOLLOWERS_SAME); /* of nobody: there was no memory to add it */
    assert_int_equal(add("a", 1), FOLLOWERS_CHANGED);
    followers_close(&followers);
    followers_close(&followers); /* no-op */
}

static void test_patterns(void **state)
{
    (void)state;
    open_for(4);
    assert_int_equal(add("news.*", 0), FOLLOWERS_CHANGED);
    assert_int_equal(add("news.", 1), FOLLOWERS_CHANGED); /* a channel, not the pattern */
    assert_int_equal(add("*", 2), FOLLOWERS_CHANGED);
    assert_int_equal(add("news.sport", 3), FOLLOWERS_CHANGED);
    assert_int_equal(shards_of("news.sport"), 1 | 4 | 8);
    assert_int_equal(shards_of("news."), 1 | 2 | 4);
    assert_int_equal(shards_of("news"), 4);
    assert_int_equal(end("*", 2), FOLLOWERS_CHANGED);
    assert_int_equal(shards_of("news"), 0);
    assert_int_equal(end("news.*", 0), FOLLOWERS_CHANGED);
    assert_int_equal(shards_of("news.sport"), 8);
    followers_close(&followers);
}

static void test_longest_names(void **state)
{
    char name[FOLLOWERS_NAME_MAX + 1] = "";

    (void)state;
    open_for(1);
    memset(name, 'x', FOLLOWERS_NAME_MAX);
    assert_int_equal(shards_of(name), 0);
    assert_int_equal(add(name, 0), FOLLOWERS_CHANGED);
    name[FOLLOWERS_NAME_MAX - 1] = '*';
    assert_int_equal(add(name, 0), FOLLOWERS_CHANGED);
    name[FOLLOWERS_NAME_MAX - 1] = 'y';
    assert_int_equal(shards_of(name), 1);
    assert_int_equal(shards_of("x"), 0);
    followers_close(&followers);
}

/* Shard 1 and shard 65 share a bit. */
static void test_more_shards_than_bits(void **state)
{
    (void)state;
    open_for(66);
    assert_int_equal(add("a", 1), FOLLOWERS_CHANGED);
    assert_int_equal(add("a", 65), FOLLOWERS_SAME);
    assert_int_equal(end("a", 65), FOLLOWERS_SAME);
    assert_int_equal(shards_of("a"), 2); /* shard 1 still follows */
    assert_int_equal(end("a", 1), FOLLOWERS_CHANGED);
    assert_int_equal(shards_of("a"), 0);
    followers_close(&followers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_and_last),
        cmocka_unit_test(test_patterns),
        cmocka_unit_test(test_longest_names),
        cmocka_unit_test(test_more_shards_than_bits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
