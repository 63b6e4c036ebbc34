/*
 * Goal: what is put in comes out as JSON, whatever bytes a string holds; the block grows up to its
 * bound, to the byte; what does not fit stays failed and writes nothing more.
 */
#include "admin/json_out.h"

#include "admin/raw_json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define REPLACED "\xef\xbf\xbd"

static void assert_holds(struct json_out *out, const char *expected)
{
    assert_false(out->failed);
    assert_int_equal(out->size, strlen(expected));
    assert_memory_equal(out->data, expected, out->size);
    free(out->data);
    *out = (struct json_out){.size_max = out->size_max};
}

static void assert_string(struct slice text, const char *expected)
{
    struct json_out out = {.size_max = 1000};

    json_out_string(&out, text);
    assert_holds(&out, expected);
}

static void test_values(void **state)
{
    struct json_out out = {.size_max = 1000};

    (void)state;
    json_out_text(&out, "[");
    json_out_number(&out, 0);
    json_out_raw(&out, slice_from(",xxx", 1));
    json_out_number(&out, UINT64_MAX);
    json_out_raw(&out, (struct slice){0});
    json_out_text(&out, "");
    json_out_text(&out, "]");
    assert_holds(&out, "[0,18446744073709551615]");
}

static void test_strings(void **state)
{
    (void)state;
    assert_string((struct slice){0}, "\"\"");
    assert_string(slice_text("plain"), "\"plain\"");
    assert_string(slice_text("\"\\/"), "\"\\\"\\\\/\"");
    assert_string(slice_from("\0\n\x1f\x20\x7f", 5), "\"\\u0000\\u000a\\u001f \x7f\"");
    assert_string(slice_text("gr\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80"),
                  "\"gr\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80\"");
}

static void test_what_is_no_utf8_is_replaced(void **state)
{
    (void)state;
    assert_string(slice_text("a\x80z"), "\"a" REPLACED "z\"");
    assert_string(slice_text("\xff"), "\"" REPLACED "\"");
    assert_string(slice_text("\xe2\x82"), "\"" REPLACED REPLACED "\"");       /* cut */
    assert_string(slice_text("\xe2\x82\""), "\"" REPLACED REPLACED "\\\"\""); /* no way out */
    assert_string(slice_text("\xc0\xaf"), "\"" REPLACED REPLACED "\"");       /* too long */
    assert_string(slice_text("\xed\xa0\x80"), "\"" REPLACED REPLACED REPLACED "\"");
    assert_string(slice_from("\xf0\x9f\x98\x80", 3), "\"" REPLACED REPLACED REPLACED "\"");
}

/* Every pair of bytes, which a parser then takes. */
static void test_any_bytes_make_a_string(void **state)
{
    (void)state;
    for (uint32_t i = 0; i <= UINT16_MAX; i++) {
        struct json_out out = {.size_max = 100};
        const uint8_t pair[] = {(uint8_t)(i >> 8), (uint8_t)i};
        size_t bad_at;
        json_out_string(&out, slice_from(pair, sizeof(pair)));
        assert_false(out.failed);
        if (!raw_json_check(slice_from(out.data, out.size), &bad_at)) {
            fail_msg("%04x: wrong at %zu", i, bad_at);
        }
        free(out.data);
    }
}

static void test_base64(void **state)
{
    struct json_out out = {.size_max = 1000};

    (void)state;
    json_out_base64(&out, (struct slice){0});
    assert_holds(&out, "\"\"");
    json_out_base64(&out, slice_text("f"));
    json_out_base64(&out, slice_text("fo"));
    json_out_base64(&out, slice_text("foo"));
    json_out_base64(&out, slice_from("\0\xff\xfe\xfb", 4));
    assert_holds(&out, "\"Zg==\"\"Zm8=\"\"Zm9v\"\"AP/++w==\"");
}

static void test_the_bound(void **state)
{
    struct json_out out = {.size_max = 5};

    (void)state;
    json_out_text(&out, "12345");
    assert_holds(&out, "12345");
    json_out_text(&out, "1234");
    json_out_text(&out, "56");
    assert_true(out.failed);
    assert_int_equal(out.size, 4);
    json_out_text(&out, "5"); /* would fit, but something is missing before it */
    json_out_text(&out, "");
    json_out_number(&out, 5);
    json_out_string(&out, (struct slice){0});
    json_out_base64(&out, (struct slice){0});
    assert_true(out.failed);
    assert_int_equal(out.size, 4);
    assert_memory_equal(out.data, "1234", 4);
    free(out.data);
}

static void test_the_bound_of_each_kind(void **state)
{
    (void)state;
    for (size_t size_max = 0; size_max < 10; size_max++) {
        struct json_out out[] = {
            {.size_max = size_max}, {.size_max = size_max}, {.size_max = size_max}};
        json_out_number(&out[0], 1234567890);
        json_out_string(&out[1], slice_text("\xff\n")); /* 11 bytes */
        json_out_base64(&out[2], slice_text("fourfi"));
        for (size_t i = 0; i < sizeof(out) / sizeof(out[0]); i++) {
            assert_true(out[i].failed);
            assert_true(out[i].size <= size_max);
            free(out[i].data);
        }
    }
    struct json_out out = {.size_max = 10};
    json_out_number(&out, 1234567890);
    assert_holds(&out, "1234567890");
    json_out_base64(&out, slice_text("fourfi"));
    assert_holds(&out, "\"Zm91cmZp\"");
    out.size_max = 11;
    json_out_string(&out, slice_text("\xff\n"));
    assert_holds(&out, "\"" REPLACED "\\u000a\"");
}

/* Piece by piece, and at once: nothing of what was there is lost. */
static void test_the_block_grows(void **state)
{
    enum {
        SIZE = 100000
    };
    struct json_out out = {.size_max = SIZE};
    static char large[SIZE];

    (void)state;
    for (uint32_t i = 0; i < SIZE / 2; i++) {
        large[i] = (char)('a' + i % 23);
        json_out_raw(&out, slice_from(&large[i], 1));
    }
    memset(large + SIZE / 2, 'z', SIZE / 2);
    json_out_raw(&out, slice_from(large + SIZE / 2, SIZE / 2));
    assert_false(out.failed);
    assert_int_equal(out.size, SIZE);
    assert_true(out.room >= out.size);
    assert_memory_equal(out.data, large, SIZE);
    json_out_raw(&out, slice_text("!"));
    assert_true(out.failed);
    free(out.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_strings),
        cmocka_unit_test(test_what_is_no_utf8_is_replaced),
        cmocka_unit_test(test_any_bytes_make_a_string),
        cmocka_unit_test(test_base64),
        cmocka_unit_test(test_the_bound),
        cmocka_unit_test(test_the_bound_of_each_kind),
        cmocka_unit_test(test_the_block_grows),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
