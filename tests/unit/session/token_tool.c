#include "token_tool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

char folder[SIGNER_FOLDER_MAX];
struct signer hs256;
struct signer rs256;
struct signer es256;

int tool_set_up(void **state)
{
    (void)state;
    folder_make(folder);
    signer_open(&hs256, folder, "hs256", "HS256");
    signer_open(&rs256, folder, "rs256", "RS256");
    signer_open(&es256, folder, "es256", "ES256");
    return 0;
}

int tool_tear_down(void **state)
{
    (void)state;
    signer_close(&hs256);
    signer_close(&rs256);
    signer_close(&es256);
    folder_remove(folder);
    return 0;
}

struct token_options options_of(const struct token_key_options *keys, size_t key_count)
{
    return (struct token_options){
        .keys = keys,
        .key_count = key_count,
        .require_expiry = true,
        .token_size_max = 8192,
        .channels_max = 4,
        .channel_size_max = 8,
    };
}

struct token_keys *open_options(const struct token_options *options)
{
    char message[256] = "";
    struct token_keys *keys = token_keys_open(options, message, sizeof(message));

    assert_string_equal(message, "");
    assert_non_null(keys);
    return keys;
}

struct token_keys *open_hs256(void)
{
    struct token_key_options key = {.algorithm = "HS256", .path = hs256.path};
    struct token_options options = options_of(&key, 1);

    return open_options(&options);
}

enum token_outcome check_bytes(const struct token_keys *keys, struct slice token)
{
    struct token_claims claims;
    enum token_outcome outcome = token_check(keys, token, NOW, &claims);

    if (outcome != TOKEN_GOOD) {
        assert_null(claims.channels.names);
    }
    token_claims_free(&claims);
    return outcome;
}

void expect(const struct token_keys *keys, char *token, enum token_outcome outcome)
{
    enum token_outcome found = check_bytes(keys, slice_text(token));

    if (found != outcome) {
        print_error("%s: %s instead of %s\n", token, token_outcome_name(found),
                    token_outcome_name(outcome));
    }
    assert_int_equal(found, outcome);
    free(token);
}

void expect_payload(const struct token_keys *keys, const char *payload, enum token_outcome outcome)
{
    expect(keys, signer_sign(&hs256, payload), outcome);
}

void expect_header(const struct token_keys *keys, const char *header, enum token_outcome outcome)
{
    expect(keys, signer_token(&hs256, header, "{" EXPIRES "}"), outcome);
}
