/*
 * Goal: OpenSSL's client gets through our server's handshake in every suite, group and way of
 * cutting bytes; what is handed over works in the record layer; nothing stays behind.
 */
#include "duel.h"
#include "pki.h"
#include "tls/alert.h"
#include "tls/heap.h"
#include "tls/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct {
    struct pki pki;
    struct certificate_set *ecdsa;
    struct certificate_set *rsa;
    struct ticket_keys *tickets;
    SSL_CTX *client;
    char message[512];
} fixture;

static struct certificate_set *simple_set(const char *name, enum pki_key key)
{
    const struct certificate_files files = pki_simple(&fixture.pki, name, key, "DNS:localhost");
    struct certificate_set *set =
        certificate_set_open(&files, 1, fixture.message, sizeof(fixture.message));
    assert_non_null(set);
    return set;
}

static int open_fixture(void **state)
{
    (void)state;
    pki_open(&fixture.pki);
    fixture.ecdsa = simple_set("ecdsa", PKI_ECDSA);
    fixture.rsa = simple_set("rsa", PKI_RSA_2048);
    fixture.tickets = ticket_keys_open(NULL, 3600, fixture.message, sizeof(fixture.message));
    fixture.client = SSL_CTX_new(TLS_client_method());
    return fixture.tickets && fixture.client ? 0 : -1;
}

static int close_fixture(void **state)
{
    (void)state;
    SSL_CTX_free(fixture.client);
    ticket_keys_close(fixture.tickets);
    certificate_set_close(fixture.rsa);
    certificate_set_close(fixture.ecdsa);
    pki_close(&fixture.pki);
    return 0;
}

static struct tls_server *server_with(const struct certificate_set *set,
                                      struct ticket_keys *tickets, bool tls_1_2)
{
    const struct tls_server_options options = {
        .certificates = set, .tickets = tickets, .handshakes_max = 4, .tls_1_2 = tls_1_2};
    struct tls_server *server = tls_server_open(&options, fixture.message, sizeof(fixture.message));
    assert_non_null(server);
    return server;
}

static struct tls_server *simple_server(void)
{
    return server_with(fixture.ecdsa, fixture.tickets, true);
}

/* --- every suite --- */

struct suite_case {
    const char *name; /* OpenSSL's */
    enum tls_version version;
    enum tls_suite suite;
    bool is_rsa;
};

static const struct suite_case suite_cases[] = {
    {"TLS_AES_128_GCM_SHA256", TLS_1_3, TLS_AES_128_GCM, false},
    {"TLS_AES_256_GCM_SHA384", TLS_1_3, TLS_AES_256_GCM, false},
    {"TLS_CHACHA20_POLY1305_SHA256", TLS_1_3, TLS_CHACHA20_POLY1305, false},
    {"TLS_AES_128_GCM_SHA256", TLS_1_3, TLS_AES_128_GCM, true},
    {"TLS_AES_256_GCM_SHA384", TLS_1_3, TLS_AES_256_GCM, true},
    {"TLS_CHACHA20_POLY1305_SHA256", TLS_1_3, TLS_CHACHA20_POLY1305, true},
    {"ECDHE-ECDSA-AES128-GCM-SHA256", TLS_1_2, TLS_AES_128_GCM, false},
    {"ECDHE-ECDSA-AES256-GCM-SHA384", TLS_1_2, TLS_AES_256_GCM, false},
    {"ECDHE-ECDSA-CHACHA20-POLY1305", TLS_1_2, TLS_CHACHA20_POLY1305, false},
    {"ECDHE-RSA-AES128-GCM-SHA256", TLS_1_2, TLS_AES_128_GCM, true},
    {"ECDHE-RSA-AES256-GCM-SHA384", TLS_1_2, TLS_AES_256_GCM, true},
    {"ECDHE-RSA-CHACHA20-POLY1305", TLS_1_2, TLS_CHACHA20_POLY1305, true},
};
#define SUITE_CASES (sizeof(suite_cases) / sizeof(suite_cases[0]))

static SSL *client_for(const struct suite_case *which)
{
    SSL *ssl = duel_client_new(fixture.client, "localhost");
    if (which->version == TLS_1_3) {
        SSL_set_min_proto_version(ssl, TLS1_3_VERSION);
        assert_int_equal(SSL_set_ciphersuites(ssl, which->name), 1);
    } else {
        SSL_set_max_proto_version(ssl, TLS1_2_VERSION);
        assert_int_equal(SSL_set_cipher_list(ssl, which->name), 1);
    }
    return ssl;
}

static void check_suite(const struct suite_case *which, size_t piece_size)
{
    struct tls_server *server =
        server_with(which->is_rsa ? fixture.rsa : fixture.ecdsa, fixture.tickets, true);
    struct duel *duel = duel_open(server, client_for(which));
    duel->piece_size = piece_size;
    duel_run(duel);
    assert_int_equal(duel->status, HANDSHAKE_DONE);
    assert_true(SSL_is_init_finished(duel->ssl));
    assert_string_equal(SSL_get_cipher_name(duel->ssl), which->name);
    assert_int_equal(duel->keys.version, which->version);
    assert_int_equal(duel->keys.suite, which->suite);
    assert_int_equal(duel->keys.send_sequence, 1); /* the ticket, or 1.2's Finished */
    assert_int_equal(duel->keys.receive_sequence, which->version == TLS_1_3 ? 0 : 1);
    assert_false(duel->keys.client);
    assert_false(duel->result.resumed);
    assert_true(handshake_heap() > 0);
    duel_echo(duel, 1);
    duel_echo(duel, 40000);
    if (which->version == TLS_1_3) {
        SSL_key_update(duel->ssl, SSL_KEY_UPDATE_REQUESTED);
        duel_echo(duel, 100);
    }
    duel_close(duel);
    assert_int_equal(handshake_count(server), 0);
    assert_int_equal(handshake_heap(), 0);
    tls_server_close(server);
}

static void every_suite_works(void **state)
{
    (void)state;
    for (size_t i = 0; i < SUITE_CASES; i++) {
        check_suite(&suite_cases[i], 0);
    }
}

static void every_suite_works_byte_by_byte(void **state)
{
    (void)state;
    for (size_t i = 0; i < SUITE_CASES; i++) {
        check_suite(&suite_cases[i], 1);
    }
}

static void aes_128_is_preferred(void **state)
{
    (void)state;
    struct tls_server *server = simple_server();
    struct duel *duel = duel_open(server, duel_client_new(fixture.client, NULL));
    duel_run(duel); /* OpenSSL names AES-256 first */
    assert_int_equal(duel->keys.suite, TLS_AES_128_GCM);
    duel_close(duel);
    SSL *ssl = duel_client_new(fixture.client, NULL);
    SSL_set_max_proto_version(ssl, TLS1_2_VERSION);
    duel = duel_open(server, ssl);
    duel_run(duel);
    assert_int_equal(duel->keys.version, TLS_1_2);
    assert_int_equal(duel->keys.suite, TLS_AES_128_GCM);
    duel_close(duel);
    tls_server_close(server);
}

/* --- groups --- */

static size_t count_change_cipher(const struct duel *duel)
{
    size_t count = 0;
    for (size_t at = 0; at + 5 <= duel->to_client.size;) {
        count += duel->to_client.bytes[at] == RECORD_CHANGE_CIPHER;
        at += 5 + (size_t)load_be16(duel->to_client.bytes + at + 3);
    }
    return count;
}

static void check_groups(const char *groups, bool expects_retry, size_t piece_size)
{
    struct tls_server *server = simple_server();
    SSL *ssl = duel_client_new(fixture.client, NULL);
    assert_int_equal(SSL_set1_groups_list(ssl, groups), 1);
    struct duel *duel = duel_open(server, ssl);
    duel->piece_size = piece_size;
    duel_client(duel);
    duel_server(duel);
    /* A retry is one short record and the one for middleboxes; a flight is far longer. */
    assert_int_equal(duel->to_client.size < 200, expects_retry);
    duel_run(duel);
    assert_int_equal(duel->status, HANDSHAKE_DONE);
    assert_int_equal(duel->keys.version, TLS_1_3);
    assert_int_equal(count_change_cipher(duel), 1); /* OpenSSL's hello has a session id */
    duel_echo(duel, 1000);
    duel_close(duel);
    assert_int_equal(handshake_heap(), 0);
    tls_server_close(server);
}

static void every_group_works(void **state)
{
    (void)state;
    check_groups("X25519", false, 0);
    check_groups("P-256", false, 0);
    check_groups("X25519:P-256", false, 0);
    check_groups("X448:P-256", true, 0);
    check_groups("P-384:X25519", true, 0);
    check_groups("X448:P-384:P-521:P-256:X25519", true, 1);
}

static void no_change_cipher_without_a_session_id(void **state)
{
    (void)state;
    struct tls_server *server = simple_server();
    SSL *ssl = duel_client_new(fixture.client, NULL);
    SSL_clear_options(ssl, SSL_OP_ENABLE_MIDDLEBOX_COMPAT);
    struct duel *duel = duel_open(server, ssl);
    duel_run(duel);
    assert_int_equal(duel->status, HANDSHAKE_DONE);
    assert_int_equal(count_change_cipher(duel), 0);
    duel_close(duel);
    tls_server_close(server);
}

/* --- what follows the handshake in the same bytes --- */

static void bytes_behind_finished_are_left(void **state)
{
    (void)state;
    static const struct suite_case *const cases[] = {&suite_cases[0], &suite_cases[1],
                                                     &suite_cases[2]};
    for (size_t i = 0; i < 3; i++) {
        struct tls_server *server = simple_server();
        struct duel *duel = duel_open(server, client_for(cases[i]));
        duel_client(duel);
        duel_server(duel);
        duel_client(duel); /* Finished, and behind it: */
        assert_int_equal(SSL_write(duel->ssl, "one", 3), 3);
        assert_int_equal(SSL_key_update(duel->ssl, SSL_KEY_UPDATE_REQUESTED), 1);
        assert_int_equal(SSL_write(duel->ssl, "two", 3), 3);
        duel_client(duel);
        const size_t size_before = duel->to_server.size;
        duel_server(duel);
        assert_int_equal(duel->status, HANDSHAKE_DONE);
        assert_true(duel->to_server.size > 0);
        assert_true(duel->to_server.size < size_before);
        struct tls_state *tls = (struct tls_state *)duel->state;
        struct tls_record record;
        uint8_t *at = duel->to_server.bytes;
        size_t left = duel->to_server.size;
        char text[8] = "";
        for (int records = 0; records < 3; records++) {
            assert_int_equal(tls_open(tls, at, left, &record), TLS_DATA);
            if (record.data.size > 0) {
                strncat(text, (const char *)record.data.data, record.data.size);
            }
            at += record.consumed;
            left -= record.consumed;
        }
        assert_int_equal(left, 0);
        assert_string_equal(text, "onetwo");
        assert_true(tls_update_due(tls));
        duel_close(duel);
        tls_server_close(server);
    }
}

/* --- tickets --- */

static void no_ticket_where_none_can_be_used(void **state)
{
    (void)state;
    /* A server without keys. */
    struct tls_server *server = server_with(fixture.ecdsa, NULL, true);
    struct duel *duel = duel_open(server, duel_client_new(fixture.client, NULL));
    duel_run(duel);
    assert_int_equal(duel->status, HANDSHAKE_DONE);
    assert_int_equal(duel->keys.send_sequence, 0);
    duel_echo(duel, 10);
    assert_false(SSL_SESSION_has_ticket(SSL_get0_session(duel->ssl)));
    duel_close(duel);
    SSL *ssl = duel_client_new(fixture.client, NULL);
    SSL_set_max_proto_version(ssl, TLS1_2_VERSION);
    duel = duel_open(server, ssl);
    duel_run(duel);
    assert_int_equal(duel->status, HANDSHAKE_DONE);
    assert_false(SSL_SESSION_has_ticket(SSL_get0_session(duel->ssl)));
    duel_close(duel);
    tls_server_close(server);

    /* A client that does not say how it would come back. */
    server = simple_server();
    duel = duel_open(server, duel_client_new(fixture.client, NULL));
    duel_client(duel);
    static uint8_t joined[5 + HELLO_SIZE_MAX];
    assert_int_equal(hello_read(duel->to_server.bytes, duel->to_server.size, &duel->hello, joined),
                     HELLO_WHOLE);
    assert_true(duel->hello.offers_psk_dhe);
    duel->hello.offers_psk_dhe = false;
    duel->to_server.size = 0;
    duel->number = handshake_start(server, &duel->hello, joined);
    duel->is_started = true;
    duel->status = handshake_feed(server, duel->number, NULL, 0, &duel->result);
    memcpy(duel->to_client.bytes, duel->result.output.data, duel->result.output.size);
    duel->to_client.size = duel->result.output.size;
    duel_run(duel);
    assert_int_equal(duel->status, HANDSHAKE_DONE);
    assert_int_equal(duel->keys.send_sequence, 0);
    duel_echo(duel, 10);
    duel_close(duel);
    tls_server_close(server);
}

/* --- limits and ends --- */

static void handshakes_are_bounded(void **state)
{
    (void)state;
    static uint8_t joined[5 + HELLO_SIZE_MAX];
    struct tls_server *server = simple_server();
    struct duel *duel = duel_open(server, duel_client_new(fixture.client, NULL));
    uint32_t numbers[4];
    struct hello hello;
    duel_client(duel);
    assert_int_equal(hello_read(duel->to_server.bytes, duel->to_server.size, &hello, joined),
                     HELLO_WHOLE);
    for (uint32_t i = 0; i < 4; i++) {
        numbers[i] = handshake_start(server, &hello, joined);
        assert_int_not_equal(numbers[i], NONE);
        assert_int_equal(handshake_count(server), i + 1);
    }
    assert_int_equal(handshake_start(server, &hello, joined), NONE);
    handshake_end(server, numbers[2]); /* before its output was even looked at */
    assert_int_equal(handshake_start(server, &hello, joined), numbers[2]);
    handshake_end(server, numbers[1]);
    tls_server_close(server); /* with three in flight */
    assert_int_equal(handshake_heap(), 0);
    duel_close(duel);
}

static void a_full_heap_refuses(void **state)
{
    (void)state;
    static uint8_t joined[5 + HELLO_SIZE_MAX];
    struct tls_server *server = simple_server();
    struct duel *duel = duel_open(server, duel_client_new(fixture.client, NULL));
    struct hello hello;
    duel_client(duel);
    assert_int_equal(hello_read(duel->to_server.bytes, duel->to_server.size, &hello, joined),
                     HELLO_WHOLE);
    /* From nothing at all to enough: it fails at every allocation once, and never otherwise. */
    const int64_t allowed = 4 * INT64_C(24576) + 196608;
    bool is_done = false;
    for (int64_t room = 0; !is_done; room += 256) {
        assert_true(room < allowed);
        heap_allow(room - allowed);
        const uint32_t number = handshake_start(server, &hello, joined);
        assert_int_not_equal(number, NONE);
        struct handshake_result result;
        if (handshake_feed(server, number, NULL, 0, &result) == HANDSHAKE_FAILED) {
            assert_int_equal(result.alert, ALERT_INTERNAL_ERROR);
            assert_false(result.alert_received);
            if (room == 0) {
                assert_int_equal(result.output.size, PLAIN_ALERT_SIZE);
            }
        } else {
            is_done = true;
        }
        handshake_end(server, number);
        assert_int_equal(handshake_heap(), 0);
        heap_allow(allowed - room);
    }
    duel_close(duel);
    tls_server_close(server);
}

static void an_end_at_any_moment_leaves_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < SUITE_CASES; i += 3) {
        for (int steps = 0; steps < 6; steps++) {
            struct tls_server *server = server_with(
                suite_cases[i].is_rsa ? fixture.rsa : fixture.ecdsa, fixture.tickets, true);
            struct duel *duel = duel_open(server, client_for(&suite_cases[i]));
            for (int step = 0; step < steps; step++) {
                (void)(step % 2 == 0 ? duel_client(duel) : duel_server(duel));
            }
            duel_close(duel);
            assert_int_equal(handshake_heap(), 0);
            tls_server_close(server);
        }
    }
}

/* --- renewal --- */

static int client_certificate_kind(const struct duel *duel)
{
    X509 *x509 = SSL_get1_peer_certificate(duel->ssl);
    assert_non_null(x509);
    const int kind = EVP_PKEY_get_base_id(X509_get0_pubkey(x509));
    X509_free(x509);
    return kind;
}

static void a_renewal_spares_handshakes_in_flight(void **state)
{
    (void)state;
    struct tls_server *server = simple_server();
    struct duel *before = duel_open(server, duel_client_new(fixture.client, NULL));
    duel_client(before);
    duel_server(before);
    assert_int_equal(
        tls_server_renew(server, fixture.rsa, fixture.message, sizeof(fixture.message)), 0);
    struct duel *after = duel_open(server, duel_client_new(fixture.client, NULL));
    duel_run(after);
    duel_run(before);
    assert_int_equal(before->status, HANDSHAKE_DONE);
    assert_int_equal(after->status, HANDSHAKE_DONE);
    assert_int_equal(client_certificate_kind(before), EVP_PKEY_EC);
    assert_int_equal(client_certificate_kind(after), EVP_PKEY_RSA);
    duel_echo(before, 100);
    duel_close(before);
    duel_close(after);
    tls_server_close(server);
}

/* --- versions --- */

static void tls_1_2_can_be_off(void **state)
{
    (void)state;
    struct tls_server *server = server_with(fixture.ecdsa, fixture.tickets, false);
    SSL *ssl = duel_client_new(fixture.client, NULL);
    SSL_set_max_proto_version(ssl, TLS1_2_VERSION);
    struct duel *duel = duel_open(server, ssl);
    duel_run(duel);
    assert_int_equal(duel->status, HANDSHAKE_FAILED);
    assert_int_equal(duel->result.alert, ALERT_PROTOCOL_VERSION);
    assert_int_equal(duel_client_alert(duel), ALERT_PROTOCOL_VERSION);
    duel_close(duel);
    duel = duel_open(server, duel_client_new(fixture.client, NULL));
    duel_run(duel);
    assert_int_equal(duel->status, HANDSHAKE_DONE);
    duel_close(duel);
    tls_server_close(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_suite_works),
        cmocka_unit_test(every_suite_works_byte_by_byte),
        cmocka_unit_test(aes_128_is_preferred),
        cmocka_unit_test(every_group_works),
        cmocka_unit_test(no_change_cipher_without_a_session_id),
        cmocka_unit_test(bytes_behind_finished_are_left),
        cmocka_unit_test(no_ticket_where_none_can_be_used),
        cmocka_unit_test(handshakes_are_bounded),
        cmocka_unit_test(a_full_heap_refuses),
        cmocka_unit_test(an_end_at_any_moment_leaves_nothing),
        cmocka_unit_test(a_renewal_spares_handshakes_in_flight),
        cmocka_unit_test(tls_1_2_can_be_off),
    };
    return cmocka_run_group_tests(tests, open_fixture, close_fixture);
}
