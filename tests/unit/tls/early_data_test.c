/*
 * Goal: early data that a client sends unasked or is refused is skipped, within a bound, and the
 * handshake goes on.
 */
#include "fixture.h"
#include "tls/alert.h"
#include "tls/sieve.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static SSL_SESSION *session_that_invites_early_data(bool is_foreign)
{
    struct ticket_keys *keys =
        ticket_keys_open(NULL, 3600, fixture.message, sizeof(fixture.message));
    const struct tls_server_options options = {.certificates = fixture.set,
                                               .tickets = is_foreign ? keys : fixture.tickets,
                                               .handshakes_max = 2,
                                               .tls_1_2 = true};
    struct tls_server *server = tls_server_open(&options, fixture.message, sizeof(fixture.message));
    struct duel *duel = duel_open(server, duel_client_new(fixture.client, "localhost"));
    duel_run(duel);
    duel_echo(duel, 10);
    SSL_SESSION *session = SSL_get1_session(duel->ssl);
    SSL_SESSION_set_max_early_data(session, 1 << 20);
    SSL_set_shutdown(duel->ssl, SSL_SENT_SHUTDOWN);
    duel_close(duel);
    tls_server_close(server);
    ticket_keys_close(keys);
    return session;
}

static struct duel *start_early(SSL_SESSION *session, const char *groups, size_t size)
{
    static uint8_t data[1 << 17];
    struct duel *duel = start();
    SSL_set_session(duel->ssl, session);
    if (groups) {
        SSL_set1_groups_list(duel->ssl, groups);
    }
    size_t written = 0;
    assert_int_equal(SSL_write_early_data(duel->ssl, data, size, &written), 1);
    assert_int_equal(written, size);
    return duel;
}

static void refused_early_data_is_skipped(void **state)
{
    (void)state;
    static const char *const groups[] = {NULL, "X448:P-256"};
    static const size_t sizes[] = {1, 100, 16384, 60000};
    for (int is_foreign = 0; is_foreign < 2; is_foreign++) {
        SSL_SESSION *session = session_that_invites_early_data(is_foreign != 0);
        for (size_t i = 0; i < 16; i++) { /* sizes, groups, whole or in pieces */
            struct duel *duel = start_early(session, groups[i / 4 % 2], sizes[i % 4]);
            duel->piece_size = i / 8 * 1000;
            duel_run(duel);
            assert_int_equal(SSL_get_early_data_status(duel->ssl), SSL_EARLY_DATA_REJECTED);
            assert_int_equal(duel->result.resumed, !is_foreign);
            end_done(duel);
        }
        SSL_SESSION_free(session);
    }
}

static void a_finished_in_two_records_ends_early_data(void **state)
{
    (void)state;
    uint8_t finished[256];
    SSL_SESSION *session = session_that_invites_early_data(false);
    struct duel *duel = start_early(session, NULL, 100);
    duel_client(duel);
    duel_server(duel);
    duel_client(duel);
    assert_int_equal(duel->to_server.bytes[0],
                     23); /* its change_cipher_spec came before the data */
    const size_t size = shape_open(&duel->to_server, finished);
    assert_int_equal(finished[0], 20);
    duel->to_server.size = 0;
    shape_seal(&duel->to_server, 0, 22, finished, 10);
    shape_seal(&duel->to_server, 1, 22, finished + 10, size - 10);
    duel_server(duel);
    assert_int_equal(duel->status, HANDSHAKE_DONE);
    assert_true(duel->result.resumed);
    SSL_set_shutdown(duel->ssl, SSL_SENT_SHUTDOWN);
    duel_close(duel);
    SSL_SESSION_free(session);
}

static void endless_early_data_is_refused(void **state)
{
    (void)state;
    SSL_SESSION *session = session_that_invites_early_data(false);
    struct duel *duel = start_early(session, NULL, 70000);
    end_failed(duel, ALERT_BAD_RECORD_MAC);
    SSL_SESSION_free(session);
}

static void unannounced_early_data_is_refused(void **state)
{
    (void)state;
    /* The same bytes behind a hello that did not offer any. */
    struct duel *duel = start();
    duel_client(duel);
    static uint8_t record[5 + 100] = {23, 3, 3, 0, 100};
    memcpy(duel->to_server.bytes + duel->to_server.size, record, sizeof(record));
    duel->to_server.size += sizeof(record);
    end_failed(duel, ALERT_BAD_RECORD_MAC);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refused_early_data_is_skipped),
        cmocka_unit_test(a_finished_in_two_records_ends_early_data),
        cmocka_unit_test(endless_early_data_is_refused),
        cmocka_unit_test(unannounced_early_data_is_refused),
    };
    return cmocka_run_group_tests(tests, open_fixture, close_fixture);
}
