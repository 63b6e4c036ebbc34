#include "session/token_keys.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

static const struct token_key *find_hmac_key(const struct token_keys *keys)
{
    for (size_t i = 0; i < keys->count; i++) {
        if (keys->keys[i].algorithm->type == JWK_KEY_TYPE_OCT) {
            return &keys->keys[i];
        }
    }
    return NULL;
}

/* Takes value. False: there was no memory for it, or a text is not UTF-8. */
static bool set(json_t *object, const char *name, json_t *value)
{
    return json_object_set_new(object, name, value) == 0;
}

/* False likewise. A list of nothing is left out. */
static bool set_names(json_t *object, const char *claim, const char *const *names, size_t count)
{
    json_t *list = json_array();

    for (size_t i = 0; i < count; i++) {
        if (json_array_append_new(list, json_string(names[i])) != 0) {
            json_decref(list);
            return false;
        }
    }
    if (count == 0) {
        json_decref(list);
        return true;
    }
    return set(object, claim, list);
}

/* The claims as JSON text (free()), or NULL. */
static char *make_payload(const struct token_keys *keys, const struct token_request *request)
{
    json_t *claims = json_object();
    json_int_t now_s = (json_int_t)request->now_s;
    bool good = set(claims, "iat", json_integer(now_s));
    char *text;

    if (request->lifetime_s > 0) {
        good = set(claims, "exp", json_integer(now_s + request->lifetime_s)) && good;
    }
    if (request->subject) {
        good = set(claims, "sub", json_string(request->subject)) && good;
    }
    good = set_names(claims, "channels", request->channels, request->channel_count) && good;
    good = set_names(claims, "subscribe", request->subscribe, request->subscribe_count) && good;
    good = set_names(claims, "publish", request->publish, request->publish_count) && good;
    /* What the server will look for, so that the token is good there. */
    if (keys->issuer) {
        good = set(claims, "iss", json_string(keys->issuer)) && good;
    }
    if (keys->audience) {
        good = set(claims, "aud", json_string(keys->audience)) && good;
    }
    text = good ? json_dumps(claims, JSON_COMPACT) : NULL;
    json_decref(claims);
    return text;
}

static char *sign(const struct token_key *key, char *payload)
{
    jwt_builder_t *builder = jwt_builder_new();
    char *token = NULL;
    jwt_value_t claims;
    jwt_value_t kid;

    jwt_set_SET_JSON(&claims, NULL, payload);
    jwt_set_SET_STR(&kid, "kid", key->kid);
    if (builder && jwt_builder_enable_iat(builder, 0) >= 0 &&
        jwt_builder_setkey(builder, key->algorithm->number, key->item) == 0 &&
        jwt_builder_claim_set(builder, &claims) == JWT_VALUE_ERR_NONE &&
        (!key->kid || jwt_builder_header_set(builder, &kid) == JWT_VALUE_ERR_NONE)) {
        token = jwt_builder_generate(builder);
    }
    jwt_builder_free(builder);
    return token;
}

static char *make(const struct token_keys *keys, const struct token_request *request, char *message,
                  size_t message_size)
{
    const struct token_key *key = find_hmac_key(keys);
    struct token_claims claims;
    enum token_outcome outcome;
    char *payload;
    char *token;

    if (!key) {
        (void)snprintf(
            message, message_size,
            "tokens can be made with an HMAC key only (HS256, HS384, HS512): there is none");
        return NULL;
    }
    payload = make_payload(keys, request);
    token = payload ? sign(key, payload) : NULL;
    free(payload);
    if (!token) {
        (void)snprintf(message, message_size,
                       "the subject or a channel is not UTF-8, or no memory");
        return NULL;
    }
    outcome = token_check(keys, slice_text(token), request->now_s, &claims);
    token_claims_free(&claims);
    if (outcome != TOKEN_GOOD) {
        (void)snprintf(message, message_size, "the server would refuse this token: %s",
                       token_outcome_name(outcome));
        free(token);
        return NULL;
    }
    return token;
}

char *token_make(const struct token_options *options, const struct token_request *request,
                 char *message, size_t message_size)
{
    struct token_keys *keys = token_keys_open(options, message, message_size);
    char *token;

    if (!keys) {
        return NULL;
    }
    token = make(keys, request, message, message_size);
    token_keys_close(keys);
    return token;
}
