/*
 * peer.h - the other end of a connection for tests: seals records of any type and content, and
 * opens ours, by OpenSSL. Shares no code with core/tls, so that the two check each other.
 */
#pragma once

#include "tls/record.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <stdlib.h>

#define PEER_TAG_SIZE        16
#define PEER_RECORD_SIZE_MAX (5 + 8 + 65536 + PEER_TAG_SIZE)

struct peer_half {
    uint8_t secret[48];
    uint8_t key[32];
    uint8_t iv[12];
    uint64_t sequence;
};

struct peer {
    enum tls_version version;
    enum tls_suite suite;
    struct peer_half send;
    struct peer_half receive;
};

/* For what can only be a mistake in the test itself. */
static inline void peer_require(bool holds)
{
    if (!holds) {
        abort();
    }
}

static inline bool peer_has_nonce(const struct peer *peer)
{
    return peer->version == TLS_1_2 && peer->suite != TLS_CHACHA20_POLY1305;
}

static inline size_t peer_key_size(enum tls_suite suite)
{
    return suite == TLS_AES_128_GCM ? 16 : 32;
}

static inline void peer_expand(enum tls_suite suite, const uint8_t *secret, const char *label,
                               uint8_t *out, size_t out_size)
{
    const EVP_MD *hash = suite == TLS_AES_256_GCM ? EVP_sha384() : EVP_sha256();
    size_t label_size = strlen(label);
    uint8_t info[64];
    uint8_t block[EVP_MAX_MD_SIZE];

    /* HkdfLabel (RFC 8446, section 7.1), then the only round of HKDF-Expand that is needed. */
    store_be16(info, (uint16_t)out_size);
    info[2] = (uint8_t)(6 + label_size);
    memcpy(info + 3, "tls13 ", 6);
    memcpy(info + 9, label, label_size);
    info[9 + label_size] = 0;
    info[10 + label_size] = 1;
    peer_require(HMAC(hash, secret, EVP_MD_size(hash), info, 11 + label_size, block, NULL) != NULL);
    memcpy(out, block, out_size);
}

static inline void peer_turn(enum tls_suite suite, struct peer_half *half)
{
    size_t secret_size = suite == TLS_AES_256_GCM ? 48 : 32;
    uint8_t next[48];

    peer_expand(suite, half->secret, "traffic upd", next, secret_size);
    memcpy(half->secret, next, secret_size);
    peer_expand(suite, half->secret, "key", half->key, peer_key_size(suite));
    peer_expand(suite, half->secret, "iv", half->iv, sizeof(half->iv));
    half->sequence = 0;
}

/* Keys that differ in every byte, and the peer that has them the other way round. */
static inline struct tls_keys peer_make_keys(enum tls_version version, enum tls_suite suite)
{
    struct tls_keys keys = {.version = version, .suite = suite};

    for (size_t i = 0; i < sizeof(keys.send_secret); i++) {
        keys.send_secret[i] = (uint8_t)(i * 3 + 1);
        keys.receive_secret[i] = (uint8_t)(i * 5 + 2);
    }
    for (size_t i = 0; i < sizeof(keys.send_key); i++) {
        keys.send_key[i] = (uint8_t)(i * 7 + 3);
        keys.receive_key[i] = (uint8_t)(i * 11 + 4);
    }
    for (size_t i = 0; i < sizeof(keys.send_iv); i++) {
        keys.send_iv[i] = (uint8_t)(i * 13 + 5);
        keys.receive_iv[i] = (uint8_t)(i * 17 + 6);
    }
    return keys;
}

static inline void peer_init(struct peer *peer, const struct tls_keys *ours)
{
    *peer = (struct peer){.version = ours->version, .suite = ours->suite};
    memcpy(peer->send.secret, ours->receive_secret, sizeof(peer->send.secret));
    memcpy(peer->send.key, ours->receive_key, sizeof(peer->send.key));
    memcpy(peer->send.iv, ours->receive_iv, sizeof(peer->send.iv));
    peer->send.sequence = ours->receive_sequence;
    memcpy(peer->receive.secret, ours->send_secret, sizeof(peer->receive.secret));
    memcpy(peer->receive.key, ours->send_key, sizeof(peer->receive.key));
    memcpy(peer->receive.iv, ours->send_iv, sizeof(peer->receive.iv));
    peer->receive.sequence = ours->send_sequence;
}

/* One record's nonce and additional data. */
struct peer_envelope {
    uint8_t nonce[12];
    uint8_t aad[13];
    int aad_size;
};

static inline struct peer_envelope peer_make_envelope(const struct peer *peer,
                                                      const struct peer_half *half,
                                                      const uint8_t *record, size_t text_size)
{
    struct peer_envelope envelope = {0};

    memcpy(envelope.nonce, half->iv, peer_has_nonce(peer) ? 4 : 12);
    for (size_t i = 0; i < 8; i++) {
        uint8_t sequence_byte = (uint8_t)(half->sequence >> (56 - 8 * i));

        envelope.aad[i] = sequence_byte;
        if (peer_has_nonce(peer)) {
            envelope.nonce[4 + i] = record[5 + i];
        } else {
            envelope.nonce[4 + i] ^= sequence_byte;
        }
    }
    if (peer->version == TLS_1_3) {
        memcpy(envelope.aad, record, 5);
        envelope.aad_size = 5;
    } else {
        memcpy(envelope.aad + 8, record, 3);
        store_be16(envelope.aad + 11, (uint16_t)text_size);
        envelope.aad_size = 13;
    }
    return envelope;
}

static inline EVP_CIPHER_CTX *peer_begin(const struct peer *peer, const struct peer_half *half,
                                         const struct peer_envelope *envelope, int encrypt)
{
    const EVP_CIPHER *cipher = peer->suite == TLS_AES_128_GCM   ? EVP_aes_128_gcm()
                               : peer->suite == TLS_AES_256_GCM ? EVP_aes_256_gcm()
                                                                : EVP_chacha20_poly1305();
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    int size;

    peer_require(context != NULL);
    peer_require(EVP_CipherInit_ex(context, cipher, NULL, half->key, envelope->nonce, encrypt) ==
                 1);
    peer_require(EVP_CipherUpdate(context, NULL, &size, envelope->aad, envelope->aad_size) == 1);
    return context;
}

/*
 * Seals data_size bytes and, in 1.3, padding zeros behind the type. explicit_nonce: what a 1.2 GCM
 * record carries. Returns the record's size; out: PEER_RECORD_SIZE_MAX bytes of room.
 */
static inline size_t peer_seal_padded(struct peer *peer, uint8_t type, struct slice data,
                                      size_t padding, uint8_t *out)
{
    size_t headroom = peer_has_nonce(peer) ? 13 : 5;
    uint8_t *text = out + headroom;
    size_t text_size = data.size;
    int size;

    if (data.size > 0) {
        memmove(text, data.data, data.size);
    }
    out[0] = type;
    if (peer->version == TLS_1_3) {
        out[0] = 23;
        text[text_size++] = type;
        memset(text + text_size, 0, padding);
        text_size += padding;
    }
    out[1] = 3;
    out[2] = 3;
    store_be16(out + 3, (uint16_t)(headroom - 5 + text_size + PEER_TAG_SIZE));
    if (peer_has_nonce(peer)) {
        /* Any nonce will do; not the sequence number, so that nobody can take it for that. */
        store_be64(out + 5, ~peer->send.sequence);
    }
    struct peer_envelope envelope = peer_make_envelope(peer, &peer->send, out, text_size);
    EVP_CIPHER_CTX *context = peer_begin(peer, &peer->send, &envelope, 1);
    peer_require(EVP_CipherUpdate(context, text, &size, text, (int)text_size) == 1);
    peer_require(EVP_CipherFinal_ex(context, text + text_size, &size) == 1);
    peer_require(
        EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, PEER_TAG_SIZE, text + text_size) == 1);
    EVP_CIPHER_CTX_free(context);
    peer->send.sequence++;
    return headroom + text_size + PEER_TAG_SIZE;
}

static inline size_t peer_seal(struct peer *peer, uint8_t type, const void *data, size_t size,
                               uint8_t *out)
{
    return peer_seal_padded(peer, type, slice_from(data, size), 0, out);
}

/* Opens one whole record, in place; false when it is not what the protocol wants. */
static inline bool peer_open(struct peer *peer, uint8_t *record, size_t record_size, uint8_t *type,
                             struct slice *data)
{
    size_t headroom = peer_has_nonce(peer) ? 13 : 5;
    int size;

    if (record_size < headroom + PEER_TAG_SIZE || load_be16(record + 3) != record_size - 5) {
        return false;
    }
    uint8_t *text = record + headroom;
    size_t text_size = record_size - headroom - PEER_TAG_SIZE;
    struct peer_envelope envelope = peer_make_envelope(peer, &peer->receive, record, text_size);
    EVP_CIPHER_CTX *context = peer_begin(peer, &peer->receive, &envelope, 0);
    peer_require(EVP_CipherUpdate(context, text, &size, text, (int)text_size) == 1);
    peer_require(
        EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, PEER_TAG_SIZE, text + text_size) == 1);
    bool is_right = EVP_CipherFinal_ex(context, text + text_size, &size) == 1;
    EVP_CIPHER_CTX_free(context);
    *type = record[0];
    if (peer->version == TLS_1_3) {
        if (record[0] != 23 || text_size == 0) {
            return false;
        }
        *type = text[--text_size]; /* we never pad */
    }
    *data = slice_from(text, text_size);
    peer->receive.sequence++;
    return is_right && record[1] == 3 && record[2] == 3;
}
