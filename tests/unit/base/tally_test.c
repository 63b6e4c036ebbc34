/*
 * Goal: a key's count never passes its cap and never drifts, also with many threads at once; what
 * is full says so and counts nothing; entries that were left serve other keys.
 */
#include "base/tally.h"

#include "aborts.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static enum tally_outcome enter(struct tally *tally, const char *key, uint32_t max, uint32_t *entry)
{
    return tally_enter(tally, slice_text(key), max, entry);
}

static void test_limit(void **state)
{
    struct tally *tally = tally_open(4);
    uint32_t entry[3] = {0};
    uint32_t refused = 77;

    (void)state;
    assert_non_null(tally);
    assert_int_equal(enter(tally, "192.0.2.1", 2, &entry[0]), TALLY_COUNTED);
    assert_int_equal(enter(tally, "192.0.2.1", 2, &entry[1]), TALLY_COUNTED);
    assert_int_equal(entry[0], entry[1]);
    assert_int_equal(enter(tally, "192.0.2.1", 2, &refused), TALLY_LIMIT);
    assert_int_equal(refused, 77);
    assert_int_equal(enter(tally, "192.0.2.2", 2, &entry[2]), TALLY_COUNTED);
    assert_int_not_equal(entry[0], entry[2]);
    assert_int_equal(tally_count(tally), 2);

    tally_leave(tally, entry[0]);
    assert_int_equal(tally_count(tally), 2); /* one of the two is still there */
    assert_int_equal(enter(tally, "192.0.2.1", 2, &entry[0]), TALLY_COUNTED);
    assert_int_equal(enter(tally, "192.0.2.1", 2, &refused), TALLY_LIMIT);
    tally_close(tally);
}

static void test_no_limit(void **state)
{
    struct tally *tally = tally_open(1);
    uint32_t entry = 0;

    (void)state;
    for (uint32_t i = 0; i < 1000; i++) {
        assert_int_equal(enter(tally, "a", 0, &entry), TALLY_COUNTED);
    }
    assert_int_equal(enter(tally, "a", 1000, &entry), TALLY_LIMIT);
    assert_int_equal(enter(tally, "a", 1001, &entry), TALLY_COUNTED);
    tally_close(tally);
}

static void test_full(void **state)
{
    struct tally *tally = tally_open(3);
    const char *const keys[] = {"a", "b", ""};
    uint32_t entry[3] = {0};
    uint32_t other = 77;

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(enter(tally, keys[i], 1, &entry[i]), TALLY_COUNTED);
        assert_true(entry[i] < 3);
    }
    assert_int_equal(enter(tally, "d", 1, &other), TALLY_FULL);
    assert_int_equal(other, 77);
    assert_int_equal(enter(tally, "", 2, &other), TALLY_COUNTED); /* it has an entry */
    tally_leave(tally, other);
    tally_leave(tally, entry[1]);
    assert_int_equal(tally_count(tally), 2);
    assert_int_equal(enter(tally, "d", 1, &other), TALLY_COUNTED);
    assert_int_equal(other, entry[1]);
    assert_int_equal(enter(tally, "b", 1, &entry[1]), TALLY_FULL);
    tally_close(tally);
}

static void test_nothing_held(void **state)
{
    struct tally *tally = tally_open(0);
    uint32_t entry = 0;

    (void)state;
    assert_non_null(tally);
    assert_int_equal(enter(tally, "a", 0, &entry), TALLY_FULL);
    tally_close(tally);
    tally_close(NULL);
}

static void leave_first(void *tally)
{
    tally_leave(tally, 0);
}

static void leave_outside(void *tally)
{
    tally_leave(tally, 4);
}

static void test_misuse(void **state)
{
    struct tally *tally = tally_open(4);
    uint32_t entry = 0;

    (void)state;
    assert_true(aborts(leave_first, tally)); /* never entered */
    assert_true(aborts(leave_outside, tally));
    assert_int_equal(enter(tally, "a", 0, &entry), TALLY_COUNTED);
    assert_false(aborts(leave_first, tally));
    tally_leave(tally, entry);
    assert_true(aborts(leave_first, tally)); /* left already */
    tally_close(tally);
}

/* Keys share buckets and stripes in plenty: every one is found, and removed from its chain. */
static void test_many_keys(void **state)
{
    enum {
        KEYS = 5000
    };
    struct tally *tally = tally_open(KEYS);
    static uint32_t entry[KEYS];

    (void)state;
    for (uint32_t round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < KEYS; i++) {
            assert_int_equal(tally_enter(tally, slice_from(&i, sizeof(i)), 1, &entry[i]),
                             TALLY_COUNTED);
        }
        assert_int_equal(tally_count(tally), KEYS);
        for (uint32_t i = 0; i < KEYS; i++) {
            uint32_t refused = 0;
            assert_int_equal(tally_enter(tally, slice_from(&i, sizeof(i)), 1, &refused),
                             TALLY_LIMIT);
        }
        for (uint32_t i = 0; i < KEYS; i++) {
            uint32_t shuffled = (uint32_t)((uint64_t)i * 1777 % KEYS); /* no common factor */
            tally_leave(tally, entry[shuffled]);
        }
        assert_int_equal(tally_count(tally), 0);
    }
    tally_close(tally);
}

/* --- threads ---------------------------------------------------------------------------------- */

enum {
    THREADS = 4,
    ROUNDS = 20000,
    KEYS = 7,
    CAP = 2
};

struct crowd {
    struct tally *tally;
    atomic_uint inside[KEYS];
    atomic_uint wrong;
    atomic_uint counted;
};

static void *come_and_go(void *context)
{
    struct crowd *crowd = context;
    uint32_t key = 0;

    for (uint32_t i = 0; i < ROUNDS; i++) {
        uint32_t entry = 0;
        key = (key * 5 + 3 + i) % KEYS;
        if (tally_enter(crowd->tally, slice_from(&key, sizeof(key)), CAP, &entry) !=
            TALLY_COUNTED) {
            continue;
        }
        crowd->wrong += atomic_fetch_add(&crowd->inside[key], 1) >= CAP;
        crowd->counted++;
        atomic_fetch_sub(&crowd->inside[key], 1);
        tally_leave(crowd->tally, entry);
    }
    return NULL;
}

static void test_threads(void **state)
{
    static struct crowd crowd;
    pthread_t threads[THREADS];

    (void)state;
    crowd.tally = tally_open(KEYS - 2); /* full now and then */
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, &crowd), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(crowd.wrong, 0);
    assert_true(crowd.counted >= ROUNDS);
    assert_int_equal(tally_count(crowd.tally), 0);
    tally_close(crowd.tally);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limit),   cmocka_unit_test(test_no_limit),
        cmocka_unit_test(test_full),    cmocka_unit_test(test_nothing_held),
        cmocka_unit_test(test_misuse),  cmocka_unit_test(test_many_keys),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
