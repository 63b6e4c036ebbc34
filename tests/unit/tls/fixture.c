#include "fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

struct fixture fixture;

int open_fixture(void **state)
{
    (void)state;
    pki_open(&fixture.pki);
    const struct certificate_files files =
        pki_simple(&fixture.pki, "localhost", PKI_ECDSA, "DNS:localhost");
    const struct certificate_files rsa = pki_simple(&fixture.pki, "rsa", PKI_RSA_2048, "DNS:rsa");
    fixture.set = certificate_set_open(&files, 1, fixture.message, sizeof(fixture.message));
    fixture.rsa = certificate_set_open(&rsa, 1, fixture.message, sizeof(fixture.message));
    fixture.tickets = ticket_keys_open(NULL, 3600, fixture.message, sizeof(fixture.message));
    const struct tls_server_options options = {.certificates = fixture.set,
                                               .tickets = fixture.tickets,
                                               .handshakes_max = 2,
                                               .tls_1_2 = true};
    fixture.server = tls_server_open(&options, fixture.message, sizeof(fixture.message));
    fixture.client = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_ciphersuites(fixture.client, "TLS_AES_128_GCM_SHA256");
    shape_watch(fixture.client);
    return fixture.server && fixture.client && fixture.rsa ? 0 : -1;
}

int close_fixture(void **state)
{
    (void)state;
    SSL_CTX_free(fixture.client);
    tls_server_close(fixture.server);
    ticket_keys_close(fixture.tickets);
    certificate_set_close(fixture.set);
    certificate_set_close(fixture.rsa);
    pki_close(&fixture.pki);
    return 0;
}

struct duel *start(void)
{
    return duel_open(fixture.server, duel_client_new(fixture.client, "localhost"));
}

struct duel *start_1_2(void)
{
    struct duel *duel = start();
    SSL_set_max_proto_version(duel->ssl, TLS1_2_VERSION);
    return duel;
}

void end_done(struct duel *duel)
{
    assert_int_equal(duel->status, HANDSHAKE_DONE);
    duel_echo(duel, 100);
    SSL_set_shutdown(duel->ssl, SSL_SENT_SHUTDOWN); /* else its session counts as broken */
    duel_close(duel);
    assert_int_equal(handshake_heap(), 0);
}

void end_failed(struct duel *duel, uint8_t alert)
{
    duel_run(duel);
    assert_int_equal(duel->status, HANDSHAKE_FAILED);
    assert_int_equal(duel->result.alert, alert);
    assert_false(duel->result.alert_received);
    char byte = 0;
    (void)SSL_read(duel->ssl, &byte, 1); /* a client that has finished looks only when it reads */
    assert_int_equal(duel_client_alert(duel), alert);
    duel_close(duel);
    assert_int_equal(handshake_heap(), 0);
}

void end_failed_in_clear(struct duel *duel, uint8_t alert)
{
    duel_server(duel);
    assert_int_equal(duel->status, HANDSHAKE_FAILED);
    assert_int_equal(duel->result.alert, alert);
    const uint8_t *last = duel->to_client.bytes + duel->to_client.size - PLAIN_ALERT_SIZE;
    const uint8_t expected[PLAIN_ALERT_SIZE] = {21, 3, last[2], 0, 2, 2, alert};
    assert_true(duel->to_client.size >= PLAIN_ALERT_SIZE);
    assert_memory_equal(last, expected, PLAIN_ALERT_SIZE);
    duel_close(duel);
    assert_int_equal(handshake_heap(), 0);
}
