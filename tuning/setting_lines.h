/*
 * setting_lines.h - "key = value" lines: of sysctl.d files, units, tuned profiles, shell-like
 * files.
 *
 * Pure. The text is zero-terminated and borrowed; comments begin with '#' or ';'.
 */
#pragma once

#include "base/bytes.h"

enum setting_match {
    MATCH_NOT,
    MATCH_GLOB, /* by a '*' in the name: holds where no line names the key itself */
    MATCH_NAME
};

struct setting_line {
    const char *rest;     /* where the next line begins; set to the text to begin with */
    int number;           /* from 1; 0 to begin with */
    struct slice section; /* "Service" of "[Service]"; empty before the first */
    struct slice key;     /* without the '-' that lets sysctl.d lines fail */
    struct slice value;   /* no blanks around */
};

/* To the next line that has a '='; false at the end. */
MUST_CHECK bool setting_line_next(struct setting_line *line);

/* Whether the name of a line is that of a sysctl ("net.core.somaxconn"), as systemd reads it: if
 * its first separator is a dot, dots and slashes change places; then slashes divide. */
MUST_CHECK enum setting_match setting_line_sets(const struct setting_line *line, const char *key);

/* The name of a line, as it is; and that of its section. */
MUST_CHECK bool setting_line_is(const struct setting_line *line, const char *section,
                                const char *key);
