/*
 * token.h - JSON Web Tokens (RFC 7519, RFC 8725): the only user of libjwt.
 *
 * Signature by libjwt with the algorithm pinned to the key; claims are checked here, against the
 * time that is passed in. Nothing of a token or key is ever logged or put into a message.
 */
#pragma once

#include "session/namespace.h"

enum token_outcome {
    TOKEN_GOOD,
    TOKEN_MALFORMED, /* not three parts of base64url JSON, or larger than allowed */
    TOKEN_TOO_LARGE,
    TOKEN_ALGORITHM,   /* "none", or not the algorithm of the key */
    TOKEN_CRITICAL,    /* a crit header (RFC 7515, section 4.1.11: we understand none) */
    TOKEN_UNKNOWN_KEY, /* no key with that kid, or none that fits */
    TOKEN_BAD_SIGNATURE,
    TOKEN_EXPIRED,
    TOKEN_NOT_YET,   /* nbf */
    TOKEN_NO_EXPIRY, /* exp missing although it is required */
    TOKEN_WRONG_ISSUER,
    TOKEN_WRONG_AUDIENCE,
    TOKEN_BAD_CLAIM, /* a claim of the wrong type; sub or a name too long; too many names */
    TOKEN_OUTCOMES
};

MUST_CHECK const char *token_outcome_name(enum token_outcome outcome); /* "bad_signature" */

struct token_key_options {
    const char *kid;       /* NULL: for tokens without a kid and, if it is the only key, for all */
    const char *algorithm; /* "HS256", "RS256", "ES256", "PS256", "EdDSA", ...; with a JWKS it may
                              be NULL, and is for its keys that leave the algorithm open */
    struct slice document; /* of a key set by URL; data NULL: it has not come yet */
    const char
        *path; /* HS*: the secret's file; else a PEM public key; or a JWKS (".json"), or its URL */
};

struct token_options {
    const struct token_key_options *keys;
    size_t key_count;
    const char *issuer;   /* NULL: not checked */
    const char *audience; /* NULL: not checked */
    uint32_t leeway_s;
    bool require_expiry;
    uint32_t token_size_max;   /* bytes */
    uint32_t channels_max;     /* names in one list of a token */
    uint32_t channel_size_max; /* bytes of a channel's name */
};

#define TOKEN_SUBJECT_MAX 255

/* path is the https URL of a key set. */
MUST_CHECK bool token_key_is_url(const char *path);

struct token_keys; /* immutable after open: one may be used by all shards */

/* NULL with a message that names file and reason. */
MUST_CHECK struct token_keys *token_keys_open(const struct token_options *options, char *message,
                                              size_t message_size);
void token_keys_close(struct token_keys *keys);

/* Symmetric keys in sets by URL: left out, for who can read such a set could sign. */
MUST_CHECK size_t token_keys_symmetric(const struct token_keys *keys);

/* Claims "channels", "subscribe", "publish", "presence", "history": names and patterns. */
struct token_claims {
    char subject[TOKEN_SUBJECT_MAX + 1]; /* "" when absent */
    uint32_t subject_size;
    double expires_s;                            /* Unix time, up to year 9999; 0: never */
    double not_before_s;                         /* 0: none */
    struct name_list channels;                   /* subscribed at connect */
    struct name_list allowed[NAMESPACE_ACTIONS]; /* what the client may ask for */
    char *names;                                 /* owned; the lists' memory; may be NULL */
};

/* now_s: Unix time. The caller frees good claims with token_claims_free. Also sets subject,
 * expires_s and not_before_s for TOKEN_EXPIRED and TOKEN_NOT_YET, for the log. */
MUST_CHECK enum token_outcome token_check(const struct token_keys *keys, struct slice token,
                                          double now_s, struct token_claims *claims);
void token_claims_free(struct token_claims *claims);

struct token_request {
    const char *subject; /* NULL: none */
    const char *const *channels;
    size_t channel_count;
    const char *const *subscribe;
    size_t subscribe_count;
    const char *const *publish;
    size_t publish_count;
    double now_s;        /* Unix time */
    uint32_t lifetime_s; /* 0: no exp */
};

/* Makes a token with the first HMAC key of the options, for dev mode and `limpet token`, that
 * token_check finds good. Returns its text (free()), or NULL with a message. */
MUST_CHECK char *token_make(const struct token_options *options,
                            const struct token_request *request, char *message,
                            size_t message_size);
