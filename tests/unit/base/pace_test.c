/*
 * Goal: at any moment the crowd stands on the line from all to none, to one of them, however often
 * and irregularly is asked; those who leave by themselves bend it, and it still ends at the end;
 * all are due from the end on; a slowest rate ends it earlier; what was due and not taken stays
 * due.
 */
#include "base/pace.h"

#include "dice.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define START_MS 123456789ULL

static uint32_t distance(uint64_t a, uint64_t b)
{
    return (uint32_t)(a > b ? a - b : b - a);
}

/* Steps of 1 to step_ms_max, all that is due goes. Asserts that it never leaves the line by more
 * than slack. */
static void follow_line(uint32_t crowd, uint64_t over_ms, uint32_t step_ms_max, uint32_t slack)
{
    struct pace pace;
    uint64_t now_ms = START_MS;
    uint32_t left = crowd;

    pace_start(&pace, now_ms, over_ms, 0);
    while (now_ms < START_MS + over_ms) {
        now_ms += 1 + dice_roll(step_ms_max);
        const uint32_t due = pace_due(&pace, left, now_ms);
        assert_true(due <= left);
        pace_went(&pace, due);
        left -= due;
        const uint64_t rest_ms = now_ms < START_MS + over_ms ? START_MS + over_ms - now_ms : 0;
        if (distance(left, crowd * rest_ms / over_ms) > slack) {
            fail_msg("%u of %u left, %llu of %llu ms", left, crowd, (unsigned long long)rest_ms,
                     (unsigned long long)over_ms);
        }
    }
    assert_int_equal(left, 0);
}

static void test_keeps_to_the_line(void **state)
{
    (void)state;
    follow_line(1, 60000, 100, 1);
    follow_line(10, 600000, 30000, 1);
    follow_line(50000, 60000, 20, 2);
    follow_line(50000, 60000, 1, 2);
    follow_line(1000000, 600000, 20, 2);
    follow_line(1U << 24, 3600000, 1000, 2);
    follow_line(3, 30 * 86400000ULL, 3600000, 2);
}

static void test_those_who_leave_by_themselves_bend_it(void **state)
{
    struct pace pace;
    uint32_t left = 10000;
    uint32_t told = 0;
    uint64_t now_ms = START_MS;

    (void)state;
    pace_start(&pace, now_ms, 100000, 0);
    while (now_ms < START_MS + 50000) {
        now_ms += 10;
        const uint32_t due = pace_due(&pace, left, now_ms);
        pace_went(&pace, due);
        left -= due;
        told += due;
    }
    assert_true(distance(told, 5000) <= 5);
    left -= 4000; /* at once */
    told = 0;
    while (now_ms < START_MS + 99000) {
        now_ms += 10;
        const uint32_t due = pace_due(&pace, left, now_ms);
        assert_true(due <= 1);
        pace_went(&pace, due);
        left -= due;
        told += due;
    }
    assert_true(distance(told, 980) <= 3); /* the rest of them, less the last second's */
    assert_int_equal(pace_due(&pace, left, START_MS + 100000), left);
}

static void test_all_are_due_from_the_end_on(void **state)
{
    struct pace pace;

    (void)state;
    pace_start(&pace, START_MS, 0, 0); /* at once */
    assert_int_equal(pace_due(&pace, 77, START_MS), 77);
    pace_went(&pace, 50);
    assert_int_equal(pace_due(&pace, 27, START_MS), 27);
    assert_int_equal(pace_due(&pace, 27, 2 * START_MS), 27);
    assert_int_equal(pace_due(&pace, 0, 2 * START_MS), 0);
    assert_int_equal(pace_gap_ms(&pace, 27, 2 * START_MS), 0);
    pace_start(&pace, START_MS, 1000, 0);
    assert_int_equal(pace_due(&pace, 77, START_MS), 0); /* no time has passed */
    assert_true(pace_due(&pace, 77, START_MS + 999) <= 76);
    assert_int_equal(pace_due(&pace, 77, START_MS + 1000), 77);
}

static void test_what_was_not_taken_stays_due(void **state)
{
    struct pace pace;

    (void)state;
    pace_start(&pace, START_MS, 1000, 0);
    assert_int_equal(pace_due(&pace, 100, START_MS + 500), 50);
    assert_int_equal(pace_due(&pace, 100, START_MS + 500), 50);
    assert_int_equal(pace_due(&pace, 100, START_MS + 750), 75);
    pace_went(&pace, 60);
    assert_int_equal(pace_due(&pace, 40, START_MS + 750), 15);
    assert_int_equal(pace_due(&pace, 10, START_MS + 750), 10); /* 30 have left by themselves */
}

static void test_a_slowest_rate(void **state)
{
    struct pace pace;

    (void)state;
    pace_start(&pace, START_MS, 60000, 1000);
    assert_int_equal(pace_gap_ms(&pace, 600, START_MS), 1);
    assert_int_equal(pace_due(&pace, 600, START_MS + 100), 100);
    pace_went(&pace, 100);
    assert_int_equal(pace_due(&pace, 500, START_MS + 700), 500); /* not more than there are */
    pace_start(&pace, START_MS, 10000, 1000);
    assert_int_equal(pace_due(&pace, 100000, START_MS + 100), 1000); /* the line is faster */
}

static void test_gaps(void **state)
{
    struct pace pace;

    (void)state;
    pace_start(&pace, START_MS, 60000, 0);
    assert_int_equal(pace_gap_ms(&pace, 60, START_MS), 1000);
    assert_int_equal(pace_gap_ms(&pace, 30, START_MS + 30000), 1000);
    assert_int_equal(pace_gap_ms(&pace, 100000, START_MS), 0);
    assert_int_equal(pace_gap_ms(&pace, 0, START_MS), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keeps_to_the_line),
        cmocka_unit_test(test_those_who_leave_by_themselves_bend_it),
        cmocka_unit_test(test_all_are_due_from_the_end_on),
        cmocka_unit_test(test_what_was_not_taken_stays_due),
        cmocka_unit_test(test_a_slowest_rate),
        cmocka_unit_test(test_gaps),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
