#include "pki.h"

#include <dirent.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define DAY_S 86400
#define PATHS 32

void pki_open(struct pki *pki)
{
    (void)snprintf(pki->folder, sizeof(pki->folder), "/tmp/limpet-pki-XXXXXX");
    const char *made = mkdtemp(pki->folder);
    ASSERT(made != NULL);
}

void pki_close(struct pki *pki)
{
    DIR *folder = opendir(pki->folder);
    ASSERT(folder != NULL);
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): one thread */
    for (const struct dirent *entry = readdir(folder); entry; entry = readdir(folder)) {
        if (entry->d_name[0] != '.') {
            (void)unlinkat(dirfd(folder), entry->d_name, 0);
        }
    }
    (void)closedir(folder);
    (void)rmdir(pki->folder);
}

/* RSA keys are slow to make, and any will do: one of each size for a whole program. */
static EVP_PKEY *rsa_key(unsigned bits)
{
    static EVP_PKEY *keys[2];
    EVP_PKEY **key = &keys[bits == 4096];
    if (!*key) {
        *key = EVP_RSA_gen(bits);
    }
    EVP_PKEY_up_ref(*key);
    return *key;
}

static EVP_PKEY *make_key(enum pki_key kind)
{
    switch (kind) {
    case PKI_ECDSA:
        return EVP_EC_gen("P-256");
    case PKI_ECDSA_P384:
        return EVP_EC_gen("P-384");
    case PKI_RSA_2048:
        return rsa_key(2048);
    case PKI_RSA_4096:
        return rsa_key(4096);
    }
    ASSERT(false);
    return NULL;
}

static void add_extension(X509 *x509, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, x509, x509, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    ASSERT(extension != NULL);
    X509_add_ext(x509, extension, -1);
    X509_EXTENSION_free(extension);
}

struct pki_certificate pki_make(const struct pki_request *request)
{
    static long serial = 1;
    struct pki_certificate made = {make_key(request->key), X509_new()};
    X509_set_version(made.x509, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(made.x509), serial++);
    const long expires_s = request->expires_s ? (long)request->expires_s : DAY_S;
    X509_gmtime_adj(X509_getm_notBefore(made.x509), -2L * DAY_S);
    X509_gmtime_adj(X509_getm_notAfter(made.x509), expires_s);
    X509_NAME *name = X509_get_subject_name(made.x509);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                               (const unsigned char *)request->common_name, -1, -1, 0);
    X509_set_issuer_name(made.x509,
                         request->issuer ? X509_get_subject_name(request->issuer->x509) : name);
    X509_set_pubkey(made.x509, made.key);
    if (request->names) {
        add_extension(made.x509, NID_subject_alt_name, request->names);
    }
    add_extension(made.x509, NID_basic_constraints,
                  request->is_authority ? "critical,CA:TRUE" : "CA:FALSE");
    X509_sign(made.x509, request->issuer ? request->issuer->key : made.key, EVP_sha256());
    return made;
}

void pki_free(struct pki_certificate *certificate)
{
    X509_free(certificate->x509);
    EVP_PKEY_free(certificate->key);
}

const char *pki_path(const struct pki *pki, const char *name)
{
    static char paths[PATHS][PKI_PATH_MAX];
    static unsigned next;
    char *path = paths[next++ % PATHS];
    (void)snprintf(path, PKI_PATH_MAX, "%s/%s", pki->folder, name);
    return path;
}

static FILE *create(const char *path)
{
    FILE *file = fopen(path, "we");
    ASSERT(file != NULL);
    return file;
}

struct certificate_files pki_write(const struct pki *pki, const char *name,
                                   const struct pki_certificate *const *chain, size_t count)
{
    char file_name[64];
    struct certificate_files files;
    (void)snprintf(file_name, sizeof(file_name), "%s.pem", name);
    files.certificate_path = pki_path(pki, file_name);
    (void)snprintf(file_name, sizeof(file_name), "%s.key", name);
    files.key_path = pki_path(pki, file_name);
    FILE *file = create(files.certificate_path);
    for (size_t i = 0; i < count; i++) {
        PEM_write_X509(file, chain[i]->x509);
    }
    (void)fclose(file);
    file = create(files.key_path);
    PEM_write_PrivateKey(file, chain[0]->key, NULL, NULL, 0, NULL, NULL);
    (void)fclose(file);
    return files;
}

const char *pki_write_text(const struct pki *pki, const char *name, const void *text, size_t size)
{
    const char *path = pki_path(pki, name);
    FILE *file = create(path);
    const size_t written = fwrite(text, 1, size, file);
    ASSERT(written == size);
    (void)fclose(file);
    return path;
}

struct certificate_files pki_simple(const struct pki *pki, const char *name, enum pki_key key,
                                    const char *names)
{
    const struct pki_request request = {.key = key, .common_name = name, .names = names};
    struct pki_certificate made = pki_make(&request);
    const struct pki_certificate *chain[] = {&made};
    const struct certificate_files files = pki_write(pki, name, chain, 1);
    pki_free(&made);
    return files;
}
