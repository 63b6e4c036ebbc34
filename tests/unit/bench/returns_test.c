/*
 * Goal: who is cut off tries again, at once or within the spread, then after random times whose
 * bound doubles; who was never open stays away; each is back once; storms are counted apart.
 */
#include "bench/returns.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define CLIENTS 200
#define MS      UINT64_C(1000000)
#define START   (5000 * MS)

#define TWO_TICKS (UINT64_C(2) * WHEEL_TICK_MS * MS)

static struct returns returns;

static int open_returns(void **state)
{
    (void)state;
    return returns_open(&returns, CLIENTS, START);
}

static int close_returns(void **state)
{
    (void)state;
    returns_close(&returns);
    return 0;
}

/* How many of the clients try again until now, from the time of the last call on. */
static uint32_t tried_until(uint64_t now_ns)
{
    uint32_t count = 0;

    while (wheel_next_ms(&returns.wheel, now_ns / MS) == 0) {
        count += returns_next(&returns, now_ns) == NONE ? 0 : 1;
    }
    return count;
}

static void all_gone(uint64_t now_ns)
{
    for (uint32_t i = 0; i < CLIENTS; i++) {
        returns_gone(&returns, i, now_ns);
    }
}

static void expect_all(void)
{
    for (uint32_t i = 0; i < CLIENTS; i++) {
        returns_expect(&returns, i);
    }
}

static void nobody_comes_back_before_a_storm(void **state)
{
    (void)state;
    all_gone(START);
    assert_int_equal(tried_until(START + 100000 * MS), 0);
    returns_begin(&returns, true, 0);
    returns_expect(&returns, 7);
    all_gone(START + 100000 * MS);
    assert_int_equal(tried_until(START + 100100 * MS), 1);
}

static void the_first_try_is_spread_as_asked(void **state)
{
    (void)state;
    returns_begin(&returns, true, 2000);
    expect_all();
    all_gone(START);
    uint32_t count = tried_until(START + 1000 * MS);
    assert_in_range(count, CLIENTS / 4, CLIENTS * 3 / 4);
    count += tried_until(START + 2000 * MS + TWO_TICKS);
    assert_int_equal(count, CLIENTS);
}

static void the_bound_doubles_to_its_end(void **state)
{
    static const uint64_t bounds_ms[] = {0, 1000, 2000, 4000, 8000, 16000, 20000, 20000, 20000};
    uint64_t now_ns = START;

    (void)state;
    returns_begin(&returns, false, 0);
    expect_all();
    for (size_t i = 0; i < sizeof(bounds_ms) / sizeof(bounds_ms[0]); i++) {
        all_gone(now_ns);
        uint32_t early = tried_until(now_ns + bounds_ms[i] / 2 * MS);
        now_ns += bounds_ms[i] * MS + TWO_TICKS;
        uint32_t late = tried_until(now_ns);
        assert_int_equal(early + late, CLIENTS);
        if (bounds_ms[i] > 0) {
            assert_in_range(early, CLIENTS / 4, CLIENTS * 3 / 4);
        }
        now_ns += 100 * MS;
    }
}

static void each_is_back_once(void **state)
{
    const struct return_times times = {.back_ns = 30 * MS, .tls_ns = 10 * MS, .total_ns = 20 * MS};

    (void)state;
    returns_opened(&returns, 3, &times, false); /* the ramp */
    returns_begin(&returns, true, 0);
    returns_expect(&returns, 3);
    returns_opened(&returns, 3, &times, true);
    returns_opened(&returns, 3, &times, true); /* lost, and back again */
    const struct return_counts *counts = &returns.counts[0];
    assert_int_equal(counter_read(&counts->wanted), 1);
    assert_int_equal(counter_read(&counts->returned), 1);
    assert_int_equal(counter_read(&counts->resumed), 1);
    assert_int_equal(counts->back.count, 1);
    assert_int_equal(counts->back.max, 30 * MS);
    assert_int_equal(counts->tls.max, 10 * MS);
    assert_int_equal(counts->total.max, 20 * MS);
    returns_begin(&returns, false, 0);
    returns_expect(&returns, 3);
    returns_opened(&returns, 3, &times, false);
    assert_int_equal(counter_read(&returns.counts[1].returned), 1);
    assert_int_equal(counter_read(&returns.counts[1].resumed), 0);
    assert_int_equal(counter_read(&counts->returned), 1);
}

static void who_finds_no_place_comes_soon(void **state)
{
    (void)state;
    returns_begin(&returns, true, 0);
    returns_expect(&returns, 3);
    returns_gone(&returns, 3, START);
    assert_int_equal(tried_until(START + TWO_TICKS), 1);
    returns_later(&returns, 3, START + TWO_TICKS);
    assert_int_equal(tried_until(START + TWO_TICKS), 0);
    assert_int_equal(tried_until(START + 100 * MS), 1);
}

static void there_is_no_ticket_that_never_came(void **state)
{
    (void)state;
    returns_begin(&returns, true, 0);
    assert_null(returns_ticket(&returns, 3));
    returns_keep(&returns, 3, NULL);
    assert_null(returns_ticket(&returns, 3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nobody_comes_back_before_a_storm, open_returns,
                                        close_returns),
        cmocka_unit_test_setup_teardown(the_first_try_is_spread_as_asked, open_returns,
                                        close_returns),
        cmocka_unit_test_setup_teardown(the_bound_doubles_to_its_end, open_returns, close_returns),
        cmocka_unit_test_setup_teardown(each_is_back_once, open_returns, close_returns),
        cmocka_unit_test_setup_teardown(who_finds_no_place_comes_soon, open_returns, close_returns),
        cmocka_unit_test_setup_teardown(there_is_no_ticket_that_never_came, open_returns,
                                        close_returns),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
