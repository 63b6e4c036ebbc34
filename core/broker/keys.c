#include "broker/keys.h"

#include "base/digest.h"
#include "base/random.h"
#include "base/table.h"

#include <stdlib.h>

/*
 * Two keyed hashes (128 bits) stand for channel and key: no two are ever taken for the same, and a
 * key of any length takes the same place. All grow old at the same age: a ring, oldest at tail.
 */
struct key {
    struct table_entry entry;
    uint64_t check;
    uint64_t came_ms;
    struct broker_position position;
};

struct keys {
    struct table table;
    uint64_t check_key[2];
    uint32_t keys_max;
    uint32_t tail;
    uint32_t count;
    struct key ring[];
};

struct keys *keys_open(uint32_t keys_max)
{
    ASSERT(keys_max > 0);
    struct keys *keys = calloc(1, sizeof(*keys) + (size_t)keys_max * sizeof(struct key));

    if (!keys) {
        return NULL;
    }
    keys->keys_max = keys_max;
    random_bytes(keys->check_key, sizeof(keys->check_key));
    if (table_open(&keys->table, keys_max) != 0) {
        free(keys);
        return NULL;
    }
    return keys;
}

void keys_close(struct keys *keys)
{
    if (keys) {
        table_close(&keys->table);
        free(keys);
    }
}

struct hashes {
    uint64_t hash;
    uint64_t check;
};

/* Of each text on its own, then of the pair: no text runs into the other. */
static struct hashes hash_pair(const struct keys *keys, struct slice channel, struct slice key)
{
    const uint64_t by_table[2] = {table_hash(&keys->table, channel), table_hash(&keys->table, key)};
    const uint64_t by_check[2] = {siphash(keys->check_key, channel), siphash(keys->check_key, key)};

    return (struct hashes){.hash = table_hash(&keys->table, slice_from(by_table, sizeof(by_table))),
                           .check =
                               siphash(keys->check_key, slice_from(by_check, sizeof(by_check)))};
}

static void forget_oldest(struct keys *keys)
{
    table_remove(&keys->table, &keys->ring[keys->tail].entry);
    keys->tail = (keys->tail + 1) % keys->keys_max;
    keys->count--;
}

static struct key *find(struct keys *keys, struct hashes hashes)
{
    struct table_entry *entry = table_find(&keys->table, hashes.hash);

    while (entry && ((struct key *)entry)->check != hashes.check) {
        entry = table_find_next(entry);
    }
    return (struct key *)entry;
}

const struct broker_position *keys_find(struct keys *keys, struct slice channel, struct slice key,
                                        uint64_t now_ms)
{
    while (keys->count > 0 && now_ms - keys->ring[keys->tail].came_ms >= KEYS_AGE_MS) {
        forget_oldest(keys);
    }
    const struct key *found = find(keys, hash_pair(keys, channel, key));
    return found ? &found->position : NULL;
}

void keys_add(struct keys *keys, struct slice channel, struct slice key,
              const struct broker_position *position, uint64_t now_ms)
{
    const struct hashes hashes = hash_pair(keys, channel, key);

    ASSERT(find(keys, hashes) == NULL);
    if (keys->count == keys->keys_max) {
        forget_oldest(keys);
    }
    struct key *added = &keys->ring[(keys->tail + keys->count) % keys->keys_max];
    *added = (struct key){.check = hashes.check, .came_ms = now_ms, .position = *position};
    table_add(&keys->table, &added->entry, hashes.hash);
    keys->count++;
}

uint32_t keys_count(const struct keys *keys)
{
    return keys->count;
}
