/*
 * Goal: integers have the network's byte order and touch no byte beside their own; case folds for
 * ASCII letters only; secrets compare by every byte, and wiping leaves none.
 */
#include "base/bytes.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void assert_stored(const uint8_t *out, const uint8_t *bytes, size_t size)
{
    assert_int_equal(out[0], 0xaa);
    assert_memory_equal(out + 1, bytes, size);
    assert_int_equal(out[1 + size], 0xaa);
}

static void test_integers(void **state)
{
    const uint8_t bytes[] = {0xfe, 0xdc, 0xba, 0x98, 0x76, 0x54, 0x32, 0x10};
    uint8_t out[10];

    (void)state;
    assert_int_equal(load_be16(bytes), 0xfedc);
    assert_int_equal(load_be24(bytes), 0xfedcba);
    assert_int_equal(load_be32(bytes), 0xfedcba98);
    assert_true(load_be64(bytes) == 0xfedcba9876543210);

    memset(out, 0xaa, sizeof(out));
    store_be16(out + 1, 0xfedc);
    assert_stored(out, bytes, 2);
    store_be24(out + 1, 0x11fedcba); /* what does not fit is left out */
    assert_stored(out, bytes, 3);
    store_be32(out + 1, 0xfedcba98);
    assert_stored(out, bytes, 4);
    store_be64(out + 1, 0xfedcba9876543210);
    assert_stored(out, bytes, 8);
}

static void test_slices(void **state)
{
    (void)state;
    assert_true(slice_equal(slice_text("abc"), slice_from("abcd", 3)));
    assert_false(slice_equal(slice_text("abc"), slice_text("abd")));
    assert_false(slice_equal(slice_text("abc"), slice_text("ab")));
    assert_false(slice_equal(slice_text("abc"), slice_text("abC")));
    assert_true(slice_equal(slice_from(NULL, 0), slice_text("")));
}

static void test_fold(void **state)
{
    (void)state;
    for (unsigned a = 0; a < 256; a++) {
        for (unsigned b = 0; b < 256; b++) {
            uint8_t left[2] = {'x', (uint8_t)a};
            uint8_t right[2] = {'X', (uint8_t)b};
            bool letter = (a | 0x20) >= 'a' && (a | 0x20) <= 'z';
            bool equal = a == b || (letter && (a ^ b) == 0x20);
            assert_int_equal(slice_equal_fold(slice_from(left, 2), slice_from(right, 2)), equal);
        }
    }
    assert_true(slice_equal_fold(slice_text("Sec-WebSocket-Key"), slice_text("sec-websocket-KEY")));
    assert_false(slice_equal_fold(slice_text("Host"), slice_text("Hos")));
    assert_true(slice_equal_fold(slice_from(NULL, 0), slice_from(NULL, 0)));
}

static void test_secrets(void **state)
{
    uint8_t left[33];
    uint8_t right[33];

    (void)state;
    memset(left, 0x5a, sizeof(left));
    memset(right, 0x5a, sizeof(right));
    assert_true(secret_equal(left, right, 33));
    assert_true(secret_equal(left, right, 0));
    for (size_t i = 0; i < 33; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            right[i] ^= (uint8_t)(1U << bit);
            assert_false(secret_equal(left, right, 33));
            assert_true(secret_equal(left, right, i)); /* what lies behind does not count */
            right[i] = 0x5a;
        }
    }
    secret_wipe(left + 1, 31);
    assert_int_equal(left[0], 0x5a);
    assert_int_equal(left[32], 0x5a);
    for (size_t i = 1; i < 32; i++) {
        assert_int_equal(left[i], 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_integers),
        cmocka_unit_test(test_slices),
        cmocka_unit_test(test_fold),
        cmocka_unit_test(test_secrets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
