/*
 * glob.h - names that a pattern stands for: '*' for any bytes, '?' for any one byte.
 */
#pragma once

#include "base/bytes.h"

/* In time of at most pattern.size * text.size, whatever both are. */
MUST_CHECK bool glob_matches(struct slice pattern, struct slice text);
