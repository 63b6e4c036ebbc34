/*
 * preflight.h - the short form of `limpet-tune check` that the server runs when it starts: a few
 * plain readings, and a warning in the log for each that will not do. It stops nothing.
 */
#pragma once

#include "tuning/target.h"

#define PREFLIGHT_LINES_MAX 5

/* root: "" for the host itself. pid: the server's own. capacity: what it will take at most; held
 * against TARGET_CONNECTIONS_DEFAULT when the options name no number. Returns the number of
 * warnings, of which PREFLIGHT_LINES_MAX are written. */
uint32_t preflight_warn(const char *root, int pid, const struct target_options *options,
                        uint32_t capacity);
