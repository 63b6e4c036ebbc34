/*
 * key_sources.h - key sets by URL (token.keys): a thread that fetches them, before they are old and
 * when a token names a key that is in none, and keeps the last good one of each.
 *
 * A host that is away, slow, or answers with anything but a good key set changes nothing: the keys
 * that are there go on. Nor does a set that cannot stand beside the other keys, those of files and
 * of other URLs: the same kid twice, or too many. Every source is asked at most once in
 * token.jwks_cooldown after a failure or for an unknown key, however many tokens of the kind come.
 */
#pragma once

#include "admin/metrics.h"
#include "server/options.h"

struct key_sources;

struct key_source_counts {
    struct counter fetched;
    struct counter failed;
    struct counter clashing;  /* good by themselves, but not beside the other keys */
    struct counter symmetric; /* keys in good sets, left out */
    struct counter missing;   /* sources that have never given a good one */
    struct counter cached;    /* sources whose set is from the cache, and was not fetched since */
    struct counter oldest_ms; /* when the oldest of the key sets was fetched; monotonic clock */
};

extern const struct metric key_source_metrics[];
extern const size_t key_source_metrics_size;

/* NULL with a message. No thread yet. */
MUST_CHECK struct key_sources *key_sources_open(char *message, size_t message_size);
void key_sources_close(struct key_sources *sources); /* ends the thread; NULL: no-op */

/* The main thread: fetches what the options name and was not asked for yet. 0, or -1 with a message
 * when one could not be had (it is asked again later). */
MUST_CHECK int key_sources_add(struct key_sources *sources, const struct options *options,
                               char *message, size_t message_size);

/* The main thread, at the start and before key_sources_use: whoever could not be had gets what the
 * cache has of it. True when none is missing now. */
MUST_CHECK bool key_sources_restore(struct key_sources *sources);

/* The main thread: these options hold from now on: forgets other sources, starts the thread when
 * there is need for one. */
void key_sources_use(struct key_sources *sources, const struct options *options);

/* A copy of the last good document of a URL, to free(); NULL: there is none yet. */
MUST_CHECK char *key_sources_copy(struct key_sources *sources, const char *url, size_t *size);

/* Readable when a document has changed; key_sources_changed then says so, once. */
MUST_CHECK int key_sources_fd(const struct key_sources *sources);
MUST_CHECK bool key_sources_changed(struct key_sources *sources);

/* What had changed could not be used: key_sources_changed says so again. */
void key_sources_again(struct key_sources *sources);

/* Any thread: a token names a key that is in none of them. Costs no system call while an earlier
 * wish waits. */
void key_sources_wish(struct key_sources *sources);

MUST_CHECK const struct key_source_counts *key_sources_counts(const struct key_sources *sources);
