/*
 * Goal: alerts and handshake messages after the handshake: what either end may send is followed,
 * split as it may be, and everything else, and too much of anything, meets its alert.
 */
#include "tls/record.h"

#include "tests/unit/tls/pair.h"

/* --- floods --- */

static void flood(struct pair *pair, uint8_t type, const void *data, size_t size)
{
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 32; i++) {
            assert_int_equal(pair_receive(pair, type, data, size), TLS_DATA);
            assert_int_equal(pair->record.data.size, 0);
        }
        if (round == 0) {
            assert_alive(pair); /* data forgives */
        }
    }
    assert_refused(pair, pair_receive(pair, type, data, size), ALERT_UNEXPECTED_MESSAGE);
}

static void flood_empty(struct pair *pair)
{
    flood(pair, DATA, NULL, 0);
}

static void flood_canceled(struct pair *pair)
{
    const uint8_t canceled[] = {1, ALERT_USER_CANCELED};

    flood(pair, ALERT, canceled, sizeof(canceled));
}

static void test_noise(void **unused)
{
    struct pair pair;
    const uint8_t ticket[] = {4, 0, 0, 2, 7, 7};

    (void)unused;
    for_each_suite(flood_empty);
    for_each_suite(flood_canceled);
    pair_init_client(&pair, TLS_1_3);
    flood(&pair, HANDSHAKE, ticket, sizeof(ticket));
}

/* --- alerts --- */

static void receive_close(struct pair *pair)
{
    uint8_t type;
    struct slice data;

    assert_int_equal(pair_receive(pair, ALERT, close_notify, 2), TLS_CLOSED);
    assert_int_equal(pair->record.alert, ALERT_CLOSE_NOTIFY);
    /* What follows is not even looked at, but our half is still open. */
    assert_int_equal(pair_receive(pair, DATA, "x", 1), TLS_CLOSED);
    assert_int_equal(pair->record.consumed, 0);
    pair->wire[0] = 99;
    assert_int_equal(tls_open(&pair->ours.state, pair->wire, 5, &pair->record), TLS_CLOSED);
    seal_size(pair, 10);
    size_t size = tls_seal_alert(&pair->ours.state, ALERT_CLOSE_NOTIFY, pair->wire);
    assert_true(peer_open(&pair->peer, pair->wire, size, &type, &data));
    assert_int_equal(type, ALERT);
    assert_int_equal(data.size, 2);
    assert_memory_equal(data.data, close_notify, 2);
    assert_int_equal(tls_seal_alert(&pair->ours.state, ALERT_CLOSE_NOTIFY, pair->wire), 0);
    assert_int_equal(tls_seal(&pair->ours.state, pair->wire, 1), 0);
    assert_int_equal(tls_seal_update(&pair->ours.state, pair->wire), 0);
}

static void send_close(struct pair *pair)
{
    assert_true(tls_seal_alert(&pair->ours.state, ALERT_CLOSE_NOTIFY, pair->wire) > 0);
    /* The peer may still speak, but a wish of it can no longer be met. */
    assert_int_equal(pair_receive(pair, DATA, "x", 1), TLS_DATA);
    assert_int_equal(pair->record.data.size, 1);
    if (pair->peer.version == TLS_1_3) {
        assert_int_equal(pair_receive(pair, HANDSHAKE, update_wanted, 5), TLS_DATA);
        peer_turn(pair->peer.suite, &pair->peer.send);
    } else {
        assert_int_equal(pair_receive(pair, HANDSHAKE, "\1\0\0\0", 4), TLS_DATA);
    }
    assert_false(tls_update_due(&pair->ours.state));
    assert_int_equal(pair_receive(pair, ALERT, close_notify, 2), TLS_CLOSED);
}

static void receive_fatal(struct pair *pair)
{
    const uint8_t fatal[] = {2, ALERT_BAD_CERTIFICATE};

    assert_int_equal(pair_receive(pair, ALERT, fatal, sizeof(fatal)), TLS_CLOSED);
    assert_int_equal(pair->record.alert, ALERT_BAD_CERTIFICATE);
    assert_int_equal(pair_receive(pair, DATA, "x", 1), TLS_CLOSED);
    assert_int_equal(tls_seal(&pair->ours.state, pair->wire, 1), 0);
    assert_int_equal(tls_seal_update(&pair->ours.state, pair->wire), 0);
    assert_int_equal(tls_seal_alert(&pair->ours.state, ALERT_CLOSE_NOTIFY, pair->wire), 0);
}

static void send_fatal(struct pair *pair)
{
    assert_true(tls_seal_alert(&pair->ours.state, ALERT_INTERNAL_ERROR, pair->wire) > 0);
    assert_int_equal(pair_receive(pair, DATA, "x", 1), TLS_ERROR);
    assert_int_equal(tls_seal(&pair->ours.state, pair->wire, 1), 0);
}

static void receive_odd_alerts(struct pair *pair)
{
    struct pair start = *pair;
    const uint8_t warning[] = {1, ALERT_BAD_CERTIFICATE};
    const uint8_t no_level[] = {3, ALERT_BAD_CERTIFICATE};

    assert_refused(pair, pair_receive(pair, ALERT, warning, 1), ALERT_DECODE_ERROR);
    *pair = start;
    assert_refused(pair, pair_receive(pair, ALERT, "\1\132\1", 3), ALERT_DECODE_ERROR);
    *pair = start;
    if (pair->peer.version == TLS_1_2) {
        assert_int_equal(pair_receive(pair, ALERT, warning, 2), TLS_DATA);
        assert_alive(pair);
        assert_refused(pair, pair_receive(pair, ALERT, no_level, 2), ALERT_ILLEGAL_PARAMETER);
    } else {
        /* 1.3: an error is an error, whatever its level says. */
        assert_int_equal(pair_receive(pair, ALERT, warning, 2), TLS_CLOSED);
        assert_int_equal(pair->record.alert, ALERT_BAD_CERTIFICATE);
        *pair = start;
        assert_int_equal(pair_receive(pair, ALERT, no_level, 2), TLS_CLOSED);
    }
}

static void test_alerts(void **unused)
{
    (void)unused;
    for_each_suite(receive_close);
    for_each_suite(send_close);
    for_each_suite(receive_fatal);
    for_each_suite(send_fatal);
    for_each_suite(receive_odd_alerts);
}

/* --- handshake messages --- */

static void receive_message_type(enum tls_version version, bool client, uint8_t type)
{
    /* 0, 1, 4 and 24: HelloRequest, ClientHello, NewSessionTicket, KeyUpdate. */
    bool expected =
        version == TLS_1_3 ? type == 24 || (type == 4 && client) : type == (client ? 0 : 1);
    struct tls_keys keys = peer_make_keys(version, TLS_AES_128_GCM);
    struct pair pair;

    keys.client = client;
    pair_init_keys(&pair, &keys);
    enum tls_status status = pair_receive(&pair, HANDSHAKE, &type, 1);
    if (expected) {
        assert_int_equal(status, TLS_DATA);
    } else {
        assert_refused(&pair, status, ALERT_UNEXPECTED_MESSAGE);
    }
}

static void test_message_types(void **unused)
{
    (void)unused;
    for (unsigned type = 0; type < 256; type++) {
        for (enum tls_version version = TLS_1_2; version <= TLS_1_3; version++) {
            receive_message_type(version, false, (uint8_t)type);
            receive_message_type(version, true, (uint8_t)type);
        }
    }
}

static void test_update_split(void **unused)
{
    struct pair pair;

    (void)unused;
    for (size_t cut = 1; cut < 5; cut++) {
        pair_init(&pair, TLS_1_3, TLS_AES_256_GCM);
        assert_int_equal(pair_receive(&pair, HANDSHAKE, update_wanted, cut), TLS_DATA);
        assert_false(tls_update_due(&pair.ours.state));
        assert_int_equal(pair_receive(&pair, HANDSHAKE, update_wanted + cut, 5 - cut), TLS_DATA);
        peer_turn(pair.peer.suite, &pair.peer.send);
        assert_true(tls_update_due(&pair.ours.state));
        send_update(&pair);
        assert_alive(&pair);
        /* Nothing may come between the parts but the end. */
        assert_int_equal(pair_receive(&pair, HANDSHAKE, update_plain, cut), TLS_DATA);
        struct pair between = pair;
        assert_refused(&pair, pair_receive(&pair, DATA, "x", 1), ALERT_UNEXPECTED_MESSAGE);
        assert_int_equal(pair_receive(&between, ALERT, close_notify, 2), TLS_CLOSED);
    }
    pair_init(&pair, TLS_1_3, TLS_AES_128_GCM);
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(pair_receive(&pair, HANDSHAKE, update_plain + i, 1), TLS_DATA);
    }
    peer_turn(pair.peer.suite, &pair.peer.send);
    assert_alive(&pair);
}

static void test_update_malformed(void **unused)
{
    static const struct {
        uint8_t message[10];
        size_t size;
        uint8_t alert;
    } cases[] = {
        {{24, 0, 0, 1, 2}, 5, ALERT_ILLEGAL_PARAMETER},
        {{24, 0, 0, 1, 255}, 5, ALERT_ILLEGAL_PARAMETER},
        {{24, 0, 0, 0}, 4, ALERT_DECODE_ERROR},
        {{24, 0, 0, 2, 0, 0}, 6, ALERT_DECODE_ERROR},
        {{24, 1, 0, 1, 0}, 5, ALERT_DECODE_ERROR},
        {{24, 0, 0, 1, 0, 24}, 6, ALERT_UNEXPECTED_MESSAGE}, /* not alone at the record's end */
        {{24, 0, 0, 1, 0, 24, 0, 0, 1, 0}, 10, ALERT_UNEXPECTED_MESSAGE},
    };

    (void)unused;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct pair pair;

        pair_init(&pair, TLS_1_3, TLS_AES_128_GCM);
        assert_refused(&pair, pair_receive(&pair, HANDSHAKE, cases[i].message, cases[i].size),
                       cases[i].alert);
    }
}

static void receive_updates(struct pair *pair, int count)
{
    for (int i = 0; i < count; i++) {
        assert_int_equal(pair_receive(pair, HANDSHAKE, update_wanted, 5), TLS_DATA);
        peer_turn(pair->peer.suite, &pair->peer.send);
    }
}

static void test_update_flood(void **unused)
{
    struct pair pair;

    (void)unused;
    pair_init(&pair, TLS_1_3, TLS_AES_128_GCM);
    receive_updates(&pair, 254);
    /* One answer is enough for all of them. */
    send_update(&pair);
    assert_alive(&pair);
    receive_updates(&pair, 254);
    assert_refused(&pair, pair_receive(&pair, HANDSHAKE, update_plain, 5),
                   ALERT_UNEXPECTED_MESSAGE);
}

static void test_tickets(void **unused)
{
    static const uint8_t big[] = {4, 1, 0, 0}; /* 65,536 bytes follow */
    static const uint8_t body[TLS_DATA_SIZE_MAX];
    static const uint8_t two[] = {4, 0, 0, 2, 1, 1, 4, 0, 0, 0, 4, 0, 0, 1, 1};
    static const uint8_t ticket_and_update[] = {4, 0, 0, 1, 9, 24, 0, 0, 1, 1};
    struct pair pair;

    (void)unused;
    pair_init_client(&pair, TLS_1_3);
    assert_int_equal(pair_receive(&pair, HANDSHAKE, two, sizeof(two)), TLS_DATA);
    assert_int_equal(pair.record.data.size, 0);
    assert_alive(&pair);
    assert_int_equal(pair_receive(&pair, HANDSHAKE, big, sizeof(big)), TLS_DATA);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pair_receive(&pair, HANDSHAKE, body, sizeof(body)), TLS_DATA);
    }
    assert_alive(&pair);
    assert_int_equal(pair_receive(&pair, HANDSHAKE, big, sizeof(big)), TLS_DATA);
    assert_int_equal(pair_receive(&pair, HANDSHAKE, body, sizeof(body)), TLS_DATA);
    struct pair between = pair;
    assert_refused(&between, pair_receive(&between, DATA, "x", 1), ALERT_UNEXPECTED_MESSAGE);

    pair_init_client(&pair, TLS_1_3);
    assert_int_equal(pair_receive(&pair, HANDSHAKE, ticket_and_update, sizeof(ticket_and_update)),
                     TLS_DATA);
    peer_turn(pair.peer.suite, &pair.peer.send);
    assert_true(tls_update_due(&pair.ours.state));
    send_update(&pair);
    assert_alive(&pair);
}

/* The warning that declines a renegotiation, as the peer must see it. */
static void send_decline(struct pair *pair)
{
    static const uint8_t decline[] = {1, ALERT_NO_RENEGOTIATION};
    uint8_t type;
    struct slice data;

    assert_true(tls_update_due(&pair->ours.state));
    size_t size = tls_seal_update(&pair->ours.state, pair->wire);
    assert_in_range(size, 1, TLS_OVERHEAD_MAX + 5);
    assert_true(peer_open(&pair->peer, pair->wire, size, &type, &data));
    assert_int_equal(type, ALERT);
    assert_int_equal(data.size, sizeof(decline));
    assert_memory_equal(data.data, decline, sizeof(decline));
    assert_false(tls_update_due(&pair->ours.state));
}

static void test_renegotiation(void **unused)
{
    static const uint8_t hello[300] = {1, 0, 1, 40}; /* 4 + 296 bytes */
    static const uint8_t hello_request[] = {0, 0, 0, 0};
    struct pair pair;

    (void)unused;
    for (enum tls_suite suite = TLS_AES_128_GCM; suite <= TLS_CHACHA20_POLY1305; suite++) {
        pair_init(&pair, TLS_1_2, suite);
        assert_int_equal(pair_receive(&pair, HANDSHAKE, hello, 2), TLS_DATA);
        assert_false(tls_update_due(&pair.ours.state));
        assert_int_equal(pair_receive(&pair, HANDSHAKE, hello + 2, 100), TLS_DATA);
        assert_int_equal(pair_receive(&pair, HANDSHAKE, hello + 102, 198), TLS_DATA);
        send_decline(&pair);
        assert_alive(&pair);
        assert_refused(&pair, pair_receive(&pair, HANDSHAKE, hello, 300), ALERT_HANDSHAKE_FAILURE);
    }
    pair_init_client(&pair, TLS_1_2);
    assert_int_equal(pair_receive(&pair, HANDSHAKE, hello_request, 4), TLS_DATA);
    send_decline(&pair);
    assert_alive(&pair);
    assert_refused(&pair, pair_receive(&pair, HANDSHAKE, hello_request, 4),
                   ALERT_HANDSHAKE_FAILURE);
    pair_init_client(&pair, TLS_1_2);
    assert_refused(&pair, pair_receive(&pair, HANDSHAKE, "\0\0\0\1", 4), ALERT_DECODE_ERROR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_noise),
        cmocka_unit_test(test_alerts),
        cmocka_unit_test(test_message_types),
        cmocka_unit_test(test_update_split),
        cmocka_unit_test(test_update_malformed),
        cmocka_unit_test(test_update_flood),
        cmocka_unit_test(test_tickets),
        cmocka_unit_test(test_renegotiation),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
