/*
 * arguments.h - the command line of `limpet serve` and `limpet check`: every option is also a flag,
 * `heartbeat.ping_interval` is `--heartbeat.ping-interval`. Flags override the file.
 */
#pragma once

#include "server/options.h"
#include "server/state.h"

struct arguments {
    const char *options_path; /* NULL: dev mode */
    const char *state_directory;
    struct options options;
    struct state state; /* dev mode */
};

/* Parses, reads the file (or opens dev mode's state), applies the flags, validates. Returns 0, or
 * -1 after saying on stderr what is wrong. usage: argp's line; takes_path: the options file is the
 * positional argument. */
MUST_CHECK int arguments_read(struct arguments *arguments, int argc, char **argv, const char *usage,
                              const char *help, bool takes_path);

/* What the token checks want, out of the options. keys has OPTIONS_KEYS_MAX places. */
struct token_options;
struct token_key_options;
void arguments_token_options(const struct options *options, struct token_key_options *keys,
                             struct token_options *token_options);
