/*
 * Goal: the right certificate for every name, whole chains on the wire, and for every file that
 * cannot be used a message that says which and why.
 */
#include "duel.h"
#include "pki.h"

#include "base/log.h"

#include <fcntl.h>
#include <openssl/pem.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

static struct {
    struct pki pki;
    struct pki_certificate root;
    struct pki_certificate intermediate;
    SSL_CTX *client;
    char message[512];
    char logged[4096];
} fixture;

static int open_fixture(void **state)
{
    (void)state;
    pki_open(&fixture.pki);
    fixture.root = pki_make(&(struct pki_request){.common_name = "Root", .is_authority = true});
    fixture.intermediate = pki_make(&(struct pki_request){
        .common_name = "Intermediate", .is_authority = true, .issuer = &fixture.root});
    fixture.client = SSL_CTX_new(TLS_client_method());
    return fixture.client ? 0 : -1;
}

static int close_fixture(void **state)
{
    (void)state;
    SSL_CTX_free(fixture.client);
    pki_free(&fixture.intermediate);
    pki_free(&fixture.root);
    pki_close(&fixture.pki);
    return 0;
}

/* Opens a set and keeps what it logged. */
static struct certificate_set *open_set(const struct certificate_files *files, size_t count)
{
    const char *path = pki_path(&fixture.pki, "log");
    const int log = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    const int standard_error = dup(STDERR_FILENO);
    assert_true(log >= 0);
    assert_true(standard_error >= 0);
    dup2(log, STDERR_FILENO);
    fixture.message[0] = '\0';
    struct certificate_set *set =
        certificate_set_open(files, count, fixture.message, sizeof(fixture.message));
    dup2(standard_error, STDERR_FILENO);
    close(standard_error);
    const ssize_t size = pread(log, fixture.logged, sizeof(fixture.logged) - 1, 0);
    assert_true(size >= 0);
    fixture.logged[size] = '\0';
    close(log);
    return set;
}

static struct tls_server *server_with(const struct certificate_set *set)
{
    const struct tls_server_options options = {
        .certificates = set, .handshakes_max = 1, .tls_1_2 = true};
    struct tls_server *server = tls_server_open(&options, fixture.message, sizeof(fixture.message));
    assert_non_null(server);
    return server;
}

/* --- by name (case S13) --- */

enum {
    A_ECDSA,
    A_RSA,
    B_WILDCARD,
    B_EXACT,
    RSA_ONLY,
    COMMON_NAME,
    BY_NAME_COUNT
};

struct name_case {
    const char *name;
    bool ecdsa;
    bool rsa;
    uint32_t expected;
};

static const struct name_case name_cases[] = {
    {"a.example", true, true, A_ECDSA},
    {"a.example", false, true, A_RSA},
    {"a.example", true, false, A_ECDSA},
    {"a.example", false, false, A_ECDSA},
    {"x.b.example", true, true, B_WILDCARD},
    {"exact.b.example", true, true, B_EXACT}, /* before the wildcard */
    {"b.example", true, true, A_ECDSA},       /* a wildcard is not for the bare name */
    {"y.x.b.example", true, true, A_ECDSA},   /* and for one label only */
    {".b.example", true, true, A_ECDSA},
    {"*.b.example", true, true, A_ECDSA}, /* no host can be called so */
    {"rsa.example", true, true, RSA_ONLY},
    {"rsa.example", true, false, RSA_ONLY},
    {"common.example", true, true, COMMON_NAME},
    {"hidden.example", true, true, A_ECDSA}, /* a common name beside alternative names */
    {"unknown", true, true, A_ECDSA},
    {"unknown", false, true, A_RSA},
    {"192.0.2.1", true, true, A_ECDSA},
    {"", true, true, A_ECDSA},
    {"", false, true, A_RSA},
};

static struct certificate_set *by_name_set(void)
{
    const struct certificate_files files[BY_NAME_COUNT] = {
        [A_ECDSA] = pki_simple(&fixture.pki, "a-ecdsa", PKI_ECDSA, "DNS:a.example"),
        [A_RSA] = pki_simple(&fixture.pki, "a-rsa", PKI_RSA_2048, "DNS:a.example"),
        [B_WILDCARD] =
            pki_simple(&fixture.pki, "hidden.example", PKI_ECDSA, "DNS:*.B.example,IP:192.0.2.1"),
        [B_EXACT] = pki_simple(&fixture.pki, "b-exact", PKI_ECDSA, "DNS:exact.b.example"),
        [RSA_ONLY] = pki_simple(&fixture.pki, "rsa-only", PKI_RSA_2048, "DNS:Rsa.Example"),
        [COMMON_NAME] = pki_simple(&fixture.pki, "common.example", PKI_ECDSA, NULL),
    };
    struct certificate_set *set = open_set(files, BY_NAME_COUNT);
    assert_non_null(set);
    return set;
}

static void names_choose_the_certificate(void **state)
{
    (void)state;
    struct certificate_set *set = by_name_set();
    assert_int_equal(certificate_set_count(set), BY_NAME_COUNT);
    for (size_t i = 0; i < sizeof(name_cases) / sizeof(name_cases[0]); i++) {
        const struct name_case *which = &name_cases[i];
        const struct certificate_wish wish = {slice_text(which->name), which->ecdsa, which->rsa};
        assert_int_equal(certificate_choose(set, &wish), which->expected);
    }
    char longest[256];
    memset(longest, 'x', sizeof(longest));
    static const char domain[10] = {'.', 'b', '.', 'e', 'x', 'a', 'm', 'p', 'l', 'e'};
    memcpy(longest + 1, domain, sizeof(domain));
    struct certificate_wish wish = {slice_from(longest, 255), true, true};
    assert_int_equal(certificate_choose(set, &wish), A_ECDSA);
    wish.name.size = 11;
    assert_int_equal(certificate_choose(set, &wish), B_WILDCARD);
    certificate_set_close(set);
}

static void check_served(struct tls_server *server, const char *name, const char *ciphers,
                         const char *expected_common_name)
{
    SSL *ssl = duel_client_new(fixture.client, name);
    if (ciphers) {
        SSL_set_max_proto_version(ssl, TLS1_2_VERSION);
        SSL_set_cipher_list(ssl, ciphers);
    }
    struct duel *duel = duel_open(server, ssl);
    duel_run(duel);
    assert_int_equal(duel->status, HANDSHAKE_DONE);
    X509 *x509 = SSL_get1_peer_certificate(ssl);
    char common_name[64] = "";
    X509_NAME_get_text_by_NID(X509_get_subject_name(x509), NID_commonName, common_name,
                              sizeof(common_name));
    assert_string_equal(common_name, expected_common_name);
    X509_free(x509);
    duel_echo(duel, 10);
    duel_close(duel);
}

static void clients_get_it(void **state)
{
    (void)state;
    struct certificate_set *set = by_name_set();
    struct tls_server *server = server_with(set);
    check_served(server, "a.example", NULL, "a-ecdsa");
    check_served(server, "A.EXAMPLE", NULL, "a-ecdsa");
    check_served(server, "a.example.", NULL, "a-ecdsa");
    check_served(server, "x.B.example", NULL, "hidden.example");
    check_served(server, "exact.b.example.", NULL, "b-exact");
    check_served(server, "rsa.example", NULL, "rsa-only");
    check_served(server, NULL, NULL, "a-ecdsa");
    check_served(server, "nowhere", NULL, "a-ecdsa");
    check_served(server, "a.example", "ECDHE-RSA-AES128-GCM-SHA256", "a-rsa");
    check_served(server, NULL, "ECDHE-RSA-AES128-GCM-SHA256", "a-rsa");
    check_served(server, "a.example", "ECDHE-ECDSA-AES128-GCM-SHA256", "a-ecdsa");
    tls_server_close(server);
    certificate_set_close(set);
}

/* --- chains (case S14) --- */

/* Serves the set; returns how many certificates arrived, and whether they verify up to the root. */
static int chain_served(const struct certificate_set *set, bool *is_verified)
{
    struct tls_server *server = server_with(set);
    SSL *ssl = duel_client_new(fixture.client, NULL);
    struct duel *duel = duel_open(server, ssl);
    duel_run(duel);
    assert_int_equal(duel->status, HANDSHAKE_DONE);
    STACK_OF(X509) *chain = SSL_get_peer_cert_chain(ssl);
    const int count = sk_X509_num(chain);
    X509_STORE *store = X509_STORE_new();
    X509_STORE_add_cert(store, fixture.root.x509);
    X509_STORE_CTX *context = X509_STORE_CTX_new();
    X509_STORE_CTX_init(context, store, sk_X509_value(chain, 0), chain);
    *is_verified = X509_verify_cert(context) == 1;
    X509_STORE_CTX_free(context);
    X509_STORE_free(store);
    duel_close(duel);
    tls_server_close(server);
    return count;
}

static void check_chain(const struct pki_certificate *const *chain, size_t count,
                        bool expects_verified, const char *expected_warning)
{
    const struct certificate_files files = pki_write(&fixture.pki, "chain", chain, count);
    struct certificate_set *set = open_set(&files, 1);
    assert_non_null(set);
    if (expected_warning) {
        assert_non_null(strstr(fixture.logged, expected_warning));
        assert_non_null(strstr(fixture.logged, files.certificate_path));
    } else {
        assert_string_equal(fixture.logged, "");
    }
    bool is_verified = false;
    assert_int_equal(chain_served(set, &is_verified), count);
    assert_int_equal(is_verified, expects_verified);
    certificate_set_close(set);
}

static struct pki_certificate leaf_with(int64_t expires_s)
{
    return pki_make(&(struct pki_request){.common_name = "leaf",
                                          .names = "DNS:leaf",
                                          .issuer = &fixture.intermediate,
                                          .expires_s = expires_s});
}

static void chains_are_sent_in_order(void **state)
{
    (void)state;
    struct pki_certificate leaf = leaf_with(0);
    struct pki_certificate expired = leaf_with(-3600);
    const struct pki_certificate *const whole[] = {&leaf, &fixture.intermediate};
    const struct pki_certificate *const with_root[] = {&leaf, &fixture.intermediate, &fixture.root};
    const struct pki_certificate *const wrong[] = {&leaf, &fixture.root, &fixture.intermediate};
    const struct pki_certificate *const old[] = {&expired, &fixture.intermediate};
    check_chain(whole, 2, true, NULL);
    check_chain(with_root, 3, true, NULL);
    check_chain(whole, 1, false, "issuer is missing");
    check_chain(wrong, 3, true, "wrong order"); /* OpenSSL sorts it; others do not */
    check_chain(old, 2, false, "expired");
    pki_free(&leaf);
    pki_free(&expired);
}

static void a_certificate_of_tomorrow_is_warned_of(void **state)
{
    (void)state;
    struct pki_certificate made =
        pki_make(&(struct pki_request){.common_name = "tomorrow", .names = "DNS:tomorrow"});
    X509_gmtime_adj(X509_getm_notBefore(made.x509), 3600);
    X509_sign(made.x509, made.key, EVP_sha256());
    const struct pki_certificate *const chain[] = {&made};
    const struct certificate_files files = pki_write(&fixture.pki, "tomorrow", chain, 1);
    struct certificate_set *set = open_set(&files, 1);
    assert_non_null(set);
    assert_non_null(strstr(fixture.logged, "not valid yet"));
    certificate_set_close(set);
    pki_free(&made);
}

static void a_long_chain_takes_several_records(void **state)
{
    (void)state;
    struct pki_certificate chain[4];
    const struct pki_certificate *pointers[4];
    const struct pki_certificate *issuer = NULL;
    /* Names of 2 KB each make it longer than a record. */
    static char names[16000];
    names[0] = '\0';
    for (int i = 0; strlen(names) < 4000; i++) {
        (void)snprintf(names + strlen(names), 64, "%sDNS:host-%d.a-longer-name.example",
                       i ? "," : "", i);
    }
    for (int i = 3; i >= 0; i--) {
        chain[i] = pki_make(&(struct pki_request){.key = PKI_RSA_4096,
                                                  .common_name = i ? "authority" : "leaf",
                                                  .names = names,
                                                  .issuer = issuer,
                                                  .is_authority = i > 0});
        issuer = &chain[i];
        pointers[i] = &chain[i];
    }
    const struct certificate_files files = pki_write(&fixture.pki, "long", pointers, 4);
    struct certificate_set *set = open_set(&files, 1);
    assert_non_null(set);
    bool is_verified = false;
    assert_int_equal(chain_served(set, &is_verified), 4);
    struct tls_server *server = server_with(set);
    check_served(server, "leaf", "ECDHE-RSA-AES128-GCM-SHA256", "leaf");
    tls_server_close(server);
    certificate_set_close(set);
    for (int i = 0; i < 4; i++) {
        pki_free(&chain[i]);
    }
}

/* --- texts around the blocks --- */

static size_t file_read(const char *path, char *text, size_t room)
{
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    const size_t size = fread(text, 1, room - 1, file);
    (void)fclose(file);
    text[size] = '\0';
    return size;
}

enum spelling {
    TEXT_BEFORE,
    CARRIAGE_RETURNS,
    NO_LAST_LINE_END,
    SPELLINGS
};

/* Writes the text another way; returns its size. */
static size_t respell(enum spelling spelling, const char *text, size_t size, char *out)
{
    static const char before[] = "subject=x\n\n";
    size_t out_size = 0;
    if (spelling == TEXT_BEFORE) {
        memcpy(out, before, sizeof(before) - 1);
        out_size = sizeof(before) - 1;
    }
    for (size_t at = 0; at < size; at++) {
        if (spelling == CARRIAGE_RETURNS && text[at] == '\n') {
            out[out_size++] = '\r';
        }
        out[out_size++] = text[at];
    }
    if (spelling == NO_LAST_LINE_END) {
        out_size--;
    }
    return out_size;
}

static void texts_and_line_ends_do_not_matter(void **state)
{
    (void)state;
    static char text[8192];
    static char other[16384];
    struct pki_certificate leaf = leaf_with(0);
    const struct pki_certificate *const chain[] = {&leaf, &fixture.intermediate};
    for (int spelling = 0; spelling < SPELLINGS; spelling++) {
        const struct certificate_files files = pki_write(&fixture.pki, "text", chain, 2);
        size_t size = file_read(files.certificate_path, text, sizeof(text));
        pki_write_text(&fixture.pki, "text.pem", other,
                       respell((enum spelling)spelling, text, size, other));
        size = file_read(files.key_path, text, sizeof(text));
        pki_write_text(&fixture.pki, "text.key", other,
                       respell((enum spelling)spelling, text, size, other));
        struct certificate_set *set = open_set(&files, 1);
        assert_non_null(set);
        bool is_verified = false;
        assert_int_equal(chain_served(set, &is_verified), 2);
        assert_true(is_verified);
        certificate_set_close(set);
    }
    pki_free(&leaf);
}

static void key_formats(void **state)
{
    (void)state;
    struct pki_certificate made =
        pki_make(&(struct pki_request){.common_name = "sec1", .names = "DNS:sec1"});
    const struct pki_certificate *const chain[] = {&made};
    const struct certificate_files files = pki_write(&fixture.pki, "sec1", chain, 1);
    /* As "openssl ecparam -genkey" writes it: parameters, then the key in its own format. */
    BIO *out = BIO_new_file(files.key_path, "w");
    BIO_puts(out, "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n");
    PEM_write_bio_PrivateKey_traditional(out, made.key, NULL, NULL, 0, NULL, NULL);
    BIO_free(out);
    struct certificate_set *set = open_set(&files, 1);
    assert_string_equal(fixture.message, "");
    assert_non_null(set);
    struct tls_server *server = server_with(set);
    check_served(server, "sec1", NULL, "sec1");
    tls_server_close(server);
    certificate_set_close(set);
    pki_free(&made);
}

/* --- files that cannot be used --- */

struct error_case {
    struct certificate_files files;
    const char *path; /* that the message names */
    const char *reason;
};

static void errors_name_file_and_reason(void **state)
{
    (void)state;
    const struct pki *pki = &fixture.pki;
    const struct certificate_files good = pki_simple(pki, "good", PKI_ECDSA, "DNS:good");
    const struct certificate_files other = pki_simple(pki, "other", PKI_ECDSA, "DNS:other");
    const struct certificate_files rsa = pki_simple(pki, "rsa", PKI_RSA_2048, "DNS:rsa");
    const struct certificate_files p384 = pki_simple(pki, "p384", PKI_ECDSA_P384, "DNS:p384");
    const char *none = pki_path(pki, "none");
    const char *empty = pki_write_text(pki, "empty", "", 0);
    static const char broken_text[] =
        "-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgIU\n-----END CERTIFICATE-----\n";
    const char *broken = pki_write_text(pki, "broken", broken_text, sizeof(broken_text) - 1);
    static const char cut_text[] = "-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgIU\n";
    const char *cut = pki_write_text(pki, "cut", cut_text, sizeof(cut_text) - 1);
    static const char key_text[] = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    const char *broken_key = pki_write_text(pki, "broken.key", key_text, sizeof(key_text) - 1);
    const char *sealed = pki_path(pki, "sealed.key");
    struct pki_certificate made = pki_make(&(struct pki_request){.common_name = "sealed"});
    BIO *out = BIO_new_file(sealed, "w");
    PEM_write_bio_PrivateKey(out, made.key, EVP_aes_128_cbc(), (const unsigned char *)"secret", 6,
                             NULL, NULL);
    BIO_free(out);
    const char *sealed_old = pki_path(pki, "sealed-old.key");
    out = BIO_new_file(sealed_old, "w");
    PEM_write_bio_PrivateKey_traditional(out, made.key, EVP_aes_128_cbc(),
                                         (const unsigned char *)"secret", 6, NULL, NULL);
    BIO_free(out);
    pki_free(&made);

    const struct error_case cases[] = {
        {{none, good.key_path}, none, "No such file"},
        {{good.certificate_path, none}, none, "No such file"},
        {{pki->folder, good.key_path}, pki->folder, "directory"},
        {{empty, good.key_path}, empty, "no certificate"},
        {{good.key_path, good.key_path}, good.key_path, "no certificate"},
        {{cut, good.key_path}, cut, "no certificate"},
        {{broken, good.key_path}, broken, "cannot be read"},
        {{good.certificate_path, empty}, empty, "no private key"},
        {{good.certificate_path, good.certificate_path}, good.certificate_path, "no private key"},
        {{good.certificate_path, broken_key}, broken_key, "cannot be loaded"},
        {{good.certificate_path, other.key_path}, other.key_path, "not the key of"},
        {{good.certificate_path, rsa.key_path}, rsa.key_path, "not the key of"},
        {{rsa.certificate_path, good.key_path}, good.key_path, "not the key of"},
        {{good.certificate_path, sealed}, sealed, "encrypted"},
        {{good.certificate_path, sealed_old}, sealed_old, "encrypted"},
        {{p384.certificate_path, p384.key_path}, p384.certificate_path, "neither ECDSA P-256"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct certificate_files files[] = {good, cases[i].files};
        if (open_set(files, 2) || !strstr(fixture.message, cases[i].path) ||
            !strstr(fixture.message, cases[i].reason)) {
            fail_msg("case %zu: %s", i, fixture.message);
        }
    }
    assert_null(open_set(NULL, 0));
    assert_non_null(strstr(fixture.message, "no certificate"));
}

static void a_file_without_end_is_refused(void **state)
{
    (void)state;
    const struct certificate_files good = pki_simple(&fixture.pki, "good", PKI_ECDSA, "DNS:good");
    const struct certificate_files files = {"/dev/zero", good.key_path};
    assert_null(open_set(&files, 1));
    assert_non_null(strstr(fixture.message, "/dev/zero: cannot be read"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_choose_the_certificate),
        cmocka_unit_test(clients_get_it),
        cmocka_unit_test(chains_are_sent_in_order),
        cmocka_unit_test(a_certificate_of_tomorrow_is_warned_of),
        cmocka_unit_test(a_long_chain_takes_several_records),
        cmocka_unit_test(texts_and_line_ends_do_not_matter),
        cmocka_unit_test(key_formats),
        cmocka_unit_test(errors_name_file_and_reason),
        cmocka_unit_test(a_file_without_end_is_refused),
    };
    return cmocka_run_group_tests(tests, open_fixture, close_fixture);
}
