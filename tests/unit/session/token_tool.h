/*
 * token_tool.h - what the tests of tokens share: signers, the options they start from, and a check
 * that names the token.
 */
#pragma once

#include "session/token.h"
#include "signer.h"

#define NOW          1800000000.0
#define EXPIRES      "\"exp\":1800003600"
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

extern char folder[SIGNER_FOLDER_MAX]; /* for the files of the test */
extern struct signer hs256;
extern struct signer rs256;
extern struct signer es256;

int tool_set_up(void **state);
int tool_tear_down(void **state);

/* Expiry required, 8,192 bytes, 4 channels of 8 bytes. */
struct token_options options_of(const struct token_key_options *keys, size_t key_count);

struct token_keys *open_options(const struct token_options *options);

/* hs256 as the one key, for all tokens. */
struct token_keys *open_hs256(void);

enum token_outcome check_bytes(const struct token_keys *keys, struct slice token);

/* Frees the token. */
void expect(const struct token_keys *keys, char *token, enum token_outcome outcome);

/* A token of hs256 with this payload, or with this header. */
void expect_payload(const struct token_keys *keys, const char *payload, enum token_outcome outcome);
void expect_header(const struct token_keys *keys, const char *header, enum token_outcome outcome);
