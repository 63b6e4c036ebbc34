/*
 * Goal: a connection's name is a UUID of version 4, always the same for the same connection of this
 * process, and another for any other.
 */
#include "session/identity.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static void write_text(const struct identity_key *key, uint32_t shard, uint32_t number,
                       uint32_t generation, char text[IDENTITY_SIZE + 1])
{
    memset(text, '#', IDENTITY_SIZE + 1);
    identity_write(key, shard, number, generation, text);
    assert_int_equal(text[IDENTITY_SIZE], '#');
    text[IDENTITY_SIZE] = '\0';
}

static void test_form(void **state)
{
    struct identity_key key;
    char text[IDENTITY_SIZE + 1];

    (void)state;
    identity_key_make(&key);
    for (uint32_t i = 0; i < 1000; i++) {
        write_text(&key, i % 3, i, 7 * i, text);
        for (uint32_t at = 0; at < IDENTITY_SIZE; at++) {
            const bool is_dash = at == 8 || at == 13 || at == 18 || at == 23;
            assert_true(strchr(is_dash ? "-" : "0123456789abcdef", text[at]) != NULL);
        }
        assert_int_equal(text[14], '4');
        assert_true(strchr("89ab", text[19]) != NULL);
    }
}

static void test_one_for_each(void **state)
{
    struct identity_key key;
    struct identity_key other;
    char text[IDENTITY_SIZE + 1];
    char same[IDENTITY_SIZE + 1];

    (void)state;
    identity_key_make(&key);
    identity_key_make(&other);
    write_text(&key, 1, 2, 3, text);
    write_text(&key, 1, 2, 3, same);
    assert_string_equal(text, same);
    write_text(&other, 1, 2, 3, same);
    assert_string_not_equal(text, same);
    write_text(&key, 0, 2, 3, same);
    assert_string_not_equal(text, same);
    write_text(&key, 1, 3, 3, same);
    assert_string_not_equal(text, same);
    write_text(&key, 1, 2, 4, same);
    assert_string_not_equal(text, same);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_form),
        cmocka_unit_test(test_one_for_each),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
