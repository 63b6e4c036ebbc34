/*
 * key_fetch.h - one fetch of a key set by URL: what it needs, as copies, so that it can take its
 * time without a lock; what comes is checked beside all other keys.
 */
#pragma once

#include "admin/fetch.h"
#include "server/key_list.h"

#define KEY_FETCH_MESSAGE_SIZE 1024

/* What of the options a fetch needs. */
struct key_fetch_rules {
    char *ca_file; /* NULL: the system's */
    char *cache;   /* a folder; NULL: none */
    uint64_t refresh_ms;
    uint64_t cooldown_ms;
    uint32_t timeout_ms;
};

void key_fetch_rules_from(struct key_fetch_rules *rules, const struct options *options);
void key_fetch_rules_copy(struct key_fetch_rules *rules, const struct key_fetch_rules *from);
void key_fetch_rules_free(struct key_fetch_rules *rules); /* no-op on zeros */

struct key_fetch {
    char *url;
    struct key_fetch_rules rules;
    struct key_list keys; /* with the documents of other sources */
};

void key_fetch_free(struct key_fetch *fetch);

/* KEY_LIST_GOOD: the answer's block is the caller's; else the reason is in message. *symmetric:
 * keys in it that are left out. stop not 0: it gives up. */
MUST_CHECK enum key_list_outcome key_fetch_run(const struct key_fetch *wanted,
                                               const struct counter *stop,
                                               struct fetch_answer *answer, size_t *symmetric,
                                               char message[KEY_FETCH_MESSAGE_SIZE]);
