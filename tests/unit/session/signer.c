#include "signer.h"

#include "session/base64url.h"

#include <dirent.h>
#include <fcntl.h>
#include <openssl/ecdsa.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void folder_make(char folder[SIGNER_FOLDER_MAX])
{
    (void)snprintf(folder, SIGNER_FOLDER_MAX, "/tmp/limpet-token.XXXXXX");
    ASSERT(mkdtemp(folder));
}

void folder_remove(const char *folder)
{
    DIR *dir = opendir(folder);
    const struct dirent *entry;

    ASSERT(dir);
    /* One thread reads it. NOLINTNEXTLINE(concurrency-mt-unsafe) */
    while ((entry = readdir(dir))) {
        (void)unlinkat(dirfd(dir), entry->d_name, 0);
    }
    (void)closedir(dir);
    (void)rmdir(folder);
}

void file_write(char path[SIGNER_FOLDER_MAX + 32], const char *folder, const char *name,
                struct slice content)
{
    FILE *file;

    (void)snprintf(path, SIGNER_FOLDER_MAX + 32, "%s/%s", folder, name);
    file = fopen(path, "we");
    ASSERT(file);
    size_t written = fwrite(content.data, 1, content.size, file);
    int closed = fclose(file);
    ASSERT(written == content.size);
    ASSERT(closed == 0);
}

static EVP_PKEY *make_key(const char *algorithm)
{
    static EVP_PKEY *rsa; /* one for all algorithms: it takes a third of a second */

    if (strcmp(algorithm, "EdDSA") == 0) {
        return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    }
    if (strcmp(algorithm, "ES256") == 0) {
        return EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    }
    if (strcmp(algorithm, "ES384") == 0) {
        return EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-384");
    }
    if (strcmp(algorithm, "ES512") == 0) {
        return EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-521");
    }
    if (!rsa) {
        rsa = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
    }
    ASSERT(rsa && EVP_PKEY_up_ref(rsa) == 1);
    return rsa;
}

void signer_open(struct signer *signer, const char *folder, const char *name, const char *algorithm)
{
    *signer = (struct signer){.algorithm = algorithm};
    if (algorithm[0] == 'H') {
        signer->secret_size = 64;
        for (size_t i = 0; i < signer->secret_size; i++) {
            signer->secret[i] = (uint8_t)(7 * i + 1);
        }
        file_write(signer->path, folder, name, slice_from(signer->secret, signer->secret_size));
        return;
    }
    signer->key = make_key(algorithm);
    ASSERT(signer->key);
    BIO *bio = BIO_new(BIO_s_mem());
    char *pem;
    ASSERT(PEM_write_bio_PUBKEY(bio, signer->key) == 1);
    size_t size = (size_t)BIO_get_mem_data(bio, &pem);
    file_write(signer->path, folder, name, slice_from(pem, size));
    BIO_free(bio);
}

void signer_close(struct signer *signer)
{
    EVP_PKEY_free(signer->key);
}

/* RFC 7518, section 3.4: R and S, each as long as the curve's order, instead of DER. */
static size_t raw_ecdsa(const uint8_t *der, size_t der_size, int number_size, uint8_t *out)
{
    ECDSA_SIG *signature = d2i_ECDSA_SIG(NULL, &der, (long)der_size);

    ASSERT(signature);
    ASSERT(BN_bn2binpad(ECDSA_SIG_get0_r(signature), out, number_size) == number_size);
    ASSERT(BN_bn2binpad(ECDSA_SIG_get0_s(signature), out + number_size, number_size) ==
           number_size);
    ECDSA_SIG_free(signature);
    return 2 * (size_t)number_size;
}

static const EVP_MD *digest_of(const char *algorithm)
{
    if (strstr(algorithm, "256")) {
        return EVP_sha256();
    }
    return strstr(algorithm, "384") ? EVP_sha384() : EVP_sha512();
}

static size_t sign(const struct signer *signer, struct slice input, uint8_t *out, size_t out_size)
{
    const EVP_MD *digest = digest_of(signer->algorithm);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    EVP_PKEY_CTX *options;
    uint8_t bytes[512];
    size_t size = sizeof(bytes);

    if (!signer->key) {
        unsigned hmac_size;
        ASSERT(HMAC(digest, signer->secret, (int)signer->secret_size, input.data, input.size, out,
                    &hmac_size));
        EVP_MD_CTX_free(context);
        return hmac_size;
    }
    if (strcmp(signer->algorithm, "EdDSA") == 0) {
        digest = NULL;
    }
    ASSERT(EVP_DigestSignInit(context, &options, digest, NULL, signer->key) == 1);
    if (signer->algorithm[0] == 'P') {
        ASSERT(EVP_PKEY_CTX_set_rsa_padding(options, RSA_PKCS1_PSS_PADDING) == 1);
        ASSERT(EVP_PKEY_CTX_set_rsa_pss_saltlen(options, RSA_PSS_SALTLEN_DIGEST) == 1);
    }
    ASSERT(EVP_DigestSign(context, bytes, &size, input.data, input.size) == 1);
    EVP_MD_CTX_free(context);
    ASSERT(size <= out_size);
    if (signer->algorithm[0] == 'E' && digest) {
        return raw_ecdsa(bytes, size, (EVP_PKEY_get_bits(signer->key) + 7) / 8, out);
    }
    memcpy(out, bytes, size);
    return size;
}

char *base64url_text(struct slice bytes)
{
    char *text = malloc(BASE64URL_SIZE(bytes.size) + 1);

    ASSERT(text);
    text[base64url_encode(bytes, text)] = 0;
    return text;
}

char *signer_token_of(const struct signer *signer, struct slice header, struct slice payload)
{
    char *header_text = base64url_text(header);
    char *payload_text = base64url_text(payload);
    uint8_t signature[512];
    char *signature_text;
    char *signed_part;
    char *token;

    ASSERT(asprintf(&signed_part, "%s.%s", header_text, payload_text) > 0);
    signature_text = base64url_text(
        slice_from(signature, sign(signer, slice_text(signed_part), signature, sizeof(signature))));
    ASSERT(asprintf(&token, "%s.%s", signed_part, signature_text) > 0);
    free(header_text);
    free(payload_text);
    free(signature_text);
    free(signed_part);
    return token;
}

char *signer_token(const struct signer *signer, const char *header, const char *payload)
{
    return signer_token_of(signer, slice_text(header), slice_text(payload));
}

char *signer_sign(const struct signer *signer, const char *payload)
{
    char header[64];

    (void)snprintf(header, sizeof(header), "{\"alg\":\"%s\",\"typ\":\"JWT\"}", signer->algorithm);
    return signer_token(signer, header, payload);
}
