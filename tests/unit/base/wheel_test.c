/*
 * Goal: no deadline is reported early, none is lost, and none is late by more than a tick, whatever
 * the clock does: small steps, jumps of days, the wrap of the tick counter, a caller who stops in
 * the middle; and the wheel never sleeps past a deadline.
 */
#include "base/wheel.h"

#include "aborts.h"
#include "base/pool.h"
#include "dice.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define DAY_MS   86400000ULL
#define START_MS 123456789ULL

static struct wheel wheel;

static void open_wheel(uint32_t count_max, uint64_t now_ms)
{
    assert_int_equal(wheel_open(&wheel, count_max, now_ms), 0);
    wheel_check(&wheel);
}

static void close_wheel(void)
{
    wheel_check(&wheel);
    wheel_close(&wheel);
}

/* As the shard does: again at once as long as the wheel asks for it. */
static uint32_t expire(uint64_t now_ms)
{
    uint32_t number = NONE;

    do {
        number = wheel_expire(&wheel, now_ms);
    } while (number == NONE && wheel_next_ms(&wheel, now_ms) == 0);
    return number;
}

/* The first millisecond at which the number is reported, found by sleeping as the wheel says. */
static uint64_t sleep_until_expired(uint64_t now_ms)
{
    while (expire(now_ms) == NONE) {
        uint64_t rest = wheel_next_ms(&wheel, now_ms);
        assert_true(rest > 0);
        assert_true(rest < UINT64_MAX);
        now_ms += rest;
    }
    return now_ms;
}

static void test_distances(void **state)
{
    /* Around each edge of a slot, a level, and the furthest that can be told. */
    const uint64_t distances[] = {0,         1,         9,      10,          11,
                                  2549,      2550,      2551,   2560,        2561,
                                  25600,     655350,    655360, 655370,      167772150,
                                  167772160, 167772170, DAY_MS, 30 * DAY_MS, 246 * DAY_MS};

    (void)state;
    for (size_t i = 0; i < sizeof(distances) / sizeof(distances[0]); i++) {
        for (uint64_t start = START_MS; start < START_MS + 12; start++) {
            open_wheel(4, start);
            wheel_set(&wheel, 2, start + distances[i]);
            assert_true(wheel_is_set(&wheel, 2));
            wheel_check(&wheel);
            uint64_t reported = sleep_until_expired(start);
            assert_true(reported >= start + distances[i]);
            assert_true(reported < start + distances[i] + WHEEL_TICK_MS);
            assert_false(wheel_is_set(&wheel, 2));
            assert_true(wheel_next_ms(&wheel, reported) == UINT64_MAX);
            close_wheel();
        }
    }
}

static void test_not_early(void **state)
{
    (void)state;
    open_wheel(1, START_MS);
    wheel_set(&wheel, 0, START_MS + 1000);
    assert_int_equal(expire(START_MS + 999), NONE);
    assert_int_equal(wheel.count, 1);
    assert_int_equal(expire(START_MS + 1000 + WHEEL_TICK_MS), 0);
    assert_int_equal(expire(START_MS + 1000 + WHEEL_TICK_MS), NONE);
    close_wheel();
}

static void test_clamped(void **state)
{
    const uint64_t far[] = {247 * DAY_MS, 1000 * DAY_MS, UINT64_MAX};

    (void)state;
    for (size_t i = 0; i < sizeof(far) / sizeof(far[0]); i++) {
        open_wheel(1, START_MS);
        wheel_set(&wheel, 0, far[i] == UINT64_MAX ? far[i] : START_MS + far[i]);
        wheel_check(&wheel);
        uint64_t reported = sleep_until_expired(START_MS);
        assert_true(reported > START_MS + 246 * DAY_MS);
        assert_true(reported < START_MS + 247 * DAY_MS);
        close_wheel();
    }
}

static void test_past(void **state)
{
    (void)state;
    open_wheel(3, START_MS);
    wheel_set(&wheel, 0, 0);
    wheel_set(&wheel, 1, START_MS);
    assert_true(wheel_next_ms(&wheel, START_MS) == 0);
    assert_int_equal(expire(START_MS), 0); /* START_MS is in the middle of a tick */
    assert_int_equal(expire(START_MS), NONE);
    assert_int_equal(expire(START_MS + WHEEL_TICK_MS), 1);
    close_wheel();
}

static void test_clock_goes_back(void **state)
{
    (void)state;
    open_wheel(2, START_MS);
    wheel_set(&wheel, 0, START_MS + 500);
    wheel_set(&wheel, 1, START_MS + 5000);
    assert_int_equal(expire(START_MS + 1000), 0);
    assert_int_equal(expire(0), NONE);
    assert_int_equal(expire(START_MS), NONE);
    wheel_check(&wheel);
    assert_int_equal(expire(START_MS + 4990), NONE);
    assert_int_equal(expire(START_MS + 5010), 1);
    close_wheel();
}

/* A caller who asks late is told by how much, and of several that are due of each. */
static void test_lag(void **state)
{
    const uint64_t start = START_MS - START_MS % WHEEL_TICK_MS;

    (void)state;
    open_wheel(4, start);
    wheel_set(&wheel, 0, start + 20);
    wheel_set(&wheel, 1, start + 20);
    wheel_set(&wheel, 2, start + 3000); /* comes down a level on its way */
    assert_true(expire(start + 20) < 2);
    assert_int_equal(wheel_lag_ms(&wheel, start + 20), 0);
    assert_true(expire(start + 777) < 2);
    assert_int_equal(wheel_lag_ms(&wheel, start + 777), 757);
    assert_int_equal(expire(start + 10000), 2);
    assert_int_equal(wheel_lag_ms(&wheel, start + 10000), 7000);
    close_wheel();
}

static void test_move_and_clear(void **state)
{
    (void)state;
    open_wheel(8, START_MS);
    wheel_clear(&wheel, 3); /* not set: nothing happens */
    wheel_set(&wheel, 3, START_MS + 100);
    wheel_set(&wheel, 3, START_MS + 100000);
    assert_int_equal(wheel.count, 1);
    assert_int_equal(expire(START_MS + 200), NONE);
    wheel_set(&wheel, 3, START_MS + 300);
    assert_int_equal(expire(START_MS + 310), 3);
    wheel_set(&wheel, 3, START_MS + 100000);
    wheel_clear(&wheel, 3);
    assert_false(wheel_is_set(&wheel, 3));
    assert_true(wheel_next_ms(&wheel, START_MS + 310) == UINT64_MAX);
    assert_int_equal(expire(START_MS + DAY_MS), NONE);

    /* The first, the middle and the last of a slot's list leave. */
    for (uint32_t number = 0; number < 5; number++) {
        wheel_set(&wheel, number, START_MS + 2 * DAY_MS);
    }
    wheel_clear(&wheel, 4);
    wheel_check(&wheel);
    wheel_clear(&wheel, 0);
    wheel_check(&wheel);
    wheel_clear(&wheel, 2);
    wheel_check(&wheel);
    assert_int_equal(expire(START_MS + 3 * DAY_MS) + expire(START_MS + 3 * DAY_MS), 1 + 3);
    assert_int_equal(expire(START_MS + 3 * DAY_MS), NONE);
    close_wheel();
}

/* What expired and was not taken can still be moved, cleared, or taken much later. */
static void test_stop_in_the_middle(void **state)
{
    (void)state;
    open_wheel(8, START_MS);
    for (uint32_t number = 0; number < 6; number++) {
        wheel_set(&wheel, number, START_MS + 100);
    }
    uint32_t first = expire(START_MS + 200);
    assert_true(first < 6);
    uint32_t moved = (first + 1) % 6;
    uint32_t cleared = (first + 2) % 6;
    wheel_set(&wheel, moved, START_MS + 5000);
    wheel_clear(&wheel, cleared);
    wheel_set(&wheel, 7, START_MS + 150); /* due before now, set late */
    wheel_check(&wheel);
    assert_true(wheel_next_ms(&wheel, START_MS + 200) == 0);
    uint32_t seen = 1U << first | 1U << moved | 1U << cleared;
    for (uint64_t i = 0; i < 4; i++) {
        uint32_t number = expire(START_MS + 1000 + i * 300 * DAY_MS);
        assert_true(number < 8);
        assert_int_equal(seen >> number & 1, 0);
        seen |= 1U << number;
        wheel_check(&wheel);
    }
    assert_int_equal(seen, 0xbf);
    assert_int_equal(expire(START_MS + 900 * DAY_MS), moved);
    assert_int_equal(expire(START_MS + 900 * DAY_MS), NONE);
    close_wheel();
}

/* Deadlines come in their order, also when years have passed at once. */
static void test_jump(void **state)
{
    enum {
        COUNT = 3000
    };
    static uint64_t deadlines[COUNT];
    uint64_t now_ms = START_MS + 400 * DAY_MS;
    uint64_t last = 0;
    uint32_t reported = 0;

    (void)state;
    dice_seed(3);
    open_wheel(COUNT, START_MS);
    for (uint32_t number = 0; number < COUNT; number++) {
        deadlines[number] = START_MS + dice_roll_bits(30);
        wheel_set(&wheel, number, deadlines[number]);
    }
    for (uint32_t number = expire(now_ms); number != NONE; number = expire(now_ms)) {
        assert_true((deadlines[number] + 9) / 10 >= last);
        last = (deadlines[number] + 9) / 10;
        reported++;
    }
    assert_int_equal(reported, COUNT);
    close_wheel();
}

/* A slot with more entries than one call moves: bounded calls, and nothing is forgotten meanwhile.
 */
static void test_crowded_slot(void **state)
{
    enum {
        COUNT = 20000
    };
    const uint64_t deadline = START_MS + 60000;
    uint64_t now_ms = START_MS;
    uint32_t calls = 0;
    uint32_t reported = 0;

    (void)state;
    open_wheel(COUNT, START_MS);
    for (uint32_t number = 0; number < COUNT; number++) {
        wheel_set(&wheel, number, deadline + number % 50 * 10ULL);
    }
    while (wheel.falling_head == 0) {
        now_ms += wheel_next_ms(&wheel, now_ms);
        assert_int_equal(wheel_expire(&wheel, now_ms), NONE);
        calls++;
    }
    wheel_check(&wheel);
    assert_true(now_ms < deadline);
    assert_true(wheel_next_ms(&wheel, now_ms) == 0); /* though nothing is due */
    wheel_clear(&wheel, wheel.falling_head - 1);     /* the first of those that did not move yet */
    wheel_set(&wheel, wheel.falling_head - 1, deadline + DAY_MS);
    wheel_clear(&wheel, wheel.entries[wheel.falling_head - 1].next - 1);
    wheel_check(&wheel);
    while (wheel_next_ms(&wheel, deadline + 200) == 0) {
        reported += wheel_expire(&wheel, deadline + 200) != NONE;
        calls++;
    }
    wheel_check(&wheel);
    assert_true(calls - reported >= COUNT / 256); /* one call moves that many */
    while (expire(deadline + 2000) != NONE) {
        reported++;
    }
    assert_int_equal(reported, COUNT - 3);
    assert_int_equal(wheel.count, 1);
    assert_true(expire(deadline + 2 * DAY_MS) != NONE);
    close_wheel();
}

/* The kept part of the tick goes round: across its half, its end, and the one of 32 bits. */
static void test_wrap(void **state)
{
    const uint64_t edges[] = {1ULL << 31, 1ULL << 32, 3ULL << 31, (1ULL << 40) - (1ULL << 24)};

    (void)state;
    for (size_t i = 0; i < sizeof(edges) / sizeof(edges[0]); i++) {
        for (uint64_t before = 0; before < 4; before++) {
            uint64_t start = (edges[i] - before) * WHEEL_TICK_MS;
            open_wheel(4, start);
            wheel_set(&wheel, 0, start + 20);
            wheel_set(&wheel, 1, start + 30);
            wheel_set(&wheel, 2, start + 5000);
            wheel_set(&wheel, 3, start + 240 * DAY_MS);
            wheel_check(&wheel);
            assert_int_equal(expire(start + 10), NONE);
            assert_int_equal(expire(start + 20), 0);
            assert_int_equal(expire(start + 20), NONE);
            assert_int_equal(expire(start + 4990), 1);
            assert_int_equal(expire(start + 4990), NONE);
            assert_int_equal(expire(start + 5000), 2);
            assert_int_equal(expire(start + 240 * DAY_MS - 10), NONE);
            wheel_check(&wheel);
            assert_int_equal(expire(start + 240 * DAY_MS), 3);
            close_wheel();
        }
    }
}

/* --- against a plain array of deadlines --------------------------------------------------------
 */

enum {
    MODEL_COUNT = 300
};
static uint64_t model[MODEL_COUNT]; /* 0: not set */

static uint64_t model_earliest(void)
{
    uint64_t earliest = UINT64_MAX;

    for (uint32_t number = 0; number < MODEL_COUNT; number++) {
        if (model[number] != 0 && model[number] < earliest) {
            earliest = model[number];
        }
    }
    return earliest;
}

static void model_advance(uint64_t now_ms)
{
    for (uint32_t number = expire(now_ms); number != NONE; number = expire(now_ms)) {
        assert_true(model[number] != 0);
        assert_true(model[number] <= now_ms);
        model[number] = 0;
    }
    if (model_earliest() != UINT64_MAX) {
        assert_true((model_earliest() + 9) / 10 > now_ms / 10); /* all that was due was told */
    }
}

static void test_model(void **state)
{
    uint64_t now_ms = START_MS;

    (void)state;
    dice_seed(4);
    memset(model, 0, sizeof(model));
    open_wheel(MODEL_COUNT, now_ms);
    for (uint32_t round = 0; round < 30000; round++) {
        uint32_t number = dice_roll(MODEL_COUNT);
        if (dice_roll(4) == 0) {
            wheel_clear(&wheel, number);
            model[number] = 0;
        } else {
            model[number] = now_ms + dice_roll_bits(30);
            wheel_set(&wheel, number, model[number]);
        }
        uint64_t next_ms = wheel_next_ms(&wheel, now_ms);
        if (model_earliest() == UINT64_MAX) {
            assert_true(next_ms == UINT64_MAX);
        } else {
            assert_true(now_ms + next_ms < model_earliest() + WHEEL_TICK_MS);
        }
        if (dice_roll(3) == 0) {
            now_ms += dice_roll_bits(26);
            model_advance(now_ms);
        }
        if (round % 100 == 0) {
            wheel_check(&wheel);
        }
    }
    close_wheel();
}

/* One call at a time between changes, so that most of them meet a slot that is half way down. */
static void test_crowded_model(void **state)
{
    enum {
        COUNT = 3000
    };
    static uint64_t deadlines[COUNT]; /* 0: not set */
    uint64_t now_ms = START_MS;
    uint32_t half_way = 0;

    (void)state;
    dice_seed(5);
    memset(deadlines, 0, sizeof(deadlines));
    open_wheel(COUNT, now_ms);
    for (uint32_t round = 0; round < 200000; round++) {
        uint32_t number = dice_roll(COUNT);
        if (dice_roll(8) == 0) {
            wheel_clear(&wheel, number);
            deadlines[number] = 0;
        } else if (deadlines[number] == 0 || dice_roll(4) == 0) {
            deadlines[number] = now_ms + (dice_roll(2) == 0 ? 0 : 4000) + dice_roll(300);
            wheel_set(&wheel, number, deadlines[number]);
        }
        if (dice_roll(16) == 0) {
            now_ms += dice_roll(40);
        }
        number = wheel_expire(&wheel, now_ms);
        if (number != NONE) {
            assert_in_range(deadlines[number], 1, now_ms);
            deadlines[number] = 0;
        }
        half_way += wheel.falling_head != 0;
        if (round % 1000 == 0) {
            wheel_check(&wheel);
        }
    }
    assert_true(half_way > 100);
    for (uint32_t number = expire(now_ms + 5000); number != NONE; number = expire(now_ms + 5000)) {
        deadlines[number] = 0;
    }
    for (uint32_t number = 0; number < COUNT; number++) {
        assert_int_equal(deadlines[number], 0);
    }
    assert_int_equal(wheel.count, 0);
    close_wheel();
}

/* --- edges ------------------------------------------------------------------------------------ */

static void test_trim(void **state)
{
    enum {
        COUNT = 3 * POOL_CHUNK_ITEMS - 5
    };

    (void)state;
    open_wheel(COUNT, START_MS);
    for (uint32_t number = 0; number < COUNT; number++) {
        wheel_set(&wheel, number, START_MS + 1000);
    }
    for (uint32_t number = POOL_CHUNK_ITEMS; number < COUNT; number++) {
        wheel_clear(&wheel, number);
    }
    wheel_trim(&wheel, POOL_CHUNK_ITEMS);
    wheel_trim(&wheel, 2 * POOL_CHUNK_ITEMS); /* a chunk that is not whole */
    wheel_check(&wheel);
    assert_int_equal(wheel.count, POOL_CHUNK_ITEMS);
    wheel_set(&wheel, COUNT - 1, START_MS + 10);
    assert_int_equal(expire(START_MS + 20), COUNT - 1);
    close_wheel();
}

static void trim_used(void *context)
{
    (void)context;
    wheel_trim(&wheel, 0);
}

static void trim_middle(void *context)
{
    (void)context;
    wheel_trim(&wheel, 4);
}

static void set_outside(void *context)
{
    (void)context;
    wheel_set(&wheel, 2000, START_MS);
}

static void test_misuse(void **state)
{
    (void)state;
    open_wheel(2000, START_MS);
    assert_false(aborts(trim_used, NULL));
    wheel_set(&wheel, 1023, START_MS);
    assert_true(aborts(trim_used, NULL));
    assert_true(aborts(trim_middle, NULL));
    assert_true(aborts(set_outside, NULL));
    close_wheel();
    assert_int_equal(wheel_open(&wheel, 0, START_MS), -EINVAL);
    wheel_close(&wheel);
    wheel_close(&wheel);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_distances),
        cmocka_unit_test(test_not_early),
        cmocka_unit_test(test_clamped),
        cmocka_unit_test(test_past),
        cmocka_unit_test(test_clock_goes_back),
        cmocka_unit_test(test_lag),
        cmocka_unit_test(test_move_and_clear),
        cmocka_unit_test(test_jump),
        cmocka_unit_test(test_stop_in_the_middle),
        cmocka_unit_test(test_crowded_slot),
        cmocka_unit_test(test_wrap),
        cmocka_unit_test(test_model),
        cmocka_unit_test(test_trim),
        cmocka_unit_test(test_misuse),
        cmocka_unit_test(test_crowded_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
