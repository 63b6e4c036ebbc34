/*
 * in_use.h - live values that must not go below what the host uses right now.
 */
#pragma once

#include "tuning/tree.h"

#define IN_USE_WHY_SIZE 192

/* True when value (whole, as it would be written) lowers live and is less than what is in use; why:
 * what uses how much. False, too, for what has no such bound, and when it cannot be read. */
MUST_CHECK bool in_use_forbids(const struct tree *tree, const char *key, const char *live,
                               const char *value, char why[IN_USE_WHY_SIZE]);
