/*
 * Goal: a header that no handshake can have is refused as soon as it is whole; of our own records
 * the version, suite, group and nonce are read right; a second hello that does not do what was
 * asked is refused.
 */
#include "tls/wire.h"

#include "tls/alert.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

/* --- headers ---------------------------------------------------------------------------------- */

static uint8_t input[5 + 16384 + 256];

/* The verdict on a header alone, then with its body in three sizes. */
static void check_frame(uint8_t type, size_t body_size, uint8_t alert_expected)
{
    const uint8_t header[5] = {type, 3, 3, (uint8_t)(body_size >> 8), (uint8_t)body_size};
    const size_t whole = sizeof(header) + body_size;
    uint8_t alert = 99;

    memcpy(input, header, sizeof(header));
    for (size_t size = 0; size < sizeof(header); size++) {
        assert_int_equal(wire_frame(slice_from(input, size), &alert), 0);
        assert_int_equal(alert, 0);
    }
    const size_t at_header = wire_frame(slice_from(input, sizeof(header)), &alert);
    assert_int_equal(alert, alert_expected);
    assert_int_equal(at_header, alert_expected == 0 && body_size == 0 ? whole : 0);
    if (alert_expected == 0 && body_size > 0) {
        assert_int_equal(wire_frame(slice_from(input, whole - 1), &alert), 0);
        assert_int_equal(alert, 0);
        assert_int_equal(wire_frame(slice_from(input, whole), &alert), whole);
    }
}

static void headers_are_judged_at_once(void **state)
{
    uint8_t alert = 0;

    (void)state;
    check_frame(19, 1, ALERT_UNEXPECTED_MESSAGE);
    check_frame(RECORD_CHANGE_CIPHER, 1, 0);
    check_frame(RECORD_ALERT, 0, 0);
    check_frame(RECORD_HANDSHAKE, 0, ALERT_UNEXPECTED_MESSAGE); /* RFC 8446, section 5.1 */
    check_frame(RECORD_HANDSHAKE, 1, 0);
    check_frame(RECORD_DATA, 0, 0);
    check_frame(24, 1, ALERT_UNEXPECTED_MESSAGE);
    check_frame(RECORD_HANDSHAKE, 16384, 0);
    check_frame(RECORD_HANDSHAKE, 16385, ALERT_RECORD_OVERFLOW);
    check_frame(RECORD_DATA, 16384 + 256, 0);
    check_frame(RECORD_DATA, 16384 + 257, ALERT_RECORD_OVERFLOW);

    /* Only the first record counts. */
    memcpy(input, ((const uint8_t[]){22, 3, 1, 0, 1, 7, 99, 99, 99, 99, 99}), 11);
    assert_int_equal(wire_frame(slice_from(input, 11), &alert), 6);
    assert_int_equal(alert, 0);
}

/* --- our own records -------------------------------------------------------------------------- */

static const uint8_t retry_random[32] = {
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
    0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
};

struct bytes {
    uint8_t data[512];
    size_t size;
};

static void add(struct bytes *bytes, const void *data, size_t size)
{
    memcpy(bytes->data + bytes->size, data, size);
    bytes->size += size;
}

#define ADD(bytes, ...)                                                                            \
    add((bytes), (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

/* One record with a ServerHello. group 0: no key share. */
static struct slice server_hello(bool is_retry, size_t session_id_size, uint16_t suite,
                                 uint16_t group)
{
    static struct bytes record;
    uint8_t zeros[32] = {0};

    record.size = 0;
    ADD(&record, 22, 3, 3, 0, 0, 2, 0, 0, 0, 3, 3);
    add(&record, is_retry ? retry_random : zeros, 32);
    ADD(&record, (uint8_t)session_id_size);
    add(&record, zeros, session_id_size);
    ADD(&record, (uint8_t)(suite >> 8), (uint8_t)suite, 0);
    ADD(&record, 0, group ? 12 : 6, 0, 43, 0, 2, 3, 4);
    if (group) {
        ADD(&record, 0, 51, 0, 2, (uint8_t)(group >> 8), (uint8_t)group);
    }
    store_be16(record.data + 3, (uint16_t)(record.size - 5));
    store_be16(record.data + 7, (uint16_t)(record.size - 9));
    return slice_from(record.data, record.size);
}

static void a_server_hello_tells_version_and_suite(void **state)
{
    struct wire wire = {0};

    (void)state;
    assert_true(wire_sent(&wire, server_hello(false, 32, 0x1302, 0)));
    assert_true(wire.hello_sent);
    assert_false(wire.retry_sent);
    assert_true(wire.is_tls_1_3);
    assert_int_equal(wire.suite, 0x1302);

    wire = (struct wire){0};
    assert_false(wire_sent(&wire, server_hello(false, 32, 0xc02b, 0)));
    assert_true(wire.hello_sent);
    assert_false(wire.is_tls_1_3);
    assert_int_equal(wire.suite, 0xc02b);
}

static void a_retry_tells_the_group(void **state)
{
    struct wire wire = {0};

    (void)state;
    assert_true(wire_sent(&wire, server_hello(true, 1, 0x1301, 0x0017)));
    assert_true(wire.retry_sent);
    assert_false(wire.hello_sent);
    assert_int_equal(wire.group, 0x0017);
    /* The hello that follows: change_cipher_spec goes out once. */
    assert_false(wire_sent(&wire, server_hello(false, 1, 0x1301, 0)));
    assert_true(wire.hello_sent);
    assert_int_equal(wire.group, 0x0017);

    /* One bit off it is a random like any other. */
    uint8_t other[512];
    wire = (struct wire){0};
    const struct slice retry = server_hello(true, 0, 0x1301, 0x0017);
    memcpy(other, retry.data, retry.size);
    other[11 + 31] ^= 1;
    assert_false(wire_sent(&wire, slice_from(other, retry.size)));
    assert_true(wire.hello_sent);
    assert_false(wire.retry_sent);

    /* A retry for a cookie alone names no group. */
    wire = (struct wire){0};
    assert_false(wire_sent(&wire, server_hello(true, 0, 0x1301, 0)));
    assert_true(wire.retry_sent);
    assert_int_equal(wire.group, 0);
}

static void middleboxes_are_served_if_the_client_wants(void **state)
{
    struct wire wire = {0};

    (void)state;
    assert_false(wire_sent(&wire, server_hello(false, 0, 0x1301, 0))); /* no session id */
    assert_false(wire.change_added);
    wire = (struct wire){0};
    assert_true(wire_sent(&wire, server_hello(false, 1, 0x1301, 0)));
    assert_true(wire.change_added);
}

static void other_records_tell_nothing(void **state)
{
    const struct wire zero = {0};
    struct wire wire = {0};
    uint8_t hello[512];

    (void)state;
    const struct slice good = server_hello(false, 32, 0x1301, 0);
    memcpy(hello, good.data, good.size);
    hello[0] = RECORD_DATA; /* sealed: looks like one by chance */
    assert_false(wire_sent(&wire, slice_from(hello, good.size)));
    hello[0] = RECORD_ALERT;
    assert_false(wire_sent(&wire, slice_from(hello, good.size)));
    hello[0] = RECORD_HANDSHAKE;
    hello[5] = 11; /* a certificate */
    assert_false(wire_sent(&wire, slice_from(hello, good.size)));
    hello[5] = 2;
    assert_false(wire_sent(&wire, slice_from(hello, 5 + 3)));
    assert_memory_equal(&wire, &zero, sizeof(wire));
    assert_true(wire_sent(&wire, slice_from(hello, good.size)));
}

static void the_nonce_of_a_finished_is_seen_once(void **state)
{
    static const uint8_t short_one[] = {22, 3, 3, 0, 7, 1, 2, 3, 4, 5, 6, 7};
    static const uint8_t first[] = {22, 3, 3, 0, 9, 1, 2, 3, 4, 5, 6, 7, 8, 0xff};
    static const uint8_t second[] = {22, 3, 3, 0, 8, 9, 9, 9, 9, 9, 9, 9, 9};
    struct wire wire = {0};

    (void)state;
    assert_false(wire_sent(&wire, slice_from(first, sizeof(first)))); /* not sealed yet */
    assert_false(wire.nonce_seen);
    assert_false(wire_sent(&wire, slice_from(change_cipher_record, CHANGE_CIPHER_SIZE)));
    assert_true(wire.change_sent);
    assert_false(wire_sent(&wire, slice_from(short_one, sizeof(short_one))));
    assert_false(wire.nonce_seen);
    assert_false(wire_sent(&wire, slice_from(first, sizeof(first))));
    assert_true(wire.nonce_seen);
    assert_true(wire.nonce == UINT64_C(0x0102030405060708));
    assert_false(wire_sent(&wire, slice_from(second, sizeof(second))));
    assert_true(wire.nonce == UINT64_C(0x0102030405060708));
}

/* --- the client's second hello ---------------------------------------------------------------- */

/* The verdict on a hello with these extensions, read from a block of exactly its size. */
static uint8_t judge_second(const uint8_t *extensions, size_t size, size_t cut)
{
    const struct wire wire = {.group = 0x001d};
    struct bytes message = {.size = 0};
    uint8_t zeros[32] = {0};

    ADD(&message, 1, 0, 0, 0, 3, 3);
    add(&message, zeros, 32);
    ADD(&message, 2, 0xaa, 0xbb);          /* session id */
    ADD(&message, 0, 4, 0x13, 1, 0x13, 2); /* suites */
    ADD(&message, 1, 0);                   /* compressions */
    ADD(&message, (uint8_t)(size >> 8), (uint8_t)size);
    add(&message, extensions, size);
    assert_true(cut <= message.size);
    message.size -= cut;
    uint8_t *exact = malloc(message.size);
    assert_non_null(exact);
    memcpy(exact, message.data, message.size);
    const uint8_t alert = wire_second_hello(&wire, slice_from(exact, message.size));
    free(exact);
    return alert;
}

#define SECOND(...)                                                                                \
    judge_second((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}), 0)

static void a_second_hello_brings_the_one_share(void **state)
{
    static const uint8_t good[] = {0, 43, 0, 3, 2, 3, 4, 0, 51, 0, 7, 0, 5, 0, 29, 0, 1, 0x77};

    (void)state;
    assert_int_equal(judge_second(good, sizeof(good), 0), 0);
    for (size_t cut = 1; cut < 4 + 2 + 32 + sizeof(good); cut++) {
        assert_int_equal(judge_second(good, sizeof(good), cut), ALERT_DECODE_ERROR);
    }
    /* none; of another group; empty; two; bytes behind it; less than the list promises */
    assert_int_equal(SECOND(0, 43, 0, 3, 2, 3, 4), ALERT_ILLEGAL_PARAMETER);
    assert_int_equal(SECOND(0, 51, 0, 7, 0, 5, 0, 23, 0, 1, 0x77), ALERT_ILLEGAL_PARAMETER);
    assert_int_equal(SECOND(0, 51, 0, 6, 0, 4, 0, 29, 0, 0), ALERT_ILLEGAL_PARAMETER);
    assert_int_equal(SECOND(0, 51, 0, 12, 0, 10, 0, 29, 0, 1, 7, 0, 23, 0, 1, 7),
                     ALERT_ILLEGAL_PARAMETER);
    assert_int_equal(SECOND(0, 51, 0, 8, 0, 5, 0, 29, 0, 1, 0x77, 0), ALERT_ILLEGAL_PARAMETER);
    assert_int_equal(SECOND(0, 51, 0, 7, 0, 6, 0, 29, 0, 1, 0x77), ALERT_ILLEGAL_PARAMETER);
    assert_int_equal(SECOND(0, 51, 0, 7, 0, 4, 0, 29, 0, 1, 0x77), ALERT_ILLEGAL_PARAMETER);
    assert_int_equal(SECOND(0, 51, 0, 7, 0, 5, 0, 29, 0, 2, 0x77), ALERT_ILLEGAL_PARAMETER);
    /* an extension that claims more than there is: nothing behind it is believed */
    assert_int_equal(SECOND(0, 43, 0, 99, 2, 3, 4, 0, 51, 0, 7, 0, 5, 0, 29, 0, 1, 0x77),
                     ALERT_ILLEGAL_PARAMETER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_are_judged_at_once),
        cmocka_unit_test(a_server_hello_tells_version_and_suite),
        cmocka_unit_test(a_retry_tells_the_group),
        cmocka_unit_test(middleboxes_are_served_if_the_client_wants),
        cmocka_unit_test(other_records_tell_nothing),
        cmocka_unit_test(the_nonce_of_a_finished_is_seen_once),
        cmocka_unit_test(a_second_hello_brings_the_one_share),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
