/*
 * pair.h - a connection for tests of the record layer: our state and OpenSSL's end (peer.h), with
 * the checks that most of them share.
 */
#pragma once

#include "tests/unit/tls/peer.h"
#include "tls/alert.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include <sys/wait.h>
#include <unistd.h>

enum {
    CHANGE_CIPHER_SPEC = 20,
    ALERT = 21,
    HANDSHAKE = 22,
    DATA = 23
};

static const uint8_t update_wanted[] = {24, 0, 0, 1, 1};
static const uint8_t update_plain[] = {24, 0, 0, 1, 0};
static const uint8_t close_notify[] = {1, ALERT_CLOSE_NOTIFY};

/* A connection: our end and the peer's. */
struct pair {
    union {
        struct tls_state state;
        uint8_t bytes[TLS_STATE_SIZE_MAX];
    } ours;
    struct peer peer;
    uint8_t wire[PEER_RECORD_SIZE_MAX];
    struct tls_record record;
};

static inline void pair_init_keys(struct pair *pair, const struct tls_keys *keys)
{
    memset(pair, 0xa5, sizeof(*pair));
    tls_state_init(&pair->ours.state, keys);
    peer_init(&pair->peer, keys);
}

static inline void pair_init(struct pair *pair, enum tls_version version, enum tls_suite suite)
{
    struct tls_keys keys = peer_make_keys(version, suite);

    pair_init_keys(pair, &keys);
}

static inline void pair_init_client(struct pair *pair, enum tls_version version)
{
    struct tls_keys keys = peer_make_keys(version, TLS_AES_128_GCM);

    keys.client = true;
    pair_init_keys(pair, &keys);
}

/* The peer seals, we open. */
static inline enum tls_status pair_receive(struct pair *pair, uint8_t type, const void *data,
                                           size_t size)
{
    size_t record_size = peer_seal(&pair->peer, type, data, size, pair->wire);
    enum tls_status status = tls_open(&pair->ours.state, pair->wire, record_size, &pair->record);

    if (status == TLS_DATA) {
        assert_int_equal(pair->record.consumed, record_size);
    }
    return status;
}

static inline void assert_refused(struct pair *pair, enum tls_status status, uint8_t alert)
{
    assert_int_equal(status, TLS_ERROR);
    assert_int_equal(pair->record.alert, alert);
    /* Dead: nothing is opened, only the alert goes out, once. */
    assert_int_equal(pair_receive(pair, DATA, "x", 1), TLS_ERROR);
    assert_false(tls_update_due(&pair->ours.state));
    assert_int_equal(tls_seal(&pair->ours.state, pair->wire, 1), 0);
    assert_int_equal(tls_seal_update(&pair->ours.state, pair->wire), 0);
    size_t size = tls_seal_alert(&pair->ours.state, alert, pair->wire);
    assert_in_range(size, 1, TLS_OVERHEAD_MAX + 2);
    uint8_t type;
    struct slice data;
    const uint8_t fatal[] = {2, alert};
    assert_true(peer_open(&pair->peer, pair->wire, size, &type, &data));
    assert_int_equal(type, ALERT);
    assert_int_equal(data.size, 2);
    assert_memory_equal(data.data, fatal, 2);
    assert_int_equal(tls_seal_alert(&pair->ours.state, alert, pair->wire), 0);
}

/* Data of either side reaches the other. */
static inline void assert_alive(struct pair *pair)
{
    uint8_t type;
    struct slice data;

    assert_int_equal(pair_receive(pair, DATA, "ping", 4), TLS_DATA);
    assert_int_equal(pair->record.data.size, 4);
    assert_memory_equal(pair->record.data.data, "ping", 4);
    memcpy(pair->wire + tls_headroom(&pair->ours.state), "pong", 4);
    size_t size = tls_seal(&pair->ours.state, pair->wire, 4);
    assert_true(peer_open(&pair->peer, pair->wire, size, &type, &data));
    assert_int_equal(type, DATA);
    assert_int_equal(data.size, 4);
    assert_memory_equal(data.data, "pong", 4);
}

/* Our KeyUpdate as the peer must see it. */
static inline void send_update(struct pair *pair)
{
    uint8_t type;
    struct slice data;

    size_t size = tls_seal_update(&pair->ours.state, pair->wire);
    assert_in_range(size, 1, TLS_OVERHEAD_MAX + 5);
    assert_true(peer_open(&pair->peer, pair->wire, size, &type, &data));
    assert_int_equal(type, HANDSHAKE);
    assert_int_equal(data.size, sizeof(update_plain));
    assert_memory_equal(data.data, update_plain, sizeof(update_plain));
    peer_turn(pair->peer.suite, &pair->peer.receive);
    assert_false(tls_update_due(&pair->ours.state));
}

/* Runs body with both versions and every suite. */
static inline void for_each_suite(void (*body)(struct pair *pair))
{
    for (enum tls_version version = TLS_1_2; version <= TLS_1_3; version++) {
        for (enum tls_suite suite = TLS_AES_128_GCM; suite <= TLS_CHACHA20_POLY1305; suite++) {
            struct pair pair;

            pair_init(&pair, version, suite);
            body(&pair);
        }
    }
}

/* True when run ends by an assertion. */
static inline bool aborts(void (*run)(void))
{
    int status = 0;

    (void)fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)close(STDERR_FILENO);
        run();
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static inline void seal_size(struct pair *pair, size_t size)
{
    static uint8_t data[TLS_DATA_SIZE_MAX];
    uint8_t type;
    struct slice opened;

    for (size_t i = 0; i < size; i++) {
        data[i] = (uint8_t)(i * 31 + size);
    }
    size_t room = size + TLS_OVERHEAD_MAX;
    memset(pair->wire, 0xee, room + 16);
    memcpy(pair->wire + tls_headroom(&pair->ours.state), data, size);
    size_t record_size = tls_seal(&pair->ours.state, pair->wire, size);
    assert_int_equal(record_size, tls_headroom(&pair->ours.state) + size + PEER_TAG_SIZE +
                                      (pair->peer.version == TLS_1_3 ? 1 : 0));
    assert_true(record_size <= room);
    for (size_t i = record_size; i < room + 16; i++) {
        assert_int_equal(pair->wire[i], 0xee);
    }
    assert_true(peer_open(&pair->peer, pair->wire, record_size, &type, &opened));
    assert_int_equal(type, DATA);
    assert_int_equal(opened.size, size);
    assert_memory_equal(opened.data, data, size);
}
