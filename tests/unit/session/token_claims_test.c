/*
 * Goal: of tokens with a good signature, token_check takes exactly those whose claims RFC 7519 and
 * the options allow: times with leeway, issuer, audience, subject and channels, at both sides of
 * each limit.
 */
#include "token_tool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* --- times ------------------------------------------------------------------------------------ */

/* S20: a NumericDate may be any JSON number, and nothing else. */
static void times_are_numbers(void **state)
{
    static const char *const good[] = {"1893456000.25", "1.893456E9", "1893456000.0", "1893456000",
                                       "1e300"};
    static const char *const bad[] = {"\"1893456000\"", "true", "null",
                                      "[1893456000]",   "{}",   "\"\""};
    static const char *const names[] = {"exp", "nbf", "iat"};
    struct token_keys *keys = open_hs256();
    char payload[128];

    (void)state;
    for (size_t i = 0; i < COUNT(good); i++) {
        (void)snprintf(payload, sizeof(payload), "{\"exp\":%s,\"iat\":%s}", good[i], good[i]);
        expect_payload(keys, payload, TOKEN_GOOD);
    }
    expect_payload(keys, "{" EXPIRES ",\"nbf\":1.7e9,\"iat\":1700000000.5}", TOKEN_GOOD);
    for (size_t i = 0; i < COUNT(bad); i++) {
        for (size_t j = 0; j < COUNT(names); j++) {
            (void)snprintf(payload, sizeof(payload), "{%s\"%s\":%s}", j ? EXPIRES "," : "",
                           names[j], bad[i]);
            expect_payload(keys, payload, TOKEN_BAD_CLAIM);
        }
    }
    token_keys_close(keys);
}

/* S22: leeway makes exp later and nbf earlier; iat is not compared with anything. */
static void leeway_in_the_right_direction(void **state)
{
    static const struct {
        const char *payload;
        uint32_t leeway_s;
        enum token_outcome outcome;
    } cases[] = {
        {"{\"exp\":1800000000}", 0, TOKEN_EXPIRED},
        {"{\"exp\":1800000000.001}", 0, TOKEN_GOOD},
        {"{\"exp\":1800000001}", 0, TOKEN_GOOD},
        {"{\"exp\":1799999998}", 0, TOKEN_EXPIRED},
        {"{\"exp\":1799999998}", 5, TOKEN_GOOD},
        {"{\"exp\":1799999998}", 60, TOKEN_GOOD},
        {"{\"exp\":1799999995}", 5, TOKEN_EXPIRED},
        {"{\"exp\":1799999996}", 5, TOKEN_GOOD},
        {"{" EXPIRES ",\"nbf\":1800000000}", 0, TOKEN_GOOD},
        {"{" EXPIRES ",\"nbf\":1800000000.5}", 0, TOKEN_NOT_YET},
        {"{" EXPIRES ",\"nbf\":1800000002}", 0, TOKEN_NOT_YET},
        {"{" EXPIRES ",\"nbf\":1800000002}", 5, TOKEN_GOOD},
        {"{" EXPIRES ",\"nbf\":1800000002}", 60, TOKEN_GOOD},
        {"{" EXPIRES ",\"nbf\":1800000005}", 5, TOKEN_GOOD},
        {"{" EXPIRES ",\"nbf\":1800000006}", 5, TOKEN_NOT_YET},
        {"{" EXPIRES ",\"iat\":1800000002}", 0, TOKEN_GOOD},
        {"{" EXPIRES ",\"iat\":1900000000}", 0, TOKEN_GOOD},
        {"{\"exp\":0}", 0, TOKEN_EXPIRED},
        {"{\"exp\":-1}", 60, TOKEN_EXPIRED},
        {"{" EXPIRES ",\"nbf\":-1}", 0, TOKEN_GOOD},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct token_key_options key = {.algorithm = "HS256", .path = hs256.path};
        struct token_options options = options_of(&key, 1);

        options.leeway_s = cases[i].leeway_s;
        struct token_keys *keys = open_options(&options);
        expect_payload(keys, cases[i].payload, cases[i].outcome);
        token_keys_close(keys);
    }
}

static void times_are_told(void **state)
{
    struct token_keys *keys = open_hs256();
    struct token_claims claims;
    char *token = signer_sign(&hs256, "{\"exp\":1799999998.5}");

    (void)state;
    assert_int_equal(token_check(keys, slice_text(token), NOW, &claims), TOKEN_EXPIRED);
    assert_true(claims.expires_s == 1799999998.5);
    free(token);
    token = signer_sign(&hs256, "{\"nbf\":1800000009,\"exp\":1e300}");
    assert_int_equal(token_check(keys, slice_text(token), NOW, &claims), TOKEN_NOT_YET);
    assert_true(claims.not_before_s == 1800000009.0);
    assert_true(claims.expires_s == 253402300799.0);
    free(token);
    /* Before 1970 is as good as no nbf. */
    token = signer_sign(&hs256, "{\"nbf\":-1," EXPIRES "}");
    assert_int_equal(token_check(keys, slice_text(token), NOW, &claims), TOKEN_GOOD);
    assert_true(claims.not_before_s == 0);
    free(token);
    token_keys_close(keys);
}

/* An exp of 0 would say "never" in the claims: it is over at any time, whatever the leeway. */
static void an_expiry_of_zero_is_over(void **state)
{
    struct token_key_options key = {.algorithm = "HS256", .path = hs256.path};
    struct token_options options = options_of(&key, 1);
    options.leeway_s = 60;
    struct token_keys *keys = open_options(&options);
    struct token_claims claims;
    char *token = signer_sign(&hs256, "{\"exp\":0}");

    (void)state;
    assert_int_equal(token_check(keys, slice_text(token), 0, &claims), TOKEN_EXPIRED);
    free(token);
    token = signer_sign(&hs256, "{\"exp\":1}");
    assert_int_equal(token_check(keys, slice_text(token), 0, &claims), TOKEN_GOOD);
    token_claims_free(&claims);
    free(token);
    token_keys_close(keys);
}

static void expiry_may_be_required(void **state)
{
    struct token_key_options key = {.algorithm = "HS256", .path = hs256.path};
    struct token_options options = options_of(&key, 1);
    struct token_keys *keys = open_options(&options);
    struct token_claims claims;
    char *token = signer_sign(&hs256, "{}");

    (void)state;
    assert_int_equal(check_bytes(keys, slice_text(token)), TOKEN_NO_EXPIRY);
    token_keys_close(keys);
    options.require_expiry = false;
    keys = open_options(&options);
    assert_int_equal(token_check(keys, slice_text(token), NOW, &claims), TOKEN_GOOD);
    assert_true(claims.expires_s == 0);
    assert_int_equal(claims.channels.count, 0);
    assert_string_equal(claims.subject, "");
    free(token);
    token_keys_close(keys);
}

/* --- other claims ----------------------------------------------------------------------------- */

static void issuer_is_exact(void **state)
{
    struct token_key_options key = {.algorithm = "HS256", .path = hs256.path};
    struct token_options options = options_of(&key, 1);
    options.issuer = "https://id.example/";
    struct token_keys *keys = open_options(&options);

    (void)state;
    expect_payload(keys, "{" EXPIRES ",\"iss\":\"https://id.example/\"}", TOKEN_GOOD);
    expect_payload(keys, "{" EXPIRES ",\"iss\":\"https://id.example\"}", TOKEN_WRONG_ISSUER);
    expect_payload(keys, "{" EXPIRES ",\"iss\":\"https://id.example/x\"}", TOKEN_WRONG_ISSUER);
    expect_payload(keys, "{" EXPIRES ",\"iss\":\"https://ID.example/\"}", TOKEN_WRONG_ISSUER);
    expect_payload(keys, "{" EXPIRES ",\"iss\":\"\"}", TOKEN_WRONG_ISSUER);
    expect_payload(keys, "{" EXPIRES "}", TOKEN_WRONG_ISSUER);
    expect_payload(keys, "{" EXPIRES ",\"iss\":[\"https://id.example/\"]}", TOKEN_BAD_CLAIM);
    expect_payload(keys, "{" EXPIRES ",\"iss\":null}", TOKEN_BAD_CLAIM);
    token_keys_close(keys);
}

/* S21. */
static void audience_is_a_text_or_a_list(void **state)
{
    static const struct {
        const char *audience;
        enum token_outcome outcome;
    } cases[] = {
        {"\"a\"", TOKEN_GOOD},
        {"[\"b\",\"a\"]", TOKEN_GOOD},
        {"[]", TOKEN_WRONG_AUDIENCE},
        {"\"\"", TOKEN_WRONG_AUDIENCE},
        {"[\"A\"]", TOKEN_WRONG_AUDIENCE},
        {"[\"ab\"]", TOKEN_WRONG_AUDIENCE},
        {"\"ab\"", TOKEN_WRONG_AUDIENCE},
        {"[1]", TOKEN_BAD_CLAIM},
        {"[\"a\",1]", TOKEN_BAD_CLAIM},
        {"{\"a\":1}", TOKEN_BAD_CLAIM},
        {"null", TOKEN_BAD_CLAIM},
        {"[[\"a\"]]", TOKEN_BAD_CLAIM},
    };
    struct token_key_options key = {.algorithm = "HS256", .path = hs256.path};
    struct token_options options = options_of(&key, 1);
    options.audience = "a";
    struct token_keys *keys = open_options(&options);
    struct token_keys *any = open_hs256();

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        char payload[128];

        (void)snprintf(payload, sizeof(payload), "{" EXPIRES ",\"aud\":%s}", cases[i].audience);
        expect_payload(keys, payload, cases[i].outcome);
        expect_payload(any, payload, TOKEN_GOOD);
    }
    expect_payload(keys, "{" EXPIRES "}", TOKEN_WRONG_AUDIENCE);
    token_keys_close(keys);
    token_keys_close(any);
}

static void subject_is_a_bounded_text(void **state)
{
    struct token_keys *keys = open_hs256();
    struct token_claims claims;
    char payload[512];
    char *token;

    (void)state;
    (void)snprintf(payload, sizeof(payload), "{" EXPIRES ",\"sub\":\"%0255d\"}", 7);
    token = signer_sign(&hs256, payload);
    assert_int_equal(token_check(keys, slice_text(token), NOW, &claims), TOKEN_GOOD);
    assert_int_equal(claims.subject_size, 255);
    assert_int_equal(strlen(claims.subject), 255);
    token_claims_free(&claims);
    free(token);
    (void)snprintf(payload, sizeof(payload), "{" EXPIRES ",\"sub\":\"%0256d\"}", 7);
    expect_payload(keys, payload, TOKEN_BAD_CLAIM);
    expect_payload(keys, "{" EXPIRES ",\"sub\":\"\"}", TOKEN_GOOD);
    expect_payload(keys, "{" EXPIRES ",\"sub\":17}", TOKEN_BAD_CLAIM);
    expect_payload(keys, "{" EXPIRES ",\"sub\":null}", TOKEN_BAD_CLAIM);
    expect_payload(keys, "{" EXPIRES ",\"sub\":[\"a\"]}", TOKEN_BAD_CLAIM);
    token_keys_close(keys);
}

/* The log of a refusal names the user. */
static void an_expired_token_tells_its_subject(void **state)
{
    struct token_keys *keys = open_hs256();
    struct token_claims claims;
    char *token = signer_sign(&hs256, "{\"sub\":\"ada\",\"exp\":1}");

    (void)state;
    assert_int_equal(token_check(keys, slice_text(token), NOW, &claims), TOKEN_EXPIRED);
    assert_string_equal(claims.subject, "ada");
    assert_true(claims.expires_s == 1);
    free(token);
    token_keys_close(keys);
}

/* channels_max 4, channel_size_max 8. */
static void channels_are_bounded_texts(void **state)
{
    static const struct {
        const char *channels;
        const char *names; /* with a space for each end; of a good token */
        uint32_t count;
        enum token_outcome outcome;
    } cases[] = {
        {"[]", "", 0, TOKEN_GOOD},
        {"[\"a\"]", "a ", 1, TOKEN_GOOD},
        {"[\"d\",\"c\",\"b\",\"a\"]", "d c b a ", 4, TOKEN_GOOD},
        {"[\"a\",\"b\",\"a\",\"b\"]", "a b ", 2, TOKEN_GOOD},
        {"[\"a\",\"b\",\"c\",\"d\",\"e\"]", "", 0, TOKEN_BAD_CLAIM},
        {"[\"a\",\"a\",\"a\",\"a\",\"a\"]", "", 0, TOKEN_BAD_CLAIM},
        {"[\"12345678\"]", "12345678 ", 1, TOKEN_GOOD},
        {"[\"123456789\"]", "", 0, TOKEN_BAD_CLAIM},
        {"[\"\u00e9\u00e9\u00e9\u00e9\"]", "\u00e9\u00e9\u00e9\u00e9 ", 1, TOKEN_GOOD},
        {"[\"\u00e9\u00e9\u00e9\u00e9a\"]", "", 0, TOKEN_BAD_CLAIM},
        {"[\"\"]", "", 0, TOKEN_BAD_CLAIM},
        {"[\"a\",\"\"]", "", 0, TOKEN_BAD_CLAIM},
        {"[\"a\",1]", "", 0, TOKEN_BAD_CLAIM},
        {"[null]", "", 0, TOKEN_BAD_CLAIM},
        {"[[\"a\"]]", "", 0, TOKEN_BAD_CLAIM},
        {"\"a\"", "", 0, TOKEN_BAD_CLAIM},
        {"{\"a\":1}", "", 0, TOKEN_BAD_CLAIM},
        {"null", "", 0, TOKEN_BAD_CLAIM},
        /* Control characters, and their neighbours. */
        {"[\"a\\n\"]", "", 0, TOKEN_BAD_CLAIM},
        {"[\"\\u001f\"]", "", 0, TOKEN_BAD_CLAIM},
        {"[\"a~\"]", "a~ ", 1, TOKEN_GOOD},
        {"[\"a\\u007f\"]", "", 0, TOKEN_BAD_CLAIM},
        {"[\"a\\u0080\"]", "", 0, TOKEN_BAD_CLAIM},
        {"[\"a\\u009f\"]", "", 0, TOKEN_BAD_CLAIM},
        {"[\"a\\u00a0\"]", "a\u00a0 ", 1, TOKEN_GOOD},
    };
    struct token_keys *keys = open_hs256();

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct token_claims claims;
        char payload[256];
        char *token;

        (void)snprintf(payload, sizeof(payload), "{" EXPIRES ",\"channels\":%s}",
                       cases[i].channels);
        token = signer_sign(&hs256, payload);
        assert_int_equal(token_check(keys, slice_text(token), NOW, &claims), cases[i].outcome);
        assert_int_equal(claims.channels.count, cases[i].count);
        if (cases[i].count == 0) {
            assert_null(claims.channels.names);
        }
        for (size_t j = 0; claims.channels.names && cases[i].names[j]; j++) {
            assert_int_equal(claims.channels.names[j],
                             cases[i].names[j] == ' ' ? 0 : cases[i].names[j]);
        }
        token_claims_free(&claims);
        free(token);
    }
    token_keys_close(keys);
}

/* Each under its claim, apart from the others. */
static void lists_of_what_is_allowed(void **state)
{
    static const char *const claims_of[NAMESPACE_ACTIONS] = {
        [NAMESPACE_SUBSCRIBE] = "subscribe",
        [NAMESPACE_PUBLISH] = "publish",
        [NAMESPACE_PRESENCE] = "presence",
        [NAMESPACE_HISTORY] = "history",
    };
    static const char *const bad[] = {"\"a\"",
                                      "true",
                                      "{}",
                                      "null",
                                      "[1]",
                                      "[\"\"]",
                                      "[\"123456789\"]",
                                      "[\"a\",\"b\",\"c\",\"d\",\"e\"]"};
    struct token_keys *keys = open_hs256();
    struct token_claims claims;
    char payload[256];

    (void)state;
    char *token =
        signer_sign(&hs256, "{" EXPIRES ",\"channels\":[\"c\",\"d\"],\"subscribe\":[\"s*\"],"
                            "\"publish\":[\"p\",\"p\",\"q\"],\"presence\":[],"
                            "\"history\":[\"*\"]}");
    assert_int_equal(token_check(keys, slice_text(token), NOW, &claims), TOKEN_GOOD);
    assert_int_equal(claims.channels.count, 2);
    assert_memory_equal(claims.channels.names, "c\0d", 4);
    assert_int_equal(claims.allowed[NAMESPACE_SUBSCRIBE].count, 1);
    assert_memory_equal(claims.allowed[NAMESPACE_SUBSCRIBE].names, "s*", 3);
    assert_int_equal(claims.allowed[NAMESPACE_PUBLISH].count, 2);
    assert_memory_equal(claims.allowed[NAMESPACE_PUBLISH].names, "p\0q", 4);
    assert_int_equal(claims.allowed[NAMESPACE_PRESENCE].count, 0);
    assert_int_equal(claims.allowed[NAMESPACE_HISTORY].count, 1);
    assert_memory_equal(claims.allowed[NAMESPACE_HISTORY].names, "*", 2);
    token_claims_free(&claims);
    free(token);
    for (size_t i = 0; i < NAMESPACE_ACTIONS; i++) {
        for (size_t j = 0; j < COUNT(bad); j++) {
            (void)snprintf(payload, sizeof(payload), "{" EXPIRES ",\"%s\":%s}", claims_of[i],
                           bad[j]);
            expect_payload(keys, payload, TOKEN_BAD_CLAIM);
        }
        (void)snprintf(payload, sizeof(payload),
                       "{" EXPIRES ",\"%s\":[\"12345678\",\"b\",\"c\",\"d\"]}", claims_of[i]);
        expect_payload(keys, payload, TOKEN_GOOD);
    }
    token_keys_close(keys);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_are_numbers),
        cmocka_unit_test(leeway_in_the_right_direction),
        cmocka_unit_test(times_are_told),
        cmocka_unit_test(an_expiry_of_zero_is_over),
        cmocka_unit_test(expiry_may_be_required),
        cmocka_unit_test(issuer_is_exact),
        cmocka_unit_test(audience_is_a_text_or_a_list),
        cmocka_unit_test(subject_is_a_bounded_text),
        cmocka_unit_test(an_expired_token_tells_its_subject),
        cmocka_unit_test(channels_are_bounded_texts),
        cmocka_unit_test(lists_of_what_is_allowed),
    };

    return cmocka_run_group_tests(tests, tool_set_up, tool_tear_down);
}
