/*
 * table.h - a chained hash table for things that are found by bytes from outside.
 *
 * The entry lies in the caller's struct, as its first member: the table owns buckets and nothing
 * else. The hash is keyed by chance. Whoever looks something up compares what it finds: a bucket's
 * chain may hold another key of the same hash.
 */
#pragma once

#include "base/bytes.h"

struct table_entry {
    struct table_entry *next;
    uint64_t hash;
};

struct table {
    struct table_entry **buckets;
    uint32_t bucket_mask;
    uint32_t count;
    uint64_t hash_key[2];
};

/* For about count_max entries; untouched buckets take no memory. Returns 0 or -errno. */
MUST_CHECK int table_open(struct table *table, uint32_t count_max);
void table_close(struct table *table); /* no-op when open failed, or on zeros */

MUST_CHECK uint64_t table_hash(const struct table *table, struct slice key);

/* The first entry of this hash, then the next one; NULL after the last. */
MUST_CHECK struct table_entry *table_find(const struct table *table, uint64_t hash);
MUST_CHECK struct table_entry *table_find_next(const struct table_entry *entry);

void table_add(struct table *table, struct table_entry *entry, uint64_t hash);
void table_remove(struct table *table, struct table_entry *entry);

/* The first entry of a bucket in [0, bucket_mask], NULL when it is empty: to walk over all. */
static inline struct table_entry *table_bucket(const struct table *table, uint32_t bucket)
{
    return table->buckets[bucket];
}
