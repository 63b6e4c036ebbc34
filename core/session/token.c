#include "session/token.h"

#include "session/base64url.h"
#include "session/token_keys.h"

#include <jansson.h>
#include <stdlib.h>

#define JSON_DEPTH_MAX 32
#define TIME_MAX                                                                                   \
    253402300799.0 /* the end of year 9999: whatever is counted in, it fits 64 bits                \
                    */

const char *token_outcome_name(enum token_outcome outcome)
{
    static const char *const names[TOKEN_OUTCOMES] = {
        [TOKEN_GOOD] = "good",
        [TOKEN_MALFORMED] = "malformed",
        [TOKEN_TOO_LARGE] = "too_large",
        [TOKEN_ALGORITHM] = "algorithm",
        [TOKEN_CRITICAL] = "critical",
        [TOKEN_UNKNOWN_KEY] = "unknown_key",
        [TOKEN_BAD_SIGNATURE] = "bad_signature",
        [TOKEN_EXPIRED] = "expired",
        [TOKEN_NOT_YET] = "not_yet",
        [TOKEN_NO_EXPIRY] = "no_expiry",
        [TOKEN_WRONG_ISSUER] = "wrong_issuer",
        [TOKEN_WRONG_AUDIENCE] = "wrong_audience",
        [TOKEN_BAD_CLAIM] = "bad_claim",
    };

    ASSERT(outcome < TOKEN_OUTCOMES);
    return names[outcome];
}

/* --- form ------------------------------------------------------------------------------------- */

struct parts {
    struct slice header;
    struct slice payload;
    struct slice signature;
};

static bool split(struct slice token, struct parts *parts)
{
    const uint8_t *end = token.data + token.size;
    const uint8_t *first = token.size ? memchr(token.data, '.', token.size) : NULL;
    const uint8_t *second = first ? memchr(first + 1, '.', (size_t)(end - first - 1)) : NULL;

    if (!second) {
        return false;
    }
    /* A third dot is then in the signature, where base64url has none. */
    parts->header = slice_from(token.data, (size_t)(first - token.data));
    parts->payload = slice_from(first + 1, (size_t)(second - first - 1));
    parts->signature = slice_from(second + 1, (size_t)(end - second - 1));
    return true;
}

/* Jansson and libjwt recurse up to 2,048 levels deep: too much of a shard's stack for a stranger.
 */
static bool is_shallow(struct slice json)
{
    uint32_t depth = 0;
    bool in_string = false;

    for (size_t i = 0; i < json.size; i++) {
        uint8_t byte = json.data[i];

        if (in_string) {
            if (byte == '\\') {
                i++;
            }
            in_string = byte != '"';
        } else if (byte == '"') {
            in_string = true;
        } else if (byte == '{' || byte == '[') {
            if (++depth > JSON_DEPTH_MAX) {
                return false;
            }
        } else if ((byte == '}' || byte == ']') && depth > 0) {
            depth--;
        }
    }
    return true;
}

/* A part's JSON object, or NULL. scratch has room for the part. */
static json_t *parse_part(struct slice part, uint8_t *scratch)
{
    int64_t size = base64url_decode(part, scratch);
    json_t *json = NULL;

    if (size > 0 && is_shallow(slice_from(scratch, (size_t)size))) {
        json = json_loadb((const char *)scratch, (size_t)size, JSON_REJECT_DUPLICATES, NULL);
    }
    if (json && !json_is_object(json)) {
        json_decref(json);
        return NULL;
    }
    return json;
}

/* --- signature -------------------------------------------------------------------------------- */

/*
 * A checker's memory costs 0.07 of 3.5 us, so it is not kept. libjwt compares an HMAC in constant
 * time (its text, every character), and the other kinds by OpenSSL.
 */
static bool verify(const struct token_key *key, const char *text)
{
    jwt_checker_t *checker = jwt_checker_new();
    /* -1 switches libjwt's own look at a claim off: it takes floats for errors, and has its clock.
     */
    bool good = checker && jwt_checker_time_leeway(checker, JWT_CLAIM_EXP, -1) == 0 &&
                jwt_checker_time_leeway(checker, JWT_CLAIM_NBF, -1) == 0 &&
                jwt_checker_setkey(checker, key->algorithm->number, key->item) == 0 &&
                jwt_checker_verify(checker, text) == 0;

    jwt_checker_free(checker);
    return good;
}

/* kid NULL: the token names none. */
static bool is_named(const struct token_keys *keys, const struct token_key *key, const char *kid)
{
    if (!key->kid) {
        return !kid || keys->count == 1;
    }
    return kid && strcmp(key->kid, kid) == 0;
}

/* The header chooses the key; the key has its algorithm, and the header must name the same. */
static enum token_outcome check_signature(const struct token_keys *keys, const json_t *header,
                                          const char *text, bool has_signature)
{
    const char *name = json_string_value(json_object_get(header, "alg"));
    const struct token_algorithm *algorithm = name ? token_algorithm_find(name) : NULL;
    const json_t *kid = json_object_get(header, "kid");
    enum token_outcome outcome = TOKEN_UNKNOWN_KEY;

    if (!algorithm) {
        return TOKEN_ALGORITHM;
    }
    if (json_object_get(header, "crit")) {
        return TOKEN_CRITICAL;
    }
    if (kid && (!json_is_string(kid) || json_string_length(kid) > TOKEN_KID_MAX)) {
        return TOKEN_UNKNOWN_KEY;
    }
    for (size_t i = 0; i < keys->count; i++) {
        const struct token_key *key = &keys->keys[i];

        if (!is_named(keys, key, json_string_value(kid))) {
            continue;
        }
        if (key->algorithm == algorithm) {
            /* libjwt, too, wants a signature here; this one does not depend on its settings. */
            if (has_signature && verify(key, text)) {
                return TOKEN_GOOD;
            }
            outcome = TOKEN_BAD_SIGNATURE;
        } else if (outcome == TOKEN_UNKNOWN_KEY) {
            outcome = TOKEN_ALGORITHM;
        }
    }
    return outcome;
}

/* --- claims ----------------------------------------------------------------------------------- */

/* False: not a number. *value is left alone when the claim is missing. */
static bool read_time(const json_t *payload, const char *name, const json_t **claim, double *value)
{
    *claim = json_object_get(payload, name);
    if (!*claim) {
        return true;
    }
    if (!json_is_number(*claim)) {
        return false;
    }
    *value = json_number_value(*claim);
    if (*value > TIME_MAX) {
        *value = TIME_MAX;
    } else if (*value < 0) {
        *value = 0;
    }
    return true;
}

static enum token_outcome check_times(const struct token_keys *keys, const json_t *payload,
                                      double now_s, struct token_claims *claims)
{
    double issued_s = 0; /* in the future or not: no reason to refuse (RFC 7519, section 4.1.6) */
    const json_t *expires;
    const json_t *not_before;
    const json_t *issued;

    if (!read_time(payload, "exp", &expires, &claims->expires_s) ||
        !read_time(payload, "nbf", &not_before, &claims->not_before_s) ||
        !read_time(payload, "iat", &issued, &issued_s)) {
        return TOKEN_BAD_CLAIM;
    }
    if (!expires && keys->require_expiry) {
        return TOKEN_NO_EXPIRY;
    }
    /* 0 would say "never" in the claims. */
    if (expires && (now_s >= claims->expires_s + keys->leeway_s || claims->expires_s == 0)) {
        return TOKEN_EXPIRED;
    }
    if (not_before && now_s < claims->not_before_s - keys->leeway_s) {
        return TOKEN_NOT_YET;
    }
    return TOKEN_GOOD;
}

/* No text of Jansson has a zero byte inside: it refuses them. */
static bool is_text(const json_t *value, const char *text)
{
    return strcmp(json_string_value(value), text) == 0;
}

static enum token_outcome check_issuer(const struct token_keys *keys, const json_t *payload)
{
    const json_t *issuer = json_object_get(payload, "iss");

    if (!keys->issuer) {
        return TOKEN_GOOD;
    }
    if (issuer && !json_is_string(issuer)) {
        return TOKEN_BAD_CLAIM;
    }
    return issuer && is_text(issuer, keys->issuer) ? TOKEN_GOOD : TOKEN_WRONG_ISSUER;
}

static enum token_outcome check_audience(const struct token_keys *keys, const json_t *payload)
{
    const json_t *audience = json_object_get(payload, "aud");
    const json_t *entry;
    bool found = false;
    size_t i;

    if (!keys->audience) {
        return TOKEN_GOOD;
    }
    if (json_is_string(audience)) {
        found = is_text(audience, keys->audience);
    } else if (audience && !json_is_array(audience)) {
        return TOKEN_BAD_CLAIM;
    }
    json_array_foreach(audience, i, entry)
    {
        if (!json_is_string(entry)) {
            return TOKEN_BAD_CLAIM;
        }
        found = found || is_text(entry, keys->audience);
    }
    return found ? TOKEN_GOOD : TOKEN_WRONG_AUDIENCE;
}

static enum token_outcome read_subject(const json_t *payload, struct token_claims *claims)
{
    const json_t *subject = json_object_get(payload, "sub");

    if (!subject) {
        return TOKEN_GOOD;
    }
    if (!json_is_string(subject) || json_string_length(subject) > TOKEN_SUBJECT_MAX) {
        return TOKEN_BAD_CLAIM;
    }
    claims->subject_size = (uint32_t)json_string_length(subject);
    memcpy(claims->subject, json_string_value(subject), claims->subject_size + 1);
    return TOKEN_GOOD;
}

/* The lists of names, each under its claim. */
#define LISTS (1 + NAMESPACE_ACTIONS)
static const char *const list_names[LISTS] = {
    "channels", [1 + NAMESPACE_SUBSCRIBE] = "subscribe", [1 + NAMESPACE_PUBLISH] = "publish",
    [1 + NAMESPACE_PRESENCE] = "presence", [1 + NAMESPACE_HISTORY] = "history"};

/* Puts every name once into seen, in order; returns the size of all, or -1. */
static int64_t collect_names(const struct token_keys *keys, const json_t *list, json_t *seen)
{
    int64_t size = 0;
    const json_t *entry;
    size_t i;

    if (!json_is_array(list) || json_array_size(list) > keys->channels_max) {
        return -1;
    }
    json_array_foreach(list, i, entry)
    {
        const char *name = json_string_value(entry);
        size_t name_size = json_string_length(entry);

        if (!name || !channel_name_is_valid(slice_from(name, name_size), keys->channel_size_max)) {
            return -1;
        }
        if (json_object_get(seen, name)) {
            continue;
        }
        if (json_object_set_new_nocheck(seen, name, json_true()) != 0) {
            return -1;
        }
        size += (int64_t)name_size + 1;
    }
    return size;
}

/* Appends the names to out, which has room; returns the end. */
static char *copy_names(json_t *seen, char *out, struct name_list *list)
{
    const char *name;
    json_t *value;

    list->names = json_object_size(seen) > 0 ? out : NULL;
    json_object_foreach(seen, name, value)
    {
        size_t name_size = strlen(name) + 1;

        memcpy(out, name, name_size);
        out += name_size;
        list->count++;
    }
    return out;
}

static bool copy_lists(json_t *const seen[LISTS], size_t size, struct token_claims *claims)
{
    char *out;

    if (size == 0) {
        return true;
    }
    claims->names = malloc(size);
    if (!claims->names) {
        return false;
    }
    out = claims->names;
    for (size_t i = 0; i < LISTS; i++) {
        if (seen[i]) {
            out = copy_names(seen[i], out, i == 0 ? &claims->channels : &claims->allowed[i - 1]);
        }
    }
    ASSERT(out == claims->names + size);
    return true;
}

static enum token_outcome read_lists(const struct token_keys *keys, const json_t *payload,
                                     struct token_claims *claims)
{
    json_t *seen[LISTS] = {NULL};
    size_t size = 0;
    bool good = true;

    for (size_t i = 0; i < LISTS && good; i++) {
        const json_t *list = json_object_get(payload, list_names[i]);

        if (list) {
            seen[i] = json_object();
            int64_t list_size = seen[i] ? collect_names(keys, list, seen[i]) : -1;
            good = list_size >= 0;
            size += good ? (size_t)list_size : 0;
        }
    }
    good = good && copy_lists(seen, size, claims);
    for (size_t i = 0; i < LISTS; i++) {
        json_decref(seen[i]);
    }
    return good ? TOKEN_GOOD : TOKEN_BAD_CLAIM;
}

static enum token_outcome check_claims(const struct token_keys *keys, const json_t *payload,
                                       double now_s, struct token_claims *claims)
{
    /* First who it is for: so that the operator's log can name the user of a refused token. */
    enum token_outcome outcome = read_subject(payload, claims);

    if (outcome == TOKEN_GOOD) {
        outcome = check_times(keys, payload, now_s, claims);
    }
    if (outcome == TOKEN_GOOD) {
        outcome = check_issuer(keys, payload);
    }
    if (outcome == TOKEN_GOOD) {
        outcome = check_audience(keys, payload);
    }
    if (outcome == TOKEN_GOOD) {
        outcome = read_lists(keys, payload, claims);
    }
    return outcome;
}

/* --- all of it -------------------------------------------------------------------------------- */

/* scratch has room for the token twice: its text for libjwt, and one decoded part. */
static enum token_outcome check_token(const struct token_keys *keys, struct slice token,
                                      uint8_t *scratch, double now_s, struct token_claims *claims)
{
    enum token_outcome outcome = TOKEN_MALFORMED;
    char *text = (char *)scratch;
    uint8_t *decoded = scratch + token.size + 1;
    struct parts parts;
    json_t *header;
    json_t *payload;

    if (!split(token, &parts) || base64url_decode(parts.signature, decoded) < 0) {
        return TOKEN_MALFORMED;
    }
    header = parse_part(parts.header, decoded);
    payload = header ? parse_part(parts.payload, decoded) : NULL;
    if (payload) {
        memcpy(text, token.data, token.size);
        text[token.size] = 0;
        outcome = check_signature(keys, header, text, parts.signature.size > 0);
    }
    if (outcome == TOKEN_GOOD) {
        outcome = check_claims(keys, payload, now_s, claims);
    }
    json_decref(header);
    json_decref(payload);
    return outcome;
}

enum token_outcome token_check(const struct token_keys *keys, struct slice token, double now_s,
                               struct token_claims *claims)
{
    size_t scratch_size = 2 * token.size + 1;
    enum token_outcome outcome;
    uint8_t *scratch;

    *claims = (struct token_claims){0};
    if (token.size > keys->token_size_max) {
        return TOKEN_TOO_LARGE;
    }
    scratch = malloc(scratch_size);
    if (!scratch) {
        return TOKEN_MALFORMED; /* refused, as everything that Jansson has no memory for */
    }
    outcome = check_token(keys, token, scratch, now_s, claims);
    secret_wipe(scratch, scratch_size);
    free(scratch);
    return outcome;
}

void token_claims_free(struct token_claims *claims)
{
    free(claims->names);
    *claims = (struct token_claims){0};
}
