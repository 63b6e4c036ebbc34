/*
 * live.h - live sysctls: /proc/sys below a root. In a root that does not run (an image, a test)
 * these are plain files.
 */
#pragma once

#include "tuning/tree.h"

#define LIVE_SIZE 256 /* of a value, with its zero */

/* A name with dots that can stand for a file below /proc/sys: "net.core.somaxconn". */
MUST_CHECK bool live_is_key(const char *key);

/* "/proc/sys/net/core/somaxconn" */
void live_path(const char *key, char out[TREE_PATH_SIZE]);

/* As it is there, tabs, newline and all. 0 or -errno: -ENOENT when this kernel lacks it. */
MUST_CHECK int live_read(const struct tree *tree, const char *key, char out[LIVE_SIZE]);

/* The whole value at once: a vector that is refused may have changed its first numbers, so after a
 * failure the old one must be written, too. Reads it back: -EIO when it is not what was written. */
MUST_CHECK int live_write(const struct tree *tree, const char *key, const char *value);

/* Runs of blanks are one, those at the ends none: "4096\t131072\n" and "4096 131072". */
MUST_CHECK bool live_equal(const char *a, const char *b);

/* As live_equal sees it, on one line. */
void live_tidy(const char *value, char out[LIVE_SIZE]);
