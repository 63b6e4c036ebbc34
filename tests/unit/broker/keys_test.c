/*
 * Goal: a key is known for exactly 5 minutes, in its channel alone, unless so many came after it
 * that the table has forgotten it.
 */
#include "broker/keys.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#define KEYS_MAX 3u

static struct keys *keys;

static int setup(void **state)
{
    (void)state;
    keys = keys_open(KEYS_MAX);
    return keys ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    keys_close(keys);
    return 0;
}

static void add(const char *channel, const char *key, uint64_t offset, uint64_t now_ms)
{
    const struct broker_position position = {.offset = offset, .epoch = "abc"};

    keys_add(keys, slice_text(channel), slice_text(key), &position, now_ms);
}

/* 0: not known. */
static uint64_t find(const char *channel, const char *key, uint64_t now_ms)
{
    const struct broker_position *position =
        keys_find(keys, slice_text(channel), slice_text(key), now_ms);

    if (position) {
        assert_string_equal(position->epoch, "abc");
    }
    return position ? position->offset : 0;
}

static void test_find(void **state)
{
    (void)state;
    assert_int_equal(find("a", "k", 0), 0);
    add("a", "k", 7, 0);
    add("ak", "", 8, 0);
    assert_int_equal(find("a", "k", 0), 7);
    assert_int_equal(find("b", "k", 0), 0);
    assert_int_equal(find("a", "l", 0), 0);
    assert_int_equal(find("", "ak", 0), 0);
    assert_int_equal(find("ak", "", 0), 8);
}

static void test_age(void **state)
{
    (void)state;
    add("a", "k", 7, 1000);
    add("a", "l", 8, 1001);
    assert_int_equal(find("a", "k", 1000 + KEYS_AGE_MS - 1), 7);
    assert_int_equal(find("a", "k", 1000 + KEYS_AGE_MS), 0);
    assert_int_equal(keys_count(keys), 1);
    assert_int_equal(find("a", "l", 1000 + KEYS_AGE_MS), 8);
    add("a", "k", 9, 1000 + KEYS_AGE_MS);
    assert_int_equal(find("a", "k", 1000 + KEYS_AGE_MS), 9);
}

static void test_full(void **state)
{
    char key[2] = "0";

    (void)state;
    for (uint32_t round = 0; round < 10 * KEYS_MAX; round++) {
        key[0] = (char)('0' + round);
        add("a", key, round + 1, round);
        for (uint32_t i = 0; i <= round; i++) {
            key[0] = (char)('0' + i);
            assert_int_equal(find("a", key, round), round - i < KEYS_MAX ? i + 1 : 0);
        }
        assert_int_equal(keys_count(keys), round < KEYS_MAX ? round + 1 : KEYS_MAX);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_find, setup, teardown),
        cmocka_unit_test_setup_teardown(test_age, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
