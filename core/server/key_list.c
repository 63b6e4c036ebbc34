#include "server/key_list.h"

#include "session/token.h"

#include <stdlib.h>

static char *copy(const char *text)
{
    char *copied = text ? strdup(text) : NULL;

    ASSERT(!text || copied);
    return copied;
}

void key_list_from(struct key_list *list, const struct options *options)
{
    *list = (struct key_list){.count = options->token.key_count};
    for (uint32_t i = 0; i < list->count; i++) {
        list->entries[i] =
            (struct key_list_entry){.kid = copy(options->token.keys[i].kid),
                                    .algorithm = copy(options->token.keys[i].algorithm),
                                    .path = copy(options->token.keys[i].path)};
    }
}

void key_list_copy(struct key_list *list, const struct key_list *from)
{
    *list = (struct key_list){.count = from->count};
    for (uint32_t i = 0; i < list->count; i++) {
        const struct key_list_entry *entry = &from->entries[i];
        list->entries[i] = (struct key_list_entry){.kid = copy(entry->kid),
                                                   .algorithm = copy(entry->algorithm),
                                                   .path = copy(entry->path),
                                                   .size = entry->size};
        if (entry->document) {
            list->entries[i].document = malloc(entry->size + 1);
            ASSERT(list->entries[i].document != NULL);
            memcpy(list->entries[i].document, entry->document, entry->size);
        }
    }
}

void key_list_free(struct key_list *list)
{
    for (uint32_t i = 0; i < list->count; i++) {
        free(list->entries[i].kid);
        free(list->entries[i].algorithm);
        free(list->entries[i].path);
        free(list->entries[i].document);
    }
    list->count = 0;
}

struct key_list_entry *key_list_find(struct key_list *list, const char *path)
{
    for (uint32_t i = 0; i < list->count; i++) {
        if (strcmp(list->entries[i].path, path) == 0) {
            return &list->entries[i];
        }
    }
    return NULL;
}

/* They can be opened; *symmetric: those left out. */
static bool can_open(const struct token_key_options *keys, size_t count, size_t *symmetric,
                     char *message, size_t message_size)
{
    const struct token_options options = {.keys = keys, .key_count = count, .token_size_max = 1};
    struct token_keys *opened = token_keys_open(&options, message, message_size);

    *symmetric = opened ? token_keys_symmetric(opened) : 0;
    token_keys_close(opened);
    return opened != NULL;
}

enum key_list_outcome key_list_check(const struct key_list *list, const char *url,
                                     struct slice document, size_t *symmetric, char *message,
                                     size_t message_size)
{
    struct token_key_options keys[OPTIONS_KEYS_MAX + 1];
    struct token_key_options wanted = {.path = url, .document = document};
    size_t others = 0;
    size_t ignored;

    for (uint32_t i = 0; i < list->count; i++) {
        const struct key_list_entry *entry = &list->entries[i];
        if (strcmp(entry->path, url) == 0) {
            wanted.algorithm = entry->algorithm;
            continue;
        }
        keys[others++] =
            (struct token_key_options){.kid = entry->kid,
                                       .algorithm = entry->algorithm,
                                       .path = entry->path,
                                       .document = slice_from(entry->document, entry->size)};
    }
    if (!can_open(&wanted, 1, symmetric, message, message_size)) {
        return KEY_LIST_BAD;
    }
    /* Last, so that what does not fit together is said of this one. */
    keys[others] = wanted;
    if (others > 0 && can_open(keys, others, &ignored, message, message_size) &&
        !can_open(keys, others + 1, &ignored, message, message_size)) {
        return KEY_LIST_CLASHING;
    }
    return KEY_LIST_GOOD;
}
