/*
 * Goal: a request that asks for a WebSocket properly is understood, in every spelling that clients
 * in the field use; every other one is refused for the right reason; and the answer does not depend
 * on how many bytes arrived together: each request is read from every prefix of it.
 */
#include "opening.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const char *const origins[] = {"https://a.example", "https://B.example:8443"};
static const char *const protocols[] = {"chat.v2", "chat"};

static const struct upgrade_rules open_rules = {.request_size_max = 16384};
static const struct upgrade_rules strict_rules = {
    .request_size_max = 2048,
    .path = "/",
    .origins = origins,
    .origin_count = 2,
    .protocols = protocols,
    .protocol_count = 2,
};
static void test_connection(void **state)
{
    static const struct opening_case cases[] = {
        {OPENING END, UPGRADE_OK},
        {"\r\n" OPENING END, UPGRADE_OK},
        {GET HOST VERSION KEY "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n" END,
         UPGRADE_OK},
        {GET HOST VERSION KEY "connection:keep-alive,UPGRADE\r\nUPGRADE:WEBSOCKET\r\n" END,
         UPGRADE_OK},
        {GET HOST VERSION KEY "Connection: keep-alive\r\nConnection: upgrade\r\n"
                              "Upgrade: foo, websocket\r\n" END,
         UPGRADE_OK},
        {GET HOST VERSION KEY "Connection: upgrade,,\r\nUpgrade: foo\r\nUpgrade: websocket\r\n" END,
         UPGRADE_OK},
        {OPENING "Connection: keep-alive\r\nUpgrade: foo\r\n" END, UPGRADE_OK},
        {GET HOST VERSION KEY "Connection: xUpgrade\r\nUpgrade: websocket\r\n" END,
         UPGRADE_NOT_UPGRADE},
        {GET HOST VERSION KEY "Connection: Upgrade x\r\nUpgrade: websocket\r\n" END,
         UPGRADE_NOT_UPGRADE},
        {GET HOST VERSION KEY "Connection: keep-alive\r\nUpgrade: websocket\r\n" END,
         UPGRADE_NOT_UPGRADE},
        {GET HOST VERSION KEY "Upgrade: websocket\r\n" END, UPGRADE_NOT_UPGRADE},
        {GET HOST VERSION KEY "Connection: Upgrade\r\n" END, UPGRADE_NOT_UPGRADE},
        {GET HOST VERSION KEY "Connection: Upgrade\r\nUpgrade: h2c\r\n" END, UPGRADE_NOT_UPGRADE},
        {GET HOST VERSION KEY "Connection: Upgrade\r\nUpgrade: websocket/13\r\n" END,
         UPGRADE_NOT_UPGRADE},
        {GET HOST VERSION KEY "Connection:\r\nUpgrade:\r\n" END, UPGRADE_NOT_UPGRADE},
        {GET HOST END, UPGRADE_NOT_UPGRADE},
        {"GET / HTTP/1.0\r\n", UPGRADE_NOT_UPGRADE},
        {"GET / HTTP/2.0\r\n", UPGRADE_NOT_UPGRADE},
    };

    (void)state;
    OPENING_CHECK(&open_rules, cases);
}

static void test_http(void **state)
{
    static const struct opening_case cases[] = {
        {"POST ", UPGRADE_WRONG_METHOD},
        {"PRI ", UPGRADE_WRONG_METHOD},
        {"get ", UPGRADE_WRONG_METHOD},
        {"\x16", UPGRADE_MALFORMED},
        {"GET / HTTP/1.1\n", UPGRADE_MALFORMED},
        {"GET /\r\n", UPGRADE_MALFORMED},
        {"GET * HTTP/1.1\r\n" HOST UPGRADE VERSION KEY END, UPGRADE_MALFORMED},
        {"GET /a#b HTTP/1.1\r\n" HOST UPGRADE VERSION KEY END, UPGRADE_MALFORMED},
        {"GET a HTTP/1.1\r\n" HOST UPGRADE VERSION KEY END, UPGRADE_MALFORMED},
        {"GET ftp://a/ HTTP/1.1\r\n" HOST UPGRADE VERSION KEY END, UPGRADE_MALFORMED},
        {OPENING "X : y\r\n" END, UPGRADE_MALFORMED},
        {OPENING "X\r\n" END, UPGRADE_MALFORMED},
        {OPENING "X: y\rz\r\n" END, UPGRADE_MALFORMED},
        {OPENING " X: y\r\n", UPGRADE_MALFORMED},
        {OPENING "X: y\n", UPGRADE_MALFORMED},
        {OPENING "Sec-WebSocket-Protocol: a b\r\n" END, UPGRADE_MALFORMED},
        {OPENING "Sec-WebSocket-Protocol: a, \"b\"\r\n" END, UPGRADE_MALFORMED},
        {OPENING "Content-Length: 0\r\n" END, UPGRADE_OK},
        {OPENING "Content-Length: 00\r\n" END, UPGRADE_OK},
        {OPENING "Content-Length: 0, 0\r\n" END, UPGRADE_OK},
        {OPENING "Content-Length: 0\r\nContent-Length: 0\r\n" END, UPGRADE_OK},
        {OPENING "Content-Length: 5\r\n" END, UPGRADE_HAS_BODY},
        {OPENING "Content-Length: 0, 5\r\n" END, UPGRADE_HAS_BODY},
        {OPENING "Content-Length: 5\r\nContent-Length: 0\r\n" END, UPGRADE_HAS_BODY},
        {OPENING "Content-Length: 16384\r\n" END, UPGRADE_HAS_BODY},
        {OPENING "Content-Length: 16385\r\n" END, UPGRADE_BODY_TOO_LARGE},
        {OPENING "Content-Length: 18446744073709551616\r\n" END, UPGRADE_BODY_TOO_LARGE},
        {OPENING "Content-Length: 99999999999999999999999999999999\r\n" END,
         UPGRADE_BODY_TOO_LARGE},
        {OPENING "Content-Length: -1\r\n" END, UPGRADE_MALFORMED},
        {OPENING "Content-Length: +0\r\n" END, UPGRADE_MALFORMED},
        {OPENING "Content-Length: 0x0\r\n" END, UPGRADE_MALFORMED},
        {OPENING "Content-Length: 0 0\r\n" END, UPGRADE_MALFORMED},
        {OPENING "Content-Length:\r\n" END, UPGRADE_MALFORMED},
        {OPENING "Content-Length: ,\r\n" END, UPGRADE_MALFORMED},
        {OPENING "Transfer-Encoding: chunked\r\n" END, UPGRADE_HAS_BODY},
        {OPENING "Transfer-Encoding: identity\r\nContent-Length: 0\r\n" END, UPGRADE_HAS_BODY},
        {OPENING "Transfer-Encoding:\r\n" END, UPGRADE_HAS_BODY},
    };

    (void)state;
    OPENING_CHECK(&open_rules, cases);
}

static void test_websocket_headers(void **state)
{
    static const struct opening_case cases[] = {
        {GET HOST UPGRADE KEY "Sec-WebSocket-Version:   13 \t\r\n" END, UPGRADE_OK},
        {GET HOST UPGRADE KEY END, UPGRADE_WRONG_VERSION},
        {GET HOST UPGRADE KEY "Sec-WebSocket-Version: 8\r\n" END, UPGRADE_WRONG_VERSION},
        {GET HOST UPGRADE KEY "Sec-WebSocket-Version: 25\r\n" END, UPGRADE_WRONG_VERSION},
        {GET HOST UPGRADE KEY "Sec-WebSocket-Version: 13, 8\r\n" END, UPGRADE_WRONG_VERSION},
        {GET HOST UPGRADE KEY "Sec-WebSocket-Version: 013\r\n" END, UPGRADE_WRONG_VERSION},
        {GET HOST UPGRADE KEY "Sec-WebSocket-Version:\r\n" END, UPGRADE_WRONG_VERSION},
        {GET HOST UPGRADE KEY VERSION VERSION END, UPGRADE_WRONG_VERSION},
        {GET HOST UPGRADE VERSION "sec-websocket-key:AAAAAAAAAAAAAAAAAAAAAA==\r\n" END, UPGRADE_OK},
        {GET HOST UPGRADE VERSION END, UPGRADE_BAD_KEY},
        {GET HOST UPGRADE VERSION KEY KEY END, UPGRADE_BAD_KEY},
        {GET HOST UPGRADE VERSION "Sec-WebSocket-Key:\r\n" END, UPGRADE_BAD_KEY},
        /* 32 bytes, 15, 17; 16 without padding; another alphabet; '=' inside; bits left over. */
        {GET HOST UPGRADE VERSION
         "Sec-WebSocket-Key: JCMCrKJENqcrTU9erFxGoiP5P8JhjeocERQs9vgR/Y4=\r\n" END,
         UPGRADE_BAD_KEY},
        {GET HOST UPGRADE VERSION "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAA\r\n" END,
         UPGRADE_BAD_KEY},
        {GET HOST UPGRADE VERSION "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAAA=\r\n" END,
         UPGRADE_BAD_KEY},
        {GET HOST UPGRADE VERSION "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA\r\n" END,
         UPGRADE_BAD_KEY},
        {GET HOST UPGRADE VERSION "Sec-WebSocket-Key: AAAAAAAAAAAAAAA-AAAAAA==\r\n" END,
         UPGRADE_BAD_KEY},
        {GET HOST UPGRADE VERSION "Sec-WebSocket-Key: AAAAAAAAAA==AAAAAAAAAA==\r\n" END,
         UPGRADE_BAD_KEY},
        {GET HOST UPGRADE VERSION "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAB==\r\n" END,
         UPGRADE_BAD_KEY},
        {GET UPGRADE VERSION KEY END, UPGRADE_NO_HOST},
        {OPENING HOST END, UPGRADE_NO_HOST},
        {GET UPGRADE VERSION KEY "Host:\r\n" END, UPGRADE_NO_HOST},
        {GET UPGRADE VERSION KEY "Host: a b\r\n" END, UPGRADE_NO_HOST},
        {GET UPGRADE VERSION KEY "Host: [::1]:8443\r\n" END, UPGRADE_OK},
    };

    (void)state;
    OPENING_CHECK(&open_rules, cases);
}

static void test_rules(void **state)
{
    static const struct opening_case cases[] = {
        {OPENING END, UPGRADE_OK},
        {"GET /?a=/b HTTP/1.1\r\n" HOST UPGRADE VERSION KEY END, UPGRADE_OK},
        {"GET wss://b.example:1 HTTP/1.1\r\n" HOST UPGRADE VERSION KEY END, UPGRADE_OK},
        {"GET /a HTTP/1.1\r\n" HOST UPGRADE VERSION KEY END, UPGRADE_WRONG_PATH},
        {"GET // HTTP/1.1\r\n" HOST UPGRADE VERSION KEY END, UPGRADE_WRONG_PATH},
        {"GET /%2f HTTP/1.1\r\n" HOST UPGRADE VERSION KEY END, UPGRADE_WRONG_PATH},
        {"GET /favicon.ico HTTP/1.1\r\n" HOST END, UPGRADE_WRONG_PATH},
        {OPENING "Origin: https://a.example\r\n" END, UPGRADE_OK},
        {OPENING "Origin: HTTPS://A.Example\r\n" END, UPGRADE_OK},
        {OPENING "Origin: https://b.example:8443\r\n" END, UPGRADE_OK},
        {OPENING "Origin: https://b.example\r\n" END, UPGRADE_ORIGIN_REFUSED},
        {OPENING "Origin: http://a.example\r\n" END, UPGRADE_ORIGIN_REFUSED},
        {OPENING "Origin: https://a.example.evil\r\n" END, UPGRADE_ORIGIN_REFUSED},
        {OPENING "Origin: https://xa.example\r\n" END, UPGRADE_ORIGIN_REFUSED},
        {OPENING "Origin: https://a.example/\r\n" END, UPGRADE_ORIGIN_REFUSED},
        {OPENING "Origin: null\r\n" END, UPGRADE_ORIGIN_REFUSED},
        {OPENING "Origin:\r\n" END, UPGRADE_ORIGIN_REFUSED},
        {OPENING "Origin: https://a.example\r\nOrigin: https://a.example\r\n" END,
         UPGRADE_ORIGIN_REFUSED},
        {OPENING "Content-Length: 2049\r\n" END, UPGRADE_BODY_TOO_LARGE},
        /* The order of the reasons, whatever the order of the lines. */
        {"GET /a HTTP/1.1\r\n" KEY KEY VERSION VERSION "Origin: null\r\nContent-Length: 1\r\n" END,
         UPGRADE_HAS_BODY},
        {"GET /a HTTP/1.1\r\n" KEY KEY VERSION VERSION "Origin: null\r\n" END, UPGRADE_NO_HOST},
        {"GET /a HTTP/1.1\r\n" HOST KEY KEY VERSION VERSION "Origin: null\r\n" END,
         UPGRADE_WRONG_PATH},
        {GET "Origin: null\r\n" HOST KEY KEY VERSION VERSION END, UPGRADE_NOT_UPGRADE},
        {GET "Origin: null\r\n" HOST UPGRADE KEY KEY VERSION VERSION END, UPGRADE_WRONG_VERSION},
        {GET "Origin: null\r\n" HOST UPGRADE KEY KEY VERSION END, UPGRADE_BAD_KEY},
        {GET "Origin: null\r\n" HOST UPGRADE KEY VERSION END, UPGRADE_ORIGIN_REFUSED},
    };

    (void)state;
    OPENING_CHECK(&strict_rules, cases);
}

/* The limits themselves: request_test.c. Here: that they are the rules' and have this reason. */
static void test_too_large(void **state)
{
    char text[4096];
    struct upgrade upgrade;

    (void)state;
    for (int filler = 2048 - (int)strlen(OPENING END) - 5;; filler++) {
        (void)snprintf(text, sizeof(text), OPENING "X: %0*d\r\n" END, filler, 0);
        enum upgrade_reason reason = opening_read(&strict_rules, text, &upgrade);
        assert_int_equal(reason, strlen(text) <= 2048 ? UPGRADE_OK : UPGRADE_TOO_LARGE);
        if (reason != UPGRADE_OK) {
            break;
        }
    }
    assert_int_equal(strlen(text), 2049);
}

static void test_slices(void **state)
{
    struct upgrade upgrade;

    (void)state;
    assert_int_equal(opening_read(&open_rules,
                                  "GET /a/b?c=d HTTP/1.1\r\n" UPGRADE VERSION KEY HOST
                                  "User-Agent: one \r\nOrigin: https://o.example\r\n"
                                  "User-Agent: two\r\nSec-WebSocket-Protocol: chat\r\n" END,
                                  &upgrade),
                     UPGRADE_OK);
    opening_slice(upgrade.path, "/a/b");
    opening_slice(upgrade.query, "c=d");
    opening_slice(upgrade.host, "a.example");
    opening_slice(upgrade.origin, "https://o.example");
    opening_slice(upgrade.key, "dGhlIHNhbXBsZSBub25jZQ==");
    opening_slice(upgrade.user_agent, "one");
    opening_slice(upgrade.protocol, NULL);
    opening_slice(upgrade.token, NULL);
    assert_int_equal(upgrade.token_place, 0);

    assert_int_equal(
        opening_read(&open_rules,
                     "GET http://b.example?x HTTP/1.1\r\n" UPGRADE VERSION KEY HOST END, &upgrade),
        UPGRADE_OK);
    opening_slice(upgrade.path, "/");
    opening_slice(upgrade.query, "x");
    opening_slice(upgrade.host, "b.example");
    opening_slice(upgrade.origin, NULL);
    opening_slice(upgrade.user_agent, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_connection),        cmocka_unit_test(test_http),
        cmocka_unit_test(test_websocket_headers), cmocka_unit_test(test_rules),
        cmocka_unit_test(test_too_large),         cmocka_unit_test(test_slices),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
