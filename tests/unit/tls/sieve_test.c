/*
 * Goal: every record that the library must not see is dropped, joined or refused with its alert,
 * each within its bound, and all others pass as they are.
 *
 * How early data is told from a real second flight needs a real handshake's keys:
 * early_data_test.c.
 */
#include "tls/sieve.h"

#include "tls/alert.h"
#include "tls/early.h"
#include "tls/heap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define HEAP_SIZE INT64_C(65536)

static struct sieve sieve;
static struct capture capture; /* no secret: nothing opens under it */
static uint8_t scratch[EARLY_SCRATCH_SIZE];
static uint8_t bytes[RECORD_HEADER_SIZE + 16384 + 256];
static struct slice record; /* what came out */
static uint8_t alert;

static const struct wire hello_out = {.is_tls_1_3 = true, .hello_sent = true, .suite = 0x1301};
static const struct wire retry_out = {
    .is_tls_1_3 = true, .retry_sent = true, .suite = 0x1301, .group = 0x001d};

static void start(bool has_early_data)
{
    const struct hello hello = {.offers_early_data = has_early_data};

    sieve_init(&sieve, &hello);
}

static void stop(void)
{
    sieve_clear(&sieve);
    assert_null(sieve.second);
    assert_int_equal(heap_used(), 0);
}

static enum sieve_verdict feed(const struct wire *wire, uint8_t type, const void *body, size_t size)
{
    const uint8_t header[] = {type, 3, 1, (uint8_t)(size >> 8), (uint8_t)size};

    memcpy(bytes, header, sizeof(header));
    memmove(bytes + sizeof(header), body, size);
    record = slice_from(bytes, sizeof(header) + size);
    alert = 0;
    return sieve_record(&sieve, wire, &capture, &record, scratch, &alert);
}

static void assert_passes(const struct wire *wire, uint8_t type, const void *body, size_t size)
{
    assert_int_equal(feed(wire, type, body, size), SIEVE_PASS);
    assert_ptr_equal(record.data, bytes);
    assert_int_equal(record.size, RECORD_HEADER_SIZE + size);
    assert_int_equal(alert, 0);
}

static void assert_refused(const struct wire *wire, uint8_t type, const void *body, size_t size,
                           uint8_t expected)
{
    assert_int_equal(feed(wire, type, body, size), SIEVE_REFUSE);
    assert_int_equal(alert, expected);
}

/* --- change_cipher_spec ----------------------------------------------------------------------- */

static void in_1_2_everything_passes(void **state)
{
    const struct wire wire = {.hello_sent = true, .suite = 0xc02b};

    (void)state;
    start(true);
    for (uint32_t i = 0; i < 2 * CHANGE_CIPHER_MAX; i++) {
        assert_passes(&wire, RECORD_CHANGE_CIPHER, "\1", 1);
    }
    assert_passes(&wire, RECORD_CHANGE_CIPHER, "\2", 1); /* the library's to judge */
    assert_passes(&wire, RECORD_HANDSHAKE, "\1\0\0\0", 4);
    assert_passes(&wire, RECORD_DATA, "x", 1);
    stop();
}

static void change_cipher_is_dropped_within_bounds(void **state)
{
    (void)state;
    start(false);
    for (uint32_t i = 0; i < CHANGE_CIPHER_MAX; i++) {
        assert_int_equal(feed(&hello_out, RECORD_CHANGE_CIPHER, "\1", 1), SIEVE_DROP);
    }
    assert_passes(&hello_out, RECORD_DATA, "x", 1);
    assert_refused(&hello_out, RECORD_CHANGE_CIPHER, "\1", 1, ALERT_UNEXPECTED_MESSAGE);

    start(false);
    assert_refused(&hello_out, RECORD_CHANGE_CIPHER, "", 0, ALERT_UNEXPECTED_MESSAGE);
    assert_refused(&hello_out, RECORD_CHANGE_CIPHER, "\0", 1, ALERT_UNEXPECTED_MESSAGE);
    assert_refused(&hello_out, RECORD_CHANGE_CIPHER, "\2", 1, ALERT_UNEXPECTED_MESSAGE);
    assert_refused(&hello_out, RECORD_CHANGE_CIPHER, "\1\1", 2, ALERT_UNEXPECTED_MESSAGE);
    assert_int_equal(feed(&retry_out, RECORD_CHANGE_CIPHER, "\1", 1), SIEVE_DROP);
    stop();
}

/* --- early data ------------------------------------------------------------------------------- */

static void early_data_is_skipped_within_bounds(void **state)
{
    static const uint8_t body[16384];
    const size_t whole = RECORD_HEADER_SIZE + sizeof(body);
    const size_t last = EARLY_DATA_SIZE_MAX % whole;

    (void)state;
    start(true);
    for (uint32_t i = 0; i < EARLY_DATA_SIZE_MAX / whole; i++) {
        assert_int_equal(feed(&hello_out, RECORD_DATA, body, sizeof(body)), SIEVE_DROP);
    }
    /* One byte more than may be left goes to the library, which refuses it; to the byte it may. */
    assert_passes(&hello_out, RECORD_DATA, body, last - RECORD_HEADER_SIZE + 1);
    assert_int_equal(feed(&hello_out, RECORD_DATA, body, last - RECORD_HEADER_SIZE), SIEVE_DROP);
    assert_passes(&hello_out, RECORD_DATA, body, 0);

    /* Behind a retry too; other types never; and nothing where none was offered. */
    start(true);
    assert_int_equal(feed(&retry_out, RECORD_DATA, body, 100), SIEVE_DROP);
    assert_passes(&hello_out, RECORD_HANDSHAKE, body, 100);
    assert_passes(&hello_out, RECORD_ALERT, body, 2);
    start(false);
    assert_passes(&hello_out, RECORD_DATA, body, 100);
    stop();
}

/* --- the second hello ------------------------------------------------------------------------- */

/* Of the smallest one. */
#define SECOND_SIZE_MIN (4 + 2 + 32 + 7 + 2 + 11)

/* A second hello whose message is size bytes in all: what is too much is padding (21). */
static size_t second_hello(uint8_t *out, size_t size, uint8_t group)
{
    static const uint8_t fields[] = {0, 0, 2, 0x13, 1, 1, 0}; /* session id, suites, compressions */
    static const uint8_t share[] = {0, 51, 0, 7, 0, 5, 0, 0, 0, 1, 0x77};
    const size_t extensions_size = size - (4 + 2 + 32 + sizeof(fields) + 2);

    memset(out, 0, size);
    out[0] = 1;
    store_be24(out + 1, (uint32_t)(size - 4));
    store_be16(out + 4, 0x0303);
    uint8_t *at = out + 38;
    memcpy(at, fields, sizeof(fields));
    at += sizeof(fields);
    store_be16(at, (uint16_t)extensions_size);
    at += 2;
    memcpy(at, share, sizeof(share));
    at[7] = group;
    if (extensions_size > sizeof(share)) {
        assert_true(extensions_size >= sizeof(share) + 4);
        store_be16(at + sizeof(share), 21);
        store_be16(at + sizeof(share) + 2, (uint16_t)(extensions_size - sizeof(share) - 4));
    }
    return size;
}

static void check_joined(const uint8_t *message, size_t size, size_t piece_size)
{
    start(false);
    for (size_t at = 0; at < size; at += piece_size) {
        const size_t piece = size - at < piece_size ? size - at : piece_size;
        const enum sieve_verdict verdict = feed(&retry_out, RECORD_HANDSHAKE, message + at, piece);
        assert_int_equal(verdict, at + piece == size ? SIEVE_PASS : SIEVE_DROP);
    }
    const uint8_t header[] = {22, 3, 3, (uint8_t)(size >> 8), (uint8_t)size};
    assert_int_equal(record.size, RECORD_HEADER_SIZE + size);
    assert_memory_equal(record.data, header, sizeof(header));
    assert_memory_equal(record.data + sizeof(header), message, size);
    /* From here on records pass, the same one too: it is the library's to refuse. */
    assert_passes(&retry_out, RECORD_HANDSHAKE, message, 4);
    stop();
}

static void a_second_hello_is_joined(void **state)
{
    static uint8_t message[HELLO_SIZE_MAX];
    size_t size = second_hello(message, SECOND_SIZE_MIN, 0x1d);

    (void)state;
    for (size_t piece_size = 1; piece_size <= size; piece_size++) {
        check_joined(message, size, piece_size);
    }
    size = second_hello(message, HELLO_SIZE_MAX, 0x1d);
    check_joined(message, size, size);
    check_joined(message, size, 16000);
    check_joined(message, size, 3); /* the size comes with the second piece */
}

static void a_wrong_second_hello_is_refused(void **state)
{
    static uint8_t message[HELLO_SIZE_MAX + 16];
    const size_t size = second_hello(message, SECOND_SIZE_MIN, 0x1d);

    (void)state;
    /* A byte behind it, in its record or in one of its own. */
    start(false);
    assert_refused(&retry_out, RECORD_HANDSHAKE, message, size + 1, ALERT_UNEXPECTED_MESSAGE);
    stop();
    start(false);
    assert_int_equal(feed(&retry_out, RECORD_HANDSHAKE, message, 2), SIEVE_DROP);
    assert_refused(&retry_out, RECORD_HANDSHAKE, message + 2, size - 1, ALERT_UNEXPECTED_MESSAGE);
    stop();

    /* Something else in the middle of it, even what is dropped elsewhere. */
    static const uint8_t types[] = {RECORD_CHANGE_CIPHER, RECORD_ALERT, RECORD_DATA};
    for (size_t i = 0; i < sizeof(types); i++) {
        start(true);
        assert_int_equal(feed(&retry_out, RECORD_HANDSHAKE, message, 10), SIEVE_DROP);
        assert_refused(&retry_out, types[i], "\1", 1, ALERT_UNEXPECTED_MESSAGE);
        stop();
    }

    /* Another message, told by its first byte. */
    start(false);
    assert_refused(&retry_out, RECORD_HANDSHAKE, "\24", 1, ALERT_UNEXPECTED_MESSAGE);
    stop();

    /* Another group than the one that was asked for. */
    second_hello(message, SECOND_SIZE_MIN, 0x17);
    start(false);
    assert_refused(&retry_out, RECORD_HANDSHAKE, message, size, ALERT_ILLEGAL_PARAMETER);
    stop();

    /* A byte too large: known from its size, or, when that comes late, from what has come. */
    memset(message, 0, sizeof(message));
    message[0] = 1;
    store_be24(message + 1, HELLO_SIZE_MAX - 4 + 1);
    start(false);
    assert_refused(&retry_out, RECORD_HANDSHAKE, message, 4, ALERT_DECODE_ERROR);
    stop();
    start(false);
    assert_int_equal(feed(&retry_out, RECORD_HANDSHAKE, message, 3), SIEVE_DROP);
    assert_refused(&retry_out, RECORD_HANDSHAKE, message, HELLO_SIZE_MAX - 2, ALERT_DECODE_ERROR);
    stop();
}

static void without_memory_it_ends(void **state)
{
    uint8_t message[SECOND_SIZE_MIN];
    const size_t size = second_hello(message, SECOND_SIZE_MIN, 0x1d);

    (void)state;
    heap_allow(-HEAP_SIZE);
    start(false);
    assert_refused(&retry_out, RECORD_HANDSHAKE, message, size, ALERT_INTERNAL_ERROR);
    stop();
    heap_allow(HEAP_SIZE);
}

static int allow_heap(void **state)
{
    (void)state;
    heap_allow(HEAP_SIZE);
    return 0;
}

static int forbid_heap(void **state)
{
    (void)state;
    heap_allow(-HEAP_SIZE);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_1_2_everything_passes),
        cmocka_unit_test(change_cipher_is_dropped_within_bounds),
        cmocka_unit_test(early_data_is_skipped_within_bounds),
        cmocka_unit_test(a_second_hello_is_joined),
        cmocka_unit_test(a_wrong_second_hello_is_refused),
        cmocka_unit_test(without_memory_it_ends),
    };
    return cmocka_run_group_tests(tests, allow_heap, forbid_heap);
}
