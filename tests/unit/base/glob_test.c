/*
 * Goal: a glob matches what it says, and takes no time to speak of for a pattern that is made to
 * take long.
 */
#include "base/glob.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static void test_matches(void **state)
{
    const struct {
        const char *pattern;
        const char *text;
        bool matches;
    } cases[] = {
        {"", "", true},
        {"", "a", false},
        {"a", "", false},
        {"a", "a", true},
        {"a", "b", false},
        {"a", "ab", false},
        {"*", "", true},
        {"*", "anything", true},
        {"**", "x", true},
        {"?", "", false},
        {"?", "x", true},
        {"?", "xy", false},
        {"news.*", "news.", true},
        {"news.*", "news.a.b", true},
        {"news.*", "new", false},
        {"*.end", "the.end", true},
        {"*.end", "the.end.", false},
        {"a*b*c", "a1b2c", true},
        {"a*b*c", "abcbc", true},
        {"a*b*c", "acb", false},
        {"*a?c*", "xxabcxx", true},
        {"*a?c*", "xxacxx", false},
        {"a*", "a", true},
        {"*aab", "aaaab", true},
        {"[a]", "a", false},
        {"[a]", "[a]", true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (glob_matches(slice_text(cases[i].pattern), slice_text(cases[i].text)) !=
            cases[i].matches) {
            fail_msg("%s against %s", cases[i].pattern, cases[i].text);
        }
    }
}

static void test_hostile_pattern(void **state)
{
    char pattern[251] = "";
    char text[256] = "";

    (void)state;
    for (size_t i = 0; i < 250; i += 2) {
        pattern[i] = 'a';
        pattern[i + 1] = '*';
    }
    pattern[249] = 'b';
    memset(text, 'a', 255);
    assert_false(glob_matches(slice_text(pattern), slice_text(text)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_matches),
        cmocka_unit_test(test_hostile_pattern),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
