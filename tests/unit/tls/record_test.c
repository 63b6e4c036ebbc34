/*
 * Goal: records of every suite, version and size are sealed and opened byte for byte as RFC 8446
 * and RFC 5246 want, and what a header, a tag or a content type gets wrong meets its alert. The
 * other end is OpenSSL (peer.h).
 */
#include "tls/record.h"

#include "tests/unit/tls/pair.h"

#include <malloc.h>

/* --- data --- */

static const size_t data_sizes[] = {0, 1, 1023, 1024, 1025, 16383, 16384};
#define DATA_SIZES (sizeof(data_sizes) / sizeof(data_sizes[0]))

static void seal_sizes(struct pair *pair)
{
    for (size_t i = 0; i < DATA_SIZES; i++) {
        seal_size(pair, data_sizes[i]);
    }
    /* Every length of a last block, in each of the paths that the assembly has. */
    for (size_t size = 0; size <= 600; size++) {
        seal_size(pair, size);
    }
}

static void test_seal(void **unused)
{
    (void)unused;
    for_each_suite(seal_sizes);
}

static void seal_one_over(void)
{
    struct pair pair;

    pair_init(&pair, TLS_1_3, TLS_AES_128_GCM);
    (void)!tls_seal(&pair.ours.state, pair.wire, TLS_DATA_SIZE_MAX + 1);
}

static void test_seal_one_over(void **unused)
{
    (void)unused;
    assert_true(aborts(seal_one_over));
}

static void open_size(struct pair *pair, size_t size, size_t padding)
{
    static uint8_t data[TLS_DATA_SIZE_MAX];

    for (size_t i = 0; i < size; i++) {
        data[i] = (uint8_t)(i * 29 + size);
    }
    size_t first = peer_seal_padded(&pair->peer, DATA, slice_from(data, size), padding, pair->wire);
    size_t second = peer_seal(&pair->peer, DATA, "next", 4, pair->wire + first);
    assert_int_equal(tls_open(&pair->ours.state, pair->wire, first + second, &pair->record),
                     TLS_DATA);
    assert_int_equal(pair->record.consumed, first);
    assert_int_equal(pair->record.data.size, size);
    assert_memory_equal(pair->record.data.data, data, size);
    assert_true(size == 0 || (pair->record.data.data >= pair->wire &&
                              pair->record.data.data + size <= pair->wire + first));
    assert_int_equal(tls_open(&pair->ours.state, pair->wire + first, second, &pair->record),
                     TLS_DATA);
    assert_memory_equal(pair->record.data.data, "next", 4);
}

static void open_sizes(struct pair *pair)
{
    for (size_t i = 0; i < DATA_SIZES; i++) {
        open_size(pair, data_sizes[i], 0);
    }
    for (size_t size = 0; size <= 600; size++) {
        open_size(pair, size, 0);
    }
    if (pair->peer.version == TLS_1_3) {
        open_size(pair, 1, 1);
        open_size(pair, 100, 1000);
        open_size(pair, 16383, 1);
        open_size(pair, 0, 16384);
    }
}

static void test_open(void **unused)
{
    (void)unused;
    for_each_suite(open_sizes);
}

/* Until the record is whole nothing changes, and what is wanted is said. */
static void open_prefixes(struct pair *pair)
{
    uint8_t before[TLS_STATE_SIZE_MAX];
    size_t size = peer_seal(&pair->peer, DATA, "hello", 5, pair->wire);

    memcpy(before, &pair->ours, sizeof(before));
    for (size_t prefix = 0; prefix < size; prefix++) {
        assert_int_equal(tls_open(&pair->ours.state, pair->wire, prefix, &pair->record), TLS_MORE);
        assert_int_equal(pair->record.wanted, prefix < 5 ? 5 : size);
        assert_int_equal(pair->record.consumed, 0);
        assert_memory_equal(&pair->ours, before, sizeof(before));
    }
    assert_int_equal(tls_open(&pair->ours.state, pair->wire, size, &pair->record), TLS_DATA);
    assert_memory_equal(pair->record.data.data, "hello", 5);
}

static void test_open_prefixes(void **unused)
{
    (void)unused;
    for_each_suite(open_prefixes);
}

static void test_no_allocation(void **unused)
{
    (void)unused;
    for (enum tls_suite suite = TLS_AES_128_GCM; suite <= TLS_CHACHA20_POLY1305; suite++) {
        struct tls_keys keys = peer_make_keys(TLS_1_3, suite);
        struct pair sender;
        struct pair receiver;

        pair_init_keys(&sender, &keys);
        memcpy(keys.receive_secret, keys.send_secret, sizeof(keys.send_secret));
        memcpy(keys.receive_key, keys.send_key, sizeof(keys.send_key));
        memcpy(keys.receive_iv, keys.send_iv, sizeof(keys.send_iv));
        pair_init_keys(&receiver, &keys);
        size_t before = mallinfo2().uordblks;
        size_t size = tls_seal(&sender.ours.state, sender.wire, 1000);
        assert_int_equal(tls_open(&receiver.ours.state, sender.wire, size, &receiver.record),
                         TLS_DATA);
        size = tls_seal_update(&sender.ours.state, sender.wire);
        assert_int_equal(tls_open(&receiver.ours.state, sender.wire, size, &receiver.record),
                         TLS_DATA);
        assert_int_equal(mallinfo2().uordblks, before);
    }
}

/* --- what a header gives away --- */

static enum tls_status open_header(struct pair *pair, uint8_t type, uint16_t version, size_t length)
{
    pair->wire[0] = type;
    store_be16(pair->wire + 1, version);
    store_be16(pair->wire + 3, (uint16_t)length);
    return tls_open(&pair->ours.state, pair->wire, 5, &pair->record);
}

static void open_too_long(struct pair *pair)
{
    assert_int_equal(open_header(pair, DATA, 0x0303, 16640), TLS_MORE);
    assert_int_equal(pair->record.wanted, TLS_RECORD_SIZE_MAX);
    /* Five bytes are enough: nobody waits for the body. */
    assert_refused(pair, open_header(pair, DATA, 0x0303, 16641), ALERT_RECORD_OVERFLOW);
}

static void test_too_long(void **unused)
{
    (void)unused;
    for_each_suite(open_too_long);
}

static void test_too_much_data(void **unused)
{
    static const uint8_t zeros[TLS_DATA_SIZE_MAX + 1];
    struct pair pair;

    (void)unused;
    for (enum tls_version version = TLS_1_2; version <= TLS_1_3; version++) {
        pair_init(&pair, version, TLS_AES_128_GCM);
        assert_refused(&pair, pair_receive(&pair, DATA, zeros, sizeof(zeros)),
                       ALERT_RECORD_OVERFLOW);
    }
    /* 1.3: data that would fit, but not with its padding. */
    pair_init(&pair, TLS_1_3, TLS_AES_128_GCM);
    size_t size =
        peer_seal_padded(&pair.peer, DATA, slice_from(zeros, TLS_DATA_SIZE_MAX), 1, pair.wire);
    assert_refused(&pair, tls_open(&pair.ours.state, pair.wire, size, &pair.record),
                   ALERT_RECORD_OVERFLOW);
    /* The longest body that a header may announce, all of it there. */
    pair_init(&pair, TLS_1_3, TLS_AES_128_GCM);
    size = peer_seal_padded(&pair.peer, DATA, slice_from("x", 1), 16640 - PEER_TAG_SIZE - 2,
                            pair.wire);
    assert_int_equal(size, TLS_RECORD_SIZE_MAX);
    assert_refused(&pair, tls_open(&pair.ours.state, pair.wire, size, &pair.record),
                   ALERT_RECORD_OVERFLOW);
}

static void test_outer_types(void **unused)
{
    struct pair pair;

    (void)unused;
    for (unsigned type = 0; type < 256; type++) {
        pair_init(&pair, TLS_1_3, TLS_AES_128_GCM);
        enum tls_status status = open_header(&pair, (uint8_t)type, 0x0303, 100);
        if (type == DATA) {
            assert_int_equal(status, TLS_MORE);
        } else {
            assert_refused(&pair, status, ALERT_UNEXPECTED_MESSAGE);
        }
        pair_init(&pair, TLS_1_2, TLS_AES_128_GCM);
        status = open_header(&pair, (uint8_t)type, 0x0303, 100);
        if (type == DATA || type == HANDSHAKE || type == ALERT) {
            assert_int_equal(status, TLS_MORE);
        } else {
            assert_refused(&pair, status, ALERT_UNEXPECTED_MESSAGE);
        }
    }
}

static void test_record_version(void **unused)
{
    struct pair pair;

    (void)unused;
    pair_init(&pair, TLS_1_2, TLS_AES_128_GCM);
    assert_refused(&pair, open_header(&pair, DATA, 0x0301, 100), ALERT_PROTOCOL_VERSION);
    pair_init(&pair, TLS_1_2, TLS_AES_128_GCM);
    assert_refused(&pair, open_header(&pair, DATA, 0x0203, 100), ALERT_PROTOCOL_VERSION);
    /* 1.3 does not care, but the tag covers it. */
    pair_init(&pair, TLS_1_3, TLS_AES_128_GCM);
    assert_int_equal(open_header(&pair, DATA, 0x0301, 100), TLS_MORE);
    size_t size = peer_seal(&pair.peer, DATA, "x", 1, pair.wire);
    pair.wire[2] = 1;
    assert_refused(&pair, tls_open(&pair.ours.state, pair.wire, size, &pair.record),
                   ALERT_BAD_RECORD_MAC);
}

static void open_too_short(struct pair *pair)
{
    struct pair start = *pair;
    size_t length_min = tls_headroom(&pair->ours.state) - 5 + PEER_TAG_SIZE;

    for (size_t length = 0; length < length_min; length++) {
        *pair = start;
        memset(pair->wire, 0, 5 + length);
        pair->wire[0] = DATA;
        store_be16(pair->wire + 1, 0x0303);
        store_be16(pair->wire + 3, (uint16_t)length);
        assert_refused(pair, tls_open(&pair->ours.state, pair->wire, 5 + length, &pair->record),
                       ALERT_BAD_RECORD_MAC);
    }
}

static void test_too_short(void **unused)
{
    (void)unused;
    for_each_suite(open_too_short);
}

/* --- the tag --- */

static void open_flipped(struct pair *pair)
{
    struct pair start = *pair;
    size_t size = peer_seal(&start.peer, DATA, "hello", 5, start.wire);

    for (size_t bit = 40; bit < size * 8; bit++) { /* behind the header */
        *pair = start;
        pair->wire[bit / 8] ^= (uint8_t)(1U << bit % 8);
        assert_int_equal(tls_open(&pair->ours.state, pair->wire, size, &pair->record), TLS_ERROR);
        assert_int_equal(pair->record.alert, ALERT_BAD_RECORD_MAC);
        assert_int_equal(pair->record.data.size, 0);
    }
    pair->peer = start.peer;
    assert_refused(pair, TLS_ERROR, ALERT_BAD_RECORD_MAC);
}

static void open_replayed(struct pair *pair)
{
    uint8_t copy[64];
    size_t size = peer_seal(&pair->peer, DATA, "hello", 5, pair->wire);

    memcpy(copy, pair->wire, size);
    assert_int_equal(tls_open(&pair->ours.state, pair->wire, size, &pair->record), TLS_DATA);
    assert_refused(pair, tls_open(&pair->ours.state, copy, size, &pair->record),
                   ALERT_BAD_RECORD_MAC);
}

static void open_out_of_order(struct pair *pair)
{
    (void)peer_seal(&pair->peer, DATA, "first", 5, pair->wire);
    assert_refused(pair, pair_receive(pair, DATA, "second", 6), ALERT_BAD_RECORD_MAC);
}

static void test_bad_tag(void **unused)
{
    (void)unused;
    for_each_suite(open_flipped);
    for_each_suite(open_replayed);
    for_each_suite(open_out_of_order);
}

/* --- content types, empty records, floods --- */

static void test_inner_types(void **unused)
{
    struct pair pair;

    (void)unused;
    for (unsigned type = 1; type < 256; type++) {
        pair_init(&pair, TLS_1_3, TLS_AES_128_GCM);
        if (type != DATA && type != HANDSHAKE && type != ALERT) {
            assert_refused(&pair, pair_receive(&pair, (uint8_t)type, "\1", 1),
                           ALERT_UNEXPECTED_MESSAGE);
        }
    }
    /* Nothing but padding: 0 is no type. */
    pair_init(&pair, TLS_1_3, TLS_AES_128_GCM);
    size_t size = peer_seal_padded(&pair.peer, 0, slice_from(NULL, 0), 20, pair.wire);
    assert_refused(&pair, tls_open(&pair.ours.state, pair.wire, size, &pair.record),
                   ALERT_UNEXPECTED_MESSAGE);
}

static void open_empty_control(struct pair *pair)
{
    struct pair start = *pair;

    assert_refused(pair, pair_receive(pair, HANDSHAKE, NULL, 0), ALERT_UNEXPECTED_MESSAGE);
    *pair = start;
    assert_refused(pair, pair_receive(pair, ALERT, NULL, 0), ALERT_UNEXPECTED_MESSAGE);
}

static void test_empty_control(void **unused)
{
    (void)unused;
    for_each_suite(open_empty_control);
}

/* --- limits --- */

static void seal_while_due(void)
{
    struct tls_keys keys = peer_make_keys(TLS_1_3, TLS_AES_128_GCM);
    struct pair pair;

    keys.send_sequence = (UINT64_C(1) << 23) - 1;
    pair_init_keys(&pair, &keys);
    (void)!tls_seal(&pair.ours.state, pair.wire, 1);
    (void)!tls_seal(&pair.ours.state, pair.wire, 1);
}

static void test_seal_while_due(void **unused)
{
    (void)unused;
    assert_true(aborts(seal_while_due));
}

static void test_records_max_1_2(void **unused)
{
    (void)unused;
    for (enum tls_suite suite = TLS_AES_128_GCM; suite <= TLS_CHACHA20_POLY1305; suite++) {
        struct tls_keys keys = peer_make_keys(TLS_1_2, suite);
        struct pair pair;
        uint8_t type;
        struct slice data;

        keys.send_sequence = (UINT64_C(1) << 32) - 1;
        pair_init_keys(&pair, &keys);
        seal_size(&pair, 10);
        assert_false(tls_update_due(&pair.ours.state));
        assert_int_equal(tls_seal(&pair.ours.state, pair.wire, 1), 0);
        /* Good-bye can still be said. */
        size_t size = tls_seal_alert(&pair.ours.state, ALERT_CLOSE_NOTIFY, pair.wire);
        assert_true(peer_open(&pair.peer, pair.wire, size, &type, &data));
        assert_int_equal(type, ALERT);
    }
}

static void sequence_end(struct pair *pair)
{
    struct tls_keys keys = peer_make_keys(pair->peer.version, pair->peer.suite);

    keys.send_sequence = UINT64_MAX;
    keys.receive_sequence = UINT64_MAX - 1;
    pair_init_keys(pair, &keys);
    assert_int_equal(pair_receive(pair, DATA, "last", 4), TLS_DATA);
    assert_int_equal(pair->record.data.size, 4);
    assert_int_equal(pair_receive(pair, DATA, "x", 1), TLS_ERROR);
    assert_int_equal(pair->record.alert, ALERT_INTERNAL_ERROR);
    assert_int_equal(tls_seal(&pair->ours.state, pair->wire, 1), 0);
    assert_int_equal(tls_seal_alert(&pair->ours.state, ALERT_INTERNAL_ERROR, pair->wire), 0);
    pair_init_keys(pair, &keys);
    assert_int_equal(tls_seal(&pair->ours.state, pair->wire, 1), 0);
}

static void test_sequence_end(void **unused)
{
    (void)unused;
    for_each_suite(sequence_end);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_seal),
        cmocka_unit_test(test_seal_one_over),
        cmocka_unit_test(test_open),
        cmocka_unit_test(test_open_prefixes),
        cmocka_unit_test(test_no_allocation),
        cmocka_unit_test(test_too_long),
        cmocka_unit_test(test_too_much_data),
        cmocka_unit_test(test_outer_types),
        cmocka_unit_test(test_record_version),
        cmocka_unit_test(test_too_short),
        cmocka_unit_test(test_bad_tag),
        cmocka_unit_test(test_inner_types),
        cmocka_unit_test(test_empty_control),
        cmocka_unit_test(test_seal_while_due),
        cmocka_unit_test(test_records_max_1_2),
        cmocka_unit_test(test_sequence_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
