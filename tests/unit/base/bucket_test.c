/*
 * Goal: a bucket gives its burst and then its rate, to the token and to the nanosecond; it never
 * holds more than its burst; it follows a rate that changes; without a rate it gives always.
 */
#include "base/bucket.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define S UINT64_C(1000000000)

static const struct bucket_rate hundred = {.per_s = 100, .burst = 10};

static uint32_t take_all(struct bucket *bucket, const struct bucket_rate *rate, uint64_t now_ns)
{
    uint32_t count = 0;

    while (count < 1000 && bucket_take(bucket, rate, now_ns)) {
        count++;
    }
    return count;
}

static void it_is_full_at_first(void **state)
{
    struct bucket bucket = {0};

    (void)state;
    assert_int_equal(bucket_wait_ns(&bucket, &hundred, 7 * S), 0);
    assert_int_equal(take_all(&bucket, &hundred, 7 * S), 10);
}

static void a_token_comes_when_it_is_due(void **state)
{
    struct bucket bucket = {0};

    (void)state;
    assert_int_equal(take_all(&bucket, &hundred, S), 10);
    const uint64_t wait_ns = bucket_wait_ns(&bucket, &hundred, S);
    assert_in_range(wait_ns, S / 100 - 1, S / 100 + 1);
    assert_false(bucket_take(&bucket, &hundred, S + S / 100 - 1000000));
    assert_in_range(bucket_wait_ns(&bucket, &hundred, S + S / 100 - 1000000), 999999, 1000002);
    assert_true(bucket_take(&bucket, &hundred, S + wait_ns));
    assert_false(bucket_take(&bucket, &hundred, S + wait_ns));
}

/* However often it is asked in between. */
static void the_rate_holds(void **state)
{
    struct bucket bucket = {0};
    uint32_t count = 0;

    (void)state;
    for (uint64_t now_ns = S; now_ns <= 11 * S; now_ns += 1000003) {
        count += take_all(&bucket, &hundred, now_ns);
    }
    assert_in_range(count, 10 + 999, 10 + 1000);
}

static void it_never_holds_more_than_its_burst(void **state)
{
    struct bucket bucket = {0};

    (void)state;
    assert_int_equal(take_all(&bucket, &hundred, S), 10);
    assert_int_equal(take_all(&bucket, &hundred, 3600 * S), 10);
    const struct bucket_rate none = {.per_s = 100, .burst = 0};
    assert_int_equal(take_all(&bucket, &none, 7200 * S), 1); /* else it would give nothing, ever */
}

static void it_follows_its_rate(void **state)
{
    struct bucket bucket = {0};
    const struct bucket_rate less = {.per_s = 1, .burst = 2};

    (void)state;
    assert_int_equal(bucket_wait_ns(&bucket, &hundred, S), 0);
    assert_int_equal(take_all(&bucket, &less, S), 2); /* of the ten that it held */
    assert_in_range(bucket_wait_ns(&bucket, &less, S), S - 1, S + 1);
    assert_in_range(bucket_wait_ns(&bucket, &hundred, S), S / 100 - 1, S / 100 + 1);
}

static void without_a_rate_it_gives_always(void **state)
{
    struct bucket bucket = {0};
    const struct bucket_rate off = {0};

    (void)state;
    assert_int_equal(take_all(&bucket, &off, S), 1000);
    assert_int_equal(bucket_wait_ns(&bucket, &off, S), 0);
}

static void a_clock_that_stands_gives_nothing(void **state)
{
    struct bucket bucket = {0};

    (void)state;
    assert_int_equal(take_all(&bucket, &hundred, 2 * S), 10);
    assert_false(bucket_take(&bucket, &hundred, 2 * S));
    assert_false(bucket_take(&bucket, &hundred, S)); /* nor one that is set back */
    assert_false(bucket_take(&bucket, &hundred, 2 * S));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_full_at_first),
        cmocka_unit_test(a_token_comes_when_it_is_due),
        cmocka_unit_test(the_rate_holds),
        cmocka_unit_test(it_never_holds_more_than_its_burst),
        cmocka_unit_test(it_follows_its_rate),
        cmocka_unit_test(without_a_rate_it_gives_always),
        cmocka_unit_test(a_clock_that_stands_gives_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
