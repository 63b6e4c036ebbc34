/*
 * utf8.h - UTF-8 checked as it streams (RFC 3629): fails at the first byte that no continuation can
 * make valid.
 */
#pragma once

#include "base/bytes.h"

#define UTF8_ACCEPT 0u  /* at a code point's boundary */
#define UTF8_REJECT 15u /* invalid; stays so */

/* The state (4 bits) after data, from state. */
MUST_CHECK uint32_t utf8_advance(uint32_t state, struct slice data);
