/*
 * keys.c - see keys.h.
 */
#include "tls/keys.h"

#include <wolfssl/wolfcrypt/settings.h>

#include <wolfssl/wolfcrypt/hash.h>
#include <wolfssl/wolfcrypt/kdf.h>

#define SECRET_SIZE_MAX 48

/* Behind the head: send key, send IV, receive key, receive IV, send secret, receive secret. */
struct layout {
    uint8_t key_size;
    uint8_t iv_size;
    uint8_t secret_size;
    uint8_t half_size; /* from one direction's key to the other's */
};

/* 1.2 states come in one size, with room for the longest key and IV. */
#define HALF_SIZE_1_2 44

static const struct layout layouts[2][3] = {
    [TLS_1_2] =
        {
            [TLS_AES_128_GCM] = {16, 4, 0, HALF_SIZE_1_2},
            [TLS_AES_256_GCM] = {32, 4, 0, HALF_SIZE_1_2},
            [TLS_CHACHA20_POLY1305] = {32, 12, 0, HALF_SIZE_1_2},
        },
    [TLS_1_3] =
        {
            [TLS_AES_128_GCM] = {16, 12, 32, 28},
            [TLS_AES_256_GCM] = {32, 12, 48, 44},
            [TLS_CHACHA20_POLY1305] = {32, 12, 32, 44},
        },
};

#define STATE_SIZE(half, secret) (sizeof(struct tls_state) + 2 * ((size_t)(half) + (secret)))
static_assert(STATE_SIZE(HALF_SIZE_1_2, 0) == 112, "TLS_CLASS_1_2");
static_assert(STATE_SIZE(28, 32) == 144, "TLS_CLASS_1_3_AES_128");
static_assert(STATE_SIZE(44, 32) == 176, "TLS_CLASS_1_3_CHACHA");
static_assert(STATE_SIZE(44, 48) == 208, "TLS_CLASS_1_3_AES_256");
static_assert(STATE_SIZE(44, 48) == TLS_STATE_SIZE_MAX, "the largest class");

static const uint32_t class_sizes[TLS_CLASSES] = {
    [TLS_CLASS_1_2] = STATE_SIZE(HALF_SIZE_1_2, 0),
    [TLS_CLASS_1_3_AES_128] = STATE_SIZE(28, 32),
    [TLS_CLASS_1_3_CHACHA] = STATE_SIZE(44, 32),
    [TLS_CLASS_1_3_AES_256] = STATE_SIZE(44, 48),
};

static const struct layout *layout_of(const struct tls_state *state)
{
    return &layouts[state->version][state->suite];
}

static size_t key_offset(const struct layout *layout, enum keys_direction direction)
{
    return sizeof(struct tls_state) + (direction == KEYS_SEND ? 0U : layout->half_size);
}

static size_t iv_offset(const struct layout *layout, enum keys_direction direction)
{
    return key_offset(layout, direction) + layout->key_size;
}

static size_t secret_offset(const struct layout *layout, enum keys_direction direction)
{
    return sizeof(struct tls_state) + 2 * (size_t)layout->half_size +
           (direction == KEYS_SEND ? 0U : layout->secret_size);
}

static uint8_t *bytes_at(struct tls_state *state, size_t offset)
{
    return (uint8_t *)state + offset;
}

struct keys_view keys_view(const struct tls_state *state, enum keys_direction direction)
{
    const struct layout *layout = layout_of(state);
    const uint8_t *bytes = (const uint8_t *)state;

    return (struct keys_view){
        .key = bytes + key_offset(layout, direction),
        .iv = bytes + iv_offset(layout, direction),
        .key_size = layout->key_size,
        .iv_size = layout->iv_size,
    };
}

enum tls_class tls_class_of(enum tls_version version, enum tls_suite suite)
{
    if (version == TLS_1_2) {
        return TLS_CLASS_1_2;
    }
    switch (suite) {
    case TLS_AES_128_GCM:
        return TLS_CLASS_1_3_AES_128;
    case TLS_AES_256_GCM:
        return TLS_CLASS_1_3_AES_256;
    case TLS_CHACHA20_POLY1305:
        return TLS_CLASS_1_3_CHACHA;
    }
    ASSERT(false);
    return TLS_CLASSES;
}

uint32_t tls_class_size(enum tls_class class)
{
    ASSERT(class < TLS_CLASSES);
    return class_sizes[class];
}

void tls_state_init(struct tls_state *state, const struct tls_keys *keys)
{
    const struct layout *layout = &layouts[keys->version][keys->suite];

    ASSERT((uintptr_t)state % _Alignof(struct tls_state) == 0);
    memset(state, 0, tls_class_size(tls_class_of(keys->version, keys->suite)));
    state->suite = keys->suite & 3U;
    state->version = keys->version & 1U;
    state->client = keys->client;
    state->send_sequence = keys->send_sequence;
    state->receive_sequence = keys->receive_sequence;
    memcpy(bytes_at(state, key_offset(layout, KEYS_SEND)), keys->send_key, layout->key_size);
    memcpy(bytes_at(state, iv_offset(layout, KEYS_SEND)), keys->send_iv, layout->iv_size);
    memcpy(bytes_at(state, secret_offset(layout, KEYS_SEND)), keys->send_secret,
           layout->secret_size);
    memcpy(bytes_at(state, key_offset(layout, KEYS_RECEIVE)), keys->receive_key, layout->key_size);
    memcpy(bytes_at(state, iv_offset(layout, KEYS_RECEIVE)), keys->receive_iv, layout->iv_size);
    memcpy(bytes_at(state, secret_offset(layout, KEYS_RECEIVE)), keys->receive_secret,
           layout->secret_size);
}

void tls_state_wipe(struct tls_state *state)
{
    secret_wipe(state, tls_class_size(tls_class_of(state->version, state->suite)));
}

void tls_state_prefetch(const struct tls_state *state)
{
    const uint8_t *bytes = (const uint8_t *)state;

    /* Asking for the suite would be the very miss that is to be avoided: so for the longest. Often
     * its last byte is in the second line too. */
    __builtin_prefetch(bytes, 1);
    __builtin_prefetch(bytes + 64, 1);
    __builtin_prefetch(bytes + STATE_SIZE(HALF_SIZE_1_2, 0) - 1, 1);
}

static void expand_label(struct slice secret, const char *label, uint8_t *out, size_t out_size)
{
    static const char protocol[] = "tls13 ";
    int hash = secret.size == SECRET_SIZE_MAX ? WC_SHA384 : WC_SHA256;
    int result = wc_Tls13_HKDF_Expand_Label(
        out, (word32)out_size, secret.data, (word32)secret.size, (const uint8_t *)protocol,
        sizeof(protocol) - 1, (const uint8_t *)label, (word32)strlen(label), NULL, 0, hash);

    ASSERT(result == 0);
}

void keys_turn(struct tls_state *state, enum keys_direction direction)
{
    const struct layout *layout = layout_of(state);
    uint8_t *secret = bytes_at(state, secret_offset(layout, direction));
    struct slice current = slice_from(secret, layout->secret_size);
    uint8_t next[SECRET_SIZE_MAX];

    ASSERT(state->version == TLS_1_3);
    expand_label(current, "traffic upd", next, layout->secret_size);
    memcpy(secret, next, layout->secret_size);
    secret_wipe(next, sizeof(next));
    expand_label(current, "key", bytes_at(state, key_offset(layout, direction)), layout->key_size);
    expand_label(current, "iv", bytes_at(state, iv_offset(layout, direction)), layout->iv_size);
}
