/*
 * Goal: every reason has its status, name and answer; an answer is well-formed HTTP, says what RFC
 * 6455, RFC 9110 and RFC 6585 ask of its status, and holds nothing that the client sent but a
 * subprotocol.
 */
#include "opening.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct {
    enum upgrade_reason reason;
    int status;
    const char *name;
    const char *word; /* of the body: what the client's owner should look at */
} reasons[] = {
    {UPGRADE_OK, 101, "ok", ""},
    {UPGRADE_MALFORMED, 400, "malformed", "HTTP/1.1"},
    {UPGRADE_NO_HOST, 400, "no_host", "Host"},
    {UPGRADE_BAD_KEY, 400, "bad_key", "Sec-WebSocket-Key"},
    {UPGRADE_HAS_BODY, 400, "has_body", "Content-Length"},
    {UPGRADE_BAD_TOKEN_FORM, 401, "bad_token_form", "exactly one token"},
    {UPGRADE_NO_TOKEN, 401, "no_token", "token"},
    {UPGRADE_TOKEN_REFUSED, 401, "token_refused", "token"},
    {UPGRADE_ORIGIN_REFUSED, 403, "origin_refused", "origin"},
    {UPGRADE_BAD_CHANNELS, 400, "bad_channels", "channels of the query"},
    {UPGRADE_CHANNEL_REFUSED, 403, "channel_refused", "one of the channels"},
    {UPGRADE_WRONG_PATH, 404, "wrong_path", "path"},
    {UPGRADE_WRONG_METHOD, 405, "wrong_method", "GET"},
    {UPGRADE_BODY_TOO_LARGE, 413, "body_too_large", "body"},
    {UPGRADE_NOT_UPGRADE, 426, "not_upgrade", "Upgrade: websocket"},
    {UPGRADE_WRONG_VERSION, 426, "wrong_version", "Sec-WebSocket-Version"},
    {UPGRADE_TOO_LARGE, 431, "too_large", "large"},
    {UPGRADE_FULL, 503, "full", "full"},
    {UPGRADE_STOPPING, 503, "stopping", "stopping"},
    {UPGRADE_NO_KEYS, 503, "no_keys", "key"},
    {UPGRADE_PLAIN_HTTP, 400, "plain_http", "wss://"},
};
static_assert(sizeof(reasons) / sizeof(reasons[0]) == UPGRADE_REASONS, "every reason");

/* The answer to a reason, as text. */
static char text[UPGRADE_ANSWER_MAX + 1];

static void answer(const struct upgrade *upgrade)
{
    uint8_t *out = malloc(UPGRADE_ANSWER_MAX);

    assert_non_null(out);
    size_t size = upgrade_answer(upgrade, out);
    assert_in_range(size, 1, UPGRADE_ANSWER_MAX);
    memcpy(text, out, size);
    text[size] = '\0';
    assert_int_equal(strlen(text), size);
    free(out);
}

static bool says(const char *line)
{
    char whole[128];

    (void)snprintf(whole, sizeof(whole), "\r\n%s\r\n", line);
    return strstr(text, whole) != NULL;
}

/* Status line, header lines and a body of one line, as long as it says. */
static void check_form(int status)
{
    char start[32];
    char length[64];
    const char *body = strstr(text, "\r\n\r\n");

    assert_non_null(body);
    body += 4;
    (void)snprintf(start, sizeof(start), "HTTP/1.1 %d ", status);
    assert_int_equal(strncmp(text, start, strlen(start)), 0);
    (void)snprintf(length, sizeof(length), "Content-Length: %zu", strlen(body));
    assert_true(says(length));
    assert_ptr_equal(strchr(body, '\n'), body + strlen(body) - 1);
    for (const char *at = text; at < body; at++) {
        assert_true((*at >= ' ' && *at <= '~') || (*at == '\r' && at[1] == '\n') || *at == '\n');
        assert_true(*at != '\n' || at[-1] == '\r');
    }
}

static void test_refusals(void **state)
{
    (void)state;
    for (size_t i = 1; i < UPGRADE_REASONS; i++) {
        int status = reasons[i].status;
        struct upgrade upgrade = {0};
        upgrade_decide(&upgrade, reasons[i].reason);
        assert_int_equal(upgrade.reason, reasons[i].reason);
        assert_int_equal(upgrade.status, status);
        answer(&upgrade);
        check_form(status);
        assert_non_null(strstr(strstr(text, "\r\n\r\n"), reasons[i].word));
        assert_int_equal(says(status == 426 ? "Connection: Upgrade, close" : "Connection: close"),
                         1);
        assert_int_equal(says("Upgrade: websocket"), status == 426);
        assert_int_equal(says("Sec-WebSocket-Version: 13"), status == 426);
        assert_int_equal(says("WWW-Authenticate: Bearer"), status == 401);
        assert_int_equal(says("Allow: GET"), status == 405);
        assert_int_equal(says("Retry-After: 5"), status == 503);
        assert_true(says("Cache-Control: no-store"));
        assert_true(says("Content-Type: text/plain"));
    }
}

static void test_reasons(void **state)
{
    (void)state;
    for (size_t i = 0; i < UPGRADE_REASONS; i++) {
        assert_int_equal(reasons[i].reason, i);
        assert_int_equal(upgrade_reason_status(reasons[i].reason), reasons[i].status);
        assert_string_equal(upgrade_reason_name(reasons[i].reason), reasons[i].name);
    }
}

/* The example of RFC 6455, section 1.3. */
static void test_acceptance(void **state)
{
    static const char *const protocols[] = {"chat", "superchat"};
    const struct upgrade_rules rules = {
        .request_size_max = 4096, .protocols = protocols, .protocol_count = 2};
    struct upgrade upgrade;
    char accept[28];

    (void)state;
    upgrade_accept_key(slice_text("dGhlIHNhbXBsZSBub25jZQ=="), accept);
    assert_memory_equal(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", sizeof(accept));
    assert_int_equal(
        opening_read(&rules, OPENING "Sec-WebSocket-Protocol: chat, superchat\r\n" END, &upgrade),
        UPGRADE_OK);
    answer(&upgrade);
    assert_string_equal(text, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                              "Connection: Upgrade\r\n"
                              "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
                              "Sec-WebSocket-Protocol: chat\r\n\r\n");
    assert_int_equal(opening_read(&rules, OPENING END, &upgrade), UPGRADE_OK);
    answer(&upgrade);
    assert_string_equal(text, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                              "Connection: Upgrade\r\n"
                              "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n");
}

static void test_extension(void **state)
{
    static const char offer[] =
        OPENING "Sec-WebSocket-Extensions: x, permessage-deflate; level=9\r\n"
                "sec-websocket-extensions: permessage-deflate; server_max_window_bits=12\r\n" END;
    const struct upgrade_rules rules = {.request_size_max = 4096, .deflate = true};
    const struct upgrade_rules off = {.request_size_max = 4096};
    struct upgrade upgrade;

    (void)state;
    assert_int_equal(opening_read(&rules, offer, &upgrade), UPGRADE_OK);
    assert_true(upgrade.extension.has_deflate);
    answer(&upgrade);
    assert_string_equal(strstr(text, "Sec-WebSocket-Extensions"),
                        "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; "
                        "client_no_context_takeover; server_max_window_bits=12\r\n\r\n");
    upgrade_decide(&upgrade, UPGRADE_FULL);
    answer(&upgrade);
    assert_null(strstr(text, "Extensions"));
    /* Not offered; not wanted. */
    assert_int_equal(opening_read(&rules, OPENING END, &upgrade), UPGRADE_OK);
    assert_false(upgrade.extension.has_deflate);
    assert_int_equal(opening_read(&off, offer, &upgrade), UPGRADE_OK);
    assert_false(upgrade.extension.has_deflate);
    answer(&upgrade);
    assert_null(strstr(text, "Extensions"));
}

/* The longest answer fits. */
static void test_longest_acceptance(void **state)
{
    char name[UPGRADE_PROTOCOL_SIZE_MAX + 1];
    struct upgrade upgrade = {.key = slice_text("dGhlIHNhbXBsZSBub25jZQ=="),
                              .extension = {.has_deflate = true, .names_window = true}};

    (void)state;
    memset(name, 'p', UPGRADE_PROTOCOL_SIZE_MAX);
    name[UPGRADE_PROTOCOL_SIZE_MAX] = '\0';
    upgrade.protocol = slice_text(name);
    upgrade_decide(&upgrade, UPGRADE_OK);
    answer(&upgrade);
    assert_non_null(strstr(text, "server_max_window_bits=12\r\n\r\n"));
}

/* A good request that is refused later is answered without any of its own bytes. */
static void test_decided_later(void **state)
{
    const struct upgrade_rules rules = {.request_size_max = 4096,
                                        .token_places = TOKEN_AUTHORIZATION | TOKEN_PROTOCOL};
    struct upgrade upgrade;

    (void)state;
    assert_int_equal(
        opening_read(&rules, OPENING "Sec-WebSocket-Protocol: bearer, SECRET\r\n" END, &upgrade),
        UPGRADE_OK);
    answer(&upgrade);
    assert_null(strstr(text, "SECRET"));
    assert_true(says("Sec-WebSocket-Protocol: bearer"));
    upgrade_decide(&upgrade, UPGRADE_TOKEN_REFUSED);
    answer(&upgrade);
    check_form(401);
    assert_null(strstr(text, "SECRET"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refusals),           cmocka_unit_test(test_reasons),
        cmocka_unit_test(test_acceptance),         cmocka_unit_test(test_extension),
        cmocka_unit_test(test_longest_acceptance), cmocka_unit_test(test_decided_later),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
