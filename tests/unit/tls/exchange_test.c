/*
 * Goal: records in, whole records out, keys at the end; a failure leaves exactly one alert, the
 * peer's or ours, and nothing after it; nothing stays in the heap.
 *
 * The alert of each failure is alert_test.c's; which keys are handed over, capture_test.c's.
 */
#include "bare.h"
#include "pki.h"
#include "tls/alert.h"
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

static struct bare bare;
static uint8_t flight[PIPE_ROOM];

static int open_fixture(void **state)
{
    (void)state;
    pki_open(&fixture.pki);
    const struct certificate_files files[] = {
        pki_simple(&fixture.pki, "localhost", PKI_ECDSA, "DNS:localhost"),
        pki_simple(&fixture.pki, "rsa", PKI_RSA_4096, "DNS:rsa"),
    };
    const struct context_options options = {.tls_1_2 = true};
    fixture.set = certificate_set_open(files, 2, fixture.message, sizeof(fixture.message));
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

static void start(uint32_t context)
{
    bare_open(&bare, fixture.contexts.list[context], duel_client_new(fixture.client, NULL));
}

static void stop(void)
{
    bare_close(&bare);
    assert_int_equal(heap_used(), 0);
}

/* The types of the output's records, which must be whole; terminated. */
static void read_types(uint8_t *types, size_t room)
{
    size_t count = 0;
    for (size_t at = 0; at < bare.exchange.output_size;) {
        uint8_t alert = 0;
        const struct slice rest =
            slice_from(bare.exchange.output + at, bare.exchange.output_size - at);
        const size_t size = wire_frame(rest, &alert);
        assert_true(size > 0);
        assert_true(count + 1 < room);
        types[count] = rest.data[0];
        count++;
        at += size;
    }
    types[count] = 0;
}

/* --- what goes out ---------------------------------------------------------------------------- */

static void whole_records_go_out(void **state)
{
    uint8_t types[32];

    (void)state;
    start(1); /* a certificate of RSA-4096: more than the output begins with */
    assert_int_equal(bare.exchange.output_size, 0);
    bare_feed(&bare, flight, bare_client(&bare, flight));
    assert_int_equal(bare.status, EXCHANGE_MORE);
    assert_true(bare.exchange.output_size > 1024);
    assert_true(bare.exchange.output_size <= bare.exchange.output_room);
    read_types(types, sizeof(types));
    /* ServerHello, change_cipher_spec for middleboxes, and then nothing in clear. */
    assert_int_equal(types[0], RECORD_HANDSHAKE);
    assert_int_equal(types[1], RECORD_CHANGE_CIPHER);
    assert_int_equal(types[2], RECORD_DATA);
    for (size_t i = 3; types[i]; i++) {
        assert_int_equal(types[i], RECORD_DATA);
    }
    bare_answer(&bare);
    bare_run(&bare);
    assert_int_equal(bare.status, EXCHANGE_DONE);
    assert_true(SSL_is_init_finished(bare.ssl));
    assert_int_equal(bare.keys.version, TLS_1_3);
    stop();

    /* A client that has no session id wants none of it. */
    start(0);
    SSL_clear_options(bare.ssl, SSL_OP_ENABLE_MIDDLEBOX_COMPAT);
    bare_feed(&bare, flight, bare_client(&bare, flight));
    read_types(types, sizeof(types));
    assert_int_equal(types[0], RECORD_HANDSHAKE);
    assert_int_equal(types[1], RECORD_DATA);
    stop();
}

static void sent_output_is_forgotten(void **state)
{
    (void)state;
    start(0);
    const size_t before = heap_used();
    bare_feed(&bare, flight, bare_client(&bare, flight));
    const size_t with_output = heap_used();
    const size_t room = bare.exchange.output_room;
    assert_true(with_output > before);
    exchange_clear_output(&bare.exchange);
    assert_int_equal(heap_used(), with_output - room);
    assert_null(bare.exchange.output);
    assert_int_equal(bare.exchange.output_size, 0);
    assert_int_equal(bare.exchange.output_room, 0);
    exchange_clear_output(&bare.exchange); /* nothing to forget */
    assert_int_equal(heap_used(), with_output - room);
    stop();
}

/* --- how it ends ------------------------------------------------------------------------------ */

static void the_peers_alert_is_told_and_not_answered(void **state)
{
    static const uint8_t alert[] = {21, 3, 3, 0, 2, 2, ALERT_CERTIFICATE_UNKNOWN};

    (void)state;
    start(0);
    SSL_set_max_proto_version(bare.ssl, TLS1_2_VERSION); /* where it is legal in clear */
    bare_feed(&bare, flight, bare_client(&bare, flight));
    exchange_clear_output(&bare.exchange);
    bare_feed(&bare, alert, sizeof(alert));
    assert_int_equal(bare.status, EXCHANGE_FAILED);
    assert_true(bare.failure.alert_received);
    assert_int_equal(bare.failure.alert, ALERT_CERTIFICATE_UNKNOWN);
    assert_int_equal(bare.exchange.output_size, 0);
    stop();
}

static void assert_one_alert_in_clear(uint8_t description)
{
    const uint8_t expected[] = {2, description};

    assert_int_equal(bare.exchange.output_size, 7);
    assert_int_equal(bare.exchange.output[0], RECORD_ALERT);
    assert_int_equal(load_be16(bare.exchange.output + 3), 2);
    assert_memory_equal(bare.exchange.output + 5, expected, 2);
}

static void a_failure_leaves_one_alert(void **state)
{
    static const uint8_t finished[] = {22, 3, 3, 0, 4, 20, 0, 0, 0};

    (void)state;
    start(0);
    bare_feed(&bare, finished, sizeof(finished));
    assert_int_equal(bare.status, EXCHANGE_FAILED);
    assert_false(bare.failure.alert_received);
    assert_int_equal(bare.failure.alert, ALERT_UNEXPECTED_MESSAGE);
    assert_int_not_equal(bare.failure.error, 0);
    assert_one_alert_in_clear(ALERT_UNEXPECTED_MESSAGE);
    /* Refused once more, with another: the first stays the only one. */
    exchange_refuse(&bare.exchange, ALERT_DECODE_ERROR, &bare.failure);
    assert_int_equal(bare.failure.alert, ALERT_UNEXPECTED_MESSAGE);
    assert_one_alert_in_clear(ALERT_UNEXPECTED_MESSAGE);
    stop();
}

static void a_refusal_is_an_alert_of_ours(void **state)
{
    static const uint8_t alerts[] = {ALERT_UNEXPECTED_MESSAGE, ALERT_DECODE_ERROR,
                                     ALERT_ILLEGAL_PARAMETER, ALERT_INTERNAL_ERROR};

    (void)state;
    for (size_t i = 0; i < sizeof(alerts); i++) {
        start(0);
        exchange_refuse(&bare.exchange, alerts[i], &bare.failure);
        assert_int_equal(bare.failure.alert, alerts[i]);
        assert_int_equal(bare.failure.error, 0);
        assert_false(bare.failure.alert_received);
        assert_one_alert_in_clear(alerts[i]);
        stop();
    }

    /* Behind the ServerHello it is sealed, and the client reads it. */
    start(0);
    bare_feed(&bare, flight, bare_client(&bare, flight));
    bare_answer(&bare);
    exchange_refuse(&bare.exchange, ALERT_ILLEGAL_PARAMETER, &bare.failure);
    uint8_t types[4];
    read_types(types, sizeof(types));
    assert_int_equal(types[0], RECORD_DATA);
    assert_int_equal(types[1], 0);
    stop();
}

/* A Finished and more in one flight: what follows is for the record layer's keys, not the
 * library's. */
static void nothing_is_read_ahead(void **state)
{
    (void)state;
    start(0);
    bare_feed(&bare, flight, bare_client(&bare, flight));
    bare_answer(&bare);
    (void)SSL_do_handshake(bare.ssl);
    assert_int_equal(SSL_write(bare.ssl, "early", 5), 5);
    const size_t size = bare_client(&bare, flight);
    bare_feed(&bare, flight, size); /* stops at the end of the handshake */
    assert_int_equal(bare.status, EXCHANGE_DONE);
    assert_int_equal(bare.exchange.input.size, 0);
    assert_int_equal(bare.keys.receive_sequence, 0);
    stop();
}

static void without_memory_there_is_no_exchange(void **state)
{
    struct exchange exchange;
    const int64_t most = HEAP_SIZE - 64;

    (void)state;
    heap_allow(-most);
    assert_false(exchange_open(&exchange, fixture.contexts.list[0]));
    exchange_close(&exchange);
    assert_int_equal(heap_used(), 0);
    heap_allow(most);
    assert_true(exchange_open(&exchange, fixture.contexts.list[0]));
    exchange_close(&exchange);
    assert_int_equal(heap_used(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_records_go_out),
        cmocka_unit_test(sent_output_is_forgotten),
        cmocka_unit_test(the_peers_alert_is_told_and_not_answered),
        cmocka_unit_test(a_failure_leaves_one_alert),
        cmocka_unit_test(a_refusal_is_an_alert_of_ours),
        cmocka_unit_test(nothing_is_read_ahead),
        cmocka_unit_test(without_memory_there_is_no_exchange),
    };
    return cmocka_run_group_tests(tests, open_fixture, close_fixture);
}
