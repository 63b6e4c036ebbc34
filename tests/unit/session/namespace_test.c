/*
 * Goal: a channel finds its namespace; each rule has both its sides; patterns reach as far as their
 * text says, and never around a rule.
 */
#include "session/namespace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct name_list none = {0};

static struct namespaces three(enum namespace_who plain, enum namespace_who news,
                               enum namespace_who closed)
{
    struct namespaces namespaces = {.count = 3};

    namespaces.entries[0].name = "";
    namespaces.entries[1].name = "news";
    namespaces.entries[2].name = "inside";
    for (int i = 0; i < NAMESPACE_ACTIONS; i++) {
        namespaces.entries[0].who[i] = plain;
        namespaces.entries[1].who[i] = news;
        namespaces.entries[2].who[i] = closed;
    }
    return namespaces;
}

static void the_text_before_the_first_colon(void **state)
{
    static const struct {
        const char *channel;
        const char *name; /* NULL: built-in */
    } cases[] = {
        {"news:a", "news"},     {"news:", "news"}, {"news:a:b", "news"},
        {"news", ""},           {"", ""},          {":news", ""},
        {"new:a", NULL},        {"newss:a", NULL}, {"News:a", NULL},
        {"inside:*", "inside"}, {"*", ""},
    };
    const struct namespaces namespaces = three(WHO_CLAIM, WHO_CLAIM, WHO_CLAIM);
    const struct namespaces empty = {0};

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        const struct namespace *space = namespace_of(&namespaces, slice_text(cases[i].channel));

        if (cases[i].name) {
            assert_string_equal(space->name, cases[i].name);
        } else {
            assert_null(space->name);
        }
        space = namespace_of(&empty, slice_text(cases[i].channel));
        assert_null(space->name);
        assert_int_equal(space->who[NAMESPACE_SUBSCRIBE], WHO_CLAIM);
        assert_int_equal(space->who[NAMESPACE_PUBLISH], WHO_NOBODY);
        assert_int_equal(space->who[NAMESPACE_PRESENCE], WHO_NOBODY);
        assert_int_equal(space->who[NAMESPACE_HISTORY], WHO_NOBODY);
        assert_int_equal(space->history_size, 0);
        assert_int_equal(space->slow, SLOW_CLOSE);
    }
}

static void names_and_patterns(void **state)
{
    static const struct {
        const char *channel;
        bool matches;
    } cases[] = {
        {"a", true},      {"b", false},    {"aa", false},    {"", false},       {"news:", true},
        {"news:x", true}, {"news", false}, {"news:*", true}, {"news:x*", true}, {"new*", false},
        {"x*y", true},    {"xay", false},  {"x*", false},    {"*", false},      {"A", false},
    };
    const struct name_list list = {.names = "a\0news:*\0x*y", .count = 3};
    const struct name_list all = {.names = "*", .count = 1};
    const struct name_list star = {.names = "e**", .count = 1}; /* channels that begin with "e*" */

    (void)state;
    assert_true(name_list_matches(&star, slice_text("e*a")));
    assert_true(name_list_matches(&star, slice_text("e**")));
    assert_false(name_list_matches(&star, slice_text("e*")));
    assert_false(name_list_matches(&star, slice_text("ea")));
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_int_equal(name_list_matches(&list, slice_text(cases[i].channel)), cases[i].matches);
        assert_true(name_list_matches(&all, slice_text(cases[i].channel)));
        assert_false(name_list_matches(&none, slice_text(cases[i].channel)));
    }
}

static void each_rule_has_two_sides(void **state)
{
    const struct name_list list = {.names = "news:a\0news:p*", .count = 2};
    const struct slice named = slice_text("news:a");
    const struct slice matched = slice_text("news:pa");
    const struct slice other = slice_text("news:b");

    (void)state;
    for (int i = 0; i < NAMESPACE_ACTIONS; i++) {
        enum namespace_action action = (enum namespace_action)i;
        struct namespaces rules = three(WHO_NOBODY, WHO_NOBODY, WHO_NOBODY);

        assert_false(namespace_allows(&rules, action, &list, named, true));
        rules = three(WHO_NOBODY, WHO_CLAIM, WHO_NOBODY);
        assert_true(namespace_allows(&rules, action, &list, named, false));
        assert_true(namespace_allows(&rules, action, &list, matched, false));
        assert_false(namespace_allows(&rules, action, &list, other, true));
        assert_false(namespace_allows(&rules, action, &none, named, true));
        rules = three(WHO_NOBODY, WHO_CLIENT, WHO_NOBODY);
        assert_true(namespace_allows(&rules, action, &none, other, false));
        rules = three(WHO_NOBODY, WHO_SUBSCRIBER, WHO_NOBODY);
        assert_true(namespace_allows(&rules, action, &none, other, true));
        assert_false(namespace_allows(&rules, action, &list, named, false));
    }
}

static void what_is_not_configured(void **state)
{
    const struct namespaces empty = {0};
    const struct name_list list = {.names = "a", .count = 1};
    const struct slice channel = slice_text("a");

    (void)state;
    assert_true(namespace_allows(&empty, NAMESPACE_SUBSCRIBE, &list, channel, false));
    assert_false(namespace_allows(&empty, NAMESPACE_SUBSCRIBE, &none, channel, false));
    assert_false(namespace_allows(&empty, NAMESPACE_PUBLISH, &list, channel, true));
    assert_false(namespace_allows(&empty, NAMESPACE_PRESENCE, &list, channel, true));
    assert_false(namespace_allows(&empty, NAMESPACE_HISTORY, &list, channel, true));
}

/* A pattern must not see what its namespace alone would not show. */
static void patterns_go_around_no_rule(void **state)
{
    static const struct {
        const char *pattern;
        const char *claim; /* NULL: none */
        bool is_allowed;
    } cases[] = {
        {"news:*", NULL, true}, /* one namespace, which is open to all */
        {"news:a*", NULL, true},  {"news*", NULL, false},   {"news*", "news*", true},
        {"ne*", "ne*", true},     {"ne*", "news:*", false}, {"ne*", "*", true},
        {"*", "*", false}, /* reaches into "inside" */
        {"ins*", "*", false},     {"inside*", "*", false},  {"insidex*", "*", true},
        {"inside:*", "*", false}, {"other:*", NULL, false}, {"other:*", "other:*", true},
    };
    struct namespaces rules = three(WHO_CLIENT, WHO_CLIENT, WHO_NOBODY);

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        const struct name_list list = {.names = cases[i].claim, .count = cases[i].claim ? 1 : 0};
        bool is_allowed = namespace_allows(&rules, NAMESPACE_SUBSCRIBE, &list,
                                           slice_text(cases[i].pattern), false);

        if (is_allowed != cases[i].is_allowed) {
            print_error("%s with %s\n", cases[i].pattern, cases[i].claim ? cases[i].claim : "none");
        }
        assert_int_equal(is_allowed, cases[i].is_allowed);
    }
    /* Channels without a namespace may have any name: closed, they close every such pattern. */
    const struct name_list all = {.names = "*", .count = 1};
    rules.entries[0].who[NAMESPACE_SUBSCRIBE] = WHO_NOBODY;
    assert_false(namespace_allows(&rules, NAMESPACE_SUBSCRIBE, &all, slice_text("ne*"), false));
    assert_true(namespace_allows(&rules, NAMESPACE_SUBSCRIBE, &all, slice_text("news:*"), false));
}

static void names_are_texts(void **state)
{
    static const struct {
        const char *name;
        size_t size;
        bool is_valid;
    } cases[] = {
        {"a", 1, true},         {"", 0, false},
        {"12345678", 8, true},  {"123456789", 9, false},
        {"a\0b", 3, false},     {"a\x1f", 2, false},
        {"a b", 3, true},       {"a\x7f", 2, false},
        {"\xc2\x80", 2, false}, {"\xc2\x9f", 2, false},
        {"\xc2\xa0", 2, true},  {"\xc3\xa9", 2, true},
        {"\xc3", 1, false},     {"\xc2", 1, false},
        {"\xff", 1, false},     {"\xed\xa0\x80", 3, false},
        {"a*", 2, true},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_int_equal(channel_name_is_valid(slice_from(cases[i].name, cases[i].size), 8),
                         cases[i].is_valid);
    }
}

/* Names of up to 4 bytes, at most 3. */
static void lists_of_a_query(void **state)
{
    static const struct {
        const char *text;
        const char *names; /* with a | for each end; NULL: refused */
        uint32_t count;
    } cases[] = {
        {"", "", 0},
        {",", "", 0},
        {"a", "a|", 1},
        {"a,b", "a|b|", 2},
        {",a,,b,", "a|b|", 2},
        {"a,b,c", "a|b|c|", 3},
        {"a,b,c,", "a|b|c|", 3},
        {"a,b,c,d", NULL, 0},
        {"abcd", "abcd|", 1},
        {"a,abcde", NULL, 0},
        {"a\n", NULL, 0},
        {"a,\xff", NULL, 0},
        {"a,a", "a|a|", 2},
        {" a", " a|", 1},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        size_t size = strlen(cases[i].text);
        char *text = malloc(size + 1); /* a byte more would be found */
        struct name_list list;

        assert_non_null(text);
        memcpy(text, cases[i].text, size);
        assert_int_equal(name_list_split(text, size, 4, 3, &list), cases[i].names != NULL);
        if (cases[i].names) {
            assert_int_equal(list.count, cases[i].count);
            for (size_t j = 0; cases[i].names[j]; j++) {
                assert_int_equal(list.names[j], cases[i].names[j] == '|' ? 0 : cases[i].names[j]);
            }
        }
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_text_before_the_first_colon),
        cmocka_unit_test(names_and_patterns),
        cmocka_unit_test(each_rule_has_two_sides),
        cmocka_unit_test(what_is_not_configured),
        cmocka_unit_test(patterns_go_around_no_rule),
        cmocka_unit_test(names_are_texts),
        cmocka_unit_test(lists_of_a_query),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
