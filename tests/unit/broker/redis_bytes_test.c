/*
 * Goal: commands come out as Redis reads them, whatever bytes an argument has, over every growth of
 * the buffer; an empty one is as good as new.
 */
#include "broker/redis_bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void expect(const struct redis_bytes *bytes, const char *expected, size_t size)
{
    assert_false(bytes->failed);
    assert_int_equal(bytes->size, size);
    assert_memory_equal(bytes->data, expected, size);
}

static void test_command(void **state)
{
    static const char expected[] = "*5\r\n$3\r\nSET\r\n$0\r\n\r\n$4\r\na\r\n\0\r\n$1\r\n0\r\n"
                                   "$20\r\n18446744073709551615\r\n";
    struct redis_bytes bytes = {0};

    (void)state;
    redis_bytes_command(&bytes, 5);
    redis_bytes_text(&bytes, "SET");
    redis_bytes_text(&bytes, "");
    redis_bytes_argument(&bytes, slice_from("a\r\n", 4));
    redis_bytes_number(&bytes, 0);
    redis_bytes_number(&bytes, UINT64_MAX);
    expect(&bytes, expected, sizeof(expected) - 1);
    redis_bytes_free(&bytes);
}

static void test_argument_in_parts(void **state)
{
    static const char whole[] = "$5\r\nab\0cd\r\n";
    struct redis_bytes bytes = {0};

    (void)state;
    redis_bytes_begin(&bytes, 5);
    redis_bytes_add(&bytes, slice_from("ab", 3));
    redis_bytes_add(&bytes, (struct slice){0});
    redis_bytes_add(&bytes, slice_text("cd"));
    redis_bytes_end(&bytes);
    expect(&bytes, whole, sizeof(whole) - 1);
    redis_bytes_free(&bytes);
}

static void test_growth(void **state)
{
    struct redis_bytes bytes = {0};
    char *expected = malloc(4096);
    size_t size = 0;

    (void)state;
    assert_non_null(expected);
    for (uint32_t i = 0; i < 3000; i++) {
        const uint8_t byte = (uint8_t)(i * 7);
        expected[size++] = (char)byte;
        redis_bytes_add(&bytes, slice_from(&byte, 1));
        assert_true(bytes.capacity >= bytes.size);
    }
    expect(&bytes, expected, size);
    free(expected);
    redis_bytes_free(&bytes);
}

/* One slice that is larger than any doubling had room for. */
static void test_large_slice(void **state)
{
    struct redis_bytes bytes = {0};
    const size_t size = 100001;
    char *expected = malloc(size);

    (void)state;
    assert_non_null(expected);
    memset(expected, 'x', size);
    expected[0] = 'a';
    redis_bytes_add(&bytes, slice_text("a"));
    redis_bytes_add(&bytes, slice_from(expected + 1, size - 1));
    expect(&bytes, expected, size);
    free(expected);
    redis_bytes_free(&bytes);
}

static void test_freed(void **state)
{
    struct redis_bytes bytes = {0};

    (void)state;
    redis_bytes_free(&bytes);
    redis_bytes_text(&bytes, "before");
    redis_bytes_free(&bytes);
    assert_null(bytes.data);
    assert_int_equal(bytes.size, 0);
    redis_bytes_text(&bytes, "after");
    expect(&bytes, "$5\r\nafter\r\n", 11);
    redis_bytes_free(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_command), cmocka_unit_test(test_argument_in_parts),
        cmocka_unit_test(test_growth),  cmocka_unit_test(test_large_slice),
        cmocka_unit_test(test_freed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
