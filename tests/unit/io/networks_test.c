/*
 * Goal: an address is in a set exactly when one of its networks covers it, whatever their number,
 * order and overlap; what is written wrongly is refused with its place; ::/0 leaves IPv4 out.
 */
#include "io/networks.h"

#include "io/address.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static struct networks networks;

static int teardown(void **state)
{
    (void)state;
    networks_close(&networks);
    return 0;
}

static void add(const char *text)
{
    assert_int_equal(networks_add(&networks, slice_text(text)), 0);
}

static bool has(const char *host)
{
    struct sockaddr_in6 address;
    char text[64];
    uint8_t key[16];

    (void)snprintf(text, sizeof(text), strchr(host, ':') ? "[%s]:1" : "%s:1", host);
    assert_int_equal(address_parse(slice_text(text), &address), 0);
    address_key(&address, key);
    return networks_have(&networks, key);
}

static void test_nothing(void **state)
{
    (void)state;
    networks_sort(&networks);
    assert_false(has("127.0.0.1"));
    assert_false(has("::"));
}

static void test_edges(void **state)
{
    (void)state;
    add("192.0.2.128/25");
    add("10.0.0.7");
    add("2001:db8:1::/48");
    add("::1");
    networks_sort(&networks);
    assert_false(has("192.0.2.127"));
    assert_true(has("192.0.2.128"));
    assert_true(has("192.0.2.255"));
    assert_false(has("192.0.3.0"));
    assert_false(has("10.0.0.6"));
    assert_true(has("10.0.0.7"));
    assert_false(has("10.0.0.8"));
    assert_true(has("::ffff:10.0.0.7")); /* the same address */
    assert_false(has("2001:db8:0:ffff::1"));
    assert_true(has("2001:db8:1::"));
    assert_true(has("2001:db8:1:ffff:ffff:ffff:ffff:ffff"));
    assert_false(has("2001:db8:2::"));
    assert_true(has("::1"));
    assert_false(has("::2"));
}

/* Bits behind the prefix are of no consequence. */
static void test_host_bits(void **state)
{
    (void)state;
    add("192.0.2.77/24");
    networks_sort(&networks);
    assert_true(has("192.0.2.0"));
    assert_false(has("192.0.1.255"));
}

static void test_all_of_a_family(void **state)
{
    (void)state;
    add("::/0");
    networks_sort(&networks);
    assert_true(has("::"));
    assert_true(has("::fffe:ffff:ffff"));
    assert_true(has("::1:0:0:0"));
    assert_true(has("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"));
    assert_false(has("0.0.0.0"));
    assert_false(has("255.255.255.255"));
    networks_close(&networks);
    add("::/80"); /* IPv4's keys are its last */
    networks_sort(&networks);
    assert_int_equal(networks.count, 1);
    assert_true(has("::fffe:ffff:ffff"));
    assert_false(has("1.2.3.4"));
    assert_false(has("::1:0:0:0"));
    networks_close(&networks);
    add("0.0.0.0/0");
    networks_sort(&networks);
    assert_true(has("0.0.0.0"));
    assert_true(has("255.255.255.255"));
    assert_false(has("::1"));
}

/* Against a plain walk over all of them. */
static void test_many_that_overlap(void **state)
{
    struct {
        uint32_t base;
        uint32_t bits;
    } list[500];

    (void)state;
    srand(7);
    for (size_t i = 0; i < 500; i++) {
        char text[32];
        list[i].base = ((uint32_t)rand() & 0xffffffu) | 10u << 24;
        list[i].bits = 12 + (uint32_t)rand() % 21;
        (void)snprintf(text, sizeof(text), "%u.%u.%u.%u/%u", list[i].base >> 24,
                       list[i].base >> 16 & 255, list[i].base >> 8 & 255, list[i].base & 255,
                       list[i].bits);
        add(text);
    }
    networks_sort(&networks);
    for (size_t n = 0; n < 20000; n++) {
        const uint32_t host = ((uint32_t)rand() & 0xffffffu) | 10u << 24;
        char text[32];
        bool is_in = false;
        for (size_t i = 0; i < 500; i++) {
            const uint32_t mask = list[i].bits == 0 ? 0 : 0xffffffffu << (32 - list[i].bits);
            is_in = is_in || (host & mask) == (list[i].base & mask);
        }
        (void)snprintf(text, sizeof(text), "%u.%u.%u.%u", host >> 24, host >> 16 & 255,
                       host >> 8 & 255, host & 255);
        assert_int_equal(has(text), is_in);
    }
}

static void test_what_is_no_network(void **state)
{
    static const char *const bad[] = {
        "",       "/",     "1.2.3",      "1.2.3.4/", "1.2.3.4/33",   "1.2.3.4/-1", "1.2.3.4/8x",
        "::/129", "[::1]", "1.2.3.4:80", " 1.2.3.4", "1.2.3.4/0008", "localhost",  "::1%lo"};

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(networks_add(&networks, slice_text(bad[i])), -EINVAL);
    }
    assert_int_equal(networks_add(&networks, slice_from((const uint8_t *)"1.2.3.4\0x", 9)),
                     -EINVAL);
    assert_int_equal(networks.count, 0);
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");

    assert_non_null(file);
    (void)fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static void test_files(void **state)
{
    char path[] = "/tmp/limpet-networks-XXXXXX";
    char message[256];
    char text[400];

    (void)state;
    close(mkstemp(path));
    write_file(path, "# who\n\n 192.0.2.0/24 # a network\n\t::1\t\r\n10.0.0.1");
    assert_int_equal(networks_add_file(&networks, path, message, sizeof(message)), 0);
    networks_sort(&networks);
    assert_int_equal(networks.count, 3);
    assert_true(has("192.0.2.9"));
    assert_true(has("::1"));
    assert_true(has("10.0.0.1"));
    write_file(path, "10.0.0.1\n10.0.0.2/40\n");
    assert_int_equal(networks_add_file(&networks, path, message, sizeof(message)), -1);
    assert_non_null(strstr(message, ":2: no network"));
    memset(text, '#', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    write_file(path, text);
    assert_int_equal(networks_add_file(&networks, path, message, sizeof(message)), 0);
    /* Zero bytes, as a crash leaves them in a file that was being written. */
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(fwrite("10.0.0.0/8\0\0\0\n", 1, 14, file), 14);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(networks_add_file(&networks, path, message, sizeof(message)), -1);
    assert_non_null(strstr(message, ":1: no network"));
    (void)unlink(path);
    assert_int_equal(networks_add_file(&networks, path, message, sizeof(message)), -1);
    assert_non_null(strstr(message, path));
    assert_int_equal(networks_add_file(&networks, "/", message, sizeof(message)), -1);
}

#define TEST(name) cmocka_unit_test_teardown(name, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_nothing),
        TEST(test_edges),
        TEST(test_host_bits),
        TEST(test_all_of_a_family),
        TEST(test_many_that_overlap),
        TEST(test_what_is_no_network),
        TEST(test_files),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
