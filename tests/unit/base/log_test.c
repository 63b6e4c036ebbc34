/*
 * Goal: one event is one line whatever its values hold; the formats are as promised; JSON stays
 * JSON with any bytes; what is too long is cut and marked; levels and limits hold.
 */
#include "base/log.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#define TIME_SIZE 24 /* 2026-01-31T12:00:00.123Z */

static int ends[2];
static int stderr_kept;
static char line[2 * LOG_LINE_MAX];

static void capture(void)
{
    (void)fflush(stderr);
    assert_int_equal(pipe(ends), 0);
    stderr_kept = dup(STDERR_FILENO);
    assert_true(dup2(ends[1], STDERR_FILENO) >= 0);
    close(ends[1]);
}

/* What was written since capture(), in line. */
static size_t release(void)
{
    assert_true(dup2(stderr_kept, STDERR_FILENO) >= 0); /* the pipe has no writer now */
    close(stderr_kept);
    size_t size = 0;
    for (;;) {
        ssize_t got = read(ends[0], line + size, sizeof(line) - 1 - size);
        assert_true(got >= 0);
        if (got == 0) {
            break;
        }
        size += (size_t)got;
    }
    close(ends[0]);
    line[size] = 0;
    return size;
}

static void write_slice(enum log_format format, struct slice value)
{
    log_setup(format, LOG_INFO);
    capture();
    LOG(LOG_WARN, "event", log_slice("v", value), log_number("n", 1));
    (void)release();
}

static void assert_text(struct slice value, const char *expected)
{
    write_slice(LOG_TEXT, value);
    assert_string_equal(line + TIME_SIZE, expected);
}

static void assert_json(struct slice value, const char *expected)
{
    const size_t head = strlen("{\"time\":\"");

    write_slice(LOG_JSON, value);
    assert_string_equal(line + head + TIME_SIZE, expected);
}

static void test_text(void **state)
{
    unsigned at[7] = {0};
    int end = 0;

    (void)state;
    log_setup(LOG_TEXT, LOG_INFO);
    capture();
    LOG(LOG_WARN, "token refused", log_text("reason", "expired"), log_number("shard", 1));
    (void)release();
    assert_string_equal(line + TIME_SIZE, " warn token refused reason=expired shard=1\n");
    assert_int_equal(sscanf(line, "%4u-%2u-%2uT%2u:%2u:%2u.%3uZ%n", &at[0], &at[1], &at[2], &at[3],
                            &at[4], &at[5], &at[6], &end),
                     7);
    assert_int_equal(end, TIME_SIZE);
    assert_true(at[0] >= 2024);
    assert_in_range(at[1], 1, 12);
    assert_in_range(at[2], 1, 31);
    assert_in_range(at[3], 0, 23);

    capture();
    LOG(LOG_ERROR, "alone");
    (void)release();
    assert_string_equal(line + TIME_SIZE, " error alone\n");
}

static void test_text_values(void **state)
{
    (void)state;
    assert_text(slice_text("a.b-c/d:e"), " warn event v=a.b-c/d:e n=1\n");
    assert_text(slice_text(""), " warn event v=\"\" n=1\n");
    assert_text(slice_from(NULL, 0), " warn event v=\"\" n=1\n");
    assert_text(slice_text("a b"), " warn event v=\"a b\" n=1\n");
    assert_text(slice_text("a=b"), " warn event v=\"a=b\" n=1\n");
    assert_text(slice_text("a\"b\\c"), " warn event v=\"a\\\"b\\\\c\" n=1\n");
    assert_text(slice_text("x\r\n2026-01-31 fake"),
                " warn event v=\"x\\x0d\\x0a2026-01-31 fake\" n=1\n");
    assert_text(slice_text("\x1b[31m\x7f"), " warn event v=\"\\x1b[31m\\x7f\" n=1\n");
    assert_text(slice_from("a\0b", 3), " warn event v=\"a\\x00b\" n=1\n");
    assert_text(slice_text("caf\xc3\xa9"), " warn event v=\"caf\xc3\xa9\" n=1\n");
    assert_text(slice_text("caf\xe9!"), " warn event v=\"caf\\xe9!\" n=1\n");
    assert_text(slice_text("\xc2\x9b"), " warn event v=\"\\x9b\" n=1\n"); /* CSI of the C1 set */
}

static void test_json_values(void **state)
{
    const char *const head = "\",\"level\":\"warn\",\"event\":\"event\",\"v\":";
    const struct {
        const char *value;
        const char *json;
    } cases[] = {
        {"plain", "\"plain\""},
        {"", "\"\""},
        {"a\"b\\c", "\"a\\\"b\\\\c\""},
        {"a\nb\x01", "\"a\\u000ab\\u0001\""},
        {"\x7f\xc2\x80\xc2\x9f\xc2\xa0", "\"\\u007f\\u0080\\u009f\xc2\xa0\""},
        {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x90\x9a", "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x90\x9a\""},
        /* not UTF-8: alone, cut, too long a form, a surrogate, beyond U+10FFFF */
        {"a\x80z", "\"a\\ufffdz\""},
        {"a\xc3", "\"a\\ufffd\""},
        {"\xe2\x82z", "\"\\ufffd\\ufffdz\""},
        {"\xc0\xaf", "\"\\ufffd\\ufffd\""},
        {"\xe0\x9f\xbf", "\"\\ufffd\\ufffd\\ufffd\""},
        {"\xf0\x8f\xbf\xbf", "\"\\ufffd\\ufffd\\ufffd\\ufffd\""},
        {"\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\""},
        {"\xed\x9f\xbf", "\"\xed\x9f\xbf\""},
        {"\xf4\x8f\xbf\xbf", "\"\xf4\x8f\xbf\xbf\""},
        {"\xf4\x90\x80\x80", "\"\\ufffd\\ufffd\\ufffd\\ufffd\""},
        {"\xf5\xff", "\"\\ufffd\\ufffd\""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char expected[256];
        (void)snprintf(expected, sizeof(expected), "%s%s,\"n\":1}\n", head, cases[i].json);
        assert_json(slice_text(cases[i].value), expected);
    }
}

static void test_numbers(void **state)
{
    (void)state;
    log_setup(LOG_TEXT, LOG_INFO);
    capture();
    LOG(LOG_INFO, "n", log_number("a", INT64_MIN), log_number("b", INT64_MAX), log_number("c", 0));
    (void)release();
    assert_string_equal(line + TIME_SIZE,
                        " info n a=-9223372036854775808 b=9223372036854775807 c=0\n");
}

static void test_errno(void **state)
{
    (void)state;
    log_setup(LOG_TEXT, LOG_INFO);
    capture();
    LOG(LOG_ERROR, "open", log_errno("error", ENOENT), log_errno("odd", 99999));
    (void)release();
    assert_string_equal(line + TIME_SIZE,
                        " error open error=\"No such file or directory\" odd=99999\n");
}

static void test_errno_kept(void **state)
{
    (void)state;
    log_setup(LOG_TEXT, LOG_INFO);
    capture();
    assert_true(dup2(ends[0], STDERR_FILENO) >= 0); /* nobody can write there */
    errno = ENOENT;
    LOG(LOG_ERROR, "lost");
    assert_int_equal(errno, ENOENT);
    assert_int_equal(release(), 0);
}

static void test_levels(void **state)
{
    const enum log_level levels[] = {LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR};
    const char *const names[] = {" debug x\n", " info x\n", " warn x\n", " error x\n"};

    (void)state;
    for (size_t least = 0; least < 4; least++) {
        log_setup(LOG_TEXT, levels[least]);
        for (size_t i = 0; i < 4; i++) {
            capture();
            LOG(levels[i], "x");
            size_t size = release();
            if (i < least) {
                assert_int_equal(size, 0);
            } else {
                assert_string_equal(line + TIME_SIZE, names[i]);
            }
        }
    }
}

static void test_long_value(void **state)
{
    const char euro[] = {'\xe2', '\x82', '\xac'};
    char value[1000];
    char expected[1100];

    (void)state;
    memset(value, 'x', sizeof(value));
    (void)snprintf(expected, sizeof(expected), " warn event v=%.400s n=1\n", value);
    assert_text(slice_from(value, 400), expected);
    (void)snprintf(expected, sizeof(expected), " warn event v=\"%.400s...\" n=1\n", value);
    assert_text(slice_from(value, 401), expected);
    assert_text(slice_from(value, 1000), expected);

    /* Never in the middle of an escape or a character. */
    memcpy(value + 398, euro, sizeof(euro));
    (void)snprintf(expected, sizeof(expected), " warn event v=\"%.398s...\" n=1\n", value);
    assert_text(slice_from(value, 1000), expected);
    memset(value, 1, sizeof(value));
    write_slice(LOG_JSON, slice_from(value, 1000));
    assert_non_null(strstr(line, "\\u0001...\",\"n\":1}\n"));
}

/* Whole fields or none: the line ends as it should, and says that something is missing. */
static void test_long_line(void **state)
{
    char value[400];

    (void)state;
    memset(value, 'x', sizeof(value));
    for (size_t last = 1; last <= sizeof(value); last++) {
        struct log_field fields[6];
        for (size_t i = 0; i < 5; i++) {
            fields[i] = log_slice("field", slice_from(value, i < 4 ? sizeof(value) : last));
        }
        fields[5] = log_text("end", "e");

        log_setup(LOG_JSON, LOG_INFO);
        capture();
        log_write(LOG_INFO, "long", fields, 6);
        size_t size = release();
        bool whole = strstr(line, ",\"end\":\"e\"}\n") != NULL;
        assert_true(size <= LOG_LINE_MAX);
        assert_int_equal(whole, strstr(line, "\",\"cut\":true}\n") == NULL);
        /* head, four fields of 400, the last, the end; 16 bytes are kept for the mark */
        assert_int_equal(whole, 64 + 4 * 411 + 11 + last + 10 <= LOG_LINE_MAX - 16);

        log_setup(LOG_TEXT, LOG_INFO);
        capture();
        log_write(LOG_INFO, "long", fields, 6);
        size = release();
        assert_true(size <= LOG_LINE_MAX);
        assert_true(strcmp(line + size - 7, " end=e\n") == 0 ||
                    strcmp(line + size - 6, "x ...\n") == 0);
    }

    char event[3000];
    memset(event, 'e', sizeof(event) - 1);
    event[sizeof(event) - 1] = 0;
    capture();
    LOG(LOG_INFO, event, log_number("n", 1));
    size_t size = release();
    assert_true(size <= LOG_LINE_MAX);
    assert_string_equal(line + size - 5, " ...\n");
}

static void test_limit(void **state)
{
    struct log_limit limit = {0};
    uint64_t suppressed = 77;

    (void)state;
    assert_true(log_limit_pass(&limit, 1000, 100, &suppressed));
    assert_int_equal(suppressed, 0);
    assert_false(log_limit_pass(&limit, 1000, 100, &suppressed));
    assert_false(log_limit_pass(&limit, 1099, 100, &suppressed));
    assert_true(log_limit_pass(&limit, 1100, 100, &suppressed));
    assert_int_equal(suppressed, 2);
    assert_true(log_limit_pass(&limit, 5000, 100, &suppressed));
    assert_int_equal(suppressed, 0);
}

static void test_limit_of_several(void **state)
{
    struct log_limit limit = {0};
    uint64_t suppressed = 77;

    (void)state;
    assert_true(log_limit_pass_some(&limit, 1000, 100, 2, &suppressed));
    assert_int_equal(suppressed, 0);
    assert_true(log_limit_pass_some(&limit, 1099, 100, 2, &suppressed));
    assert_false(log_limit_pass_some(&limit, 1099, 100, 2, &suppressed));
    assert_true(log_limit_pass_some(&limit, 1100, 100, 2, &suppressed));
    assert_int_equal(suppressed, 1);
    assert_true(log_limit_pass_some(&limit, 1100, 100, 2, &suppressed));
    assert_int_equal(suppressed, 0);
    assert_false(log_limit_pass_some(&limit, 1100, 100, 2, &suppressed));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),        cmocka_unit_test(test_text_values),
        cmocka_unit_test(test_json_values), cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_errno),       cmocka_unit_test(test_levels),
        cmocka_unit_test(test_long_value),  cmocka_unit_test(test_long_line),
        cmocka_unit_test(test_limit),       cmocka_unit_test(test_limit_of_several),
        cmocka_unit_test(test_errno_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
