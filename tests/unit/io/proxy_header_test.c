/*
 * Goal: headers of both versions are read wherever they are cut, the client's bytes behind them
 * stay, and whatever is no header is known as soon as it can be.
 */
#include "io/proxy_header.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define BOTH (PROXY_V1 | PROXY_V2)
#define V2   "\r\n\r\n\0\r\nQUIT\n"

static struct proxy_header header;

static enum proxy_outcome read_bytes(const char *bytes, size_t size, uint8_t versions)
{
    return proxy_header_read(slice_from((const uint8_t *)bytes, size), versions, &header);
}

/* The whole, and each part of it that is cut off: more is wanted until the last byte. */
static void assert_good(const char *bytes, size_t size, const char *source)
{
    char text[ADDRESS_TEXT_SIZE];
    char behind[PROXY_V2_SIZE_MAX + 8] = "";

    for (size_t cut = 0; cut < size; cut++) {
        assert_int_equal(read_bytes(bytes, cut, BOTH), PROXY_MORE);
    }
    assert_true(size + 3 <= sizeof(behind));
    memcpy(behind, bytes, size);
    memcpy(behind + size, "\x16\x03\x01", 3);
    assert_int_equal(read_bytes(behind, size + 3, BOTH), PROXY_DONE);
    assert_int_equal(header.size, size);
    assert_int_equal(header.has_source, source != NULL);
    if (source) {
        address_format(&header.source, text);
        assert_string_equal(text, source);
    }
}

#define GOOD_LINE(line, source) assert_good((line), sizeof(line) - 1, (source))

static void test_lines(void **state)
{
    (void)state;
    GOOD_LINE("PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n", "192.0.2.1:56324");
    GOOD_LINE("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
              "255.255.255.255:65535");
    GOOD_LINE("PROXY TCP6 2001:db8::1 ::1 0 443\r\n", "[2001:db8::1]:0");
    GOOD_LINE("PROXY UNKNOWN\r\n", NULL);
    GOOD_LINE("PROXY UNKNOWN ffff::1 ::2 65535 65535\r\n", NULL);
}

static void test_lines_that_are_none(void **state)
{
    static const char *const bad[] = {
        "PROXY\r\n",
        "PROXY \r\n",
        "PROXY TCP4\r\n",
        "PROXY TCP5 192.0.2.1 198.51.100.7 1 2\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.7 1\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.7 1 2 3\r\n",
        "PROXY TCP4  192.0.2.1 198.51.100.7 1 2\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.7 1 65536\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.7 01 2\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.7 -1 2\r\n",
        "PROXY TCP4 192.0.2 198.51.100.7 1 2\r\n",
        "PROXY TCP4 ::1 ::2 1 2\r\n",
        "PROXY TCP6 192.0.2.1 198.51.100.7 1 2\r\n",
        "PROXY TCP6 [::1] ::2 1 2\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.7 1 2\n",
        "proxy TCP4 192.0.2.1 198.51.100.7 1 2\r\n",
        "GET / HTTP/1.1\r\n",
        "\x16\x03\x01",
    };
    char line[PROXY_V1_SIZE_MAX + 2];

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (read_bytes(bad[i], strlen(bad[i]), BOTH) != PROXY_BAD) {
            fail_msg("%s", bad[i]);
        }
    }
    /* The longest, and one byte more. */
    memset(line, 'x', sizeof(line));
    memcpy(line, "PROXY UNKNOWN ", 14);
    memcpy(line + PROXY_V1_SIZE_MAX - 2, "\r\n", 2);
    assert_int_equal(read_bytes(line, PROXY_V1_SIZE_MAX, BOTH), PROXY_DONE);
    memcpy(line + PROXY_V1_SIZE_MAX - 2, "x\r\n", 3);
    assert_int_equal(read_bytes(line, PROXY_V1_SIZE_MAX, BOTH), PROXY_BAD);
    assert_int_equal(read_bytes(line, PROXY_V1_SIZE_MAX - 1, BOTH), PROXY_MORE);
}

/* A header of version 2 with a body of so many bytes: addresses as 10.1.2.3 or 2001::, then filler.
 */
static size_t make_v2(char *out, uint8_t command, uint8_t family, size_t body_size)
{
    memcpy(out, V2, 12);
    out[12] = (char)command;
    out[13] = (char)family;
    out[14] = (char)(body_size >> 8);
    out[15] = (char)(body_size & 255);
    memset(out + 16, 0x20, body_size);
    if (family == 0x11 && body_size >= 12) {
        memcpy(out + 16, "\x0a\x01\x02\x03\x7f\x00\x00\x01\x1f\x90\x01\xbb", 12);
    }
    return 16 + body_size;
}

static void test_bytes(void **state)
{
    char bytes[PROXY_V2_SIZE_MAX + 1] = "";

    (void)state;
    assert_good(bytes, make_v2(bytes, 0x21, 0x11, 12), "10.1.2.3:8080");
    assert_good(bytes, make_v2(bytes, 0x21, 0x11, 60), "10.1.2.3:8080"); /* with more told */
    assert_good(bytes, make_v2(bytes, 0x21, 0x11, 4096), "10.1.2.3:8080");
    assert_good(bytes, make_v2(bytes, 0x21, 0x21, 36),
                "[2020:2020:2020:2020:2020:2020:2020:2020]:8224");
    assert_good(bytes, make_v2(bytes, 0x21, 0x31, 216), NULL);
    assert_good(bytes, make_v2(bytes, 0x21, 0x00, 0), NULL);
    assert_good(bytes, make_v2(bytes, 0x20, 0x00, 0), NULL);
    assert_good(bytes, make_v2(bytes, 0x20, 0x11, 12), NULL); /* LOCAL: the proxy itself */
}

static void test_bytes_that_are_none(void **state)
{
    static const struct {
        uint8_t command;
        uint8_t family;
        size_t body_size;
    } bad[] = {
        {0x11, 0x11, 12}, /* version 1 in the clothes of 2 */
        {0x22, 0x11, 12},  {0x21, 0x12, 12}, {0x21, 0x11, 11},   {0x21, 0x21, 35},
        {0x21, 0x31, 215}, {0x21, 0x41, 60}, {0x21, 0x11, 4097},
    };
    char bytes[16 + 4097] = "";

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        const size_t size = make_v2(bytes, bad[i].command, bad[i].family, bad[i].body_size);
        assert_int_equal(read_bytes(bytes, size, BOTH), PROXY_BAD);
    }
    /* Too large is known by its first 16 bytes. */
    (void)make_v2(bytes, 0x21, 0x11, 4097);
    assert_int_equal(read_bytes(bytes, 16, BOTH), PROXY_BAD);
}

static void test_versions_that_are_not_wanted(void **state)
{
    char bytes[64] = "";
    const char *line = "PROXY UNKNOWN\r\n";
    const size_t size = make_v2(bytes, 0x21, 0x11, 12);

    (void)state;
    assert_int_equal(read_bytes(bytes, size, PROXY_V1), PROXY_BAD);
    assert_int_equal(read_bytes(bytes, size, PROXY_V2), PROXY_DONE);
    assert_int_equal(read_bytes(line, strlen(line), PROXY_V2), PROXY_BAD);
    assert_int_equal(read_bytes(line, strlen(line), PROXY_V1), PROXY_DONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_lines_that_are_none),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_bytes_that_are_none),
        cmocka_unit_test(test_versions_that_are_not_wanted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
