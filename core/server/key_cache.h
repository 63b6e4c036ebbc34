/*
 * key_cache.h - the last good key sets by URL on disk (token.jwks_cache), for a start while their
 * host is away.
 *
 * A file a URL, its owner's alone (0600), and replaced whole: a line with the time, the size and a
 * checksum, a line with the URL, and then the document as it came. The checksum finds what was cut
 * off; what keeps others from writing there is the owner, who is looked at.
 */
#pragma once

#include "base/bytes.h"

#define KEY_CACHE_DOCUMENT_MAX (1u << 20)

struct key_cache_entry {
    char *document; /* to free() */
    size_t size;
    int64_t fetched_s; /* Unix time */
};

enum key_cache_outcome {
    KEY_CACHE_FOUND,
    KEY_CACHE_NONE,    /* no file */
    KEY_CACHE_REFUSED, /* with a message: not ours, not whole, or not this URL's */
};

/* 0, or -1 with a message that names the cause and what to do. The old file stays then. */
MUST_CHECK int key_cache_write(const char *folder, const char *url,
                               const struct key_cache_entry *entry, char *message,
                               size_t message_size);

/* A file's bytes, with a zero byte behind them: false unless it was written for this URL and is
 * whole. Then the entry's document points into them. */
MUST_CHECK bool key_cache_parse(char *bytes, size_t size, const char *url,
                                struct key_cache_entry *entry);

MUST_CHECK enum key_cache_outcome key_cache_read(const char *folder, const char *url,
                                                 struct key_cache_entry *entry, char *message,
                                                 size_t message_size);
