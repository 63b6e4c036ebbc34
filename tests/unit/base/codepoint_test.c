/*
 * Goal: exactly the sequences of RFC 3629, section 4, are code points: each first and last one of a
 * size, and what is next to it.
 */
#include "base/codepoint.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static size_t size_of(const char *bytes, size_t size)
{
    return code_point_size(slice_from(bytes, size));
}

static void test_sizes(void **state)
{
    (void)state;
    assert_int_equal(size_of("\x00", 1), 1);
    assert_int_equal(size_of("\x7f", 1), 1);
    assert_int_equal(size_of("\xc2\x80", 2), 2);
    assert_int_equal(size_of("\xdf\xbf\xbf", 3), 2);
    assert_int_equal(size_of("\xe0\xa0\x80", 3), 3);
    assert_int_equal(size_of("\xed\x9f\xbf", 3), 3);
    assert_int_equal(size_of("\xee\x80\x80", 3), 3);
    assert_int_equal(size_of("\xef\xbf\xbf", 3), 3);
    assert_int_equal(size_of("\xf0\x90\x80\x80", 4), 4);
    assert_int_equal(size_of("\xf4\x8f\xbf\xbf", 4), 4);
}

static void test_what_is_none(void **state)
{
    (void)state;
    assert_int_equal(size_of("\x80", 1), 0);
    assert_int_equal(size_of("\xc1\xbf", 2), 0);
    assert_int_equal(size_of("\xc2\x7f", 2), 0);
    assert_int_equal(size_of("\xc2\xc0", 2), 0);
    assert_int_equal(size_of("\xe0\x9f\xbf", 3), 0);
    assert_int_equal(size_of("\xed\xa0\x80", 3), 0);
    assert_int_equal(size_of("\xe1\x80\x7f", 3), 0);
    assert_int_equal(size_of("\xf0\x8f\xbf\xbf", 4), 0);
    assert_int_equal(size_of("\xf4\x90\x80\x80", 4), 0);
    assert_int_equal(size_of("\xf5\x80\x80\x80", 4), 0);
    assert_int_equal(size_of("\xff", 1), 0);
}

/* Every sequence that is cut short. */
static void test_cut(void **state)
{
    (void)state;
    assert_int_equal(size_of("\xc2\x80", 1), 0);
    assert_int_equal(size_of("\xe1\x80\x80", 2), 0);
    assert_int_equal(size_of("\xf1\x80\x80\x80", 3), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_what_is_none),
        cmocka_unit_test(test_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
