/*
 * Goal: the end of a request's head is found, and every departure from RFC 9112 refused, at the
 * same byte wherever the input is cut; targets, header lines, lists and hosts are taken apart
 * exactly.
 */
#include "ws/request.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define SIZE_MAX_OF_TESTS 4096
#define LINE              "GET / HTTP/1.1\r\n"

static const struct {
    const char *input;
    enum request_status status; /* when the last byte is there, and not before */
} scans[] = {
    {"", REQUEST_MORE},
    {"\r", REQUEST_MORE},
    {"\r\n", REQUEST_MORE},
    {"G", REQUEST_MORE},
    {"GET", REQUEST_MORE},
    {"GET / HTTP/1.1", REQUEST_MORE},
    {LINE, REQUEST_MORE},
    {LINE "\r", REQUEST_MORE},
    {LINE "a: b\r\n\r", REQUEST_MORE},
    {LINE "\r\n", REQUEST_WHOLE},
    {LINE "a: b\r\n\r\n", REQUEST_WHOLE},
    {"\r\n" LINE "\r\n", REQUEST_WHOLE},
    {"GET http://a/?b HTTP/1.1\r\n\r\n", REQUEST_WHOLE},
    /* Line ends. */
    {"\n", REQUEST_MALFORMED},
    {"\r\r", REQUEST_MALFORMED},
    {"\rG", REQUEST_MALFORMED},
    {"\r\n\r", REQUEST_MALFORMED},
    {"\r\n\n", REQUEST_MALFORMED},
    {"GET / HTTP/1.1\n", REQUEST_MALFORMED},
    {LINE "\n", REQUEST_MALFORMED},
    {LINE "a: b\n", REQUEST_MALFORMED},
    {LINE "a: b\r\n\n", REQUEST_MALFORMED},
    {LINE " a: b\r\n", REQUEST_MALFORMED},
    {LINE "a: b\r\n c\r\n", REQUEST_MALFORMED},
    {LINE "a: b\r\n\tc\r\n", REQUEST_MALFORMED},
    /* The method. */
    {" ", REQUEST_MALFORMED},
    {"\x16", REQUEST_MALFORMED},
    {"\x80", REQUEST_MALFORMED},
    {"GE\t", REQUEST_MALFORMED},
    {"GET\r", REQUEST_MALFORMED},
    {"POST\n", REQUEST_MALFORMED},
    {"get ", REQUEST_OTHER_METHOD},
    {"GE ", REQUEST_OTHER_METHOD},
    {"GETT ", REQUEST_OTHER_METHOD},
    {"POST ", REQUEST_OTHER_METHOD},
    {"HEAD ", REQUEST_OTHER_METHOD},
    {"OPTIONS ", REQUEST_OTHER_METHOD},
    {"PRI ", REQUEST_OTHER_METHOD},
    {"ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEF ", REQUEST_OTHER_METHOD},
    {"ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG", REQUEST_OTHER_METHOD},
    {"ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEF(", REQUEST_MALFORMED},
    /* The request line. */
    {"GET /\r\n", REQUEST_MALFORMED},
    {"GET HTTP/1.1\r\n", REQUEST_MALFORMED},
    {"GET  HTTP/1.1\r\n", REQUEST_MALFORMED},
    {"GET /  HTTP/1.1 \r\n", REQUEST_MALFORMED},
    {"GET / http/1.1\r\n", REQUEST_MALFORMED},
    {"GET / HTTP/1\r\n", REQUEST_MALFORMED},
    {"GET / HTTP/11\r\n", REQUEST_MALFORMED},
    {"GET / HTTP/1,1\r\n", REQUEST_MALFORMED},
    {"GET / HTTP/1.10\r\n", REQUEST_MALFORMED},
    {"GET / HTTP/a.1\r\n", REQUEST_MALFORMED},
    {"GET / HTTP/1.a\r\n", REQUEST_MALFORMED},
    {"GET /\tHTTP/1.1\r\n", REQUEST_MALFORMED},
    {"GET / HTTQ/1.1\r\n", REQUEST_MALFORMED},
    {"GET / HTTP/1.0\r\n", REQUEST_OTHER_VERSION},
    {"GET / HTTP/0.9\r\n", REQUEST_OTHER_VERSION},
    {"GET / HTTP/1.2\r\n", REQUEST_OTHER_VERSION},
    {"GET / HTTP/2.0\r\n", REQUEST_OTHER_VERSION},
};

/* The first size bytes of text, in a block of their own, so that a byte read beyond them is found.
 */
static enum request_status scan(const char *text, size_t size, size_t size_max, size_t *head_size)
{
    struct request request;
    uint8_t *input = size > 0 ? malloc(size) : NULL;

    if (size > 0) {
        assert_non_null(input);
        memcpy(input, text, size);
    }
    enum request_status status = request_scan(input, size, size_max, &request);
    if (status == REQUEST_WHOLE) {
        assert_int_equal(request.target.data[request.target.size], ' ');
        assert_ptr_equal(request.fields.data + request.fields.size + 2, input + request.size);
    }
    *head_size = request.size;
    free(input);
    return status;
}

/* Undecided before its last byte, decided from there on, whatever comes behind. */
static void check_scan(const char *input, enum request_status expected)
{
    size_t size = strlen(input);
    size_t head_size;
    char text[256];

    (void)snprintf(text, sizeof(text), "%s\x81\x80\r\n\r\nGET /", input);
    for (size_t cut = 0; cut <= (expected == REQUEST_MORE ? size : strlen(text)); cut++) {
        enum request_status status = scan(text, cut, SIZE_MAX_OF_TESTS, &head_size);
        if (status != (cut < size ? REQUEST_MORE : expected)) {
            fail_msg("%s: %d after %zu bytes", input, (int)status, cut);
        }
        assert_int_equal(head_size, status == REQUEST_WHOLE ? size : 0);
    }
}

static void test_scan(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(scans) / sizeof(scans[0]); i++) {
        check_scan(scans[i].input, scans[i].status);
    }
}

static void test_size_max(void **state)
{
    static const char text[] = LINE "Host: a\r\n\r\nrest";
    size_t whole = strlen(text) - 4;
    size_t head_size;

    (void)state;
    for (size_t size_max = 0; size_max < whole; size_max++) {
        for (size_t size = 0; size <= whole + 4; size++) {
            assert_int_equal(scan(text, size, size_max, &head_size),
                             size < size_max ? REQUEST_MORE : REQUEST_TOO_LARGE);
        }
    }
    assert_int_equal(scan(text, whole - 1, whole, &head_size), REQUEST_MORE);
    assert_int_equal(scan(text, whole, whole, &head_size), REQUEST_WHOLE);
    assert_int_equal(scan(text, whole + 4, whole, &head_size), REQUEST_WHOLE);
    assert_int_equal(head_size, whole);
    /* What is refused before the limit is refused for its own reason. */
    assert_int_equal(scan("POST /", 6, 6, &head_size), REQUEST_OTHER_METHOD);
}

static void test_fields_max(void **state)
{
    char text[SIZE_MAX_OF_TESTS] = LINE;
    size_t head_size;
    size_t size = 0;

    (void)state;
    for (size_t i = 0; i <= REQUEST_FIELDS_MAX; i++) {
        size = strlen(text);
        assert_int_equal(scan(text, size, SIZE_MAX_OF_TESTS, &head_size), REQUEST_MORE);
        (void)snprintf(text + size, sizeof(text) - size, "\r\n");
        assert_int_equal(scan(text, size + 2, SIZE_MAX_OF_TESTS, &head_size), REQUEST_WHOLE);
        (void)snprintf(text + size, sizeof(text) - size, "a:\r\n");
    }
    assert_int_equal(scan(text, size + 3, SIZE_MAX_OF_TESTS, &head_size), REQUEST_MORE);
    assert_int_equal(scan(text, size + 4, SIZE_MAX_OF_TESTS, &head_size), REQUEST_TOO_LARGE);
}

static const struct {
    const char *target;
    const char *authority;
    const char *path; /* NULL: refused */
    const char *query;
} targets[] = {
    {"/", "", "/", ""},
    {"/?", "", "/", ""},
    {"/a/b?c=d&e?f/g", "", "/a/b", "c=d&e?f/g"},
    {"//a/b", "", "//a/b", ""},
    {"/a:b@c", "", "/a:b@c", ""},
    {"/%41%00", "", "/%41%00", ""},
    {"/\"<>[\\]^`{|}", "", "/\"<>[\\]^`{|}", ""},
    {"http://a.example", "a.example", "/", ""},
    {"http://a.example?b", "a.example", "/", "b"},
    {"HTTPS://a.example:8443/b?c", "a.example:8443", "/b", "c"},
    {"ws://a/", "a", "/", ""},
    {"wss://[::1]:1/b//c?d?e/f", "[::1]:1", "/b//c", "d?e/f"},
    {"", "", NULL, ""},
    {"*", "", NULL, ""},
    {"a", "", NULL, ""},
    {"?a", "", NULL, ""},
    {"a.example:443", "", NULL, ""},
    {"ftp://a/", "", NULL, ""},
    {"http:/a", "", NULL, ""},
    {"http:", "", NULL, ""},
    {"http://", "", NULL, ""},
    {"http:///a", "", NULL, ""},
    {"http://user@a/", "", NULL, ""},
    {"http://a:b/", "", NULL, ""},
    {"/a#b", "", NULL, ""},
    {"/a b", "", NULL, ""},
    {"/a\tb", "", NULL, ""},
    {"/a\x7f", "", NULL, ""},
    {"/\xc3\xa9", "", NULL, ""},
    {"/\r", "", NULL, ""},
};

static void test_targets(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
        struct request_target parts;
        bool is_good = request_split_target(slice_text(targets[i].target), &parts);
        if (is_good != (targets[i].path != NULL)) {
            fail_msg("%s: %d", targets[i].target, is_good);
        }
        if (is_good) {
            assert_true(slice_equal(parts.authority, slice_text(targets[i].authority)));
            assert_true(slice_equal(parts.path, slice_text(targets[i].path)));
            assert_true(slice_equal(parts.query, slice_text(targets[i].query)));
        }
    }
    struct request_target parts;
    assert_false(request_split_target(slice_from("/\0a", 3), &parts));
}

static const struct {
    const char *line;
    const char *name; /* NULL: malformed */
    const char *value;
} lines[] = {
    {"a:b\r\n", "a", "b"},
    {"a: b\r\n", "a", "b"},
    {"A-b:\t b c \t\r\n", "A-b", "b c"},
    {"a:\r\n", "a", ""},
    {"a: \t \r\n", "a", ""},
    {"a::b:\r\n", "a", ":b:"},
    {"a: \xc3\xa9\xff\r\n", "a", "\xc3\xa9\xff"},
    {"a: b\tc\r\n", "a", "b\tc"},
    {":b\r\n", NULL, ""},
    {"a\r\n", NULL, ""},
    {"a :b\r\n", NULL, ""},
    {"a\t: b\r\n", NULL, ""},
    {"a b: c\r\n", NULL, ""},
    {"a(: c\r\n", NULL, ""},
    {"\xc3\xa9: c\r\n", NULL, ""},
    {"a: b\rc\r\n", NULL, ""},
    {"a: b\r\r\n", NULL, ""},
    {"a: \x7f\r\n", NULL, ""},
    {"a: \x1b[0m\r\n", NULL, ""},
};

static void test_fields(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        struct slice fields = slice_text(lines[i].line);
        struct slice name;
        struct slice value;
        enum request_field_status status = request_next_field(&fields, &name, &value);
        if (lines[i].name == NULL) {
            assert_int_equal(status, REQUEST_FIELD_MALFORMED);
            continue;
        }
        assert_int_equal(status, REQUEST_FIELD);
        assert_true(slice_equal(name, slice_text(lines[i].name)));
        assert_true(slice_equal(value, slice_text(lines[i].value)));
        assert_int_equal(request_next_field(&fields, &name, &value), REQUEST_FIELDS_END);
    }
    struct slice nul = slice_from("a: b\0c\r\n", 8);
    struct slice name;
    struct slice value;
    assert_int_equal(request_next_field(&nul, &name, &value), REQUEST_FIELD_MALFORMED);
}

/* Which bytes a name, a value, a token, a token68 and a host may hold, against the RFCs' own lists.
 */
static void test_every_byte(void **state)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

    (void)state;
    for (unsigned byte = 0; byte < 256; byte++) {
        uint8_t line[] = "aXb: aXb\r\n";
        bool is_letter = byte != 0 && strchr(letters, (int)byte) != NULL;
        bool is_token = is_letter || (byte != 0 && strchr("!#$%&'*+-.^_`|~", (int)byte) != NULL);
        bool is_token68 = is_letter || (byte != 0 && strchr("-._~+/=", (int)byte) != NULL);
        bool is_host = is_letter || (byte != 0 && strchr("-._~!$&'()*+,;=%", (int)byte) != NULL);
        bool is_value = byte == '\t' || (byte >= 0x20 && byte != 0x7f);
        struct slice name;
        struct slice value;
        for (size_t place = 1; place < 8 && byte != '\n' && byte != ':'; place += 5) {
            line[1] = line[6] = 'X';
            line[place] = (uint8_t)byte;
            struct slice fields = slice_from(line, sizeof(line) - 1);
            bool is_good = request_next_field(&fields, &name, &value) == REQUEST_FIELD;
            assert_int_equal(is_good, place == 1 ? is_token : is_value);
        }
        const uint8_t text[3] = {'a', (uint8_t)byte, '1'};
        assert_int_equal(request_is_token(slice_from(text, 3)), is_token);
        assert_int_equal(request_is_token68(slice_from(text, 3)), is_token68);
        assert_int_equal(request_is_host(slice_from(text, 3)), is_host || byte == ':');
    }
    assert_false(request_is_token(slice_text("")));
    assert_false(request_is_token68(slice_text("")));
}

static void test_hosts(void **state)
{
    static const char *const good[] = {
        "a",        "a.example", "a.example:1",  "192.0.2.1:65535",
        "a:",       "[::1]",     "[::1]:8443",   "[2001:db8::192.0.2.1]",
        "xn--a.de", "a_b",       "a.example.:1", "%41"};
    static const char *const bad[] = {
        "",    ":",   ":1",  "a:b", "a:1:2", "a:123456", "[]",  "[",      "[::1",    "[::1]a", "]",
        "[g]", "a b", "a/b", "a@b", "a,b:x", "[::1]:b",  "a\\", "[::1]]", "[[::1]]", "\"a\""};

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        if (!request_is_host(slice_text(good[i]))) {
            fail_msg("%s", good[i]);
        }
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (request_is_host(slice_text(bad[i]))) {
            fail_msg("%s", bad[i]);
        }
    }
}

static void test_elements(void **state)
{
    static const struct {
        const char *list;
        const char *elements;
    } lists[] = {
        {"", ""},          {"a", "a|"},   {"a,b", "a|b|"}, {"a, b", "a|b|"}, {" a\t,\tb ", "a|b|"},
        {"a, ,b", "a|b|"}, {",a,", "a|"}, {",,", ""},      {" ", ""},        {"a b, c", "a b|c|"},
        {"a;b", "a;b|"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        struct slice list = slice_text(lists[i].list);
        struct slice element;
        char elements[32] = "";
        while (request_next_element(&list, ',', &element)) {
            strncat(elements, (const char *)element.data, element.size);
            strcat(elements, "|");
        }
        assert_string_equal(elements, lists[i].elements);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scan),       cmocka_unit_test(test_size_max),
        cmocka_unit_test(test_fields_max), cmocka_unit_test(test_targets),
        cmocka_unit_test(test_fields),     cmocka_unit_test(test_every_byte),
        cmocka_unit_test(test_hosts),      cmocka_unit_test(test_elements),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
