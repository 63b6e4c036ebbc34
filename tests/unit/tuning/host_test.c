/*
 * Goal: a reading below a scratch root is one tidy line, and what is absent, may not be read or is
 * too long is told apart.
 */
#include "tuning/host.h"
#include "tuning/reading.h"

#include "scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct scratch scratch;
static char text[HOST_TEXT_MAX];

static int open_host(void **state)
{
    (void)state;
    scratch_open(&scratch);
    return 0;
}

static int close_host(void **state)
{
    (void)state;
    scratch_close(&scratch);
    return 0;
}

static void test_one_tidy_line(void **state)
{
    static const struct {
        const char *file;
        const char *line;
    } cases[] = {
        {"4096\n", "4096"},
        {"  1\t2 \t 3 \n", "1 2 3"},
        {"first\nsecond\n", "first"},
        {"without end", "without end"},
        {"\n", ""},
        {"", ""},
        {"carriage\r\n", "carriage"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        scratch_write(&scratch, "/proc/sys/vm/x", cases[i].file);
        assert_int_equal(host_read_sysctl(scratch.root, "vm.x", text), HOST_READ);
        assert_string_equal(text, cases[i].line);
    }
}

static void test_what_cannot_be_read(void **state)
{
    char long_root[HOST_PATH_MAX + 8];

    (void)state;
    assert_int_equal(host_read_text(scratch.root, "/none", text), HOST_ABSENT);
    scratch_write(&scratch, "/folder/file", "x");
    assert_int_equal(host_read_text(scratch.root, "/folder", text), HOST_UNREADABLE);
    assert_int_equal(host_read_text(scratch.root, "/folder/file/below", text), HOST_ABSENT);
    assert_string_equal(text, "");
    memset(long_root, 'r', sizeof(long_root));
    long_root[sizeof(long_root) - 1] = '\0';
    assert_int_equal(host_read_text(long_root, "/x", text), HOST_UNREADABLE);
}

/* Longer than any value that is looked at: cut, not overrun. */
static void test_a_long_line(void **state)
{
    char line[4 * HOST_TEXT_MAX];

    (void)state;
    memset(line, '7', sizeof(line) - 1);
    line[sizeof(line) - 1] = '\0';
    scratch_write(&scratch, "/long", line);
    assert_int_equal(host_read_text(scratch.root, "/long", text), HOST_READ);
    assert_int_equal(strlen(text), HOST_TEXT_MAX - 1);
}

static void test_numbers_as_text(void **state)
{
    static const struct {
        uint64_t numbers[WANT_NUMBERS_MAX];
        uint32_t count;
        const char *unit;
        const char *text;
    } cases[] = {
        {{0}, 0, NULL, ""},
        {{8192}, 1, NULL, "8192"},
        {{WANT_INFINITE}, 1, "bytes", "infinity"},
        {{25000}, 1, "ms", "25 s"},
        {{25001}, 1, "ms", "25001 ms"},
        {{8388608}, 1, "bytes", "8.00 MB"},
        {{1000}, 1, "bytes", "1000"},
        {{4096, 16384, 4194304}, 3, "bytes", "4096 16384 4194304"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        reading_format(cases[i].numbers, cases[i].count, cases[i].unit, text, sizeof(text));
        assert_string_equal(text, cases[i].text);
    }
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, open_host, close_host)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_one_tidy_line),
        TEST(test_what_cannot_be_read),
        TEST(test_a_long_line),
        TEST(test_numbers_as_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
