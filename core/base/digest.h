/*
 * digest.h - SHA-1 for the accept key of RFC 6455 and the names of scripts in Redis (nothing else
 * may use it), base64, and SipHash.
 */
#pragma once

#include "base/bytes.h"

#define SHA1_SIZE 20

void sha1(struct slice input, uint8_t out[SHA1_SIZE]);

/* Characters written, no terminator; out holds BASE64_SIZE(input.size). Standard, padded. */
#define BASE64_SIZE(size) (((size) + 2) / 3 * 4)
size_t base64_encode(struct slice input, char *out);

/* Strict: padding required, no white space, unused bits zero. Bytes written, or -1; out holds
 * input.size / 4 * 3. */
MUST_CHECK int64_t base64_decode(struct slice input, uint8_t *out);

/* SipHash-2-4 (Aumasson and Bernstein 2012): a keyed hash for tables with keys from outside. */
MUST_CHECK uint64_t siphash(const uint64_t key[2], struct slice input);
