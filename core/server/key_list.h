/*
 * key_list.h - the token keys that the options name, as a copy that another thread may work on; and
 * whether what a URL gave can be one of them: by itself, and beside all the others.
 */
#pragma once

#include "server/options.h"

struct key_list_entry {
    char *kid;       /* or NULL */
    char *algorithm; /* or NULL */
    char *path;
    char *document; /* of a key set by URL; NULL: it has not come yet */
    size_t size;
};

struct key_list {
    struct key_list_entry entries[OPTIONS_KEYS_MAX];
    uint32_t count;
};

enum key_list_outcome {
    KEY_LIST_GOOD,
    KEY_LIST_BAD,      /* it is no key set, or has no key that can be used */
    KEY_LIST_CLASHING, /* it cannot stand beside the other keys: the same kid, or too many */
};

/* Without documents. */
void key_list_from(struct key_list *list, const struct options *options);

/* With what documents there are. */
void key_list_copy(struct key_list *list, const struct key_list *from);
void key_list_free(struct key_list *list); /* no-op on zeros */

/* NULL: no entry has this path. */
MUST_CHECK struct key_list_entry *key_list_find(struct key_list *list, const char *path);

/*
 * Would this document of the URL be good? Key files are read for it; when they are no good just
 * now, the document is judged by itself. The reason why not goes to message; *symmetric: keys in it
 * that were left out.
 */
MUST_CHECK enum key_list_outcome key_list_check(const struct key_list *list, const char *url,
                                                struct slice document, size_t *symmetric,
                                                char *message, size_t message_size);
