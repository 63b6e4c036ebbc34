/*
 * options_change.h - options that run, and those that were just read: what differs, and what of it
 * can change while the server runs. Whatever is not in the list of options_change.c needs a new
 * start.
 */
#pragma once

#include "server/options.h"

#define OPTIONS_CHANGES_MAX 256

struct options_change {
    const char *changed[OPTIONS_CHANGES_MAX]; /* names */
    uint32_t changed_count;
    const char *kept[OPTIONS_CHANGES_MAX]; /* names: they differ, but need a new start */
    uint32_t kept_count;
};

/*
 * Compares; what cannot change is set back in next to what runs, so that next is what holds from
 * now on. start: as the server was started, from which its memory was laid out.
 */
void options_change_merge(const struct options *start, const struct options *running,
                          struct options *next, struct options_change *change);
