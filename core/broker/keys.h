/*
 * keys.h - idempotency keys of the memory broker: what was published under a key within the last 5
 * minutes is answered and not published again. A full table forgets its oldest key.
 */
#pragma once

#include "broker/broker.h"

#define KEYS_AGE_MS 300000u

struct keys;

/* NULL when there is no memory. */
MUST_CHECK struct keys *keys_open(uint32_t keys_max);
void keys_close(struct keys *keys); /* NULL: no-op */

/* The position under which this key of the channel was published, or NULL; lent until the next
 * call. */
MUST_CHECK const struct broker_position *keys_find(struct keys *keys, struct slice channel,
                                                   struct slice key, uint64_t now_ms);

/* Remembers one that is not known. */
void keys_add(struct keys *keys, struct slice channel, struct slice key,
              const struct broker_position *position, uint64_t now_ms);

MUST_CHECK uint32_t keys_count(const struct keys *keys);
