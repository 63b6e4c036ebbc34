/*
 * Goal: lines of sysctl.d and of units are read as systemd reads them: comments, the '-' in front,
 * dots and slashes, '*' in names, sections.
 */
#include "tuning/setting_lines.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static struct setting_line first_line(const char *text)
{
    struct setting_line line = {.rest = text};

    assert_true(setting_line_next(&line));
    return line;
}

static void expect_slice(struct slice slice, const char *text)
{
    if (!slice_equal(slice, slice_text(text))) {
        fail_msg("'%.*s' is not '%s'", (int)slice.size, (const char *)slice.data, text);
    }
}

static void test_lines(void **state)
{
    struct setting_line line = {
        .rest =
            "# a = 1\n;b = 2\n\n  c  =  3 4\t5 \r\n-d=\n-e\nword\n[Service] \nf=g=h\n[\n[]\n=x"};

    (void)state;
    assert_true(setting_line_next(&line));
    expect_slice(line.key, "c");
    expect_slice(line.value, "3 4\t5");
    assert_int_equal(line.number, 4);
    assert_int_equal(line.section.size, 0);
    assert_true(setting_line_next(&line));
    expect_slice(line.key, "d");
    expect_slice(line.value, "");
    assert_true(setting_line_next(&line));
    expect_slice(line.section, "Service");
    expect_slice(line.key, "f");
    expect_slice(line.value, "g=h");
    assert_int_equal(line.number, 9);
    assert_true(setting_line_is(&line, "Service", "f"));
    assert_false(setting_line_is(&line, "Unit", "f"));
    assert_false(setting_line_is(&line, "Service", "F"));
    assert_true(setting_line_next(&line));
    expect_slice(line.section, "");
    expect_slice(line.key, "");
    expect_slice(line.value, "x");
    assert_false(setting_line_next(&line));
    assert_false(setting_line_next(&line));
}

static void test_names(void **state)
{
    static const struct {
        const char *line;
        const char *key;
        enum setting_match match;
    } cases[] = {
        {"net.core.somaxconn=1", "net.core.somaxconn", MATCH_NAME},
        {"net/core/somaxconn=1", "net.core.somaxconn", MATCH_NAME},
        {"-net.core.somaxconn = 1", "net.core.somaxconn", MATCH_NAME},
        {"- net.core.somaxconn = 1", "net.core.somaxconn", MATCH_NAME},
        {"net.core.somaxcon=1", "net.core.somaxconn", MATCH_NOT},
        {"net.core.somaxconn2=1", "net.core.somaxconn", MATCH_NOT},
        {"net.core=1", "net.core.somaxconn", MATCH_NOT},
        /* The first separator decides. */
        {"net.core/somaxconn=1", "net.core.somaxconn", MATCH_NOT},
        {"net/core.somaxconn=1", "net.core.somaxconn", MATCH_NOT},
        {"net/ipv4/conf/eth0.100/rp_filter=1", "net.ipv4.conf.eth0/100.rp_filter", MATCH_NAME},
        {"net.ipv4.*=1", "net.ipv4.tcp_mem", MATCH_GLOB},
        {"net.ipv4.tcp_*=1", "net.ipv4.tcp_mem", MATCH_GLOB},
        {"net.*.tcp_mem=1", "net.ipv4.tcp_mem", MATCH_GLOB},
        {"net.*=1", "net.ipv4.tcp_mem", MATCH_NOT},
        {"*=1", "net.ipv4.tcp_mem", MATCH_NOT},
        {"net.ipv4.tcp_me?=1", "net.ipv4.tcp_mem", MATCH_GLOB},
        {"=1", "net.ipv4.tcp_mem", MATCH_NOT},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct setting_line line = first_line(cases[i].line);
        if (setting_line_sets(&line, cases[i].key) != cases[i].match) {
            fail_msg("%s against %s", cases[i].line, cases[i].key);
        }
    }
}

static void test_long_name(void **state)
{
    char text[300] = "";

    (void)state;
    memset(text, 'a', 256);
    text[256] = '=';
    const struct setting_line line = first_line(text);
    assert_int_equal(line.key.size, 256);
    assert_int_equal(setting_line_sets(&line, "a"), MATCH_NOT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_long_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
