/*
 * base64url.h - base64url without padding (RFC 7515, section 2), as JSON Web Tokens and Keys use
 * it.
 */
#pragma once

#include "base/bytes.h"

/* Characters written, no terminator; out holds BASE64URL_SIZE(input.size). */
#define BASE64URL_SIZE(size) (((size)*4 + 2) / 3)
size_t base64url_encode(struct slice input, char *out);

/* Strict: no padding, no white space, unused bits zero. Bytes written, or -1; out holds
 * input.size / 4 * 3 + 2. */
MUST_CHECK int64_t base64url_decode(struct slice input, uint8_t *out);
