/*
 * Goal: URLs are taken apart and refused as they should be, the request carries what was asked for
 * and fits its room, and only an answer that fits the request (RFC 6455, section 4.1) counts as
 * upgraded.
 */
#include "bench/target.h"

#include "ws/upgrade.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* --- URL -------------------------------------------------------------------------------------- */

static struct target parsed(const char *url)
{
    struct target target;
    char message[256];

    if (target_parse(&target, url, message, sizeof(message)) != 0) {
        fail_msg("%s", message);
    }
    return target;
}

static void assert_refused(const char *url)
{
    struct target target;
    char message[256] = "";

    assert_int_equal(target_parse(&target, url, message, sizeof(message)), -1);
    assert_true(strlen(message) > 10);
}

static void test_urls(void **state)
{
    (void)state;
    struct target target = parsed("wss://127.0.0.1:8443/chat?token=a/b#fragment");
    assert_string_equal(target.host, "127.0.0.1");
    assert_string_equal(target.authority, "127.0.0.1:8443");
    assert_string_equal(target.path, "/chat?token=a/b");
    assert_int_equal(target.port, 8443);
    assert_int_equal(target.address.sin6_family, AF_INET);
    assert_int_equal(ntohs(target.address.sin6_port), 8443);
    assert_true(target.is_loopback);
    assert_false(target.is_name);

    target = parsed("wss://[::1]:9/");
    assert_string_equal(target.host, "::1");
    assert_string_equal(target.authority, "[::1]:9");
    assert_int_equal(target.address.sin6_family, AF_INET6);
    assert_true(target.is_loopback);
    assert_false(target.is_name);

    target = parsed("wss://192.0.2.1");
    assert_int_equal(target.port, 443);
    assert_string_equal(target.path, "/");
    assert_false(target.is_loopback);
    assert_string_equal(parsed("wss://127.0.0.1?x=1").path, "/?x=1");
    assert_true(parsed("wss://localhost:1/").is_name);
    assert_true(parsed("wss://127.200.1.1:65535/").is_loopback);
    assert_false(target.is_plain);

    target = parsed("ws://127.0.0.1/chat");
    assert_true(target.is_plain);
    assert_int_equal(target.port, 80);
    assert_string_equal(target.path, "/chat");
}

static void test_urls_that_are_none(void **state)
{
    char large[3000];

    (void)state;
    assert_refused("");
    assert_refused("http://127.0.0.1/");
    assert_refused("wss://");
    assert_refused("wss:///path");
    assert_refused("wss://:8443/");
    assert_refused("wss://127.0.0.1:/");
    assert_refused("wss://127.0.0.1:0/");
    assert_refused("wss://127.0.0.1:65536/");
    assert_refused("wss://127.0.0.1:84x/");
    assert_refused("wss://127.0.0.1:-1/");
    assert_refused("wss://[::1/");
    assert_refused("wss://[::1]8443/");
    assert_refused("wss://127.0.0.1/a b");
    assert_refused("wss://127.0.0.1/a\r\nX: y");
    assert_refused("wss://no-such-host.invalid/");
    memset(large, 'a', sizeof(large));
    memcpy(large, "wss://127.0.0.1/", 16);
    large[sizeof(large) - 1] = '\0';
    assert_refused(large);
}

/* --- tokens ----------------------------------------------------------------------------------- */

static void test_tokens_in_turn(void **state)
{
    struct tokens tokens;

    (void)state;
    assert_int_equal(tokens_index(&tokens, strdup("one\r\n\ntwo\nthree")), 0);
    assert_int_equal(tokens.count, 3);
    assert_string_equal(tokens_at(&tokens, 0), "one");
    assert_string_equal(tokens_at(&tokens, 2), "three");
    assert_string_equal(tokens_at(&tokens, 3), "one");
    tokens_free(&tokens);
    assert_null(tokens_at(&tokens, 7));
    assert_int_equal(tokens_index(&tokens, strdup("")), 0);
    assert_int_equal(tokens.count, 0);
    tokens_free(&tokens);
}

/* --- request ---------------------------------------------------------------------------------- */

static void test_request(void **state)
{
    const char *const headers[] = {"Origin: https://a.example", "Cookie: a=1"};
    const struct target target = parsed("wss://127.0.0.1:8443/chat?x=1");
    const struct request request = {
        .target = &target, .headers = headers, .header_count = 2, .token = "abc.def"};
    const struct upgrade_rules rules = {.request_size_max = 16384,
                                        .token_places = TOKEN_AUTHORIZATION};
    struct upgrade upgrade;
    uint8_t out[2048];
    char key[REQUEST_KEY_SIZE];

    (void)state;
    size_t size = request_write(&request, key, out, sizeof(out));
    assert_true(size > 0);
    /* The server's own parser takes it. */
    assert_int_equal(upgrade_read(&rules, out, size, &upgrade), UPGRADE_WHOLE);
    assert_int_equal(upgrade.consumed, size);
    assert_true(slice_equal(upgrade.path, slice_text("/chat")));
    assert_true(slice_equal(upgrade.query, slice_text("x=1")));
    assert_true(slice_equal(upgrade.host, slice_text("127.0.0.1:8443")));
    assert_true(slice_equal(upgrade.origin, slice_text("https://a.example")));
    assert_true(slice_equal(upgrade.token, slice_text("abc.def")));
    assert_true(slice_equal(upgrade.key, slice_from(key, sizeof(key))));
    /* Every room that is too small is noticed; the first that is not gives the whole request. */
    for (size_t room = 1; room <= size; room++) {
        assert_int_equal(request_write(&request, key, out, room), 0);
    }
    assert_int_equal(request_write(&request, key, out, size + 1), size);
}

/* --- answer ----------------------------------------------------------------------------------- */

static const char sample_key[] = "dGhlIHNhbXBsZSBub25jZQ=="; /* RFC 6455, section 1.3 */
#define ACCEPT  "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
#define UPGRADE "Upgrade: websocket\r\n"

static enum answer_status status_of(const char *text)
{
    size_t consumed = 0;
    uint32_t http_status = 0;
    enum answer_status status = answer_read(slice_text(text), sample_key, &consumed, &http_status);

    if (status != ANSWER_MORE) {
        assert_int_equal(consumed, (size_t)(strstr(text, "\r\n\r\n") - text) + 4);
    }
    return status;
}

static void test_answers(void **state)
{
    (void)state;
    assert_int_equal(status_of("HTTP/1.1 101 Yes\r\n" UPGRADE ACCEPT "\r\n"), ANSWER_UPGRADED);
    assert_int_equal(status_of("HTTP/1.1 101 Yes\r\n" UPGRADE ACCEPT "\r\n\x81\x01x"),
                     ANSWER_UPGRADED);
    assert_int_equal(status_of("HTTP/1.1 101 Yes\r\nupgrade:  WebSocket \r\n"
                               "SEC-WEBSOCKET-ACCEPT:s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"),
                     ANSWER_UPGRADED);
    assert_int_equal(status_of("HTTP/1.1 101 Yes\r\n" ACCEPT "\r\n"), ANSWER_BAD);
    assert_int_equal(status_of("HTTP/1.1 101 Yes\r\n" UPGRADE "\r\n"), ANSWER_BAD);
    assert_int_equal(status_of("HTTP/1.1 101 Yes\r\n" UPGRADE
                               "Sec-WebSocket-Accept: t3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"),
                     ANSWER_BAD);
    assert_int_equal(status_of("HTTP/1.1 101 Yes\r\n" UPGRADE ACCEPT
                               "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"),
                     ANSWER_BAD);
    assert_int_equal(status_of("SSH-2.0-OpenSSH_9.2 and more\r\n\r\n"), ANSWER_BAD);
    assert_int_equal(status_of("HTTP/1.1 10\r\n\r\n"), ANSWER_BAD);
    assert_int_equal(status_of("\r\n\r\n"), ANSWER_BAD);
}

static void test_a_refusal_has_its_status(void **state)
{
    size_t consumed;
    uint32_t http_status = 0;
    const char *text = "HTTP/1.1 503 Full\r\nRetry-After: 5\r\n\r\nfull";

    (void)state;
    assert_int_equal(answer_read(slice_text(text), sample_key, &consumed, &http_status),
                     ANSWER_REFUSED);
    assert_int_equal(http_status, 503);
}

static void test_an_answer_cut_anywhere_is_not_whole(void **state)
{
    const char *text = "HTTP/1.1 101 Yes\r\n" UPGRADE ACCEPT "\r\n";
    size_t consumed;
    uint32_t http_status;

    (void)state;
    for (size_t size = 0; size < strlen(text); size++) {
        assert_int_equal(answer_read(slice_from(text, size), sample_key, &consumed, &http_status),
                         ANSWER_MORE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_urls),
        cmocka_unit_test(test_urls_that_are_none),
        cmocka_unit_test(test_tokens_in_turn),
        cmocka_unit_test(test_request),
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_a_refusal_has_its_status),
        cmocka_unit_test(test_an_answer_cut_anywhere_is_not_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
