/*
 * Fuzzes the check of tokens. The first byte chooses: the rest is a token as it would come from
 * outside; or a payload, or a header, that is signed here, so that the claims are reached. A token
 * is whole or it is none, so there is nothing to cut: instead, a second check must say the same.
 */
#include "session/base64url.h"
#include "session/token.h"

#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define NOW              1800000000.0
#define SECRET           "0123456789abcdef0123456789abcdef"
#define CHANNELS_MAX     16
#define CHANNEL_SIZE_MAX 32

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

static struct token_keys *open_keys(void)
{
    char path[] = "/tmp/limpet-fuzz.XXXXXX";
    int fd = mkstemp(path);
    struct token_key_options key = {.kid = "k", .algorithm = "HS256", .path = path};
    struct token_options options = {.keys = &key,
                                    .key_count = 1,
                                    .audience = "a",
                                    .leeway_s = 5,
                                    .token_size_max = 4096,
                                    .channels_max = CHANNELS_MAX,
                                    .channel_size_max = CHANNEL_SIZE_MAX};
    char message[256];

    require(fd >= 0 && write(fd, SECRET, 32) == 32 && close(fd) == 0);
    struct token_keys *keys = token_keys_open(&options, message, sizeof(message));
    require(keys && unlink(path) == 0);
    return keys;
}

/* The signature of the first size bytes of token, behind a dot, to its end; the new size. */
static size_t sign(char *token, size_t size)
{
    uint8_t signature[32];

    require(HMAC(EVP_sha256(), SECRET, 32, (const uint8_t *)token, size, signature, NULL) != NULL);
    token[size] = '.';
    return size + 1 + base64url_encode(slice_from(signature, 32), token + size + 1);
}

static void check_list(const struct name_list *list)
{
    const char *name = list->names;

    require(list->count <= CHANNELS_MAX);
    require((list->names == NULL) == (list->count == 0));
    for (uint32_t i = 0; i < list->count; i++) {
        struct slice text = slice_text(name);

        require(channel_name_is_valid(text, CHANNEL_SIZE_MAX));
        require(name_list_matches(list, text));
        name += text.size + 1;
    }
}

static void check_claims(const struct token_claims *claims)
{
    require(claims->subject_size <= TOKEN_SUBJECT_MAX);
    require(strlen(claims->subject) == claims->subject_size);
    require(claims->expires_s >= 0 && claims->not_before_s >= 0);
    require(claims->expires_s == 0 || claims->expires_s > NOW - 5);
    require(claims->not_before_s <= NOW + 5);
    check_list(&claims->channels);
    for (size_t i = 0; i < NAMESPACE_ACTIONS; i++) {
        check_list(&claims->allowed[i]);
    }
}

/* A token that is good has the signature that is made here. */
static void check_signature(struct slice token)
{
    char *again = malloc(token.size + 64);
    const char *dot;

    require(again != NULL);
    memcpy(again, token.data, token.size);
    dot = memrchr(again, '.', token.size);
    require(dot != NULL);
    require(sign(again, (size_t)(dot - again)) == token.size);
    require(slice_equal(slice_from(again, token.size), token));
    free(again);
}

static void check(const struct token_keys *keys, struct slice token)
{
    struct token_claims claims;
    struct token_claims again;
    enum token_outcome outcome = token_check(keys, token, NOW, &claims);

    require(token_outcome_name(outcome)[0] != 0);
    require(outcome == token_check(keys, token, NOW, &again));
    require(claims.channels.count == again.channels.count);
    if (outcome == TOKEN_GOOD) {
        check_claims(&claims);
        check_signature(token);
    } else {
        require(claims.names == NULL && claims.channels.count == 0);
    }
    token_claims_free(&claims);
    token_claims_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char header[] = "{\"alg\":\"HS256\",\"kid\":\"k\"}";
    static const char payload[] = "{\"aud\":[\"a\"],\"channels\":[\"x\"]}";
    static struct token_keys *keys;
    struct slice parts[2];

    if (!keys) {
        keys = open_keys();
    }
    if (size == 0) {
        return 0;
    }
    struct slice rest = slice_from(data + 1, size - 1);
    if (data[0] % 3 == 0) {
        check(keys, rest);
        return 0;
    }
    parts[0] = data[0] % 3 == 1 ? slice_text(header) : rest;
    parts[1] = data[0] % 3 == 1 ? rest : slice_text(payload);
    char *token = malloc(2 * size + 256);
    require(token != NULL);
    size_t used = base64url_encode(parts[0], token);
    token[used++] = '.';
    used += base64url_encode(parts[1], token + used);
    used = sign(token, used);
    check(keys, slice_from(token, used));
    free(token);
    return 0;
}
