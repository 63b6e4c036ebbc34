/*
 * token_pem.h - a PEM public key as a JWK, which is the only form that libjwt takes.
 */
#pragma once

#include "base/bytes.h"

#define TOKEN_JWK_MAX 8192 /* bytes of text: RSA of 16,384 bits takes 2,800 */

/* RSA (also RSASSA-PSS), EC on P-256, P-384 and P-521, Ed25519 and Ed448. Writes a zero-terminated
 * JWK and returns NULL, or returns the reason. */
MUST_CHECK const char *token_pem_to_jwk(struct slice pem, char jwk[TOKEN_JWK_MAX]);
