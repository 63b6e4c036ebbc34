/*
 * Goal: each kind of public key becomes the JWK of the same numbers, in as many bytes as RFC 7518
 * wants, up to the largest key; whatever else a file holds is refused with a reason, and no
 * passphrase is ever asked for.
 */
#include "session/token_pem.h"

#include "session/base64url.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define PEM_MAX 16384

static size_t write_pem(const EVP_PKEY *key, char pem[PEM_MAX])
{
    BIO *bio = BIO_new(BIO_s_mem());

    assert_int_equal(PEM_write_bio_PUBKEY(bio, key), 1);
    const int size = BIO_read(bio, pem, PEM_MAX);
    assert_true(size > 0);
    BIO_free(bio);
    return (size_t)size;
}

/* Takes the key. Returns what is said of it, or NULL. */
static const char *convert(EVP_PKEY *key, char jwk[TOKEN_JWK_MAX])
{
    char pem[PEM_MAX];

    assert_non_null(key);
    const size_t size = write_pem(key, pem);
    EVP_PKEY_free(key);
    return token_pem_to_jwk(slice_from(pem, size), jwk);
}

static void assert_refused(struct slice pem, const char *reason)
{
    char jwk[TOKEN_JWK_MAX];
    const char *said = token_pem_to_jwk(pem, jwk);

    assert_non_null(said);
    assert_non_null(strstr(said, reason));
}

/* A number of the key, in size bytes, as a JWK has it. */
static void encode(const EVP_PKEY *key, const char *name, int size, char *out)
{
    uint8_t bytes[2048];
    BIGNUM *number = NULL;

    assert_int_equal(EVP_PKEY_get_bn_param(key, name, &number), 1);
    assert_int_equal(BN_bn2binpad(number, bytes, size), size);
    out[base64url_encode(slice_from(bytes, (size_t)size), out)] = '\0';
    BN_free(number);
}

/* The key of RFC 8037, appendix A.2. */
static const char ed25519[] = "-----BEGIN PUBLIC KEY-----\n"
                              "MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwaaPJFHURo=\n"
                              "-----END PUBLIC KEY-----\n";

static void test_a_known_key(void **state)
{
    char jwk[TOKEN_JWK_MAX];

    (void)state;
    assert_null(token_pem_to_jwk(slice_text(ed25519), jwk));
    assert_string_equal(jwk, "{\"kty\":\"OKP\",\"crv\":\"Ed25519\","
                             "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwaaPJFHURo\"}");
    assert_null(convert(EVP_PKEY_Q_keygen(NULL, NULL, "ED448"), jwk));
    assert_int_equal(strlen(jwk), strlen("{'kty':'OKP','crv':'Ed448','x':''}") + 76);
}

/* Coordinates that begin with zeros, too: of P-521 about every second one does. */
static void test_curves(void **state)
{
    static const struct {
        const char *curve;
        int size;
        uint32_t keys;
    } curves[] = {{"P-256", 32, 1000}, {"P-384", 48, 10}, {"P-521", 66, 10}};

    (void)state;
    for (size_t i = 0; i < sizeof(curves) / sizeof(curves[0]); i++) {
        for (uint32_t k = 0; k < curves[i].keys; k++) {
            EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", curves[i].curve);
            char x[128];
            char y[128];
            char expected[512];
            char jwk[TOKEN_JWK_MAX];
            encode(key, OSSL_PKEY_PARAM_EC_PUB_X, curves[i].size, x);
            encode(key, OSSL_PKEY_PARAM_EC_PUB_Y, curves[i].size, y);
            (void)snprintf(expected, sizeof(expected),
                           "{\"kty\":\"EC\",\"crv\":\"%s\",\"x\":\"%s\",\"y\":\"%s\"}",
                           curves[i].curve, x, y);
            assert_null(convert(key, jwk));
            assert_string_equal(jwk, expected);
        }
    }
}

/* A public key of so many bits; good for nothing else. */
static EVP_PKEY *make_rsa(const char *kind, int bits)
{
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, kind, NULL);
    BIGNUM *n = BN_new();
    EVP_PKEY *key = NULL;

    assert_int_equal(BN_rand(n, bits, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ODD), 1);
    assert_int_equal(OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n), 1);
    assert_int_equal(OSSL_PARAM_BLD_push_uint(build, OSSL_PKEY_PARAM_RSA_E, 65537), 1);
    OSSL_PARAM *parameters = OSSL_PARAM_BLD_to_param(build);
    assert_int_equal(EVP_PKEY_fromdata_init(context), 1);
    assert_int_equal(EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, parameters), 1);
    OSSL_PARAM_free(parameters);
    OSSL_PARAM_BLD_free(build);
    EVP_PKEY_CTX_free(context);
    BN_free(n);
    return key;
}

static void test_rsa_up_to_the_largest(void **state)
{
    static const int bits[] = {2048, 3070, 16384};
    static const char *const kinds[] = {"RSA", "RSA-PSS"};
    char jwk[TOKEN_JWK_MAX];

    (void)state;
    for (size_t i = 0; i < 6; i++) {
        EVP_PKEY *key = make_rsa(kinds[i % 2], bits[i / 2]);
        char n[BASE64URL_SIZE(2048) + 1];
        char expected[TOKEN_JWK_MAX];
        encode(key, OSSL_PKEY_PARAM_RSA_N, (bits[i / 2] + 7) / 8, n);
        (void)snprintf(expected, sizeof(expected), "{\"kty\":\"RSA\",\"n\":\"%s\",\"e\":\"AQAB\"}",
                       n);
        assert_null(convert(key, jwk));
        assert_string_equal(jwk, expected);
    }
    assert_non_null(convert(make_rsa("RSA", 16384 + 8), jwk));
}

static void test_other_kinds_are_refused(void **state)
{
    char jwk[TOKEN_JWK_MAX];
    const char *reason = convert(EVP_PKEY_Q_keygen(NULL, NULL, "X25519"), jwk);

    (void)state;
    assert_non_null(reason);
    assert_non_null(strstr(reason, "none of RSA, EC, Ed25519, Ed448"));
    reason = convert(EVP_PKEY_Q_keygen(NULL, NULL, "EC", "secp256k1"), jwk);
    assert_non_null(reason);
    assert_non_null(strstr(reason, "none of P-256, P-384, P-521"));
}

static void test_what_is_no_public_key_is_refused(void **state)
{
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    BIO *bio = BIO_new(BIO_s_mem());
    char pem[PEM_MAX];

    (void)state;
    assert_refused((struct slice){0}, "not a PEM public key");
    assert_refused(slice_text("secret"), "not a PEM public key");
    for (size_t size = 0; size < sizeof(ed25519) - 2; size++) { /* the last line may lack its end */
        assert_refused(slice_from(ed25519, size), "not a PEM public key");
    }
    assert_int_equal(PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL), 1);
    const int size = BIO_read(bio, pem, sizeof(pem));
    assert_true(size > 0);
    assert_refused(slice_from(pem, (size_t)size), "not a PEM public key");
    BIO_free(bio);
    EVP_PKEY_free(key);
}

/* What is waiting at the standard input is not read. */
static void test_no_passphrase_is_asked_for(void **state)
{
    static const char encrypted[] = "-----BEGIN PUBLIC KEY-----\n"
                                    "Proc-Type: 4,ENCRYPTED\n"
                                    "DEK-Info: AES-128-CBC,00112233445566778899AABBCCDDEEFF\n"
                                    "\n"
                                    "MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwaaPJFHURo=\n"
                                    "-----END PUBLIC KEY-----\n";
    const int before = dup(STDIN_FILENO);
    char text[16];
    int ends[2];

    (void)state;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], "secret\n", 7), 7);
    assert_int_equal(dup2(ends[0], STDIN_FILENO), STDIN_FILENO);
    assert_int_equal(close(ends[1]), 0);
    assert_refused(slice_text(encrypted), "not a PEM public key");
    assert_int_equal(read(ends[0], text, sizeof(text)), 7);
    assert_int_equal(close(ends[0]), 0);
    if (before >= 0) {
        assert_int_equal(dup2(before, STDIN_FILENO), STDIN_FILENO);
        assert_int_equal(close(before), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_known_key),
        cmocka_unit_test(test_curves),
        cmocka_unit_test(test_rsa_up_to_the_largest),
        cmocka_unit_test(test_other_kinds_are_refused),
        cmocka_unit_test(test_what_is_no_public_key_is_refused),
        cmocka_unit_test(test_no_passphrase_is_asked_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
