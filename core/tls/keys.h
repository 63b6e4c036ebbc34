/*
 * keys.h - where the keys lie in a TLS state, and how a KeyUpdate turns them. For record.c.
 */
#pragma once

#include "tls/record.h"

enum keys_direction {
    KEYS_SEND,
    KEYS_RECEIVE
};

/* Borrowed from the state. */
struct keys_view {
    const uint8_t *key;
    const uint8_t *iv;
    uint8_t key_size;
    uint8_t iv_size; /* 12, or 4 for 1.2 GCM */
};

MUST_CHECK struct keys_view keys_view(const struct tls_state *state, enum keys_direction direction);

/* 1.3: replaces a direction's secret, key and IV by the next ones (RFC 8446, section 7.2). The
 * sequence number is the caller's. */
void keys_turn(struct tls_state *state, enum keys_direction direction);
