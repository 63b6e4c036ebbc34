/*
 * Goal: a drain tells the oldest first, in its time, at gaps that differ; a shard that was told to
 * stop wakes up at the end of its time, whoever is left.
 */
#include "tests/sim/handmade.h"

#include "server/drain.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define CONNS   100U
#define OVER_MS 10000U

static struct shard *shard;

static int setup(void **state)
{
    (void)state;
    handmade_open(NULL);
    shard = handmade.shard;
    for (uint32_t i = 0; i < CONNS; i++) {
        handmade_conn(i);
    }
    return 0;
}

static void give_order(enum drain_order order, uint32_t within_ms)
{
    drain_give_order(&handmade.server, order, within_ms, shard->ring);
    drain_obey(shard);
}

static uint64_t remaining(void)
{
    return counter_read(&shard->counts.drain_remaining);
}

static void step(void)
{
    drain_step(shard);
    drain_check(shard);
    (void)handmade_drain();
}

/* Steps to when the next is due; returns for how long that was, UINT64_MAX: nothing is. */
static uint64_t wait_and_step(void)
{
    const uint64_t wait_ms = drain_wait_ms(shard);

    if (wait_ms != UINT64_MAX) {
        shard->now_ms += wait_ms;
        step();
    }
    return wait_ms;
}

static void test_gaps_differ(void **state)
{
    uint64_t least_ms = UINT64_MAX;
    uint64_t most_ms = 0;
    const uint64_t start_ms = shard->now_ms;

    (void)state;
    give_order(ORDER_DRAIN, OVER_MS);
    while (shard->drain.state == DRAIN_GATHERING) {
        step();
    }
    while (shard->drain.state == DRAIN_CLOSING) {
        const uint64_t gap_ms = wait_and_step();
        assert_true(gap_ms != UINT64_MAX);
        least_ms = gap_ms < least_ms ? gap_ms : least_ms;
        most_ms = gap_ms > most_ms ? gap_ms : most_ms;
    }
    assert_int_equal(remaining(), 0);
    assert_in_range(shard->now_ms - start_ms, 9000, 11000);
    /* 100 ms would be each one's of a hundred. */
    assert_true(least_ms < 80);
    assert_true(most_ms > 120);
    give_order(ORDER_UNDO, 0);
}

static void test_a_stop_ends_in_time(void **state)
{
    (void)state;
    const uint64_t end_ms = shard->now_ms + 3000;

    give_order(ORDER_STOP, 3000);
    while (shard->drain.state != DRAIN_DONE) {
        (void)wait_and_step();
    }
    assert_true(shard->now_ms < end_ms);
    assert_false(drain_is_over(shard));
    assert_int_equal(drain_wait_ms(shard), end_ms - shard->now_ms);
    shard->now_ms = end_ms;
    assert_true(drain_is_over(shard));
    assert_int_equal(drain_wait_ms(shard), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_gaps_differ, setup, handmade_close),
        cmocka_unit_test_setup_teardown(test_a_stop_ends_in_time, setup, handmade_close),
    };
    return cmocka_run_group_tests(tests, handmade_prepare, handmade_end);
}
