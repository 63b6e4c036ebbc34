/*
 * Goal: the check takes exactly RFC 8259 (in UTF-8, up to a depth) and names the byte that is
 * wrong; what it took is taken apart without losing a byte of a value; in place, too.
 */
#include "admin/raw_json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static void assert_good(const char *text)
{
    size_t bad_at;

    if (!raw_json_check(slice_text(text), &bad_at)) {
        fail_msg("%s: refused at %zu", text, bad_at);
    }
}

static void assert_bad(const char *text, size_t expected)
{
    size_t bad_at = SIZE_MAX;

    if (raw_json_check(slice_text(text), &bad_at)) {
        fail_msg("%s: taken", text);
    }
    assert_int_equal(bad_at, expected);
}

static void test_good_texts(void **state)
{
    static const char *const texts[] = {"0",
                                        "-0",
                                        "1",
                                        "-12",
                                        "10.5",
                                        "1e5",
                                        "1E+5",
                                        "1.25e-300",
                                        "123456789012345678901234567890",
                                        "1e999",
                                        "true",
                                        "false",
                                        "null",
                                        "\"\"",
                                        "\"a\"",
                                        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e4\"",
                                        "\"\\ud800\"",
                                        "\"\xc3\xa4\"",
                                        "[]",
                                        "[ ]",
                                        "{}",
                                        "{ }",
                                        " [ 1 , [ ] , { } ] ",
                                        "{\"a\":1}",
                                        "{\"a\":1,\"a\":2}",
                                        "\t\r\n{ \"a\" : [ { \"b\" : null } ] , \"c\" : \"\" } ",
                                        "[[[1],2],3]",
                                        "{\"\":{}}",
                                        "\"\x7f\""};

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_good(texts[i]);
    }
}

static void test_bad_texts(void **state)
{
    (void)state;
    assert_bad("", 0);
    assert_bad("  ", 2);
    assert_bad("01", 1);
    assert_bad("-", 1);
    assert_bad("+1", 0);
    assert_bad("1.", 2);
    assert_bad(".5", 0);
    assert_bad("1e", 2);
    assert_bad("1e+", 3);
    assert_bad("truf", 3);
    assert_bad("nul", 3);
    assert_bad("True", 0);
    assert_bad("NaN", 0);
    assert_bad("\"", 1);
    assert_bad("\"a", 2);
    assert_bad("\"\\", 2);
    assert_bad("\"\\x\"", 2);
    assert_bad("\"\\u12g4\"", 5);
    assert_bad("\"a\nb\"", 2);
    assert_bad("\"\x1f\"", 1);
    assert_bad("\"\xff\"", 1);
    assert_bad("\"\xc3\"", 1);
    assert_bad("\xef\xbb\xbf{}", 0); /* a byte order mark */
    assert_bad("[", 1);
    assert_bad("[1", 2);
    assert_bad("[1,", 3);
    assert_bad("[1,]", 3);
    assert_bad("[,1]", 1);
    assert_bad("[1 2]", 3);
    assert_bad("[1}", 2);
    assert_bad("{", 1);
    assert_bad("{1:2}", 1);
    assert_bad("{\"a\"}", 4);
    assert_bad("{\"a\" 1}", 5);
    assert_bad("{\"a\":}", 5);
    assert_bad("{\"a\":1", 6);
    assert_bad("{\"a\":1]", 6);
    assert_bad("{\"a\":1,}", 7);
    assert_bad("{} {}", 3);
    assert_bad("1 x", 2);
    assert_bad("'a'", 0);
    assert_bad("[1] // no", 4);
}

static void test_a_zero_byte(void **state)
{
    size_t bad_at;

    (void)state;
    assert_false(raw_json_check(slice_from("{}\0", 3), &bad_at));
    assert_int_equal(bad_at, 2);
    assert_false(raw_json_check(slice_from("\"\0\"", 3), &bad_at));
    assert_int_equal(bad_at, 1);
}

/* Levels of arrays, and of objects and arrays by turns. */
static bool nests(uint32_t depth, bool by_turns)
{
    char *text = malloc(depth * 6 + 1);
    size_t size = 0;
    size_t bad_at;

    assert_non_null(text);
    for (uint32_t i = 0; i < depth; i++) {
        const char *open = by_turns && i % 2 == 0 ? "{\"a\":" : "[";
        memcpy(text + size, open, strlen(open));
        size += strlen(open);
    }
    if (by_turns && depth % 2 == 1) {
        text[size++] = '1';
    }
    for (uint32_t i = depth; i-- > 0;) {
        text[size++] = by_turns && i % 2 == 0 ? '}' : ']';
    }
    bool is_good = raw_json_check(slice_from(text, size), &bad_at);
    free(text);
    return is_good;
}

static void test_depth(void **state)
{
    (void)state;
    assert_true(nests(RAW_JSON_DEPTH_MAX, false));
    assert_false(nests(RAW_JSON_DEPTH_MAX + 1, false));
    assert_true(nests(RAW_JSON_DEPTH_MAX, true));
    assert_true(nests(65, true)); /* across two words of bits */
    assert_false(nests(RAW_JSON_DEPTH_MAX + 1, true));
    assert_false(nests(100000, false));
}

static void test_kinds(void **state)
{
    (void)state;
    assert_int_equal(raw_json_kind_of(slice_text("{}")), RAW_JSON_OBJECT);
    assert_int_equal(raw_json_kind_of(slice_text("[]")), RAW_JSON_ARRAY);
    assert_int_equal(raw_json_kind_of(slice_text("\"\"")), RAW_JSON_STRING);
    assert_int_equal(raw_json_kind_of(slice_text("-1")), RAW_JSON_NUMBER);
    assert_int_equal(raw_json_kind_of(slice_text("7")), RAW_JSON_NUMBER);
    assert_int_equal(raw_json_kind_of(slice_text("true")), RAW_JSON_TRUE);
    assert_int_equal(raw_json_kind_of(slice_text("false")), RAW_JSON_FALSE);
    assert_int_equal(raw_json_kind_of(slice_text("null")), RAW_JSON_NULL);
}

static void assert_slice(struct slice slice, const char *expected)
{
    assert_int_equal(slice.size, strlen(expected));
    assert_memory_equal(slice.data, expected, slice.size);
}

static void test_members(void **state)
{
    struct slice rest = slice_text("{ \"a\" : 1 ,\"b\":[ 2, {\"c\" :\"}\"} ] , \"\\\"\":true\n}");
    struct slice name;
    struct slice value;

    (void)state;
    assert_true(raw_json_next_member(&rest, &name, &value));
    assert_slice(name, "\"a\"");
    assert_slice(value, "1");
    assert_true(raw_json_next_member(&rest, &name, &value));
    assert_slice(name, "\"b\"");
    assert_slice(value, "[ 2, {\"c\" :\"}\"} ]");
    struct slice items = value;
    assert_true(raw_json_next_item(&items, &value));
    assert_slice(value, "2");
    assert_true(raw_json_next_item(&items, &value));
    assert_slice(value, "{\"c\" :\"}\"}");
    assert_false(raw_json_next_item(&items, &value));
    assert_true(raw_json_next_member(&rest, &name, &value));
    assert_slice(name, "\"\\\"\"");
    assert_slice(value, "true");
    assert_false(raw_json_next_member(&rest, &name, &value));
    rest = slice_text("{ }");
    assert_false(raw_json_next_member(&rest, &name, &value));
    rest = slice_text("[]");
    assert_false(raw_json_next_item(&rest, &value));
    assert_slice(raw_json_trim(slice_text(" \n1\t ")), "1");
    assert_int_equal(raw_json_trim(slice_text(" \n ")).size, 0);
}

static void test_compact(void **state)
{
    uint8_t text[] =
        " { \"a b\" : [ 1.50 , -0 ,\t\"\\\" x\" ] , \"a b\" :\r\n 12345678901234567890 } ";

    (void)state;
    size_t size = raw_json_compact(slice_from(text, sizeof(text) - 1), text);
    assert_slice(slice_from(text, size),
                 "{\"a b\":[1.50,-0,\"\\\" x\"],\"a b\":12345678901234567890}");
}

static void assert_decodes(const char *text, const char *expected)
{
    uint8_t out[64];

    assert_true(strlen(text) <= sizeof(out));
    memcpy(out, text, strlen(text));
    int64_t size = raw_json_decode_string(slice_from(out, strlen(text)), out);
    assert_int_equal(size, strlen(expected));
    assert_memory_equal(out, expected, (size_t)size);
}

static void test_strings(void **state)
{
    uint8_t out[64];

    (void)state;
    assert_decodes("\"\"", "");
    assert_decodes("\"abc\"", "abc");
    assert_decodes("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t");
    assert_decodes("\"\\u0041\\u00e4\\u20AC\\ud83d\\uDE00x\"",
                   "A\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80x");
    assert_decodes("\"\\ud800\\udc00\\udbff\\udfff\"", "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf");
    assert_decodes("\"\xc3\xa4\"", "\xc3\xa4");
    assert_int_equal(raw_json_decode_string(slice_text("\"\\u0000\""), out), 1);
    assert_int_equal(out[0], 0);
    assert_int_equal(raw_json_decode_string(slice_text("\"\\ud800\""), out), -1);
    assert_int_equal(raw_json_decode_string(slice_text("\"\\udc00\""), out), -1);
    assert_int_equal(raw_json_decode_string(slice_text("\"\\ud800x\\udc00\""), out), -1);
    assert_int_equal(raw_json_decode_string(slice_text("\"\\ud800\\ud800\""), out), -1);
    assert_int_equal(raw_json_decode_string(slice_text("\"\\ud800\\ue000\""), out), -1);
    assert_int_equal(raw_json_decode_string(slice_text("\"\\ud800\\n12345\""), out), -1);
}

static void assert_integer(const char *text, int64_t expected)
{
    int64_t number = 0;

    assert_true(raw_json_decode_integer(slice_text(text), &number));
    assert_true(number == expected);
}

static void test_integers(void **state)
{
    int64_t number = 7;

    (void)state;
    assert_integer("0", 0);
    assert_integer("-0", 0);
    assert_integer("42", 42);
    assert_integer("-1", -1);
    assert_integer("9223372036854775807", INT64_MAX);
    assert_integer("-9223372036854775808", INT64_MIN);
    assert_false(raw_json_decode_integer(slice_text("9223372036854775808"), &number));
    assert_false(raw_json_decode_integer(slice_text("-9223372036854775809"), &number));
    assert_false(raw_json_decode_integer(slice_text("18446744073709551616"), &number));
    assert_false(raw_json_decode_integer(slice_text("1.0"), &number));
    assert_false(raw_json_decode_integer(slice_text("1e3"), &number));
    assert_int_equal(number, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_texts),  cmocka_unit_test(test_bad_texts),
        cmocka_unit_test(test_a_zero_byte), cmocka_unit_test(test_depth),
        cmocka_unit_test(test_kinds),       cmocka_unit_test(test_members),
        cmocka_unit_test(test_compact),     cmocka_unit_test(test_strings),
        cmocka_unit_test(test_integers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
