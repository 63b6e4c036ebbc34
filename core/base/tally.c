#include "base/tally.h"

#include "base/counter.h"
#include "base/digest.h"
#include "base/random.h"

#include <pthread.h>
#include <stdalign.h>
#include <stdlib.h>

#define STRIPES    64U
#define CACHE_LINE 64

/* Links are entry number + 1, 0 at an end: memory that was never touched is an empty table. */
struct tally_entry {
    uint64_t hash;
    uint32_t count; /* 0: free */
    uint32_t next;  /* link, in its bucket or in the free list */
};
static_assert(sizeof(struct tally_entry) == 16, "two a connection, with caps by address and user");

struct lock {
    alignas(CACHE_LINE) pthread_mutex_t mutex;
};

/*
 * A stripe guards the buckets whose number ends in its own, and the entries in them. The lock of
 * the free entries is taken while a stripe is held, never the other way round.
 */
struct tally {
    struct lock stripes[STRIPES];
    struct lock free;
    uint32_t free_head; /* link */
    uint32_t fresh;     /* entries from here on were never used */
    struct counter used;
    uint64_t hash_key[2];
    uint32_t entries_max;
    uint32_t bucket_mask;
    uint32_t *buckets; /* links */
    struct tally_entry *entries;
};

static void lock(struct lock *lock)
{
    int error = pthread_mutex_lock(&lock->mutex);
    ASSERT(error == 0);
}

static void unlock(struct lock *lock)
{
    int error = pthread_mutex_unlock(&lock->mutex);
    ASSERT(error == 0);
}

static uint32_t bucket_count(uint32_t entries_max)
{
    uint32_t count = STRIPES;

    while (count < entries_max) {
        count *= 2;
    }
    return count;
}

struct tally *tally_open(uint32_t entries_max)
{
    ASSERT(entries_max <= 1U << 31);

    struct tally *tally = aligned_alloc(CACHE_LINE, sizeof(*tally));
    if (tally == NULL) {
        return NULL;
    }
    *tally = (struct tally){.entries_max = entries_max};
    uint32_t buckets = bucket_count(entries_max);
    tally->bucket_mask = buckets - 1;
    tally->buckets = calloc(buckets, sizeof(*tally->buckets));
    tally->entries = calloc(entries_max, sizeof(*tally->entries));
    if (tally->buckets == NULL || tally->entries == NULL) {
        free(tally->buckets);
        free(tally->entries);
        free(tally);
        return NULL;
    }
    random_bytes(tally->hash_key, sizeof(tally->hash_key));
    for (uint32_t i = 0; i < STRIPES; i++) {
        pthread_mutex_init(&tally->stripes[i].mutex, NULL);
    }
    pthread_mutex_init(&tally->free.mutex, NULL);
    return tally;
}

void tally_close(struct tally *tally)
{
    if (tally == NULL) {
        return;
    }
    for (uint32_t i = 0; i < STRIPES; i++) {
        pthread_mutex_destroy(&tally->stripes[i].mutex);
    }
    pthread_mutex_destroy(&tally->free.mutex);
    free(tally->buckets);
    free(tally->entries);
    free(tally);
}

/* A link, or 0 when all entries are taken. */
static uint32_t take_entry(struct tally *tally)
{
    uint32_t link = 0;

    lock(&tally->free);
    if (tally->free_head != 0) {
        link = tally->free_head;
        tally->free_head = tally->entries[link - 1].next;
    } else if (tally->fresh < tally->entries_max) {
        link = ++tally->fresh;
    }
    if (link != 0) {
        counter_add(&tally->used, 1);
    }
    unlock(&tally->free);
    return link;
}

static void give_entry(struct tally *tally, uint32_t link)
{
    lock(&tally->free);
    tally->entries[link - 1].next = tally->free_head;
    tally->free_head = link;
    counter_set(&tally->used, counter_read(&tally->used) - 1);
    unlock(&tally->free);
}

/* The stripe is locked. */
static enum tally_outcome enter(struct tally *tally, uint64_t hash, uint32_t count_max,
                                uint32_t *entry)
{
    uint32_t *bucket = &tally->buckets[hash & tally->bucket_mask];
    uint32_t link = *bucket;

    while (link != 0 && tally->entries[link - 1].hash != hash) {
        link = tally->entries[link - 1].next;
    }
    if (link == 0) {
        link = take_entry(tally);
        if (link == 0) {
            return TALLY_FULL;
        }
        tally->entries[link - 1] = (struct tally_entry){.hash = hash, .next = *bucket};
        *bucket = link;
    } else if (count_max != 0 && tally->entries[link - 1].count >= count_max) {
        return TALLY_LIMIT;
    }
    tally->entries[link - 1].count++;
    *entry = link - 1;
    return TALLY_COUNTED;
}

enum tally_outcome tally_enter(struct tally *tally, struct slice key, uint32_t count_max,
                               uint32_t *entry)
{
    uint64_t hash = siphash(tally->hash_key, key);
    struct lock *stripe = &tally->stripes[hash % STRIPES];

    lock(stripe);
    enum tally_outcome outcome = enter(tally, hash, count_max, entry);
    unlock(stripe);
    return outcome;
}

void tally_leave(struct tally *tally, uint32_t entry)
{
    ASSERT(entry < tally->entries_max);

    struct tally_entry *leaving = &tally->entries[entry];
    uint64_t hash = leaving->hash; /* stays what it is as long as the caller is counted */
    struct lock *stripe = &tally->stripes[hash % STRIPES];

    lock(stripe);
    ASSERT(leaving->count > 0);
    leaving->count--;
    if (leaving->count == 0) {
        uint32_t *link = &tally->buckets[hash & tally->bucket_mask];
        while (*link != entry + 1) {
            ASSERT(*link != 0);
            link = &tally->entries[*link - 1].next;
        }
        *link = leaving->next;
        give_entry(tally, entry + 1);
    }
    unlock(stripe);
}

uint32_t tally_count(const struct tally *tally)
{
    return (uint32_t)counter_read(&tally->used);
}
