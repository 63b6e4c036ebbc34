/*
 * Goal: which texts are addresses and which are not, and that formatting and keys have one form for
 * both spellings of IPv4.
 */
#include "io/address.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>

#include <cmocka.h>

static void test_good_addresses(void **state)
{
    static const struct {
        const char *text;
        int family;
        const char *formatted;
    } cases[] = {
        {"127.0.0.1:8443", AF_INET, "127.0.0.1:8443"},
        {"0.0.0.0:0", AF_INET, "0.0.0.0:0"},
        {"255.255.255.255:65535", AF_INET, "255.255.255.255:65535"},
        {"[::1]:8443", AF_INET6, "[::1]:8443"},
        {"[::]:1", AF_INET6, "[::]:1"},
        {"[2001:db8:0:0:0:0:0:1]:443", AF_INET6, "[2001:db8::1]:443"},
        {"[1111:2222:3333:4444:5555:6666:7777:8888]:65535", AF_INET6,
         "[1111:2222:3333:4444:5555:6666:7777:8888]:65535"},
        {"[::ffff:10.0.0.1]:80", AF_INET6, "10.0.0.1:80"},
        {"[1111:2222:3333:4444:5555:6666:123.123.123.123]:65535", AF_INET6,
         "[1111:2222:3333:4444:5555:6666:7b7b:7b7b]:65535"},
        {"8443", AF_INET6, "[::]:8443"},
        {"00080", AF_INET6, "[::]:80"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sockaddr_in6 address;
        char text[ADDRESS_TEXT_SIZE];
        memset(&address, 0xff, sizeof(address));
        assert_int_equal(address_parse(slice_text(cases[i].text), &address), 0);
        assert_int_equal(address.sin6_family, cases[i].family);
        assert_int_equal(address_size(&address), cases[i].family == AF_INET ? 16 : 28);
        address_format(&address, text);
        assert_string_equal(text, cases[i].formatted);
    }
}

static void test_bad_addresses(void **state)
{
    static const char *const cases[] = {
        "",
        ":",
        ":8443",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:65536",
        "127.0.0.1:100000",
        "127.0.0.1:-1",
        "127.0.0.1:+1",
        "127.0.0.1: 1",
        "127.0.0.1:1 ",
        " 127.0.0.1:1",
        "127.0.0:1",
        "127.0.0.256:1",
        "127.0.0.1.1:1",
        "localhost:8443",
        "65536",
        "8443x",
        "[",
        "[]",
        "[]:1",
        "[::1]",
        "[::1]:",
        "[::1]8443",
        "[::1]:65536",
        "[::1",
        "[127.0.0.1]:1",
        "::1:8443",
        "[fe80::1%lo]:1",
        "[11111::]:1",
        "[1111:2222:3333:4444:5555:6666:123.123.123.1234]:1",
        "[1111:2222:3333:4444:5555:6666:7777:8888:9999:1111:2222]:1",
        "*:8443",
        "tcp://127.0.0.1:1",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sockaddr_in6 address;
        if (address_parse(slice_text(cases[i]), &address) != -EINVAL) {
            fail_msg("accepted: %s", cases[i]);
        }
    }
}

static void test_a_nul_hides_nothing(void **state)
{
    struct sockaddr_in6 address;

    (void)state;
    assert_int_equal(address_parse(slice_from("127.0.0.1\0:1", 12), &address), -EINVAL);
    assert_int_equal(address_parse(slice_from("[::1\0x]:1", 9), &address), -EINVAL);
    assert_int_equal(address_parse(slice_from("80\0", 3), &address), -EINVAL);
    assert_int_equal(address_parse(slice_from("\0", 1), &address), -EINVAL);
}

static void parse_key(const char *text, uint8_t key[16])
{
    struct sockaddr_in6 address;

    assert_int_equal(address_parse(slice_text(text), &address), 0);
    address_key(&address, key);
}

static void test_keys_leave_the_port_out_and_join_both_spellings_of_ipv4(void **state)
{
    uint8_t a[16];
    uint8_t b[16];

    (void)state;
    parse_key("10.1.2.3:1", a);
    parse_key("10.1.2.3:65535", b);
    assert_memory_equal(a, b, 16);
    parse_key("[::ffff:10.1.2.3]:7", b);
    assert_memory_equal(a, b, 16);
    assert_memory_equal(a, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\x01\x02\x03", 16);
    parse_key("10.1.2.4:1", b);
    assert_memory_not_equal(a, b, 16);
    parse_key("[::10.1.2.3]:1", b); /* not the mapped form */
    assert_memory_not_equal(a, b, 16);
    parse_key("[2001:db8::1]:1", a);
    parse_key("[2001:db8::1]:2", b);
    assert_memory_equal(a, b, 16);
    parse_key("[2001:db8::2]:1", b);
    assert_memory_not_equal(a, b, 16);
}

static void test_formatting_survives_a_foreign_family(void **state)
{
    struct sockaddr_in6 address = {.sin6_family = AF_UNSPEC};
    char text[ADDRESS_TEXT_SIZE];

    (void)state;
    address_format(&address, text);
    assert_string_equal(text, "[::]:0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_addresses),
        cmocka_unit_test(test_bad_addresses),
        cmocka_unit_test(test_a_nul_hides_nothing),
        cmocka_unit_test(test_keys_leave_the_port_out_and_join_both_spellings_of_ipv4),
        cmocka_unit_test(test_formatting_survives_a_foreign_family),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
