/*
 * pki.h - certificates for the tests, made by OpenSSL into a scratch folder.
 */
#pragma once

#include "tls/certificate.h"

#include <openssl/evp.h>
#include <openssl/x509.h>

#define PKI_PATH_MAX 256

struct pki {
    char folder[64];
};

enum pki_key {
    PKI_ECDSA,
    PKI_RSA_2048,
    PKI_RSA_4096,
    PKI_ECDSA_P384
};

struct pki_certificate {
    EVP_PKEY *key;
    X509 *x509;
};

struct pki_request {
    enum pki_key key;
    const char *common_name;
    const char *names;                    /* "DNS:a,DNS:b", NULL: no alternative names */
    const struct pki_certificate *issuer; /* NULL: self-signed */
    int64_t expires_s;                    /* from now; 0: in a day */
    bool is_authority;
};

void pki_open(struct pki *pki);
void pki_close(struct pki *pki); /* removes every file */

struct pki_certificate pki_make(const struct pki_request *request);
void pki_free(struct pki_certificate *certificate);

/* A path in the folder; lives until the folder's path_count-th next call. */
const char *pki_path(const struct pki *pki, const char *name);

/* Writes the chain (the first one's certificate, then the others') and the first one's key as
 * NAME.pem and NAME.key. */
struct certificate_files pki_write(const struct pki *pki, const char *name,
                                   const struct pki_certificate *const *chain, size_t count);

/* Writes text to a file and gives its path. */
const char *pki_write_text(const struct pki *pki, const char *name, const void *text, size_t size);

/* One self-signed pair for a name, ready to be used. */
struct certificate_files pki_simple(const struct pki *pki, const char *name, enum pki_key key,
                                    const char *names);
