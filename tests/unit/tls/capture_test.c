/*
 * Goal: keys are handed over only if they are what the library uses; every doubt is a refusal.
 */
#include "bare.h"
#include "pki.h"
#include "tls/context.h"
#include "tls/heap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define HEAP_SIZE INT64_C(1048576)

static struct {
    struct pki pki;
    struct certificate_set *set;
    struct contexts contexts;
    SSL_CTX *client;
    char message[512];
} fixture;

static int open_fixture(void **state)
{
    (void)state;
    pki_open(&fixture.pki);
    const struct certificate_files files =
        pki_simple(&fixture.pki, "localhost", PKI_ECDSA, "DNS:localhost");
    const struct context_options options = {.tls_1_2 = true};
    fixture.set = certificate_set_open(&files, 1, fixture.message, sizeof(fixture.message));
    fixture.client = SSL_CTX_new(TLS_client_method());
    heap_allow(HEAP_SIZE);
    return contexts_open(&fixture.contexts, fixture.set, &options, fixture.message,
                         sizeof(fixture.message));
}

static int close_fixture(void **state)
{
    (void)state;
    heap_allow(-HEAP_SIZE);
    SSL_CTX_free(fixture.client);
    contexts_close(&fixture.contexts);
    certificate_set_close(fixture.set);
    pki_close(&fixture.pki);
    return 0;
}

/* Runs a bare exchange with OpenSSL's client to its end; it stays open. */
static void run(struct bare *bare, int version, const char *suite)
{
    SSL *ssl = duel_client_new(fixture.client, NULL);
    SSL_set_max_proto_version(ssl, version);
    assert_int_equal(version == TLS1_3_VERSION ? SSL_set_ciphersuites(ssl, suite)
                                               : SSL_set_cipher_list(ssl, suite),
                     1);
    SSL_clear_options(ssl, SSL_OP_ENABLE_MIDDLEBOX_COMPAT);
    bare_open(bare, fixture.contexts.list[0], ssl);
    bare_run(bare);
    assert_int_equal(bare->status, EXCHANGE_DONE);
}

static bool keys_again(const struct exchange *exchange, const struct capture *capture,
                       const struct wire *wire)
{
    struct tls_keys keys;
    return capture_keys(capture, wire, exchange->ssl, &keys);
}

static void check_secrets(const char *suite, size_t secret_size)
{
    static struct bare bare;
    const struct exchange *exchange = &bare.exchange;
    run(&bare, TLS1_3_VERSION, suite);
    assert_int_equal(exchange->capture.secret_size, secret_size);
    assert_true(keys_again(exchange, &exchange->capture, &exchange->wire));
    assert_memory_equal(bare.keys.send_secret, exchange->capture.server_application, secret_size);
    assert_memory_equal(bare.keys.receive_secret, exchange->capture.client_application,
                        secret_size);
    for (size_t i = 0; i < secret_size; i++) {
        struct capture wrong = exchange->capture;
        wrong.server_application[i] ^= 1;
        assert_false(keys_again(exchange, &wrong, &exchange->wire));
        wrong = exchange->capture;
        wrong.client_application[i] ^= 0x80;
        assert_false(keys_again(exchange, &wrong, &exchange->wire));
    }
    struct capture wrong = exchange->capture;
    wrong.secret_size = 0;
    assert_false(keys_again(exchange, &wrong, &exchange->wire));
    wrong.secret_size = secret_size == 32 ? 48 : 32;
    assert_false(keys_again(exchange, &wrong, &exchange->wire));
    bare_close(&bare);
    assert_int_equal(heap_used(), 0);
}

static void other_secrets_are_refused(void **state)
{
    (void)state;
    check_secrets("TLS_AES_128_GCM_SHA256", 32);
    check_secrets("TLS_AES_256_GCM_SHA384", 48);
    check_secrets("TLS_CHACHA20_POLY1305_SHA256", 32);
}

static void a_nonce_that_could_come_again_is_refused(void **state)
{
    (void)state;
    static struct bare bare;
    const struct exchange *exchange = &bare.exchange;
    run(&bare, TLS1_2_VERSION, "ECDHE-ECDSA-AES128-GCM-SHA256");
    assert_true(exchange->wire.nonce_seen);
    struct wire wire = exchange->wire;
    wire.nonce = UINT64_C(1) << 33;
    assert_true(keys_again(exchange, &exchange->capture, &wire));
    wire.nonce--;
    assert_false(keys_again(exchange, &exchange->capture, &wire));
    wire.nonce = 0;
    assert_false(keys_again(exchange, &exchange->capture, &wire));
    wire = exchange->wire;
    wire.nonce_seen = false;
    assert_false(keys_again(exchange, &exchange->capture, &wire));
    bare_close(&bare);

    /* ChaCha's nonces are the sequence numbers: there is no random one. */
    run(&bare, TLS1_2_VERSION, "ECDHE-ECDSA-CHACHA20-POLY1305");
    wire = exchange->wire;
    wire.nonce = 0;
    assert_true(keys_again(exchange, &exchange->capture, &wire));
    bare_close(&bare);
    assert_int_equal(heap_used(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(other_secrets_are_refused),
        cmocka_unit_test(a_nonce_that_could_come_again_is_refused),
    };
    return cmocka_run_group_tests(tests, open_fixture, close_fixture);
}
