/*
 * Goal: a shard is alive until its last tick is longer ago than the bound, to the millisecond; one
 * that has not started, or has stopped, is never missed; of several that hang the first is named.
 */
#include "server/alive.h"

#include "server/counts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define SHARDS 3
#define NOW_MS 1000000ull

static struct counts shards[SHARDS];
static const void *const blocks[SHARDS] = {&shards[0], &shards[1], &shards[2]};

static int setup(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < SHARDS; i++) {
        counter_set(&shards[i].ticked_ms, NOW_MS);
    }
    return 0;
}

static void test_both_sides_of_the_bound(void **state)
{
    (void)state;
    assert_true(shards_are_alive(blocks, SHARDS, NOW_MS));
    assert_true(shards_are_alive(blocks, SHARDS, NOW_MS + ALIVE_SILENCE_MS_MAX));
    assert_false(shards_are_alive(blocks, SHARDS, NOW_MS + ALIVE_SILENCE_MS_MAX + 1));
    assert_true(shards_are_alive(blocks, 0, NOW_MS + ALIVE_SILENCE_MS_MAX + 1));
}

static void test_a_tick_after_the_look_at_the_clock(void **state)
{
    (void)state;
    assert_true(shards_are_alive(blocks, SHARDS, NOW_MS - 5));
}

static void test_the_first_silent_one_is_named(void **state)
{
    const uint64_t now_ms = NOW_MS + ALIVE_SILENCE_MS_MAX + 1;

    (void)state;
    counter_set(&shards[0].ticked_ms, now_ms);
    assert_int_equal(shards_first_silent(blocks, SHARDS, now_ms), 1);
    counter_set(&shards[1].ticked_ms, now_ms);
    assert_int_equal(shards_first_silent(blocks, SHARDS, now_ms), 2);
    counter_set(&shards[2].ticked_ms, now_ms);
    assert_int_equal(shards_first_silent(blocks, SHARDS, now_ms), NONE);
}

static void test_neither_started_nor_ended_is_missed(void **state)
{
    (void)state;
    counter_set(&shards[0].ticked_ms, 0);
    counter_set(&shards[1].ticked_ms, ALIVE_ENDED);
    counter_set(&shards[2].ticked_ms, ALIVE_ENDED);
    assert_true(shards_are_alive(blocks, SHARDS, NOW_MS * 1000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_both_sides_of_the_bound, setup),
        cmocka_unit_test_setup(test_a_tick_after_the_look_at_the_clock, setup),
        cmocka_unit_test_setup(test_the_first_silent_one_is_named, setup),
        cmocka_unit_test_setup(test_neither_started_nor_ended_is_missed, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
