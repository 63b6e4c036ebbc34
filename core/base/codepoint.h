/*
 * codepoint.h - one UTF-8 code point at a time, for texts that are written out again.
 */
#pragma once

#include "base/bytes.h"

/* Bytes of the code point at the start of text (which is not empty), or 0 when they are no UTF-8
 * (RFC 3629, section 4). */
MUST_CHECK size_t code_point_size(struct slice text);
