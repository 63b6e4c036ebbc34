/*
 * Goal: a made certificate is one that strict clients take for its names and for nothing else; its
 * files come whole, for their owner only, or not at all.
 */
#include "bare.h"
#include "pki.h"
#include "tls/context.h"
#include "tls/heap.h"

#include <dirent.h>
#include <errno.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define HEAP_SIZE  INT64_C(1048576)
#define VALID_DAYS 397

static const char *const names[] = {"localhost", "127.0.0.1", "::1", "*.dev.example"};
#define NAMES (sizeof(names) / sizeof(names[0]))

static struct {
    struct pki pki;
    struct certificate_files files;
    char message[512];
} fixture;

static int open_fixture(void **state)
{
    (void)state;
    pki_open(&fixture.pki);
    fixture.files.certificate_path = pki_path(&fixture.pki, "made.pem");
    fixture.files.key_path = pki_path(&fixture.pki, "made.key");
    heap_allow(HEAP_SIZE);
    return certificate_make(names, NAMES, &fixture.files, fixture.message, sizeof(fixture.message));
}

static int close_fixture(void **state)
{
    (void)state;
    heap_allow(-HEAP_SIZE);
    pki_close(&fixture.pki);
    return 0;
}

static int make(const char *const *wanted, size_t count, const struct certificate_files *files)
{
    fixture.message[0] = '\0';
    return certificate_make(wanted, count, files, fixture.message, sizeof(fixture.message));
}

/* Caller frees. */
static X509 *load(const char *path)
{
    BIO *in = BIO_new_file(path, "r");
    assert_non_null(in);
    X509 *x509 = PEM_read_bio_X509(in, NULL, NULL, NULL);
    BIO_free(in);
    assert_non_null(x509);
    return x509;
}

/* --- what it says ----------------------------------------------------------------------------- */

static void it_holds_its_names_and_no_others(void **state)
{
    (void)state;
    X509 *x509 = load(fixture.files.certificate_path);
    assert_int_equal(X509_check_host(x509, "localhost", 0, 0, NULL), 1);
    assert_int_equal(X509_check_host(x509, "x.dev.example", 0, 0, NULL), 1);
    assert_int_equal(X509_check_host(x509, "dev.example", 0, 0, NULL), 0);
    assert_int_equal(X509_check_host(x509, "other", 0, 0, NULL), 0);
    assert_int_equal(X509_check_ip_asc(x509, "127.0.0.1", 0), 1);
    assert_int_equal(X509_check_ip_asc(x509, "::1", 0), 1);
    assert_int_equal(X509_check_ip_asc(x509, "127.0.0.2", 0), 0);
    assert_int_equal(X509_check_ip_asc(x509, "::2", 0), 0);
    GENERAL_NAMES *listed = X509_get_ext_d2i(x509, NID_subject_alt_name, NULL, NULL);
    assert_int_equal(sk_GENERAL_NAME_num(listed), NAMES);
    GENERAL_NAMES_free(listed);
    X509_free(x509);
}

static void strict_clients_take_it(void **state)
{
    (void)state;
    X509 *x509 = load(fixture.files.certificate_path);
    X509_STORE *store = X509_STORE_new();
    X509_STORE_add_cert(store, x509);
    X509_STORE_CTX *context = X509_STORE_CTX_new();
    X509_STORE_CTX_init(context, store, x509, NULL);
    X509_STORE_CTX_set_flags(context, X509_V_FLAG_X509_STRICT | X509_V_FLAG_CHECK_SS_SIGNATURE);
    X509_STORE_CTX_set_purpose(context, X509_PURPOSE_SSL_SERVER);
    assert_int_equal(X509_verify_cert(context), 1);
    X509_STORE_CTX_free(context);
    X509_STORE_free(store);

    assert_int_equal(X509_get_version(x509), X509_VERSION_3);
    assert_int_equal(X509_check_purpose(x509, X509_PURPOSE_SSL_CLIENT, 0), 0);
    assert_int_equal(X509_check_ca(x509), 0); /* it can sign nothing for others */
    assert_int_equal(X509_get_key_usage(x509), KU_DIGITAL_SIGNATURE);
    assert_int_equal(X509_get_extended_key_usage(x509), XKU_SSL_SERVER);
    const ASN1_INTEGER *serial = X509_get0_serialNumber(x509);
    assert_int_equal(ASN1_STRING_length((const ASN1_STRING *)serial), 16);
    assert_int_equal(ASN1_STRING_type((const ASN1_STRING *)serial), V_ASN1_INTEGER); /* positive */
    X509_free(x509);
}

static void it_is_valid_now_and_as_long_as_browsers_take(void **state)
{
    int days = 0;
    int seconds = 0;

    (void)state;
    X509 *x509 = load(fixture.files.certificate_path);
    assert_int_equal(X509_cmp_current_time(X509_get0_notBefore(x509)), -1);
    assert_int_equal(X509_cmp_current_time(X509_get0_notAfter(x509)), 1);
    ASN1_TIME_diff(&days, &seconds, X509_get0_notBefore(x509), X509_get0_notAfter(x509));
    assert_int_equal(days, VALID_DAYS);
    assert_int_equal(seconds, 0);
    ASN1_TIME_diff(&days, &seconds, X509_get0_notBefore(x509), NULL);
    assert_int_equal(days, 1); /* for clients whose clock is slow */
    X509_free(x509);
}

static void two_have_neither_key_nor_number_in_common(void **state)
{
    (void)state;
    const struct certificate_files other = {pki_path(&fixture.pki, "other.pem"),
                                            pki_path(&fixture.pki, "other.key")};
    assert_int_equal(make(names, NAMES, &other), 0);
    X509 *first = load(fixture.files.certificate_path);
    X509 *second = load(other.certificate_path);
    assert_int_not_equal(
        ASN1_INTEGER_cmp(X509_get0_serialNumber(first), X509_get0_serialNumber(second)), 0);
    assert_int_not_equal(EVP_PKEY_eq(X509_get0_pubkey(first), X509_get0_pubkey(second)), 1);
    X509_free(first);
    X509_free(second);
}

/* It goes all the way: our own set takes it without a warning, a client verifies it. */
static void it_serves(void **state)
{
    static struct bare bare;
    const struct context_options options = {.tls_1_2 = true};
    struct contexts contexts;

    (void)state;
    struct certificate_set *set =
        certificate_set_open(&fixture.files, 1, fixture.message, sizeof(fixture.message));
    assert_non_null(set);
    assert_int_equal(
        contexts_open(&contexts, set, &options, fixture.message, sizeof(fixture.message)), 0);
    SSL_CTX *client = SSL_CTX_new(TLS_client_method());
    assert_int_equal(SSL_CTX_load_verify_locations(client, fixture.files.certificate_path, NULL),
                     1);
    SSL_CTX_set_verify(client, SSL_VERIFY_PEER, NULL);
    SSL *ssl = duel_client_new(client, "x.dev.example");
    SSL_set1_host(ssl, "x.dev.example");
    bare_open(&bare, contexts.list[0], ssl);
    bare_run(&bare);
    assert_int_equal(bare.status, EXCHANGE_DONE);
    assert_int_equal(SSL_get_verify_result(ssl), X509_V_OK);
    bare_close(&bare);
    SSL_CTX_free(client);
    contexts_close(&contexts);
    certificate_set_close(set);
}

/* --- its files -------------------------------------------------------------------------------- */

static void the_files_are_their_owners_only(void **state)
{
    struct stat status;

    (void)state;
    const mode_t mask = umask(0);
    assert_int_equal(make(names, NAMES, &fixture.files), 0); /* takes the old one's place */
    umask(mask);
    assert_int_equal(stat(fixture.files.key_path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    assert_int_equal(stat(fixture.files.certificate_path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
}

static size_t file_count(void)
{
    size_t count = 0;
    DIR *folder = opendir(fixture.pki.folder);
    assert_non_null(folder);
    while (readdir(folder)) { /* NOLINT(concurrency-mt-unsafe): one thread */
        count++;
    }
    (void)closedir(folder);
    return count;
}

static void what_cannot_be_written_is_said_and_leaves_nothing(void **state)
{
    static char long_path[8192];
    /* Below a device no folder can be made, by nobody. */
    const struct certificate_files nowhere = {"/dev/null/a.pem", "/dev/null/a.key"};
    const struct certificate_files half = {"/dev/null/a.pem", fixture.files.key_path};
    const struct certificate_files too_long = {fixture.files.certificate_path, long_path};

    (void)state;
    const size_t before = file_count();
    assert_int_equal(make(names, 1, &nowhere), -ENOTDIR);
    assert_string_equal(fixture.message, "/dev/null/a.key: cannot be written: Not a directory");
    assert_int_equal(make(names, 1, &half), -ENOTDIR);
    assert_string_equal(fixture.message, "/dev/null/a.pem: cannot be written: Not a directory");
    memset(long_path, 'a', sizeof(long_path) - 1);
    assert_int_equal(make(names, 1, &too_long), -ENAMETOOLONG);

    /* A folder stands in the way: the file under another name is taken away again. */
    const char *folder = pki_path(&fixture.pki, "folder");
    assert_int_equal(mkdir(folder, 0700), 0);
    const struct certificate_files in_the_way = {fixture.files.certificate_path, folder};
    assert_int_equal(make(names, 1, &in_the_way), -EISDIR);
    assert_int_equal(rmdir(folder), 0);
    assert_int_equal(file_count(), before);
}

static void names_are_bounded(void **state)
{
    static char name[5000];
    const char *const long_names[] = {"localhost", name};
    const struct certificate_files files = {pki_path(&fixture.pki, "long.pem"),
                                            pki_path(&fixture.pki, "long.key")};
    size_t fits = 1;
    size_t does_not = sizeof(name) - 1;

    (void)state;
    /* Where the room ends differs with the key's and the signature's length by a few bytes. */
    while (does_not - fits > 16) {
        const size_t size = (fits + does_not) / 2;
        memset(name, 'a', size);
        name[size] = '\0';
        if (make(long_names, 2, &files) == 0) {
            fits = size;
        } else {
            does_not = size;
        }
    }
    assert_true(fits > 3000);
    memset(name, 'a', sizeof(name) - 1);
    name[fits - 16] = '\0';
    assert_int_equal(make(long_names, 2, &files), 0);
    X509 *x509 = load(files.certificate_path);
    assert_int_equal(X509_check_host(x509, name, 0, 0, NULL), 1);
    X509_free(x509);

    assert_int_equal(unlink(files.key_path), 0);
    assert_int_equal(unlink(files.certificate_path), 0);
    name[fits - 16] = 'a';
    name[does_not + 16] = '\0';
    assert_int_equal(make(long_names, 2, &files), -ENOMEM);
    assert_non_null(strstr(fixture.message, "names too long"));
    assert_int_not_equal(access(files.key_path, F_OK), 0);
    assert_int_not_equal(access(files.certificate_path, F_OK), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_holds_its_names_and_no_others),
        cmocka_unit_test(strict_clients_take_it),
        cmocka_unit_test(it_is_valid_now_and_as_long_as_browsers_take),
        cmocka_unit_test(two_have_neither_key_nor_number_in_common),
        cmocka_unit_test(it_serves),
        cmocka_unit_test(the_files_are_their_owners_only),
        cmocka_unit_test(what_cannot_be_written_is_said_and_leaves_nothing),
        cmocka_unit_test(names_are_bounded),
    };
    return cmocka_run_group_tests(tests, open_fixture, close_fixture);
}
