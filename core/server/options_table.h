/*
 * options_table.h - every option once: its name, place, kind, range and default. Only for
 * options*.c.
 */
#pragma once

#include "server/options_namespace.h"

enum option_kind {
    OPTION_NUMBER,
    OPTION_SIZE,
    OPTION_DURATION_MS,
    OPTION_DURATION_S,
    OPTION_BOOL,
    OPTION_TEXT,
    OPTION_NAMES,
    OPTION_CERTIFICATES,
    OPTION_KEYS,
    OPTION_NAMESPACES,
    OPTION_CHOICE, /* an enum whose names stand in info.value, in its order: "text|json" */
};

/* What a text must be, beside its kind. */
enum option_check {
    OPTION_ANY, /* not empty, no control characters */
    OPTION_MAY_BE_EMPTY,
    OPTION_ENDPOINT,
    OPTION_ADDRESS_OR_EMPTY,
    OPTION_PATH,         /* begins with a slash */
    OPTION_ORIGIN,       /* scheme://host, no path */
    OPTION_NETWORK,      /* 192.0.2.0/24 */
    OPTION_HTTP_TOKEN,   /* RFC 9110, section 5.6.2 */
    OPTION_ZERO,         /* numbers: 0 is allowed beside the range */
    OPTION_POWER_OF_TWO, /* numbers */
};

struct option_row {
    struct option_info info;
    size_t offset; /* in struct options */
    uint32_t min;  /* in the unit of the field; of numbers, sizes and durations */
    uint32_t max;
    enum option_kind kind;
    enum option_check check;
};

/* NULL past the last. */
MUST_CHECK const struct option_row *option_row_at(size_t index);

/* NULL when there is none of that name. */
MUST_CHECK const struct option_row *option_row_find(struct slice name);

/* The field in the options. */
static inline void *option_place(struct options *options, const struct option_row *row)
{
    return (uint8_t *)options + row->offset;
}

/*
 * The lists of the options in one form: entries of one or more texts each. A name is an entry of
 * one text, a certificate has two, a token key three, a namespace ten.
 */
#define OPTION_TEXTS_MAX 10

struct option_list {
    char **texts; /* entry i starts at i * text_count */
    uint32_t *count;
    uint32_t count_max;
    uint32_t text_count;
    const char *names[OPTION_TEXTS_MAX]; /* of an entry's texts, in the file */
    bool required[OPTION_TEXTS_MAX];
};

MUST_CHECK bool option_is_list(const struct option_row *row);
MUST_CHECK struct option_list option_list_of(struct options *options, const struct option_row *row);

/* Frees its texts. */
void option_list_clear(const struct option_list *list);
