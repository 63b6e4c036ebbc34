/*
 * Goal: numbers are written with three significant digits and the unit that fits, on both sides of
 * every step, whatever the number; commas stand between thousands; errors of printing stay in the
 * stream.
 */
#include "base/text.h"

#include <float.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define KB 1024.0
#define MB (1024 * KB)
#define GB (1024 * MB)
#define TB (1024 * GB)

static void assert_count(uint64_t value, const char *expected)
{
    char out[TEXT_SIZE];

    assert_ptr_equal(text_count(value, out), out);
    assert_string_equal(out, expected);
}

static void assert_bytes(double bytes, const char *expected)
{
    char out[TEXT_SIZE];

    assert_ptr_equal(text_bytes(bytes, out), out);
    assert_string_equal(out, expected);
}

static void assert_time(double nanoseconds, const char *expected)
{
    char out[TEXT_SIZE];

    assert_ptr_equal(text_time(nanoseconds, out), out);
    assert_string_equal(out, expected);
}

static void test_counts(void **state)
{
    (void)state;
    assert_count(0, "0");
    assert_count(7, "7");
    assert_count(999, "999");
    assert_count(1000, "1,000");
    assert_count(12345, "12,345");
    assert_count(999999, "999,999");
    assert_count(1000000, "1,000,000");
    assert_count(1234567, "1,234,567");
    assert_count(UINT64_MAX, "18,446,744,073,709,551,615");
}

static void test_bytes(void **state)
{
    (void)state;
    assert_bytes(0, "0 B");
    assert_bytes(1, "1 B");
    assert_bytes(312, "312 B");
    assert_bytes(1023, "1023 B");
    assert_bytes(1024, "1.00 KB");
    assert_bytes(9.994 * KB, "9.99 KB");
    assert_bytes(9.996 * KB, "10.0 KB");
    assert_bytes(99.94 * KB, "99.9 KB");
    assert_bytes(99.96 * KB, "100 KB");
    assert_bytes(1023 * KB, "1023 KB");
    assert_bytes(MB, "1.00 MB");
    assert_bytes(4.2 * GB, "4.20 GB");
    assert_bytes(TB, "1.00 TB");
    assert_bytes(5000 * TB, "5000 TB"); /* no larger unit */
}

static void test_negative_bytes(void **state)
{
    (void)state;
    assert_bytes(-1, "-1 B");
    assert_bytes(-1023, "-1023 B");
    assert_bytes(-1024, "-1.00 KB");
    assert_bytes(-12.3 * KB, "-12.3 KB");
    assert_bytes(-200 * MB, "-200 MB");
}

static void test_times(void **state)
{
    (void)state;
    assert_time(0, "0 ns");
    assert_time(850, "850 ns");
    assert_time(999, "999 ns");
    assert_time(1000, "1.00 us");
    assert_time(12300, "12.3 us");
    assert_time(999000, "999 us");
    assert_time(1e6, "1.00 ms");
    assert_time(1.21e6, "1.21 ms");
    assert_time(999e6, "999 ms");
    assert_time(1e9, "1.00 s");
    assert_time(3.1e9, "3.10 s");
    assert_time(86400e9, "86400 s"); /* no larger unit */
}

/* Of numbers that are longer than any text: the room is enough for what is cut. */
static void test_the_room_is_enough(void **state)
{
    char out[TEXT_SIZE + 1];

    (void)state;
    out[TEXT_SIZE] = 'x';
    assert_int_equal(strlen(text_bytes(DBL_MAX, out)), TEXT_SIZE - 1);
    assert_int_equal(out[TEXT_SIZE], 'x');
    assert_int_equal(strlen(text_bytes(-DBL_MAX, out)), TEXT_SIZE - 1);
    assert_int_equal(strlen(text_time(DBL_MAX, out)), TEXT_SIZE - 1);
    assert_int_equal(strlen(text_time(-DBL_MAX, out)), TEXT_SIZE - 1);
    assert_int_equal(out[TEXT_SIZE], 'x');
}

static void test_print(void **state)
{
    char room[32] = "";
    FILE *out = fmemopen(room, sizeof(room), "w");

    (void)state;
    assert_non_null(out);
    text_print(out, "%s is %d", "seven", 7);
    text_print(out, "%s", "");
    assert_int_equal(ferror(out), 0);
    assert_int_equal(fclose(out), 0);
    assert_string_equal(room, "seven is 7");
}

static void test_an_error_stays_in_the_stream(void **state)
{
    FILE *full = fopen("/dev/full", "w");

    (void)state;
    assert_non_null(full);
    assert_int_equal(setvbuf(full, NULL, _IONBF, 0), 0);
    text_print(full, "lost");
    assert_int_not_equal(ferror(full), 0);
    text_print(full, "lost too");
    assert_int_not_equal(ferror(full), 0);
    (void)fclose(full);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_negative_bytes),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_the_room_is_enough),
        cmocka_unit_test(test_print),
        cmocka_unit_test(test_an_error_stays_in_the_stream),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
