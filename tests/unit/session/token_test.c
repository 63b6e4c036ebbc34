/*
 * Goal: token_check takes exactly the tokens whose form, size, algorithm, key and signature are
 * right, and names what is wrong with the others; it leaves no memory behind, and threads may share
 * the keys. Tokens are made with OpenSSL (signer.c).
 */
#include "token_tool.h"

#include <malloc.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* --- algorithms ------------------------------------------------------------------------------- */

static void good_token_of_each_algorithm(void **state)
{
    static const char *const algorithms[] = {"HS256", "HS384", "HS512", "RS256", "RS384",
                                             "RS512", "PS256", "PS384", "PS512", "ES256",
                                             "ES384", "ES512", "EdDSA"};

    (void)state;
    for (size_t i = 0; i < COUNT(algorithms); i++) {
        struct signer signer;
        struct token_claims claims;
        signer_open(&signer, folder, "each", algorithms[i]);
        struct token_key_options key = {.algorithm = algorithms[i], .path = signer.path};
        struct token_options options = options_of(&key, 1);
        struct token_keys *keys = open_options(&options);
        char *token =
            signer_sign(&signer, "{\"sub\":\"ada\",\"channels\":[\"news\",\"chat\"]," EXPIRES
                                 ",\"nbf\":1700000000}");

        assert_int_equal(token_check(keys, slice_text(token), NOW, &claims), TOKEN_GOOD);
        assert_string_equal(claims.subject, "ada");
        assert_int_equal(claims.subject_size, 3);
        assert_true(claims.expires_s == 1800003600.0);
        assert_true(claims.not_before_s == 1700000000.0);
        assert_int_equal(claims.channels.count, 2);
        assert_memory_equal(claims.channels.names, "news\0chat", 10);
        token_claims_free(&claims);
        assert_null(claims.channels.names);

        /* Another character in the signature. */
        size_t middle = strlen(token) - 10;
        token[middle] = token[middle] == 'A' ? 'B' : 'A';
        assert_int_equal(check_bytes(keys, slice_text(token)), TOKEN_BAD_SIGNATURE);
        free(token);
        token_keys_close(keys);
        signer_close(&signer);
    }
}

/* A token of one algorithm for a key of another, also where both take the same kind of key. */
static void algorithm_is_pinned_to_the_key(void **state)
{
    static const char *const others[] = {"HS256", "HS384", "RS384", "RS512",
                                         "PS256", "ES256", "ES384", "EdDSA"};
    struct token_key_options key = {.algorithm = "RS256", .path = rs256.path};
    struct token_options options = options_of(&key, 1);
    struct token_keys *keys = open_options(&options);

    (void)state;
    expect(keys, signer_sign(&rs256, "{" EXPIRES "}"), TOKEN_GOOD);
    for (size_t i = 0; i < COUNT(others); i++) {
        struct signer signer;
        signer_open(&signer, folder, "other", others[i]);
        expect(keys, signer_sign(&signer, "{" EXPIRES "}"), TOKEN_ALGORITHM);
        signer_close(&signer);
    }
    /* The right name over another's signature. */
    expect(keys, signer_token(&hs256, "{\"alg\":\"RS256\"}", "{" EXPIRES "}"), TOKEN_BAD_SIGNATURE);
    expect(keys, signer_token(&es256, "{\"alg\":\"RS256\"}", "{" EXPIRES "}"), TOKEN_BAD_SIGNATURE);
    token_keys_close(keys);
}

/* RFC 8725, section 2.1: the public key, which everybody knows, as the secret of an HMAC. */
static void public_key_is_no_secret(void **state)
{
    struct token_key_options key = {.algorithm = "RS256", .path = rs256.path};
    struct token_options options = options_of(&key, 1);
    struct token_keys *keys = open_options(&options);
    struct signer forger = {.algorithm = "HS256"};
    FILE *file = fopen(rs256.path, "re");

    (void)state;
    assert_non_null(file);
    forger.secret_size = fread(forger.secret, 1, SIGNER_SECRET_MAX, file);
    assert_in_range(forger.secret_size, 400, SIGNER_SECRET_MAX - 1);
    assert_int_equal(fclose(file), 0);
    expect(keys, signer_sign(&forger, "{" EXPIRES "}"), TOKEN_ALGORITHM);
    token_keys_close(keys);
}

static void none_is_refused(void **state)
{
    static const char *const names[] = {"none",  "NONE", "nOnE",  "None",
                                        "none ", "",     "hs256", "HS256 "};
    struct token_keys *keys = open_hs256();

    (void)state;
    for (size_t i = 0; i < COUNT(names); i++) {
        char header[64];
        char *token;

        (void)snprintf(header, sizeof(header), "{\"alg\":\"%s\"}", names[i]);
        expect_header(keys, header, TOKEN_ALGORITHM);
        token = signer_token(&hs256, header, "{" EXPIRES "}");
        strrchr(token, '.')[1] = 0; /* and without a signature */
        expect(keys, token, TOKEN_ALGORITHM);
    }
    expect_header(keys, "{}", TOKEN_ALGORITHM);
    expect_header(keys, "{\"alg\":null}", TOKEN_ALGORITHM);
    expect_header(keys, "{\"alg\":256}", TOKEN_ALGORITHM);
    expect_header(keys, "{\"alg\":[\"HS256\"]}", TOKEN_ALGORITHM);
    token_keys_close(keys);
}

static void signature_must_fit(void **state)
{
    struct token_keys *keys = open_hs256();
    char *token = signer_sign(&hs256, "{" EXPIRES "}");
    char *other = signer_sign(&hs256, "{" EXPIRES ",\"sub\":\"eve\"}");
    char *mixed;

    (void)state;
    assert_true(asprintf(&mixed, "%.*s%s", (int)(strrchr(other, '.') - other), other,
                         strrchr(token, '.')) > 0);
    expect(keys, mixed, TOKEN_BAD_SIGNATURE);
    assert_true(asprintf(&mixed, "%sAAAA", token) > 0);
    expect(keys, mixed, TOKEN_BAD_SIGNATURE);
    mixed = strdup(token);
    mixed[strlen(mixed) - 3] = 0; /* 40 characters: a whole number of groups */
    expect(keys, mixed, TOKEN_BAD_SIGNATURE);
    strrchr(token, '.')[1] = 0;
    expect(keys, token, TOKEN_BAD_SIGNATURE);
    free(other);
    token_keys_close(keys);
}

/* --- form ------------------------------------------------------------------------------------- */

static void forms_that_are_no_token(void **state)
{
    static const char *const texts[] = {"",         ".",     "..",    "...",
                                        "a",        "a.b",   "a.b.c", "e30.e30.e30.e30",
                                        "e30.e30.", "e30..", ".e30.", "e30.e30"};
    struct token_keys *keys = open_hs256();
    char *good = signer_sign(&hs256, "{" EXPIRES "}");

    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        enum token_outcome outcome = check_bytes(keys, slice_text(texts[i]));
        /* "e30" is {}: a header without alg. */
        assert_int_equal(outcome, strcmp(texts[i], "e30.e30.") ? TOKEN_MALFORMED : TOKEN_ALGORITHM);
    }
    assert_int_equal(check_bytes(keys, slice_from(NULL, 0)), TOKEN_MALFORMED);
    assert_int_equal(check_bytes(keys, slice_text(good)), TOKEN_GOOD);
    /* A terminator inside the slice, and one that counts as its last byte. */
    assert_int_equal(check_bytes(keys, slice_from(good, strlen(good) + 1)), TOKEN_MALFORMED);
    good[3] = 0;
    assert_int_equal(check_bytes(keys, slice_from(good, strlen(good + 4) + 4)), TOKEN_MALFORMED);
    free(good);
    token_keys_close(keys);
}

/* Each of these has the same bytes for a lenient decoder. */
static void base64url_is_strict(void **state)
{
    struct token_keys *keys = open_hs256();
    char *good = signer_sign(&hs256, "{" EXPIRES "}");
    size_t size = strlen(good);
    char *variant;

    (void)state;
    assert_true(asprintf(&variant, "%s=", good) > 0);
    expect(keys, variant, TOKEN_MALFORMED);
    assert_true(asprintf(&variant, "%s\n", good) > 0);
    expect(keys, variant, TOKEN_MALFORMED);
    assert_true(asprintf(&variant, " %s", good) > 0);
    expect(keys, variant, TOKEN_MALFORMED);
    /* 43 characters of signature: the last has two unused bits. */
    variant = strdup(good);
    variant[size - 1]++;
    expect(keys, variant, TOKEN_MALFORMED);
    for (const char *bad = "+/ \t=,"; *bad; bad++) {
        variant = strdup(good);
        variant[size - 5] = *bad;
        expect(keys, variant, TOKEN_MALFORMED);
        variant = strdup(good);
        variant[2] = *bad;
        expect(keys, variant, TOKEN_MALFORMED);
    }
    free(good);
    token_keys_close(keys);
}

static void parts_must_be_json_objects(void **state)
{
    static const char *const texts[] = {
        "", "[]", "1", "\"a\"", "null", "{", "{\"a\":1,}", "{" EXPIRES "}x", "{" EXPIRES "} {}",
        /* Duplicates, in the claims that count, in others, and nested. */
        "{" EXPIRES "," EXPIRES "}", "{" EXPIRES ",\"sub\":\"a\",\"sub\":\"b\"}",
        "{" EXPIRES ",\"x\":{\"a\":1,\"a\":2}}",
        /* Not UTF-8; a lone surrogate; a NUL in a string. */
        "{" EXPIRES ",\"sub\":\"\xc3\"}", "{" EXPIRES ",\"sub\":\"\\ud800\"}",
        "{" EXPIRES ",\"sub\":\"a\\u0000b\"}", "{" EXPIRES ",\"a\\u0000\":1}",
        /* Numbers that do not fit. */
        "{\"exp\":99999999999999999999999}", "{\"exp\":1e999}"};
    struct token_keys *keys = open_hs256();

    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        expect_payload(keys, texts[i], TOKEN_MALFORMED);
    }
    expect_header(keys, "[]", TOKEN_MALFORMED);
    expect_header(keys, "\"HS256\"", TOKEN_MALFORMED);
    expect_header(keys, "{\"alg\":\"HS256\",\"alg\":\"none\"}", TOKEN_MALFORMED);
    expect_header(keys, "{\"alg\":\"HS256\"", TOKEN_MALFORMED);
    expect_payload(keys, " {" EXPIRES "}\n", TOKEN_GOOD);
    /* A zero byte ends the text for libjwt; what follows is not lost here. */
    expect(keys,
           signer_token_of(&hs256, slice_text("{\"alg\":\"HS256\"}"),
                           slice_from("{" EXPIRES "}\0{}", sizeof("{" EXPIRES "}\0{}") - 1)),
           TOKEN_MALFORMED);
    token_keys_close(keys);
}

/* {"a":[[...]], "exp":...}: depth counts the outer object. */
static char *nested(uint32_t depth, const char *between)
{
    char *json = calloc(1, 3 * (size_t)depth + 64);
    size_t size = 0;

    assert_non_null(json);
    size += (size_t)sprintf(json, "{" EXPIRES ",\"a\":");
    memset(json + size, '[', depth - 1);
    size += depth - 1;
    size += (size_t)sprintf(json + size, "%s", between);
    memset(json + size, ']', depth - 1);
    size += depth - 1;
    json[size] = '}';
    return json;
}

static void nesting_is_bounded(void **state)
{
    struct token_keys *keys = open_hs256();
    static const struct {
        const char *between;
        uint32_t depth;
        enum token_outcome outcome;
    } cases[] = {
        {"", 32, TOKEN_GOOD},
        {"", 33, TOKEN_MALFORMED},
        {"", 2000, TOKEN_MALFORMED},
        /* Brackets in a string do not count; a quoted quote does not end one. */
        {"\"[[[[[[\"", 30, TOKEN_GOOD},
        {"\"\\\"[[[[[[\\\\\"", 30, TOKEN_GOOD},
        {"\"\\\\\",[[[[\"\"]]]]", 30, TOKEN_MALFORMED},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        char *json = nested(cases[i].depth, cases[i].between);

        expect_payload(keys, json, cases[i].outcome);
        free(json);
    }
    /* The header has the same bound, before anything else is looked at. */
    char *json = nested(33, "");
    expect_header(keys, json, TOKEN_MALFORMED);
    free(json);
    token_keys_close(keys);
}

/* A good token of exactly this size: the claim "x" is as long as is needed. */
static char *token_of_size(size_t size)
{
    size_t least = (size - 200) * 3 / 4;

    for (size_t fill = least; fill < least + 150; fill++) {
        char *payload;
        char *token;

        assert_true(asprintf(&payload, "{" EXPIRES ",\"x\":\"%0*d\"}", (int)fill, 0) > 0);
        token = signer_token(&hs256, fill % 2 ? "{\"alg\":\"HS256\"}" : "{\"alg\":\"HS256\" }",
                             payload);
        free(payload);
        if (strlen(token) == size) {
            return token;
        }
        free(token);
    }
    return NULL;
}

/* S24: large tokens are taken whole up to the limit, and refused for their size above it. */
static void size_is_bounded(void **state)
{
    static const uint32_t limits[] = {1024, 4096, 8192, 15360, 16384, 17408, 65536};

    (void)state;
    for (size_t i = 0; i < COUNT(limits); i++) {
        struct token_key_options key = {.algorithm = "HS256", .path = hs256.path};
        struct token_options options = options_of(&key, 1);
        struct token_keys *keys;
        uint32_t size = limits[i];
        char *token;

        while (!(token = token_of_size(size))) {
            size++; /* one size in four cannot be had in base64url */
        }
        options.token_size_max = size;
        keys = open_options(&options);
        assert_int_equal(check_bytes(keys, slice_text(token)), TOKEN_GOOD);
        token_keys_close(keys);
        options.token_size_max = size - 1;
        keys = open_options(&options);
        assert_int_equal(check_bytes(keys, slice_text(token)), TOKEN_TOO_LARGE);
        token_keys_close(keys);
        free(token);
    }
}

/* --- header ----------------------------------------------------------------------------------- */

static void critical_headers_are_refused(void **state)
{
    struct token_keys *keys = open_hs256();

    (void)state;
    expect_header(keys, "{\"alg\":\"HS256\",\"crit\":[\"exp\"],\"exp\":1}", TOKEN_CRITICAL);
    expect_header(keys, "{\"alg\":\"HS256\",\"crit\":[\"b64\"],\"b64\":false}", TOKEN_CRITICAL);
    expect_header(keys, "{\"alg\":\"HS256\",\"crit\":[]}", TOKEN_CRITICAL);
    expect_header(keys, "{\"alg\":\"HS256\",\"crit\":null}", TOKEN_CRITICAL);
    /* Others that we do not know are to be ignored (RFC 7515, section 4); keys in it too. */
    expect_header(keys,
                  "{\"alg\":\"HS256\",\"b64\":true,\"cty\":\"x\",\"jku\":\"https://x/\","
                  "\"jwk\":{\"kty\":\"oct\",\"k\":\"AA\"},\"x5u\":\"https://x/\"}",
                  TOKEN_GOOD);
    token_keys_close(keys);
}

/* S25, as far as no network is needed. */
static void keys_by_kid(void **state)
{
    struct token_key_options list[] = {
        {.kid = "a", .algorithm = "HS256", .path = hs256.path},
        {.kid = "b", .algorithm = "ES256", .path = es256.path},
        {.algorithm = "RS256", .path = rs256.path},
    };
    struct token_options options = options_of(list, 3);
    struct token_keys *keys = open_options(&options);
    char longest[256 + 64];

    (void)state;
    expect_header(keys, "{\"alg\":\"HS256\",\"kid\":\"a\"}", TOKEN_GOOD);
    expect(keys, signer_token(&es256, "{\"alg\":\"ES256\",\"kid\":\"b\"}", "{" EXPIRES "}"),
           TOKEN_GOOD);
    expect(keys, signer_sign(&rs256, "{" EXPIRES "}"), TOKEN_GOOD);
    /* Another key's kid; a key with a kid for a token without one. */
    expect_header(keys, "{\"alg\":\"HS256\",\"kid\":\"b\"}", TOKEN_ALGORITHM);
    expect_header(keys, "{\"alg\":\"HS256\"}", TOKEN_ALGORITHM);
    expect(keys, signer_token(&rs256, "{\"alg\":\"RS256\",\"kid\":\"a\"}", "{" EXPIRES "}"),
           TOKEN_ALGORITHM);
    expect(keys, signer_token(&hs256, "{\"alg\":\"ES256\",\"kid\":\"b\"}", "{" EXPIRES "}"),
           TOKEN_BAD_SIGNATURE);
    static const char *const unknown[] = {
        "\"c\"", "\"A\"", "\"\"",    "\"aa\"",       "\"../../x\"", "\"/etc/limpet/jwt.key\"",
        "1",     "null",  "[\"a\"]", "\"a' OR 1=1\""};
    for (size_t i = 0; i < COUNT(unknown); i++) {
        char header[128];
        (void)snprintf(header, sizeof(header), "{\"alg\":\"HS256\",\"kid\":%s}", unknown[i]);
        expect_header(keys, header, TOKEN_UNKNOWN_KEY);
    }
    token_keys_close(keys);

    /* The longest kid of a key, the longest of a token. */
    char kid[257];
    memset(kid, 'k', 256);
    kid[255] = 0;
    list[0].kid = kid;
    options = options_of(list, 1);
    keys = open_options(&options);
    (void)snprintf(longest, sizeof(longest), "{\"alg\":\"HS256\",\"kid\":\"%s\"}", kid);
    expect_header(keys, longest, TOKEN_GOOD);
    (void)snprintf(longest, sizeof(longest), "{\"alg\":\"HS256\",\"kid\":\"%sk\"}", kid);
    expect_header(keys, longest, TOKEN_UNKNOWN_KEY);
    token_keys_close(keys);
}

/* One key without a kid is for every token; several are tried, so that a secret can be changed. */
static void keys_without_kid(void **state)
{
    static const char old_secret[] = "an old secret that has not less than 32 bytes in it";
    char path[SIGNER_FOLDER_MAX + 32];
    file_write(path, folder, "old", slice_text(old_secret));
    struct token_key_options list[] = {
        {.algorithm = "HS256", .path = path},
        {.algorithm = "HS256", .path = hs256.path},
    };
    struct token_options options = options_of(list + 1, 1);
    struct token_keys *keys = open_options(&options);
    struct signer stranger = {.algorithm = "HS256", .secret_size = 32};
    char kid[10 * 1024];

    (void)state;
    expect_header(keys, "{\"alg\":\"HS256\",\"kid\":\"whatever\"}", TOKEN_GOOD);
    expect_header(keys, "{\"alg\":\"HS256\",\"kid\":7}", TOKEN_UNKNOWN_KEY);
    token_keys_close(keys);

    /* A kid is bounded also where it does not matter. */
    options.token_size_max = 65536;
    keys = open_options(&options);
    (void)snprintf(kid, sizeof(kid), "{\"alg\":\"HS256\",\"kid\":\"%0255d\"}", 1);
    expect_header(keys, kid, TOKEN_GOOD);
    (void)snprintf(kid, sizeof(kid), "{\"alg\":\"HS256\",\"kid\":\"%0256d\"}", 1);
    expect_header(keys, kid, TOKEN_UNKNOWN_KEY);
    (void)snprintf(kid, sizeof(kid), "{\"alg\":\"HS256\",\"kid\":\"%010000d\"}", 1);
    expect_header(keys, kid, TOKEN_UNKNOWN_KEY);
    token_keys_close(keys);

    options = options_of(list, 2);
    keys = open_options(&options);
    expect_payload(keys, "{" EXPIRES "}", TOKEN_GOOD);
    expect_header(keys, "{\"alg\":\"HS256\",\"kid\":\"whatever\"}", TOKEN_UNKNOWN_KEY);
    expect(keys, signer_sign(&stranger, "{" EXPIRES "}"), TOKEN_BAD_SIGNATURE);
    token_keys_close(keys);
}

static void no_keys_at_all(void **state)
{
    struct token_options options = options_of(NULL, 0);
    struct token_keys *keys = open_options(&options);

    (void)state;
    expect_payload(keys, "{" EXPIRES "}", TOKEN_UNKNOWN_KEY);
    token_keys_close(keys);
}

/* --- as a whole ------------------------------------------------------------------------------- */

static void each_outcome_has_a_name(void **state)
{
    (void)state;
    for (int i = 0; i < TOKEN_OUTCOMES; i++) {
        const char *name = token_outcome_name((enum token_outcome)i);

        assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz_"), strlen(name));
        for (int j = 0; j < i; j++) {
            assert_string_not_equal(name, token_outcome_name((enum token_outcome)j));
        }
    }
    assert_string_equal(token_outcome_name(TOKEN_BAD_SIGNATURE), "bad_signature");
}

static size_t heap_in_use(void)
{
    return mallinfo2().uordblks;
}

/* Good and bad tokens leave nothing behind. With ASan mallinfo2 says nothing, but its leak check
 * does. */
static void heap_returns_to_its_start(void **state)
{
    struct token_key_options list[] = {
        {.kid = "a", .algorithm = "HS256", .path = hs256.path},
        {.kid = "b", .algorithm = "ES256", .path = es256.path},
    };
    struct token_options options = options_of(list, 2);
    struct token_keys *keys = open_options(&options);
    char *tokens[] = {
        signer_token(&hs256, "{\"alg\":\"HS256\",\"kid\":\"a\"}",
                     "{" EXPIRES ",\"channels\":[\"a\",\"b\"]}"),
        signer_token(&hs256, "{\"alg\":\"HS256\",\"kid\":\"a\"}",
                     "{" EXPIRES ",\"channels\":[\"a\",1]}"),
        signer_token(&hs256, "{\"alg\":\"HS256\",\"kid\":\"b\"}", "{" EXPIRES "}"),
        signer_token(&hs256, "{\"alg\":\"ES256\",\"kid\":\"b\"}", "{" EXPIRES "}"),
        signer_token(&hs256, "{\"alg\":\"HS256\",\"kid\":\"a\"}", "{\"a\":[1,2"),
        signer_token(&es256, "{\"alg\":\"ES256\",\"kid\":\"b\"}", "{\"exp\":1}"),
    };
    size_t before = 0;

    (void)state;
    for (uint32_t i = 0; i < 10000 + 600; i++) {
        if (i == 600) {
            before = heap_in_use(); /* OpenSSL has by then what it keeps for a thread */
        }
        char *token = tokens[i % COUNT(tokens)];
        struct token_claims claims;
        enum token_outcome outcome = token_check(keys, slice_text(token), NOW, &claims);
        assert_int_equal(outcome == TOKEN_GOOD, i % COUNT(tokens) == 0);
        token_claims_free(&claims);
    }
    /* A leak of the smallest block would be 160 KB; malloc's own caches move by a chunk or two. */
    assert_true(heap_in_use() <= before + 1024);
    for (size_t i = 0; i < COUNT(tokens); i++) {
        free(tokens[i]);
    }
    token_keys_close(keys);
}

struct shared {
    const struct token_keys *keys;
    const char *tokens[2];
    uint32_t good;
};

static void *check_many(void *context)
{
    struct shared *shared = context;

    for (uint32_t i = 0; i < 1000; i++) {
        struct token_claims claims;
        const char *token = shared->tokens[i % 2];

        if (token_check(shared->keys, slice_text(token), NOW, &claims) == TOKEN_GOOD &&
            claims.channels.count == i % 2) {
            shared->good++;
        }
        token_claims_free(&claims);
    }
    return NULL;
}

static void keys_are_shared_by_threads(void **state)
{
    struct token_key_options list[] = {
        {.kid = "a", .algorithm = "HS256", .path = hs256.path},
        {.kid = "b", .algorithm = "ES256", .path = es256.path},
    };
    struct token_options options = options_of(list, 2);
    struct token_keys *keys = open_options(&options);
    char *first = signer_token(&hs256, "{\"alg\":\"HS256\",\"kid\":\"a\"}", "{" EXPIRES "}");
    char *second = signer_token(&es256, "{\"alg\":\"ES256\",\"kid\":\"b\"}",
                                "{" EXPIRES ",\"channels\":[\"a\"]}");
    struct shared shared[4];
    pthread_t threads[4];

    (void)state;
    for (size_t i = 0; i < COUNT(threads); i++) {
        shared[i] = (struct shared){.keys = keys, .tokens = {first, second}};
        assert_int_equal(pthread_create(&threads[i], NULL, check_many, &shared[i]), 0);
    }
    for (size_t i = 0; i < COUNT(threads); i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(shared[i].good, 1000);
    }
    free(first);
    free(second);
    token_keys_close(keys);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_token_of_each_algorithm),
        cmocka_unit_test(algorithm_is_pinned_to_the_key),
        cmocka_unit_test(public_key_is_no_secret),
        cmocka_unit_test(none_is_refused),
        cmocka_unit_test(signature_must_fit),
        cmocka_unit_test(forms_that_are_no_token),
        cmocka_unit_test(base64url_is_strict),
        cmocka_unit_test(parts_must_be_json_objects),
        cmocka_unit_test(nesting_is_bounded),
        cmocka_unit_test(size_is_bounded),
        cmocka_unit_test(critical_headers_are_refused),
        cmocka_unit_test(keys_by_kid),
        cmocka_unit_test(keys_without_kid),
        cmocka_unit_test(no_keys_at_all),
        cmocka_unit_test(each_outcome_has_a_name),
        cmocka_unit_test(heap_returns_to_its_start),
        cmocka_unit_test(keys_are_shared_by_threads),
    };

    return cmocka_run_group_tests(tests, tool_set_up, tool_tear_down);
}
