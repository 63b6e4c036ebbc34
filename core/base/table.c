#include "base/table.h"

#include "base/digest.h"
#include "base/random.h"

#include <errno.h>
#include <stdlib.h>

int table_open(struct table *table, uint32_t count_max)
{
    uint32_t size = 64;

    ASSERT(count_max <= 1U << 31);
    while (size < count_max) {
        size *= 2;
    }
    *table = (struct table){.bucket_mask = size - 1};
    table->buckets = calloc(size, sizeof(struct table_entry *));
    if (!table->buckets) {
        return -ENOMEM;
    }
    random_bytes(table->hash_key, sizeof(table->hash_key));
    return 0;
}

void table_close(struct table *table)
{
    free((void *)table->buckets);
    *table = (struct table){0};
}

uint64_t table_hash(const struct table *table, struct slice key)
{
    return siphash(table->hash_key, key);
}

static struct table_entry *same_hash(struct table_entry *entry, uint64_t hash)
{
    while (entry && entry->hash != hash) {
        entry = entry->next;
    }
    return entry;
}

struct table_entry *table_find(const struct table *table, uint64_t hash)
{
    return same_hash(table->buckets[hash & table->bucket_mask], hash);
}

struct table_entry *table_find_next(const struct table_entry *entry)
{
    return same_hash(entry->next, entry->hash);
}

void table_add(struct table *table, struct table_entry *entry, uint64_t hash)
{
    struct table_entry **bucket = &table->buckets[hash & table->bucket_mask];

    *entry = (struct table_entry){.next = *bucket, .hash = hash};
    *bucket = entry;
    table->count++;
}

void table_remove(struct table *table, struct table_entry *entry)
{
    struct table_entry **link = &table->buckets[entry->hash & table->bucket_mask];

    while (*link != entry) {
        ASSERT(*link != NULL);
        link = &(*link)->next;
    }
    *link = entry->next;
    table->count--;
}
