/*
 * Goal: keys lie where they belong, the records of RFC 8448 come out byte for byte, and a KeyUpdate
 * of either side, asked for or due by itself, leads to the keys that OpenSSL's HKDF gives.
 */
#include "tls/record.h"

#include "tests/unit/tls/pair.h"

/* --- sizes --- */

static void test_classes(void **unused)
{
    (void)unused;
    for (enum tls_suite suite = TLS_AES_128_GCM; suite <= TLS_CHACHA20_POLY1305; suite++) {
        assert_int_equal(tls_class_of(TLS_1_2, suite), TLS_CLASS_1_2);
    }
    assert_int_equal(tls_class_of(TLS_1_3, TLS_AES_128_GCM), TLS_CLASS_1_3_AES_128);
    assert_int_equal(tls_class_of(TLS_1_3, TLS_AES_256_GCM), TLS_CLASS_1_3_AES_256);
    assert_int_equal(tls_class_of(TLS_1_3, TLS_CHACHA20_POLY1305), TLS_CLASS_1_3_CHACHA);
    assert_int_equal(tls_class_size(TLS_CLASS_1_2), 112);
    assert_int_equal(tls_class_size(TLS_CLASS_1_3_AES_128), 144);
    assert_int_equal(tls_class_size(TLS_CLASS_1_3_CHACHA), 176);
    assert_int_equal(tls_class_size(TLS_CLASS_1_3_AES_256), 208);
}

static void wipe_one(struct pair *pair)
{
    size_t size = tls_class_size(tls_class_of(pair->peer.version, pair->peer.suite));

    /* Nothing was written behind the state, and wiping takes all of it and no more. */
    assert_true(size == sizeof(pair->ours) || pair->ours.bytes[size] == 0xa5);
    tls_state_wipe(&pair->ours.state);
    for (size_t i = 0; i < size; i++) {
        assert_int_equal(pair->ours.bytes[i], 0);
    }
    assert_true(size == sizeof(pair->ours) || pair->ours.bytes[size] == 0xa5);
}

static void test_wipe(void **unused)
{
    (void)unused;
    for_each_suite(wipe_one);
}

/* --- known answers --- */

/* RFC 8448, section 3: the secrets, keys and records after the handshake. */
static const uint8_t rfc_client_secret[32] = {
    0x9e, 0x40, 0x64, 0x6c, 0xe7, 0x9a, 0x7f, 0x9d, 0xc0, 0x5a, 0xf8, 0x88, 0x9b, 0xce, 0x65, 0x52,
    0x87, 0x5a, 0xfa, 0x0b, 0x06, 0xdf, 0x00, 0x87, 0xf7, 0x92, 0xeb, 0xb7, 0xc1, 0x75, 0x04, 0xa5,
};
static const uint8_t rfc_server_secret[32] = {
    0xa1, 0x1a, 0xf9, 0xf0, 0x55, 0x31, 0xf8, 0x56, 0xad, 0x47, 0x11, 0x6b, 0x45, 0xa9, 0x50, 0x32,
    0x82, 0x04, 0xb4, 0xf4, 0x4b, 0xfb, 0x6b, 0x3a, 0x4b, 0x4f, 0x1f, 0x3f, 0xcb, 0x63, 0x16, 0x43,
};
static const uint8_t rfc_client_key[16] = {
    0x17, 0x42, 0x2d, 0xda, 0x59, 0x6e, 0xd5, 0xd9, 0xac, 0xd8, 0x90, 0xe3, 0xc6, 0x3f, 0x50, 0x51,
};
static const uint8_t rfc_server_key[16] = {
    0x9f, 0x02, 0x28, 0x3b, 0x6c, 0x9c, 0x07, 0xef, 0xc2, 0x6b, 0xb9, 0xf2, 0xac, 0x92, 0xe3, 0x56,
};
static const uint8_t rfc_client_iv[12] = {
    0x5b, 0x78, 0x92, 0x3d, 0xee, 0x08, 0x57, 0x90, 0x33, 0xe5, 0x23, 0xd9,
};
static const uint8_t rfc_server_iv[12] = {
    0xcf, 0x78, 0x2b, 0x88, 0xdd, 0x83, 0x54, 0x9a, 0xad, 0xf1, 0xe9, 0x84,
};
static const uint8_t rfc_client_data[] = {
    0x17, 0x03, 0x03, 0x00, 0x43, 0xa2, 0x3f, 0x70, 0x54, 0xb6, 0x2c, 0x94, 0xd0, 0xaf, 0xfa,
    0xfe, 0x82, 0x28, 0xba, 0x55, 0xcb, 0xef, 0xac, 0xea, 0x42, 0xf9, 0x14, 0xaa, 0x66, 0xbc,
    0xab, 0x3f, 0x2b, 0x98, 0x19, 0xa8, 0xa5, 0xb4, 0x6b, 0x39, 0x5b, 0xd5, 0x4a, 0x9a, 0x20,
    0x44, 0x1e, 0x2b, 0x62, 0x97, 0x4e, 0x1f, 0x5a, 0x62, 0x92, 0xa2, 0x97, 0x70, 0x14, 0xbd,
    0x1e, 0x3d, 0xea, 0xe6, 0x3a, 0xee, 0xbb, 0x21, 0x69, 0x49, 0x15, 0xe4,
};
static const uint8_t rfc_server_data[] = {
    0x17, 0x03, 0x03, 0x00, 0x43, 0x2e, 0x93, 0x7e, 0x11, 0xef, 0x4a, 0xc7, 0x40, 0xe5, 0x38,
    0xad, 0x36, 0x00, 0x5f, 0xc4, 0xa4, 0x69, 0x32, 0xfc, 0x32, 0x25, 0xd0, 0x5f, 0x82, 0xaa,
    0x1b, 0x36, 0xe3, 0x0e, 0xfa, 0xf9, 0x7d, 0x90, 0xe6, 0xdf, 0xfc, 0x60, 0x2d, 0xcb, 0x50,
    0x1a, 0x59, 0xa8, 0xfc, 0xc4, 0x9c, 0x4b, 0xf2, 0xe5, 0xf0, 0xa2, 0x1c, 0x00, 0x47, 0xc2,
    0xab, 0xf3, 0x32, 0x54, 0x0d, 0xd0, 0x32, 0xe1, 0x67, 0xc2, 0x95, 0x5d,
};
static const uint8_t rfc_client_close[] = {
    0x17, 0x03, 0x03, 0x00, 0x13, 0xc9, 0x87, 0x27, 0x60, 0x65, 0x56, 0x66,
    0xb7, 0x4d, 0x7f, 0xf1, 0x15, 0x3e, 0xfd, 0x6d, 0xb6, 0xd0, 0xb0, 0xe3,
};
static const uint8_t rfc_server_close[] = {
    0x17, 0x03, 0x03, 0x00, 0x13, 0xb5, 0x8f, 0xd6, 0x71, 0x66, 0xeb, 0xf5,
    0x99, 0xd2, 0x47, 0x20, 0xcf, 0xbe, 0x7e, 0xfa, 0x7a, 0x88, 0x64, 0xa9,
};
#define RFC_DATA_SIZE 50 /* 0, 1, ... 49 */

static void test_rfc_8448(void **unused)
{
    struct tls_keys keys = {.version = TLS_1_3, .suite = TLS_AES_128_GCM, .send_sequence = 1};
    struct pair pair;
    uint8_t data[RFC_DATA_SIZE];

    (void)unused;
    memcpy(keys.send_secret, rfc_server_secret, 32);
    memcpy(keys.send_key, rfc_server_key, 16);
    memcpy(keys.send_iv, rfc_server_iv, 12);
    memcpy(keys.receive_secret, rfc_client_secret, 32);
    memcpy(keys.receive_key, rfc_client_key, 16);
    memcpy(keys.receive_iv, rfc_client_iv, 12);
    pair_init_keys(&pair, &keys);
    for (size_t i = 0; i < sizeof(data); i++) {
        data[i] = (uint8_t)i;
    }

    memcpy(pair.wire, rfc_client_data, sizeof(rfc_client_data));
    memcpy(pair.wire + sizeof(rfc_client_data), rfc_client_close, sizeof(rfc_client_close));
    size_t size = sizeof(rfc_client_data) + sizeof(rfc_client_close);
    assert_int_equal(tls_open(&pair.ours.state, pair.wire, size, &pair.record), TLS_DATA);
    assert_int_equal(pair.record.consumed, sizeof(rfc_client_data));
    assert_int_equal(pair.record.data.size, sizeof(data));
    assert_memory_equal(pair.record.data.data, data, sizeof(data));

    memcpy(pair.wire + 1000 + tls_headroom(&pair.ours.state), data, sizeof(data));
    assert_int_equal(tls_seal(&pair.ours.state, pair.wire + 1000, sizeof(data)),
                     sizeof(rfc_server_data));
    assert_memory_equal(pair.wire + 1000, rfc_server_data, sizeof(rfc_server_data));

    assert_int_equal(tls_open(&pair.ours.state, pair.wire + sizeof(rfc_client_data),
                              sizeof(rfc_client_close), &pair.record),
                     TLS_CLOSED);
    assert_int_equal(tls_seal_alert(&pair.ours.state, ALERT_CLOSE_NOTIFY, pair.wire),
                     sizeof(rfc_server_close));
    assert_memory_equal(pair.wire, rfc_server_close, sizeof(rfc_server_close));
}

/* The peer's own key derivation, which the tests of KeyUpdate lean on, checked with the RFC's keys.
 */
static void test_peer_derives_rfc_keys(void **unused)
{
    uint8_t out[16];

    (void)unused;
    peer_expand(TLS_AES_128_GCM, rfc_server_secret, "key", out, sizeof(out));
    assert_memory_equal(out, rfc_server_key, 16);
    peer_expand(TLS_AES_128_GCM, rfc_server_secret, "iv", out, 12);
    assert_memory_equal(out, rfc_server_iv, 12);
}

/* --- KeyUpdate --- */

static void update_suite(enum tls_suite suite)
{
    struct pair pair;

    pair_init(&pair, TLS_1_3, suite);
    assert_alive(&pair);
    for (int round = 0; round < 3; round++) {
        /* The peer turns its key and wants nothing. */
        assert_int_equal(pair_receive(&pair, HANDSHAKE, update_plain, 5), TLS_DATA);
        assert_int_equal(pair.record.data.size, 0);
        peer_turn(suite, &pair.peer.send);
        assert_false(tls_update_due(&pair.ours.state));
        assert_alive(&pair);
        /* It wants ours to be turned too. */
        assert_int_equal(pair_receive(&pair, HANDSHAKE, update_wanted, 5), TLS_DATA);
        peer_turn(suite, &pair.peer.send);
        assert_true(tls_update_due(&pair.ours.state));
        send_update(&pair);
        assert_alive(&pair);
        /* We turn ours unasked. */
        send_update(&pair);
        assert_alive(&pair);
    }
    /* The old key opens nothing any more. */
    assert_int_equal(pair_receive(&pair, HANDSHAKE, update_plain, 5), TLS_DATA);
    assert_refused(&pair, pair_receive(&pair, DATA, "x", 1), ALERT_BAD_RECORD_MAC);
}

static void test_update(void **unused)
{
    (void)unused;
    for (enum tls_suite suite = TLS_AES_128_GCM; suite <= TLS_CHACHA20_POLY1305; suite++) {
        update_suite(suite);
    }
}

static void test_update_before_limit(void **unused)
{
    (void)unused;
    for (enum tls_suite suite = TLS_AES_128_GCM; suite <= TLS_CHACHA20_POLY1305; suite++) {
        struct tls_keys keys = peer_make_keys(TLS_1_3, suite);
        struct pair pair;

        keys.send_sequence = (UINT64_C(1) << 23) - 2;
        pair_init_keys(&pair, &keys);
        seal_size(&pair, 10);
        assert_false(tls_update_due(&pair.ours.state));
        seal_size(&pair, 10);
        assert_true(tls_update_due(&pair.ours.state));
        send_update(&pair);
        assert_alive(&pair);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_classes),  cmocka_unit_test(test_wipe),
        cmocka_unit_test(test_rfc_8448), cmocka_unit_test(test_peer_derives_rfc_keys),
        cmocka_unit_test(test_update),   cmocka_unit_test(test_update_before_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
