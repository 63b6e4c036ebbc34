#include "session/token_pem.h"

#include "session/base64url.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>

#define NUMBER_MAX 2048 /* bytes: RSA of 16,384 bits, OpenSSL's own limit */

struct number_text {
    char text[BASE64URL_SIZE(NUMBER_MAX) + 1];
};

static bool encode_bytes(struct slice bytes, struct number_text *out)
{
    if (bytes.size > NUMBER_MAX) {
        return false;
    }
    out->text[base64url_encode(bytes, out->text)] = 0;
    return true;
}

/* One number of the key, in size bytes; size 0: in as many as it needs (RFC 7518, section 2). */
static bool encode_number(const EVP_PKEY *key, const char *name, int size, struct number_text *out)
{
    BIGNUM *number = NULL;
    uint8_t bytes[NUMBER_MAX];
    bool good = false;

    if (EVP_PKEY_get_bn_param(key, name, &number) == 1) {
        int used = size ? size : BN_num_bytes(number);
        good = used <= NUMBER_MAX && BN_bn2binpad(number, bytes, used) == used &&
               encode_bytes(slice_from(bytes, (size_t)used), out);
    }
    BN_free(number);
    return good;
}

static const char *rsa_to_jwk(const EVP_PKEY *key, char *jwk)
{
    struct number_text n;
    struct number_text e;

    if (!encode_number(key, OSSL_PKEY_PARAM_RSA_N, 0, &n) ||
        !encode_number(key, OSSL_PKEY_PARAM_RSA_E, 0, &e)) {
        return "its RSA numbers cannot be read";
    }
    (void)snprintf(jwk, TOKEN_JWK_MAX, "{\"kty\":\"RSA\",\"n\":\"%s\",\"e\":\"%s\"}", n.text,
                   e.text);
    return NULL;
}

static const char *ec_to_jwk(const EVP_PKEY *key, char *jwk)
{
    static const struct {
        const char *name;
        const char *curve;
        int size; /* bytes of a coordinate */
    } curves[] = {
        {"prime256v1", "P-256", 32}, {"secp384r1", "P-384", 48}, {"secp521r1", "P-521", 66}};
    char name[64] = "";
    struct number_text x;
    struct number_text y;
    size_t i = 0;

    if (EVP_PKEY_get_group_name(key, name, sizeof(name), NULL) != 1) {
        return "its curve has no name";
    }
    while (strcmp(name, curves[i].name) != 0) {
        if (++i == sizeof(curves) / sizeof(curves[0])) {
            return "its curve is none of P-256, P-384, P-521";
        }
    }
    if (!encode_number(key, OSSL_PKEY_PARAM_EC_PUB_X, curves[i].size, &x) ||
        !encode_number(key, OSSL_PKEY_PARAM_EC_PUB_Y, curves[i].size, &y)) {
        return "its point cannot be read";
    }
    (void)snprintf(jwk, TOKEN_JWK_MAX, "{\"kty\":\"EC\",\"crv\":\"%s\",\"x\":\"%s\",\"y\":\"%s\"}",
                   curves[i].curve, x.text, y.text);
    return NULL;
}

static const char *okp_to_jwk(const EVP_PKEY *key, const char *curve, char *jwk)
{
    uint8_t bytes[64];
    size_t size = sizeof(bytes);
    struct number_text x;

    if (EVP_PKEY_get_raw_public_key(key, bytes, &size) != 1 ||
        !encode_bytes(slice_from(bytes, size), &x)) {
        return "its point cannot be read";
    }
    (void)snprintf(jwk, TOKEN_JWK_MAX, "{\"kty\":\"OKP\",\"crv\":\"%s\",\"x\":\"%s\"}", curve,
                   x.text);
    return NULL;
}

const char *token_pem_to_jwk(struct slice pem, char jwk[TOKEN_JWK_MAX])
{
    const char *reason = "its kind of key is none of RSA, EC, Ed25519, Ed448";
    BIO *bio = BIO_new_mem_buf(pem.data, (int)pem.size);
    char no_passphrase[] = ""; /* else a key that is encrypted asks the terminal for one */
    EVP_PKEY *key = bio ? PEM_read_bio_PUBKEY(bio, NULL, NULL, no_passphrase) : NULL;

    BIO_free(bio);
    ERR_clear_error();
    if (!key) {
        return "not a PEM public key (-----BEGIN PUBLIC KEY-----; `openssl pkey -pubout` makes one)";
    }
    if (EVP_PKEY_is_a(key, "RSA") || EVP_PKEY_is_a(key, "RSA-PSS")) {
        reason = rsa_to_jwk(key, jwk);
    } else if (EVP_PKEY_is_a(key, "EC")) {
        reason = ec_to_jwk(key, jwk);
    } else if (EVP_PKEY_is_a(key, "ED25519")) {
        reason = okp_to_jwk(key, "Ed25519", jwk);
    } else if (EVP_PKEY_is_a(key, "ED448")) {
        reason = okp_to_jwk(key, "Ed448", jwk);
    }
    EVP_PKEY_free(key);
    return reason;
}
