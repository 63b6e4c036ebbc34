/*
 * Goal: token_make makes tokens that token_check finds good, with what was asked for in them, and
 * refuses what would not be.
 */
#include "token_tool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void a_made_token_is_good(void **state)
{
    static const char *const channels[] = {"news", "chat", "\u00e9"};
    struct token_key_options list[] = {
        {.kid = "rsa", .algorithm = "RS256", .path = rs256.path},
        {.kid = "hmac", .algorithm = "HS512", .path = hs256.path},
    };
    struct token_options options = options_of(list, 2);
    struct token_request request = {.subject = "ada \"\u00e9\"",
                                    .channels = channels,
                                    .channel_count = 3,
                                    .subscribe = channels,
                                    .subscribe_count = 1,
                                    .publish = channels + 1,
                                    .publish_count = 1,
                                    .now_s = NOW + 0.7,
                                    .lifetime_s = 60};
    struct token_claims claims;
    char message[256] = "";
    struct token_keys *keys;
    char *token;

    (void)state;
    options.issuer = "https://id.example/";
    options.audience = "limpet";
    token = token_make(&options, &request, message, sizeof(message));
    assert_string_equal(message, "");
    assert_non_null(token);
    keys = open_options(&options);
    assert_int_equal(token_check(keys, slice_text(token), NOW, &claims), TOKEN_GOOD);
    assert_string_equal(claims.subject, "ada \"\u00e9\"");
    assert_true(claims.expires_s == NOW + 60);
    assert_int_equal(claims.channels.count, 3);
    assert_memory_equal(claims.channels.names, "news\0chat\0\u00e9", 13);
    assert_int_equal(claims.allowed[NAMESPACE_SUBSCRIBE].count, 1);
    assert_string_equal(claims.allowed[NAMESPACE_SUBSCRIBE].names, "news");
    assert_int_equal(claims.allowed[NAMESPACE_PUBLISH].count, 1);
    assert_string_equal(claims.allowed[NAMESPACE_PUBLISH].names, "chat");
    token_claims_free(&claims);
    assert_int_equal(token_check(keys, slice_text(token), NOW + 60, &claims), TOKEN_EXPIRED);
    token_keys_close(keys);
    free(token);
}

static void a_token_may_be_bare(void **state)
{
    struct token_key_options key = {.algorithm = "HS256", .path = hs256.path};
    struct token_options options = options_of(&key, 1);
    struct token_request request = {.now_s = NOW};
    struct token_claims claims;
    char message[256] = "";
    struct token_keys *keys;
    char *token;

    (void)state;
    options.require_expiry = false;
    token = token_make(&options, &request, message, sizeof(message));
    assert_non_null(token);
    keys = open_options(&options);
    assert_int_equal(token_check(keys, slice_text(token), 4e9, &claims), TOKEN_GOOD);
    assert_string_equal(claims.subject, "");
    assert_true(claims.expires_s == 0);
    assert_null(claims.channels.names);
    token_keys_close(keys);
    free(token);
}

static void expect_refusal(const struct token_options *options, const struct token_request *request,
                           const char *reason)
{
    char message[256] = "";

    assert_null(token_make(options, request, message, sizeof(message)));
    if (!strstr(message, reason)) {
        print_error("\"%s\" lacks \"%s\"\n", message, reason);
    }
    assert_non_null(strstr(message, reason));
}

static void what_would_be_refused_is_not_made(void **state)
{
    static const char *const long_name[] = {"123456789"};
    static const char *const bad_name[] = {"a\xff"};
    static const char *const many[] = {"a", "b", "c", "d", "e"};
    struct token_key_options key = {.algorithm = "HS256", .path = hs256.path};
    struct token_options options = options_of(&key, 1);
    struct token_request request = {.now_s = NOW, .lifetime_s = 60};
    char subject[257];

    (void)state;
    memset(subject, 's', 256);
    subject[256] = 0;
    request.subject = subject;
    expect_refusal(&options, &request, "would refuse this token: bad_claim");
    request.subject = "\xff";
    expect_refusal(&options, &request, "not UTF-8");
    request.subject = NULL;
    request.channels = long_name;
    request.channel_count = 1;
    expect_refusal(&options, &request, "would refuse this token: bad_claim");
    request.channels = bad_name;
    expect_refusal(&options, &request, "not UTF-8");
    request.channels = many;
    request.channel_count = 5;
    expect_refusal(&options, &request, "would refuse this token: bad_claim");
    request.channel_count = 0;
    request.lifetime_s = 0;
    expect_refusal(&options, &request, "would refuse this token: no_expiry");
}

static void an_hmac_key_is_needed(void **state)
{
    struct token_key_options key = {.algorithm = "ES256", .path = es256.path};
    struct token_options options = options_of(&key, 1);
    struct token_request request = {.now_s = NOW, .lifetime_s = 60};

    (void)state;
    expect_refusal(&options, &request, "with an HMAC key only");
    options.key_count = 0;
    expect_refusal(&options, &request, "with an HMAC key only");
    options.key_count = 1;
    key.path = "/nowhere/key";
    expect_refusal(&options, &request, "/nowhere/key: No such file");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_made_token_is_good),
        cmocka_unit_test(a_token_may_be_bare),
        cmocka_unit_test(what_would_be_refused_is_not_made),
        cmocka_unit_test(an_hmac_key_is_needed),
    };

    return cmocka_run_group_tests(tests, tool_set_up, tool_tear_down);
}
