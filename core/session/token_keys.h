/*
 * token_keys.h - what token_keys_open has made; only for the files token*.c.
 *
 * Read-only after open, so that all shards share it: libjwt and OpenSSL only read a key when they
 * verify with it (OpenSSL counts a reference, atomically).
 */
#pragma once

#include "session/token.h"

#include <jwt.h>

#define TOKEN_KEYS_MAX     256       /* all files together */
#define TOKEN_KID_MAX      255       /* bytes */
#define TOKEN_KEY_FILE_MAX (1 << 20) /* bytes */

struct token_algorithm {
    const char *name; /* RFC 7518, section 3.1 and RFC 8037; "none" is not among them */
    jwt_alg_t number;
    jwk_key_type_t type;
    int bits_min;      /* of the key */
    const char *curve; /* NULL: by the type alone */
};

struct token_key {
    char *kid; /* NULL: for tokens without one */
    const struct token_algorithm *algorithm;
    const jwk_item_t *item; /* in the set */
};

struct token_keys {
    jwk_set_t *set;
    struct token_key keys[TOKEN_KEYS_MAX];
    size_t count;
    size_t symmetric_count; /* in sets by URL: left out */
    char *issuer;           /* or NULL */
    char *audience;         /* or NULL */
    uint32_t leeway_s;
    bool require_expiry;
    uint32_t token_size_max;
    uint32_t channels_max;
    uint32_t channel_size_max;
};

/* NULL when we have none of that name; names are compared exactly. */
MUST_CHECK const struct token_algorithm *token_algorithm_find(const char *name);
