#include "tls/capture.h"

#include <wolfssl/ssl.h>
#include <wolfssl/wolfcrypt/kdf.h>

/* Our counter of explicit nonces starts at 1 and may reach 2^32; the library's one random nonce
 * must lie beyond. It is less than this once in 2^31 handshakes. */
#define NONCE_MIN (UINT64_C(1) << 33)

static int capture_secret(WOLFSSL *ssl, int id, const unsigned char *secret, int size,
                          void *context)
{
    struct capture *capture = context;
    uint8_t *into = NULL;
    (void)ssl;
    if (id == CLIENT_HANDSHAKE_TRAFFIC_SECRET) {
        into = capture->client_handshake;
    } else if (id == CLIENT_TRAFFIC_SECRET) {
        into = capture->client_application;
    } else if (id == SERVER_TRAFFIC_SECRET) {
        into = capture->server_application;
    }
    if (into && size > 0 && size <= SECRET_SIZE_MAX) {
        memcpy(into, secret, (size_t)size);
        capture->secret_size = (size_t)size;
    }
    return 0;
}

void capture_begin(struct capture *capture, struct WOLFSSL *ssl)
{
    capture->secret_size = 0;
    const int set = wolfSSL_set_tls13_secret_cb(ssl, capture_secret, capture);
    ASSERT(set == WOLFSSL_SUCCESS);
}

bool capture_expand(struct slice secret, const char *label, uint8_t *out, size_t size)
{
    static const uint8_t protocol[] = "tls13 ";
    return wc_Tls13_HKDF_Expand_Label(out, (word32)size, secret.data, (word32)secret.size, protocol,
                                      sizeof(protocol) - 1, (const uint8_t *)label,
                                      (word32)strlen(label), NULL, 0,
                                      secret.size == 48 ? WC_SHA384 : WC_SHA256) == 0;
}

/* AEAD only: anything else was never offered. */
static bool suite_of(WOLFSSL *ssl, enum tls_suite *suite)
{
    const int key_size = wolfSSL_GetKeySize(ssl);
    switch (wolfSSL_GetBulkCipher(ssl)) {
    case wolfssl_aes_gcm:
        *suite = key_size == 32 ? TLS_AES_256_GCM : TLS_AES_128_GCM;
        return key_size == 32 || key_size == 16;
    case wolfssl_chacha:
        *suite = TLS_CHACHA20_POLY1305;
        return key_size == 32;
    default:
        return false;
    }
}

/* What one direction's keys are taken from, and where they go. */
struct direction {
    const uint8_t *key;
    const uint8_t *iv;
    struct slice secret; /* 1.3 */
    uint8_t *key_out;
    uint8_t *iv_out;
};

/* Copies the library's keys; in 1.3 only if they are what the secret makes them. */
static bool direction_keys(const struct direction *from, size_t key_size, size_t iv_size)
{
    uint8_t derived[32 + 12];
    memcpy(from->key_out, from->key, key_size);
    memcpy(from->iv_out, from->iv, iv_size);
    if (from->secret.size == 0) {
        return true;
    }
    const bool is_equal = capture_expand(from->secret, "key", derived, key_size) &&
                          capture_expand(from->secret, "iv", derived + 32, iv_size) &&
                          secret_equal(derived, from->key, key_size) &&
                          secret_equal(derived + 32, from->iv, iv_size);
    secret_wipe(derived, sizeof(derived));
    return is_equal;
}

/* The library's own records under these keys: the ticket in 1.3, the Finished in 1.2. */
static bool sequences_expected(const struct tls_keys *keys, bool is_server)
{
    if (keys->version == TLS_1_3) {
        return keys->send_sequence <= (is_server ? 1 : 0) && keys->receive_sequence == 0;
    }
    return keys->send_sequence == 1 && keys->receive_sequence == 1;
}

bool capture_keys(const struct capture *capture, const struct wire *wire, struct WOLFSSL *ssl,
                  struct tls_keys *keys)
{
    const bool is_server = wolfSSL_is_server(ssl) != 0;
    const int version = wolfSSL_GetVersion(ssl);
    word64 send_sequence = 0;
    word64 receive_sequence = 0;
    memset(keys, 0, sizeof(*keys));
    if (!suite_of(ssl, &keys->suite) ||
        (version != WOLFSSL_TLSV1_3 && version != WOLFSSL_TLSV1_2)) {
        return false;
    }
    keys->client = !is_server;
    keys->version = version == WOLFSSL_TLSV1_3 ? TLS_1_3 : TLS_1_2;
    /* The result only says whether the number is zero. */
    (void)wolfSSL_GetSequenceNumber(ssl, &send_sequence);
    (void)wolfSSL_GetPeerSequenceNumber(ssl, &receive_sequence);
    keys->send_sequence = send_sequence;
    keys->receive_sequence = receive_sequence;

    const bool is_chacha = keys->suite == TLS_CHACHA20_POLY1305;
    const size_t key_size = keys->suite == TLS_AES_128_GCM ? 16 : 32;
    const size_t iv_size = keys->version == TLS_1_3 || is_chacha ? 12 : 4;
    const size_t secret_size = keys->suite == TLS_AES_256_GCM ? 48 : 32;
    struct direction server = {
        .key = wolfSSL_GetServerWriteKey(ssl),
        .iv = wolfSSL_GetServerWriteIV(ssl),
        .key_out = is_server ? keys->send_key : keys->receive_key,
        .iv_out = is_server ? keys->send_iv : keys->receive_iv,
    };
    struct direction client = {
        .key = wolfSSL_GetClientWriteKey(ssl),
        .iv = wolfSSL_GetClientWriteIV(ssl),
        .key_out = is_server ? keys->receive_key : keys->send_key,
        .iv_out = is_server ? keys->receive_iv : keys->send_iv,
    };
    if (keys->version == TLS_1_3) {
        if (capture->secret_size != secret_size) {
            return false;
        }
        server.secret = slice_from(capture->server_application, secret_size);
        client.secret = slice_from(capture->client_application, secret_size);
        memcpy(is_server ? keys->send_secret : keys->receive_secret, server.secret.data,
               secret_size);
        memcpy(is_server ? keys->receive_secret : keys->send_secret, client.secret.data,
               secret_size);
    } else if (!is_chacha && (!wire->nonce_seen || wire->nonce < NONCE_MIN)) {
        return false;
    }
    return sequences_expected(keys, is_server) && direction_keys(&server, key_size, iv_size) &&
           direction_keys(&client, key_size, iv_size);
}
