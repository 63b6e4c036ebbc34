/*
 * redis_format.h - the bytes of Limpet in Redis: headers of messages, names of keys and channels,
 * slots, addresses. Pure.
 *
 * A message is a payload as any tool publishes it, or a header before the payload:
 *
 *   __p1:<offset>:<epoch>__<payload>
 *   __p1:<offset>:<epoch>:<mark>:<user size>:<connection size>__<user><connection><payload>
 *
 * offset 0 with an empty epoch: live only. mark: t (text), b (binary), or nothing: nobody said
 * which. What clients send always has the long header, so that none can forge one.
 */
#pragma once

#include "broker/broker.h"

#define REDIS_HEADER_SIZE_MAX 96 /* without user and connection */
#define REDIS_HOST_SIZE_MAX   255

struct redis_message {
    uint64_t offset;
    char epoch[BROKER_EPOCH_SIZE_MAX + 1];
    char mark; /* 't', 'b', or 0 */
    struct slice user;
    struct slice conn_id;
    struct slice payload;
};

/* Takes a message apart; what has no header, or a broken one, is all payload. */
void redis_message_read(struct slice bytes, struct redis_message *message);

/* Writes the long header of a message that is live only; its user, connection and payload follow.
 * Returns its size. */
MUST_CHECK size_t redis_header_write(char out[REDIS_HEADER_SIZE_MAX],
                                     const struct redis_message *message);

/* Decimal digits, the whole slice, at most 2^63 - 1. */
MUST_CHECK bool redis_number_read(struct slice digits, uint64_t *number);

/* Writes text with a '\' before every byte that has a meaning in a pattern; returns the size, at
 * most twice that of text. */
MUST_CHECK size_t redis_glob_escape(struct slice text, uint8_t *out);

/* The slot of a key in a cluster: of its hash tag if it has one. */
#define REDIS_SLOTS 16384u
MUST_CHECK uint16_t redis_slot(struct slice key);

/* "host:port", "[v6]:port" or "/path/of.sock". */
struct redis_address {
    char host[REDIS_HOST_SIZE_MAX + 1]; /* or the path */
    uint16_t port;                      /* 0: a path */
};
MUST_CHECK bool redis_address_read(const char *text, struct redis_address *address);
MUST_CHECK bool redis_address_equal(const struct redis_address *a, const struct redis_address *b);
