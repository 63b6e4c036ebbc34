#include "tls/certificate.h"

#include "base/log.h"
#include "tls/heap.h"
#include "tls/pem.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <wolfssl/ssl.h>
#include <wolfssl/wolfcrypt/asn.h>

#define NAME_SIZE_MAX 255
#define DER_SIZE_MAX  65536 /* bytes of one certificate */

struct pair {
    struct certificate certificate;
    struct pem_file chain;
    struct pem_file key;
};

/* A name of a certificate; a wildcard keeps its star, which no host name can hold. */
struct name {
    char text[NAME_SIZE_MAX + 1];
    uint32_t number; /* whose */
};

struct certificate_set {
    struct pair *pairs;
    struct name *names; /* sorted by text, then number */
    uint32_t count;
    uint32_t name_count;
    uint32_t name_room;
};

struct report {
    const struct certificate_files *files;
    char *message;
    size_t message_size;
};

static bool complain(const struct report *report, const char *path, const char *reason)
{
    (void)snprintf(report->message, report->message_size, "%s: %s", path, reason);
    return false;
}

static void warn(const struct report *report, const char *reason)
{
    LOG(LOG_WARN, "certificate", log_text("file", report->files->certificate_path),
        log_text("reason", reason));
}

static bool add_name(struct certificate_set *set, const char *text, size_t size, uint32_t number)
{
    if (size > 0 && text[size - 1] == '.') {
        size--;
    }
    if (size == 0 || size > NAME_SIZE_MAX || memchr(text, '\0', size)) {
        return true; /* no host name that a client can ask for */
    }
    if (set->name_count == set->name_room) {
        const uint32_t room = set->name_room ? set->name_room * 2 : 16;
        struct name *names = realloc(set->names, room * sizeof(*names));
        if (!names) {
            return false;
        }
        set->names = names;
        set->name_room = room;
    }
    struct name *name = &set->names[set->name_count++];
    name->number = number;
    for (size_t i = 0; i < size; i++) {
        const char c = text[i];
        name->text[i] = (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
    }
    name->text[size] = '\0';
    return true;
}

/* Host names stand in the subject alternative names; the common name counts only without any of
 * them (RFC 9525, section 4.1 and 6.4.4 of its predecessor). */
static bool add_names(struct certificate_set *set, const DecodedCert *leaf, uint32_t number)
{
    if (!leaf->altNames) {
        return leaf->subjectCNLen <= 0 ||
               add_name(set, leaf->subjectCN, (size_t)leaf->subjectCNLen, number);
    }
    for (const DNS_entry *entry = leaf->altNames; entry; entry = entry->next) {
        if (entry->type == ASN_DNS_TYPE &&
            !add_name(set, entry->name, (size_t)entry->len, number)) {
            return false;
        }
    }
    return true;
}

static bool date_read(const byte *date, int size, time_t *out)
{
    const byte *text = NULL;
    byte format = 0;
    int length = 0;
    struct tm calendar;
    memset(&calendar, 0, sizeof(calendar));
    if (wc_GetDateInfo(date, size, &text, &format, &length) != 0 ||
        wc_GetDateAsCalendarTime(text, length, format, &calendar) != 0) {
        return false;
    }
    *out = timegm(&calendar);
    return true;
}

/* Unix time; 0 when it cannot be read. */
static int64_t date_of(const byte *date, int size)
{
    time_t read = 0;

    return date_read(date, size, &read) ? (int64_t)read : 0;
}

static void warn_of_dates(const DecodedCert *certificate, const struct report *report)
{
    const time_t now = time(NULL);
    time_t limit = 0;
    if (date_read(certificate->afterDate, certificate->afterDateLen, &limit) && limit < now) {
        warn(report, "a certificate in it has expired");
    }
    if (date_read(certificate->beforeDate, certificate->beforeDateLen, &limit) && limit > now) {
        warn(report, "a certificate in it is not valid yet");
    }
}

static bool leaf_kind(const DecodedCert *leaf, const struct report *report,
                      enum certificate_kind *kind)
{
    if (leaf->keyOID == RSAk) {
        *kind = CERTIFICATE_RSA;
        return true;
    }
    if (leaf->keyOID == ECDSAk && leaf->pkCurveOID == ECC_SECP256R1_OID) {
        *kind = CERTIFICATE_ECDSA;
        return true;
    }
    return complain(report, report->files->certificate_path,
                    "the key of the certificate is neither ECDSA P-256 nor RSA");
}

/* What links one certificate of a file to the next. */
struct link {
    uint8_t issuer_hash[KEYID_SIZE];
    bool is_self_signed;
};

/* Reads certificate number index of the file; link: of the one before, then of this one. */
static bool read_certificate(struct certificate_set *set, uint32_t number, uint32_t index,
                             struct slice der, const struct report *report, struct link *link)
{
    DecodedCert certificate;
    bool is_good = true;
    wc_InitDecodedCert(&certificate, der.data, (word32)der.size, NULL);
    if (wc_ParseCert(&certificate, CERT_TYPE, NO_VERIFY, NULL) != 0) {
        is_good =
            complain(report, report->files->certificate_path, "a certificate in it cannot be read");
    } else if (index == 0) {
        is_good = leaf_kind(&certificate, report, &set->pairs[number].certificate.kind);
        set->pairs[number].certificate.begins_s =
            date_of(certificate.beforeDate, certificate.beforeDateLen);
        set->pairs[number].certificate.expires_s =
            date_of(certificate.afterDate, certificate.afterDateLen);
        if (is_good && !add_names(set, &certificate, number)) {
            is_good = complain(report, report->files->certificate_path, "no memory");
        }
    } else if (memcmp(link->issuer_hash, certificate.subjectHash, KEYID_SIZE) != 0) {
        warn(report, "wrong order: a certificate in it is not issued by the one behind it");
    }
    if (is_good) {
        warn_of_dates(&certificate, report);
        memcpy(link->issuer_hash, certificate.issuerHash, KEYID_SIZE);
        link->is_self_signed = certificate.selfSigned;
    }
    wc_FreeDecodedCert(&certificate);
    return is_good;
}

/* A line of dashes behind the last block: the file was cut off while it was written. */
static bool is_cut_off(struct slice chain)
{
    static const char end[] = "-----END ";
    const uint8_t *at;

    while (chain.size > 0 && (at = memmem(chain.data, chain.size, end, sizeof(end) - 1))) {
        at += sizeof(end) - 1;
        chain = slice_from(at, chain.size - (size_t)(at - chain.data));
    }
    return chain.size > 0 && memmem(chain.data, chain.size, "\n-", 2) != NULL;
}

static bool read_chain(struct certificate_set *set, uint32_t number, const struct report *report)
{
    struct slice rest = set->pairs[number].certificate.chain;
    struct slice block;
    struct link link = {.is_self_signed = false};
    uint32_t count = 0;
    bool is_good = true;
    uint8_t *der = malloc(DER_SIZE_MAX);
    if (!der) {
        return complain(report, report->files->certificate_path, "no memory");
    }
    while (is_good && pem_next(&rest, "CERTIFICATE", &block)) {
        const int size = wc_CertPemToDer(block.data, (int)block.size, der, DER_SIZE_MAX, CERT_TYPE);
        is_good = size > 0 ? read_certificate(set, number, count, slice_from(der, (size_t)size),
                                              report, &link)
                           : complain(report, report->files->certificate_path,
                                      "a certificate in it cannot be read");
        count++;
    }
    free(der);
    if (is_good && count == 0) {
        return complain(report, report->files->certificate_path, "no certificate in it");
    }
    if (is_good && is_cut_off(set->pairs[number].certificate.chain)) {
        return complain(report, report->files->certificate_path,
                        "cut off: behind its last certificate another one begins and does not end");
    }
    if (is_good && count == 1 && !link.is_self_signed) {
        warn(report,
             "the certificate of its issuer is missing: clients that do not have it will refuse");
    }
    return is_good;
}

/* Loads the pair as a shard will, so that a shard's own load cannot fail by the files. */
static bool try_pair(const struct certificate *certificate, WOLFSSL_CTX *context,
                     const struct report *report)
{
    if (wolfSSL_CTX_use_certificate_chain_buffer(
            context, certificate->chain.data, (long)certificate->chain.size) != WOLFSSL_SUCCESS) {
        return complain(report, report->files->certificate_path, "the chain cannot be loaded");
    }
    if (wolfSSL_CTX_use_PrivateKey_buffer(context, certificate->key.data,
                                          (long)certificate->key.size,
                                          WOLFSSL_FILETYPE_PEM) != WOLFSSL_SUCCESS) {
        return complain(report, report->files->key_path,
                        "the private key cannot be loaded: damaged, or not ECDSA P-256 or RSA");
    }
    if (wolfSSL_CTX_check_private_key(context) != WOLFSSL_SUCCESS) {
        (void)snprintf(report->message, report->message_size, "%s: not the key of %s",
                       report->files->key_path, report->files->certificate_path);
        return false;
    }
    return true;
}

/* Other blocks may stand before the key: EC parameters, or the certificates. */
static bool find_key(struct pair *pair, const struct report *report)
{
    struct slice rest = slice_from(pair->key.text, pair->key.size);
    struct slice *key = &pair->certificate.key;
    if (!pem_next(&rest, "PRIVATE KEY", key)) {
        return complain(report, report->files->key_path, "no private key in it");
    }
    if (memmem(key->data, key->size, "ENCRYPTED", 9)) {
        return complain(report, report->files->key_path,
                        "the private key is encrypted; store it without a passphrase");
    }
    return true;
}

static bool read_pair(struct certificate_set *set, uint32_t number, const struct report *report)
{
    struct pair *pair = &set->pairs[number];
    if (pem_open(&pair->chain, report->files->certificate_path, report->message,
                 report->message_size) < 0 ||
        pem_open(&pair->key, report->files->key_path, report->message, report->message_size) < 0) {
        return false;
    }
    pair->certificate.chain = slice_from(pair->chain.text, pair->chain.size);
    if (!read_chain(set, number, report) || !find_key(pair, report)) {
        return false;
    }
    WOLFSSL_CTX *context = wolfSSL_CTX_new(wolfTLS_server_method());
    const bool is_good = context ? try_pair(&pair->certificate, context, report)
                                 : complain(report, report->files->certificate_path, "no memory");
    wolfSSL_CTX_free(context);
    return is_good;
}

static int name_compare(const void *a, const void *b)
{
    const struct name *left = a;
    const struct name *right = b;
    const int order = strcmp(left->text, right->text);
    if (order != 0) {
        return order;
    }
    return left->number < right->number ? -1 : left->number > right->number;
}

struct certificate_set *certificate_set_open(const struct certificate_files *files, size_t count,
                                             char *message, size_t message_size)
{
    heap_install();
    struct certificate_set *set = calloc(1, sizeof(*set));
    if (set) {
        set->pairs = calloc(count ? count : 1, sizeof(*set->pairs));
    }
    if (!set || !set->pairs || count == 0) {
        (void)snprintf(message, message_size, "%s",
                       count ? "no memory" : "no certificate is given");
        certificate_set_close(set);
        return NULL;
    }
    for (uint32_t number = 0; number < count; number++) {
        const struct report report = {&files[number], message, message_size};
        set->count = number + 1;
        if (!read_pair(set, number, &report)) {
            certificate_set_close(set);
            return NULL;
        }
    }
    if (set->name_count > 0) {
        qsort(set->names, set->name_count, sizeof(*set->names), name_compare);
    }
    return set;
}

void certificate_set_close(struct certificate_set *set)
{
    if (!set) {
        return;
    }
    for (uint32_t number = 0; number < set->count; number++) {
        pem_close(&set->pairs[number].chain);
        pem_close(&set->pairs[number].key);
    }
    free(set->pairs);
    free(set->names);
    free(set);
}

uint32_t certificate_set_count(const struct certificate_set *set)
{
    return set ? set->count : 0;
}

const struct certificate *certificate_set_at(const struct certificate_set *set, uint32_t number)
{
    ASSERT(number < set->count);
    return &set->pairs[number].certificate;
}

/* The first of the sorted names that is not before text. */
static uint32_t lower_bound(const struct certificate_set *set, const char *text)
{
    uint32_t low = 0;
    uint32_t high = set->name_count;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (strcmp(set->names[middle].text, text) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static uint32_t better(const struct certificate_set *set, const struct certificate_wish *wish,
                       uint32_t best, uint32_t number)
{
    const enum certificate_kind kind = set->pairs[number].certificate.kind;
    if (best == NONE) {
        return number;
    }
    const enum certificate_kind best_kind = set->pairs[best].certificate.kind;
    const bool is_fit = kind == CERTIFICATE_ECDSA ? wish->ecdsa : wish->rsa;
    const bool is_best_fit = best_kind == CERTIFICATE_ECDSA ? wish->ecdsa : wish->rsa;
    /* An RSA signature costs the server seven times an ECDSA one. */
    const bool is_cheaper = kind == CERTIFICATE_ECDSA && best_kind == CERTIFICATE_RSA;
    return is_fit && (!is_best_fit || is_cheaper) ? number : best;
}

/* NONE when no certificate has the name. */
static uint32_t choose_by_name(const struct certificate_set *set,
                               const struct certificate_wish *wish, const char *text)
{
    uint32_t best = NONE;
    for (uint32_t i = lower_bound(set, text);
         i < set->name_count && strcmp(set->names[i].text, text) == 0; i++) {
        best = better(set, wish, best, set->names[i].number);
    }
    return best;
}

/* The first pair, or another one for one of its names. */
static uint32_t choose_default(const struct certificate_set *set,
                               const struct certificate_wish *wish)
{
    uint32_t best = 0;
    for (uint32_t i = 0; i < set->name_count; i++) {
        if (set->names[i].number != 0) {
            continue;
        }
        best = better(set, wish, best, choose_by_name(set, wish, set->names[i].text));
    }
    return best;
}

uint32_t certificate_choose(const struct certificate_set *set, const struct certificate_wish *wish)
{
    char text[NAME_SIZE_MAX + 1];
    const size_t size = wish->name.size;
    /* A star in the client's name would find a wildcard as if it were a name. */
    if (size == 0 || size > NAME_SIZE_MAX || memchr(wish->name.data, '*', size)) {
        return choose_default(set, wish);
    }
    memcpy(text, wish->name.data, size);
    text[size] = '\0';
    uint32_t best = choose_by_name(set, wish, text);
    char *dot = strchr(text, '.');
    if (best == NONE && dot && dot > text) {
        /* A wildcard stands for exactly one label (RFC 9525, section 6.3). */
        dot[-1] = '*';
        best = choose_by_name(set, wish, dot - 1);
    }
    return best == NONE ? choose_default(set, wish) : best;
}
