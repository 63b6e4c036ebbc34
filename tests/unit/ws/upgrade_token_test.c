/*
 * Goal: the token is taken from the place that the documented order names, the subprotocol that is
 * answered is one that was offered, and large tokens are refused for their size, never cut.
 */
#include "opening.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define ALL_PLACES (TOKEN_AUTHORIZATION | TOKEN_PROTOCOL | TOKEN_COOKIE | TOKEN_QUERY)

#define QUERY_OPENING "GET /?token=q HTTP/1.1\r\n" HOST UPGRADE VERSION KEY
#define AUTHORIZATION "Authorization: Bearer a\r\n"
#define PROTOCOL      "Sec-WebSocket-Protocol: bearer, p\r\n"
#define COOKIE        "Cookie: sid=c\r\n"

static const char *const protocols[] = {"chat.v2", "chat"};

static struct upgrade_rules rules_for(unsigned places)
{
    return (struct upgrade_rules){
        .request_size_max = 16384,
        .protocols = protocols,
        .protocol_count = 2,
        .token_places = places,
        .cookie_name = "sid",
        .query_name = "token",
    };
}

/* All four places hold a token; every set of enabled ones; the first enabled decides. */
static void test_order(void **state)
{
    static const char *const tokens[TOKEN_PLACES] = {"a", "p", "c", "q"};
    struct upgrade upgrade;

    (void)state;
    for (unsigned places = 0; places <= ALL_PLACES; places++) {
        const struct upgrade_rules rules = rules_for(places);
        assert_int_equal(
            opening_read(&rules, QUERY_OPENING COOKIE PROTOCOL AUTHORIZATION END, &upgrade),
            UPGRADE_OK);
        unsigned first = 0;
        while (first < TOKEN_PLACES && (places & 1u << first) == 0) {
            first++;
        }
        opening_slice(upgrade.token, first < TOKEN_PLACES ? tokens[first] : NULL);
        assert_int_equal(upgrade.token_place, first < TOKEN_PLACES ? 1u << first : 0);
    }
}

static void test_one_place(void **state)
{
    static const struct {
        const char *text;
        const char *token;
        enum token_place place;
    } cases[] = {
        {OPENING AUTHORIZATION END, "a", TOKEN_AUTHORIZATION},
        {OPENING "authorization: BEARER   a.b-c_d \r\n" END, "a.b-c_d", TOKEN_AUTHORIZATION},
        {OPENING PROTOCOL END, "p", TOKEN_PROTOCOL},
        {OPENING COOKIE END, "c", TOKEN_COOKIE},
        {OPENING "Cookie: a=1\r\nX: y\r\nCookie: sid=c\r\n" END, "c", TOKEN_COOKIE},
        {OPENING "Cookie: xsid=1; sid=\"c\"\r\n" END, "c", TOKEN_COOKIE},
        {QUERY_OPENING END, "q", TOKEN_QUERY},
        {QUERY_OPENING "Authorization: Basic dTpw\r\n" END, "q", TOKEN_QUERY},
        {QUERY_OPENING "Cookie: a=1\r\nSec-WebSocket-Protocol: chat\r\n" END, "q", TOKEN_QUERY},
        {"GET ws://a/?token=q HTTP/1.1\r\n" HOST UPGRADE VERSION KEY END, "q", TOKEN_QUERY},
    };
    const struct upgrade_rules rules = rules_for(ALL_PLACES);
    struct upgrade upgrade;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(opening_read(&rules, cases[i].text, &upgrade), UPGRADE_OK);
        opening_slice(upgrade.token, cases[i].token);
        assert_int_equal(upgrade.token_place, cases[i].place);
    }
}

/* A bad token in the first place is refused, however good the others are. */
static void test_refused(void **state)
{
    static const struct opening_case cases[] = {
        {OPENING END, UPGRADE_NO_TOKEN},
        {OPENING "Authorization: Token x\r\n" END, UPGRADE_NO_TOKEN},
        {OPENING "Sec-WebSocket-Protocol: chat\r\nCookie: xsid=c\r\n" END, UPGRADE_NO_TOKEN},
        {QUERY_OPENING COOKIE PROTOCOL "Authorization: Bearer\r\n" END, UPGRADE_BAD_TOKEN_FORM},
        {QUERY_OPENING COOKIE PROTOCOL "Authorization: Bearer x y\r\n" END, UPGRADE_BAD_TOKEN_FORM},
        {QUERY_OPENING COOKIE PROTOCOL "Authorization: Bearer\tx\r\n" END, UPGRADE_BAD_TOKEN_FORM},
        {QUERY_OPENING COOKIE PROTOCOL AUTHORIZATION AUTHORIZATION END, UPGRADE_BAD_TOKEN_FORM},
        {QUERY_OPENING COOKIE "Sec-WebSocket-Protocol: bearer\r\n" END, UPGRADE_BAD_TOKEN_FORM},
        {QUERY_OPENING COOKIE "Sec-WebSocket-Protocol: chat, bearer,\r\n" END,
         UPGRADE_BAD_TOKEN_FORM},
        {QUERY_OPENING COOKIE PROTOCOL PROTOCOL END, UPGRADE_BAD_TOKEN_FORM},
        {QUERY_OPENING COOKIE "Sec-WebSocket-Protocol: bearer, a|b\r\n" END,
         UPGRADE_BAD_TOKEN_FORM},
        {QUERY_OPENING COOKIE COOKIE END, UPGRADE_BAD_TOKEN_FORM},
        {QUERY_OPENING "Cookie: sid=old; sid=c\r\n" END, UPGRADE_BAD_TOKEN_FORM},
        {QUERY_OPENING "Cookie: sid=\r\n" END, UPGRADE_BAD_TOKEN_FORM},
        {"GET /?token=a&token=a HTTP/1.1\r\n" HOST UPGRADE VERSION KEY END, UPGRADE_BAD_TOKEN_FORM},
        {"GET /?token=a%2Eb HTTP/1.1\r\n" HOST UPGRADE VERSION KEY END, UPGRADE_BAD_TOKEN_FORM},
        {"GET /?token HTTP/1.1\r\n" HOST UPGRADE VERSION KEY END, UPGRADE_BAD_TOKEN_FORM},
        /* A place after the first does not matter. */
        {"GET /?token HTTP/1.1\r\n" HOST UPGRADE VERSION KEY COOKIE END, UPGRADE_OK},
        {OPENING COOKIE COOKIE AUTHORIZATION END, UPGRADE_OK},
    };
    static const struct opening_case switched_off[] = {
        {OPENING AUTHORIZATION END, UPGRADE_NO_TOKEN},
        {OPENING PROTOCOL END, UPGRADE_NO_TOKEN},
        {QUERY_OPENING END, UPGRADE_NO_TOKEN},
        {OPENING AUTHORIZATION AUTHORIZATION PROTOCOL PROTOCOL COOKIE END, UPGRADE_OK},
    };
    const struct upgrade_rules all = rules_for(ALL_PLACES);
    const struct upgrade_rules cookie = rules_for(TOKEN_COOKIE);

    (void)state;
    OPENING_CHECK(&all, cases);
    OPENING_CHECK(&cookie, switched_off);
}

/* What is offered, in one or more lines; the answer; the token. */
static const struct {
    const char *lines;
    const char *protocol;
    const char *token;
} offers[] = {
    {"Sec-WebSocket-Protocol: bearer,a.b\r\n", "bearer", "a.b"},
    {"Sec-WebSocket-Protocol: bearer, a.b\r\n", "bearer", "a.b"},
    {"Sec-WebSocket-Protocol: bearer\r\nSec-WebSocket-Protocol: a.b\r\n", "bearer", "a.b"},
    {"Sec-WebSocket-Protocol: Bearer, a.b\r\n", "Bearer", "a.b"},
    {"Sec-WebSocket-Protocol: bearer, ,a.b,\r\n", "bearer", "a.b"},
    {"Sec-WebSocket-Protocol: bearer, bearer\r\n", "bearer", "bearer"},
    {"Sec-WebSocket-Protocol: bearer, chat\r\n", "bearer", "chat"},
    {"Sec-WebSocket-Protocol: chat, bearer, a.b\r\n", "chat", "a.b"},
    {"Sec-WebSocket-Protocol: bearer, a.b, chat\r\n", "chat", "a.b"},
    {"Sec-WebSocket-Protocol: x, bearer, a.b, y\r\n", "bearer", "a.b"},
    {"Sec-WebSocket-Protocol: chat, chat.v2\r\n" AUTHORIZATION, "chat", "a"},
    {"Sec-WebSocket-Protocol: x\r\nSec-WebSocket-Protocol: chat.v2,chat\r\n" AUTHORIZATION,
     "chat.v2", "a"},
    {"Sec-WebSocket-Protocol: x, ,y\r\n" AUTHORIZATION, NULL, "a"},
    {"Sec-WebSocket-Protocol: CHAT, chat.v, chat.v22\r\n" AUTHORIZATION, NULL, "a"},
    {"Sec-WebSocket-Protocol:\r\n" AUTHORIZATION, NULL, "a"},
    {AUTHORIZATION, NULL, "a"},
    {PROTOCOL AUTHORIZATION, "bearer", "a"},
};

static void test_offers(void **state)
{
    const struct upgrade_rules rules = rules_for(ALL_PLACES);
    const struct upgrade_rules no_protocol = rules_for(TOKEN_AUTHORIZATION);
    struct upgrade upgrade;
    char text[1024];

    (void)state;
    for (size_t i = 0; i < sizeof(offers) / sizeof(offers[0]); i++) {
        (void)snprintf(text, sizeof(text), OPENING "%s" END, offers[i].lines);
        assert_int_equal(opening_read(&rules, text, &upgrade), UPGRADE_OK);
        opening_slice(upgrade.protocol, offers[i].protocol);
        opening_slice(upgrade.token, offers[i].token);
    }
    /* Where tokens are not looked for, "bearer" is a name like others. */
    assert_int_equal(opening_read(&no_protocol, OPENING PROTOCOL AUTHORIZATION END, &upgrade),
                     UPGRADE_OK);
    opening_slice(upgrade.protocol, NULL);
}

/* The longest name that is answered, and one more. */
static void test_long_protocol(void **state)
{
    static char name[UPGRADE_PROTOCOL_SIZE_MAX + 2];
    const char *const names[] = {name};
    struct upgrade_rules rules = {
        .request_size_max = 4096, .protocols = names, .protocol_count = 1};
    struct upgrade upgrade;
    uint8_t answer[UPGRADE_ANSWER_MAX];
    char text[2048];

    (void)state;
    for (size_t size = UPGRADE_PROTOCOL_SIZE_MAX; size <= UPGRADE_PROTOCOL_SIZE_MAX + 1; size++) {
        memset(name, 'p', size);
        (void)snprintf(text, sizeof(text), OPENING "Sec-WebSocket-Protocol: %s\r\n" END, name);
        assert_int_equal(opening_read(&rules, text, &upgrade), UPGRADE_OK);
        opening_slice(upgrade.protocol, size == UPGRADE_PROTOCOL_SIZE_MAX ? name : NULL);
        assert_in_range(upgrade_answer(&upgrade, answer), 100, UPGRADE_ANSWER_MAX);
    }
}

/* Tokens of 1 to 64 KB in each place under a limit of 16 KB; 6 KB of other cookies beside a small
 * one. */
static void test_large(void **state)
{
    static const char *const forms[TOKEN_PLACES] = {
        OPENING "Authorization: Bearer %s\r\n" END,
        OPENING "Sec-WebSocket-Protocol: bearer, %s\r\n" END,
        OPENING "Cookie: sid=%s\r\n" END,
        "GET /?token=%s HTTP/1.1\r\n" HOST UPGRADE VERSION KEY END,
    };
    static const size_t sizes[] = {1024, 4096, 8192, 15360, 16384, 17408, 65536};
    static char token[65537];
    static char text[70000];
    const struct upgrade_rules rules = rules_for(ALL_PLACES);
    struct upgrade upgrade;

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        memset(token, 'x', sizes[i]);
        for (size_t place = 0; place < TOKEN_PLACES; place++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
            (void)snprintf(text, sizeof(text), forms[place], token);
#pragma GCC diagnostic pop
            enum upgrade_reason reason = opening_read(&rules, text, &upgrade);
            assert_int_equal(reason, sizes[i] < 16384 ? UPGRADE_OK : UPGRADE_TOO_LARGE);
            opening_slice(upgrade.token, sizes[i] < 16384 ? token : NULL);
        }
    }
    token[6144] = '\0';
    (void)snprintf(text, sizeof(text), OPENING "Cookie: a=%s; sid=c\r\n" END, token);
    assert_int_equal(opening_read(&rules, text, &upgrade), UPGRADE_OK);
    opening_slice(upgrade.token, "c");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),         cmocka_unit_test(test_one_place),
        cmocka_unit_test(test_refused),       cmocka_unit_test(test_offers),
        cmocka_unit_test(test_long_protocol), cmocka_unit_test(test_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
