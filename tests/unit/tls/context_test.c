/*
 * Goal: a shard's contexts are one a certificate, in the set's order, and do what the options say
 * about versions and tickets; a handshake in flight outlives them.
 */
#include "tls/context.h"

#include "bare.h"
#include "pki.h"
#include "tls/alert.h"
#include "tls/heap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define HEAP_SIZE INT64_C(1048576)

static struct {
    struct pki pki;
    struct certificate_set *set;
    struct ticket_keys *tickets;
    SSL_CTX *client;
    char message[512];
} fixture;

static int open_fixture(void **state)
{
    (void)state;
    pki_open(&fixture.pki);
    const struct certificate_files files[] = {
        pki_simple(&fixture.pki, "first", PKI_ECDSA, "DNS:first"),
        pki_simple(&fixture.pki, "second", PKI_RSA_2048, "DNS:second"),
        pki_simple(&fixture.pki, "third", PKI_ECDSA, "DNS:third"),
    };
    fixture.set = certificate_set_open(files, 3, fixture.message, sizeof(fixture.message));
    fixture.tickets = ticket_keys_open(NULL, 3600, fixture.message, sizeof(fixture.message));
    fixture.client = SSL_CTX_new(TLS_client_method());
    heap_allow(HEAP_SIZE);
    return fixture.set && fixture.tickets && fixture.client ? 0 : -1;
}

static int close_fixture(void **state)
{
    (void)state;
    heap_allow(-HEAP_SIZE);
    SSL_CTX_free(fixture.client);
    ticket_keys_close(fixture.tickets);
    certificate_set_close(fixture.set);
    pki_close(&fixture.pki);
    return 0;
}

static void open_contexts(struct contexts *contexts, const struct context_options *options)
{
    assert_int_equal(
        contexts_open(contexts, fixture.set, options, fixture.message, sizeof(fixture.message)), 0);
    assert_int_equal(contexts->count, 3);
}

static SSL *client(int version)
{
    SSL *ssl = duel_client_new(fixture.client, NULL);
    SSL_set_min_proto_version(ssl, version);
    SSL_set_max_proto_version(ssl, version);
    return ssl;
}

static void each_has_its_certificate(void **state)
{
    static const char *const names[] = {"first", "second", "third"};
    static struct bare bare;
    const struct context_options options = {.tls_1_2 = true};
    struct contexts contexts;

    (void)state;
    open_contexts(&contexts, &options);
    for (uint32_t i = 0; i < contexts.count; i++) {
        char name[32] = "";
        bare_open(&bare, contexts.list[i], client(TLS1_3_VERSION));
        bare_run(&bare);
        assert_int_equal(bare.status, EXCHANGE_DONE);
        X509 *x509 = SSL_get1_peer_certificate(bare.ssl);
        assert_non_null(x509);
        X509_NAME_get_text_by_NID(X509_get_subject_name(x509), NID_commonName, name, sizeof(name));
        assert_string_equal(name, names[i]);
        X509_free(x509);
        bare_close(&bare);
    }
    contexts_close(&contexts);
    assert_null(contexts.list);
    assert_int_equal(contexts.count, 0);
    assert_int_equal(heap_used(), 0);
}

static void the_old_version_is_an_option(void **state)
{
    static struct bare bare;
    struct contexts contexts;

    (void)state;
    open_contexts(&contexts, &(struct context_options){.tls_1_2 = true});
    bare_open(&bare, contexts.list[0], client(TLS1_2_VERSION));
    bare_run(&bare);
    assert_int_equal(bare.status, EXCHANGE_DONE);
    bare_close(&bare);
    contexts_close(&contexts);

    open_contexts(&contexts, &(struct context_options){.tls_1_2 = false});
    bare_open(&bare, contexts.list[0], client(TLS1_2_VERSION));
    bare_run(&bare);
    assert_int_equal(bare.status, EXCHANGE_FAILED);
    assert_int_equal(bare.failure.alert, ALERT_PROTOCOL_VERSION);
    bare_close(&bare);
    bare_open(&bare, contexts.list[0], client(TLS1_3_VERSION));
    bare_run(&bare);
    assert_int_equal(bare.status, EXCHANGE_DONE);
    bare_close(&bare);
    contexts_close(&contexts);
    assert_int_equal(heap_used(), 0);
}

static void check_tickets(struct ticket_keys *tickets, int version)
{
    static struct bare bare;
    struct contexts contexts;

    open_contexts(&contexts, &(struct context_options){.tickets = tickets, .tls_1_2 = true});
    bare_open(&bare, contexts.list[0], client(version));
    bare_run(&bare);
    assert_int_equal(bare.status, EXCHANGE_DONE);
    char byte = 0;
    (void)SSL_read(bare.ssl, &byte, 1); /* in 1.3 the ticket comes behind the handshake */
    const SSL_SESSION *session = SSL_get0_session(bare.ssl);
    assert_int_equal(SSL_SESSION_has_ticket(session), tickets != NULL);
    if (tickets) {
        assert_int_equal(SSL_SESSION_get_ticket_lifetime_hint(session), ticket_life_s(tickets));
    }
    bare_close(&bare);
    contexts_close(&contexts);
}

static void tickets_are_an_option(void **state)
{
    (void)state;
    check_tickets(fixture.tickets, TLS1_3_VERSION);
    check_tickets(fixture.tickets, TLS1_2_VERSION);
    check_tickets(NULL, TLS1_3_VERSION);
    check_tickets(NULL, TLS1_2_VERSION);
    assert_int_equal(heap_used(), 0);
}

/* Closed at every moment of a handshake: it goes on to its end all the same. */
static void a_handshake_in_flight_outlives_its_context(void **state)
{
    static struct bare bare;
    static uint8_t flight[PIPE_ROOM];
    const struct context_options options = {.tickets = fixture.tickets};

    (void)state;
    for (int moment = 0; moment < 2; moment++) {
        struct contexts contexts;
        open_contexts(&contexts, &options);
        bare_open(&bare, contexts.list[1], client(TLS1_3_VERSION));
        if (moment == 1) {
            bare_feed(&bare, flight, bare_client(&bare, flight));
            bare_answer(&bare);
        }
        contexts_close(&contexts);
        bare_run(&bare);
        assert_int_equal(bare.status, EXCHANGE_DONE);
        bare_close(&bare);
    }
    assert_int_equal(heap_used(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_has_its_certificate),
        cmocka_unit_test(the_old_version_is_an_option),
        cmocka_unit_test(tickets_are_an_option),
        cmocka_unit_test(a_handshake_in_flight_outlives_its_context),
    };
    return cmocka_run_group_tests(tests, open_fixture, close_fixture);
}
