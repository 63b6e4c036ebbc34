/*
 * Goal: pairs of a query are found whatever stands between the ampersands; a value is decoded
 * exactly, and what is malformed or ambiguous is said to be so.
 */
#include "ws/query.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct {
    const char *query;
    const char *pairs; /* name=value of each, parted by a bar */
} splits[] = {
    {"", ""},
    {"a=1", "a=1|"},
    {"a=1&b=2", "a=1|b=2|"},
    {"a", "a=|"},
    {"a=", "a=|"},
    {"=1", "=1|"},
    {"=", "=|"},
    {"&", "=|"},
    {"a=1&", "a=1|"},
    {"&a=1", "=|a=1|"},
    {"a=1&&b=2", "a=1|=|b=2|"},
    {"a=b=c", "a=b=c|"},
    {"a&b=1", "a=|b=1|"},
    {"a=%26&b", "a=%26|b=|"},
};

static void test_next(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(splits) / sizeof(splits[0]); i++) {
        struct slice query = slice_text(splits[i].query);
        struct slice name;
        struct slice value;
        char pairs[64] = "";
        while (query_next(&query, &name, &value)) {
            strncat(pairs, (const char *)name.data, name.size);
            strcat(pairs, "=");
            strncat(pairs, (const char *)value.data, value.size);
            strcat(pairs, "|");
        }
        assert_string_equal(pairs, splits[i].pairs);
        assert_int_equal(query.size, 0);
    }
}

static const struct {
    const char *query;
    int64_t size;
    const char *value;
} values[] = {
    {"", QUERY_ABSENT, ""},
    {"b=1", QUERY_ABSENT, ""},
    {"A=1", QUERY_ABSENT, ""},
    {"aa=1&xa=2", QUERY_ABSENT, ""},
    {"%61=1", QUERY_ABSENT, ""},
    {"a=", 0, ""},
    {"a", 0, ""},
    {"a=1", 1, "1"},
    {"b=2&a=1&c=3", 1, "1"},
    {"a=x%2cy%2Cz", 5, "x,y,z"},
    {"a=%41%7a%00%fF", 4, "Az\0\xff"},
    {"a=x+y%2Bz", 5, "x y+z"},
    {"a=1&a=1", QUERY_MALFORMED, ""},
    {"a=1&b=2&a", QUERY_MALFORMED, ""},
    {"a=%", QUERY_MALFORMED, ""},
    {"a=%4", QUERY_MALFORMED, ""},
    {"a=%4&b=1", QUERY_MALFORMED, ""},
    {"a=%4g", QUERY_MALFORMED, ""},
    {"a=%g4", QUERY_MALFORMED, ""},
    {"a=%/0", QUERY_MALFORMED, ""},
    {"a=%:0", QUERY_MALFORMED, ""},
    {"a=%@0", QUERY_MALFORMED, ""},
    {"a=%%30", QUERY_MALFORMED, ""},
    {"b=%zz&a=1", 1, "1"},
};

static void test_value(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        size_t size = strlen(values[i].query);
        char *query = malloc(size);
        uint8_t *out = malloc(size);
        assert_true(size == 0 || (query != NULL && out != NULL));
        memcpy(query, values[i].query, size);
        int64_t value_size = query_value(slice_from(query, size), "a", out);
        if (value_size != values[i].size) {
            fail_msg("%s: %d", values[i].query, (int)value_size);
        }
        if (value_size > 0) {
            assert_memory_equal(out, values[i].value, (size_t)value_size);
        }
        free(query);
        free(out);
    }
}

static void test_every_escape(void **state)
{
    static const char digits[] = "0123456789abcdefABCDEF";
    uint8_t out[8];

    (void)state;
    for (unsigned number = 0; number < 65536; number++) {
        const uint8_t text[5] = {'a', '=', '%', (uint8_t)(number >> 8), (uint8_t)number};
        bool is_hex = text[3] != 0 && text[4] != 0 && strchr(digits, text[3]) != NULL &&
                      strchr(digits, text[4]) != NULL;
        int64_t size = query_value(slice_from(text, sizeof(text)), "a", out);
        assert_int_equal(size, is_hex ? 1 : QUERY_MALFORMED);
        if (is_hex) {
            const char hex[3] = {(char)text[3], (char)text[4], '\0'};
            assert_int_equal(out[0], strtoul(hex, NULL, 16));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_next),
        cmocka_unit_test(test_value),
        cmocka_unit_test(test_every_escape),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
