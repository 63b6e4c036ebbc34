/*
 * Goal: what a client may do oddly works, and whatever ends a handshake ends it with the alert that
 * the RFC names, once, in clear or sealed as is due.
 */
#include "fixture.h"
#include "tls/alert.h"
#include "tls/sieve.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* --- hellos without common ground --- */

static void nothing_in_common(void **state)
{
    (void)state;
    struct duel *duel = start();
    SSL_set_ciphersuites(duel->ssl, "TLS_AES_128_CCM_SHA256");
    SSL_set_min_proto_version(duel->ssl, TLS1_3_VERSION);
    end_failed(duel, ALERT_HANDSHAKE_FAILURE);

    duel = start_1_2();
    SSL_set_cipher_list(duel->ssl, "ECDHE-ECDSA-AES128-SHA256:ECDHE-RSA-AES128-SHA");
    end_failed(duel, ALERT_HANDSHAKE_FAILURE);

    duel = start_1_2();
    SSL_set_cipher_list(duel->ssl, "ECDHE-RSA-AES128-GCM-SHA256"); /* for our ECDSA certificate */
    end_failed(duel, ALERT_HANDSHAKE_FAILURE);

    duel = start();
    SSL_set_security_level(duel->ssl, 0);
    SSL_set_cipher_list(duel->ssl, "ALL:@SECLEVEL=0");
    SSL_set_min_proto_version(duel->ssl, TLS1_VERSION);
    SSL_set_max_proto_version(duel->ssl, TLS1_1_VERSION);
    end_failed(duel, ALERT_PROTOCOL_VERSION);

    duel = start();
    SSL_set1_sigalgs_list(duel->ssl, "RSA-PSS+SHA256");
    SSL_set_min_proto_version(duel->ssl, TLS1_3_VERSION);
    end_failed(duel, ALERT_HANDSHAKE_FAILURE);

    duel = start_1_2();
    SSL_set_mode(duel->ssl, SSL_MODE_SEND_FALLBACK_SCSV);
    end_failed(duel, ALERT_INAPPROPRIATE_FALLBACK);
}

static void no_common_group(void **state)
{
    (void)state;
    struct duel *duel = start();
    SSL_set1_groups_list(duel->ssl, "X448");
    SSL_set_min_proto_version(duel->ssl, TLS1_3_VERSION);
    duel_run(duel);
    /* The library alone says 47 where RFC 8446, section 4.1.1 wants 40, or (5.9.2) asks for a group
     * of its own: that is why the gate looks at groups. */
    assert_int_equal(duel->status, HANDSHAKE_FAILED);
    assert_int_equal(duel->result.alert, ALERT_HANDSHAKE_FAILURE);
    assert_int_equal(duel_client_alert(duel), ALERT_HANDSHAKE_FAILURE);
    duel_close(duel);
}

static void tls_1_2_without_signature_algorithms_goes_on(void **state)
{
    (void)state;
    struct duel *duel = start_1_2();
    duel_client(duel);
    shape_remove(&duel->to_server, 13);
    duel_server(duel);
    assert_int_equal(duel->status,
                     HANDSHAKE_MORE); /* a ServerHello, signed with SHA-1 or refused */
    assert_int_equal(duel->to_client.bytes[0], 22);
    duel_close(duel);
}

/* --- hellos that are wrong --- */

static void a_bad_key_share(void **state)
{
    (void)state;
    size_t size = 0;
    struct duel *duel = start();
    SSL_set1_groups_list(duel->ssl, "X25519"); /* from 3.5 on OpenSSL has a hybrid share first */
    duel_client(duel);
    uint8_t *share = shape_find(&duel->to_server, 51, &size);
    memset(share + 6, 0, size - 6); /* X25519: all zero */
    end_failed_in_clear(duel, ALERT_ILLEGAL_PARAMETER);

    duel = start();
    SSL_set1_groups_list(duel->ssl, "P-256");
    duel_client(duel);
    share = shape_find(&duel->to_server, 51, &size);
    share[6] = 7; /* no known point format */
    duel_server(duel);
    assert_int_equal(duel->status, HANDSHAKE_FAILED);
    assert_int_equal(duel->result.alert, ALERT_ILLEGAL_PARAMETER);
    duel_close(duel);
}

static void a_wrong_binder(void **state)
{
    (void)state;
    struct duel *duel = start();
    duel_run(duel);
    duel_echo(duel, 10);
    SSL_SESSION *session = SSL_get1_session(duel->ssl);
    SSL_set_shutdown(duel->ssl, SSL_SENT_SHUTDOWN);
    duel_close(duel);
    SSL_SESSION *copy = SSL_SESSION_dup(session); /* a failure spoils it for OpenSSL */
    duel = start();
    SSL_set_session(duel->ssl, copy);
    duel_client(duel);
    duel->to_server.bytes[duel->to_server.size - 1] ^= 1;
    end_failed(duel, ALERT_ILLEGAL_PARAMETER);
    SSL_SESSION_free(copy);

    /* And a ticket of ours, damaged: a full handshake. */
    duel = start();
    SSL_set_session(duel->ssl, session);
    duel_client(duel);
    size_t size = 0;
    uint8_t *psk = shape_find(&duel->to_server, 41, &size);
    psk[60] ^= 1;
    duel_server(duel);
    assert_int_equal(duel->status, HANDSHAKE_MORE);
    assert_true(duel->to_client.size > 500); /* with a certificate */
    duel_close(duel);
    SSL_SESSION_free(session);
}

static SSL_SESSION *session_taken(void)
{
    struct duel *duel = start();
    duel_run(duel);
    duel_echo(duel, 10);
    SSL_SESSION *session = SSL_get1_session(duel->ssl);
    SSL_set_shutdown(duel->ssl, SSL_SENT_SHUTDOWN);
    duel_close(duel);
    return session;
}

/* Without it, a stolen ticket key would open past connections. */
static void resumption_needs_a_key_exchange(void **state)
{
    (void)state;
    SSL_SESSION *session = session_taken();
    for (uint8_t mode = 0; mode < 2; mode++) { /* psk_ke, psk_dhe_ke */
        size_t size = 0;
        SSL_SESSION *copy = SSL_SESSION_dup(session);
        struct duel *duel = start();
        SSL_set_session(duel->ssl, copy);
        duel_client(duel);
        uint8_t *modes = shape_find(&duel->to_server, 45, &size);
        assert_int_equal(size, 2);
        modes[1] = mode;
        shape_bind(&duel->to_server, session);
        if (mode == 0) {
            end_failed(duel, ALERT_ILLEGAL_PARAMETER);
        } else {
            duel_run(duel);
            assert_true(duel->result.resumed);
            end_done(duel);
        }
        SSL_SESSION_free(copy);
    }
    SSL_SESSION_free(session);
}

static void large_foreign_tickets_are_ignored(void **state)
{
    (void)state;
    static uint8_t ticket[2000];
    memset(ticket, 0x5a, sizeof(ticket));
    /* Just a hello in 1.2, where the changed transcript does not show before Finished. */
    static const size_t sizes[] = {1, 100, 192, 256, 1000, 2000};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct duel *duel = start_1_2();
        duel_client(duel);
        shape_remove(&duel->to_server, 35);
        shape_add(&duel->to_server, 35, ticket, sizes[i]);
        duel_server(duel);
        assert_int_equal(duel->status, HANDSHAKE_MORE);
        assert_true(duel->to_client.size > 500);
        duel_close(duel);
    }
    assert_int_equal(handshake_heap(), 0);
}

/* --- split and large hellos (the gate joins them) --- */

static void a_split_hello_works(void **state)
{
    (void)state;
    static const size_t pieces[] = {1, 2, 3, 4, 5, 100};
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        struct duel *duel = start();
        duel_client(duel);
        shape_split(&duel->to_server, pieces[i]);
        duel_run(duel);
        end_done(duel);
        duel = start_1_2();
        duel_client(duel);
        shape_split(&duel->to_server, pieces[i]);
        duel_run(duel);
        end_done(duel);
    }
}

static void a_large_hello_works(void **state)
{
    (void)state;
    static uint8_t padding[HELLO_SIZE_MAX];
    struct duel *duel = start();
    duel_client(duel);
    const size_t size = load_be24(duel->to_server.bytes + 6) + 4;
    shape_add(&duel->to_server, 21, padding, HELLO_SIZE_MAX - size - 4);
    duel_server(duel); /* the transcripts differ, but it was answered */
    assert_int_equal(duel->status, HANDSHAKE_MORE);
    duel_close(duel);
    assert_int_equal(handshake_heap(), 0);
}

/* --- change_cipher_spec --- */

static const uint8_t change_cipher[] = {20, 3, 3, 0, 1, 1};

/* After the server's flight: the client's own is in the pipe, beginning with its
 * change_cipher_spec. */
static struct duel *at_second_flight(const char *groups)
{
    struct duel *duel = start();
    SSL_set_min_proto_version(duel->ssl, TLS1_3_VERSION);
    if (groups) {
        SSL_set1_groups_list(duel->ssl, groups);
    }
    duel_client(duel);
    duel_server(duel);
    assert_int_equal(duel->status, HANDSHAKE_MORE);
    duel_client(duel);
    assert_memory_equal(duel->to_server.bytes, change_cipher, sizeof(change_cipher));
    return duel;
}

static void some_change_ciphers_are_dropped(void **state)
{
    (void)state;
    static const char *const groups[] = {NULL, "X448:P-256"};
    for (int i = 0; i < 2; i++) {
        for (int count = 0; count <= CHANGE_CIPHER_MAX + 1; count++) {
            struct duel *duel = at_second_flight(groups[i]);
            shape_insert(&duel->to_server, 0, "", 0);
            duel->to_server.size -= sizeof(change_cipher);
            memmove(duel->to_server.bytes, duel->to_server.bytes + sizeof(change_cipher),
                    duel->to_server.size);
            for (int n = 0; n < count; n++) {
                shape_insert(&duel->to_server, 0, change_cipher, sizeof(change_cipher));
            }
            duel_run(duel);
            if (count <= CHANGE_CIPHER_MAX) {
                end_done(duel);
            } else {
                end_failed(duel, ALERT_UNEXPECTED_MESSAGE);
            }
        }
    }
}

static void other_change_ciphers_are_refused(void **state)
{
    (void)state;
    struct duel *duel = at_second_flight(NULL);
    duel->to_server.bytes[5] = 2;
    end_failed(duel, ALERT_UNEXPECTED_MESSAGE);
    duel = at_second_flight(NULL);
    shape_insert(&duel->to_server, 0, "\x14\x03\x03\x00\x02\x01\x01", 7);
    end_failed(duel, ALERT_UNEXPECTED_MESSAGE);
    duel = at_second_flight(NULL);
    shape_insert(&duel->to_server, 0, "\x14\x03\x03\x00\x00", 5);
    end_failed(duel, ALERT_UNEXPECTED_MESSAGE);
    /* Too early in 1.2: before the client's key exchange. */
    duel = start_1_2();
    duel_client(duel);
    duel_server(duel);
    duel_client(duel);
    shape_insert(&duel->to_server, 0, change_cipher, sizeof(change_cipher));
    end_failed(duel, ALERT_UNEXPECTED_MESSAGE);
}

/* --- records that are wrong --- */

struct record_case {
    const char *bytes;
    size_t size;
    uint8_t alert;
};

static void wrong_records_are_refused(void **state)
{
    (void)state;
    static const struct record_case cases[] = {
        {"\x63\x03\x03\x00\x01\x00", 6, ALERT_UNEXPECTED_MESSAGE}, /* no such type */
        {"\x13\x03\x03\x00\x01\x00", 6, ALERT_UNEXPECTED_MESSAGE},
        {"\x18\x03\x03\x00\x01\x00", 6, ALERT_UNEXPECTED_MESSAGE},
        {"\x16\x03\x03\x00\x00", 5, ALERT_UNEXPECTED_MESSAGE}, /* empty handshake */
        {"\x16\x03\x03\x40\x01", 5, ALERT_RECORD_OVERFLOW},    /* 16,385 */
        {"\x17\x03\x03\x41\x01", 5, ALERT_RECORD_OVERFLOW},    /* 16,641 */
        {"\x17\x03\x03\x00\x14sealed with no key..", 25, ALERT_BAD_RECORD_MAC},
        {"\x16\x03\x03\x00\x04\x14\x00\x00\x00", 9, ALERT_UNEXPECTED_MESSAGE}, /* in clear */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct duel *duel = at_second_flight(NULL);
        shape_insert(&duel->to_server, 0, cases[i].bytes, cases[i].size);
        end_failed(duel, cases[i].alert);
    }
}

static void a_client_alert_is_only_noted(void **state)
{
    (void)state;
    struct duel *duel = at_second_flight(NULL);
    duel->to_server.size = sizeof(change_cipher);
    shape_seal(&duel->to_server, 0, 21, "\x02\x30", 2); /* unknown_ca */
    const size_t size_before = duel->to_client.size;
    duel_server(duel);
    assert_int_equal(duel->status, HANDSHAKE_FAILED);
    assert_true(duel->result.alert_received);
    assert_int_equal(duel->result.alert, 48);
    assert_int_equal(duel->to_client.size, size_before);
    duel_close(duel);
}

/* --- messages that are wrong, well sealed --- */

static struct duel *at_finished(uint8_t finished[256], size_t *size)
{
    struct duel *duel = at_second_flight(NULL);
    duel->to_server.size -= sizeof(change_cipher);
    memmove(duel->to_server.bytes, duel->to_server.bytes + sizeof(change_cipher),
            duel->to_server.size);
    *size = shape_open(&duel->to_server, finished);
    assert_int_equal(*size, 36);
    assert_int_equal(finished[0], 20);
    duel->to_server.size = 0;
    return duel;
}

static void wrong_messages_are_refused(void **state)
{
    (void)state;
    uint8_t finished[256];
    size_t size = 0;

    struct duel *duel = at_finished(finished, &size);
    finished[35] ^= 1;
    shape_seal(&duel->to_server, 0, 22, finished, size);
    end_failed(duel, ALERT_DECRYPT_ERROR);

    duel = at_finished(finished, &size);
    shape_seal(&duel->to_server, 0, 22, "\x05\x00\x00\x00", 4); /* EndOfEarlyData */
    end_failed(duel, ALERT_UNEXPECTED_MESSAGE);

    duel = at_finished(finished, &size);
    shape_seal(&duel->to_server, 0, 22, "\x18\x00\x00\x01\x00", 5); /* KeyUpdate */
    end_failed(duel, ALERT_UNEXPECTED_MESSAGE);

    duel = at_finished(finished, &size);
    shape_seal(&duel->to_server, 0, 23, "data", 4); /* before Finished */
    end_failed(duel, ALERT_UNEXPECTED_MESSAGE);

    duel = at_finished(finished, &size);
    /* A sealed change_cipher_spec: RFC 8446, section 5 wants 10, 5.7.2 says 47. */
    shape_seal(&duel->to_server, 0, 20, "\x01", 1);
    duel_server(duel);
    assert_int_equal(duel->status, HANDSHAKE_FAILED);
    end_failed(duel, duel->result.alert == ALERT_ILLEGAL_PARAMETER ? ALERT_ILLEGAL_PARAMETER
                                                                   : ALERT_UNEXPECTED_MESSAGE);
}

static void nothing_may_share_a_record_with_finished(void **state)
{
    (void)state;
    uint8_t finished[256];
    size_t size = 0;
    struct duel *duel = at_finished(finished, &size);
    static const uint8_t update[] = {24, 0, 0, 1, 0};
    memcpy(finished + size, update, sizeof(update));
    shape_seal(&duel->to_server, 0, 22, finished, size + 5);
    duel_server(duel);
    assert_int_equal(duel->status, HANDSHAKE_FAILED);
    assert_int_equal(duel->result.alert, ALERT_UNEXPECTED_MESSAGE);
    duel_close(duel);
}

static void a_finished_in_two_records_works(void **state)
{
    (void)state;
    uint8_t finished[256];
    size_t size = 0;
    struct duel *duel = at_finished(finished, &size);
    shape_seal(&duel->to_server, 0, 22, finished, 10);
    shape_seal(&duel->to_server, 1, 22, finished + 10, size - 10);
    duel_server(duel);
    assert_int_equal(duel->status, HANDSHAKE_DONE);
    duel_close(duel);
}

static void a_damaged_finished_of_1_2(void **state)
{
    (void)state;
    struct duel *duel = start_1_2();
    duel_client(duel);
    duel_server(duel);
    duel_client(duel);
    duel->to_server.bytes[duel->to_server.size - 1] ^= 1;
    end_failed(duel, ALERT_BAD_RECORD_MAC);
}

/* --- the second hello --- */

static struct duel *at_second_hello(void)
{
    struct duel *duel = at_second_flight("X448:P-256");
    duel->to_server.size -= sizeof(change_cipher);
    memmove(duel->to_server.bytes, duel->to_server.bytes + sizeof(change_cipher),
            duel->to_server.size);
    return duel;
}

static void a_second_hello_may_be_split(void **state)
{
    (void)state;
    static const size_t pieces[] = {1, 3, 4, 5, 64};
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        for (size_t fed = 0; fed < 2; fed++) {
            struct duel *duel = at_second_hello();
            shape_split(&duel->to_server, pieces[i]);
            duel->piece_size = fed;
            duel_run(duel);
            end_done(duel);
        }
    }
}

static void a_second_hello_keeps_to_what_was_asked(void **state)
{
    (void)state;
    size_t size = 0;
    struct duel *duel = at_second_hello();
    uint8_t *share = shape_find(&duel->to_server, 51, &size);
    assert_int_equal(share[3], 23);
    share[3] = 24; /* another group */
    end_failed_in_clear(duel, ALERT_ILLEGAL_PARAMETER);

    duel = at_second_hello();
    shape_remove(&duel->to_server, 51);
    end_failed_in_clear(duel, ALERT_ILLEGAL_PARAMETER);

    /* A group that is as good, but was not asked for: 5.7.2 alone would go on. */
    duel = at_second_flight("X448:P-256:X25519");
    duel->to_server.size -= sizeof(change_cipher);
    memmove(duel->to_server.bytes, duel->to_server.bytes + sizeof(change_cipher),
            duel->to_server.size);
    share = shape_find(&duel->to_server, 51, &size);
    assert_int_equal(share[3], 29);
    uint8_t other[6 + 65] = {0, 69, 0, 23, 0, 65};
    EVP_PKEY *key = EVP_EC_gen("P-256");
    uint8_t *point = NULL;
    assert_int_equal(EVP_PKEY_get1_encoded_public_key(key, &point), 65);
    memcpy(other + 6, point, 65);
    OPENSSL_free(point);
    EVP_PKEY_free(key);
    shape_remove(&duel->to_server, 51);
    shape_add(&duel->to_server, 51, other, sizeof(other));
    end_failed_in_clear(duel, ALERT_ILLEGAL_PARAMETER);

    duel = at_second_hello(); /* two shares, the right one first */
    uint8_t shares[256];
    share = shape_find(&duel->to_server, 51, &size);
    memcpy(shares, share, size);
    static const uint8_t second_share[] = {0, 29, 0, 1, 0};
    memcpy(shares + size, second_share, sizeof(second_share));
    store_be16(shares, (uint16_t)(load_be16(shares) + 5));
    shape_remove(&duel->to_server, 51);
    shape_add(&duel->to_server, 51, shares, size + 5);
    end_failed_in_clear(duel, ALERT_ILLEGAL_PARAMETER);

    duel = at_second_hello(); /* no share again */
    shape_remove(&duel->to_server, 51);
    shape_add(&duel->to_server, 51, "\x00\x00", 2);
    end_failed_in_clear(duel, ALERT_ILLEGAL_PARAMETER);

    duel = at_second_hello(); /* not a hello */
    duel->to_server.bytes[5] = 2;
    end_failed_in_clear(duel, ALERT_UNEXPECTED_MESSAGE);

    duel = at_second_hello(); /* cut in the middle of its extensions */
    duel->to_server.bytes[8] = 60;
    store_be16(duel->to_server.bytes + 6, 0);
    store_be16(duel->to_server.bytes + 3, 64);
    duel->to_server.size = 69;
    end_failed_in_clear(duel, ALERT_DECODE_ERROR);
}

static void a_second_hello_is_bounded(void **state)
{
    (void)state;
    /* It announces more than the limit. */
    struct duel *duel = at_second_hello();
    store_be24(duel->to_server.bytes + 6, HELLO_SIZE_MAX - 3);
    end_failed_in_clear(duel, ALERT_DECODE_ERROR);
    /* Its record holds more than it announces. */
    duel = at_second_hello();
    store_be24(duel->to_server.bytes + 6, load_be24(duel->to_server.bytes + 6) - 1);
    end_failed_in_clear(duel, ALERT_UNEXPECTED_MESSAGE);
    /* Something else between its parts. */
    duel = at_second_hello();
    shape_split(&duel->to_server, 100);
    shape_insert(&duel->to_server, 105, change_cipher, sizeof(change_cipher));
    end_failed_in_clear(duel, ALERT_UNEXPECTED_MESSAGE);
    /* And in the middle of the first four bytes. */
    duel = at_second_hello();
    shape_split(&duel->to_server, 1);
    shape_insert(&duel->to_server, 12, change_cipher, sizeof(change_cipher));
    end_failed_in_clear(duel, ALERT_UNEXPECTED_MESSAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_in_common),
        cmocka_unit_test(no_common_group),
        cmocka_unit_test(tls_1_2_without_signature_algorithms_goes_on),
        cmocka_unit_test(a_bad_key_share),
        cmocka_unit_test(a_wrong_binder),
        cmocka_unit_test(resumption_needs_a_key_exchange),
        cmocka_unit_test(large_foreign_tickets_are_ignored),
        cmocka_unit_test(a_split_hello_works),
        cmocka_unit_test(a_large_hello_works),
        cmocka_unit_test(some_change_ciphers_are_dropped),
        cmocka_unit_test(other_change_ciphers_are_refused),
        cmocka_unit_test(wrong_records_are_refused),
        cmocka_unit_test(a_client_alert_is_only_noted),
        cmocka_unit_test(wrong_messages_are_refused),
        cmocka_unit_test(nothing_may_share_a_record_with_finished),
        cmocka_unit_test(a_finished_in_two_records_works),
        cmocka_unit_test(a_damaged_finished_of_1_2),
        cmocka_unit_test(a_second_hello_may_be_split),
        cmocka_unit_test(a_second_hello_keeps_to_what_was_asked),
        cmocka_unit_test(a_second_hello_is_bounded),
    };
    return cmocka_run_group_tests(tests, open_fixture, close_fixture);
}
