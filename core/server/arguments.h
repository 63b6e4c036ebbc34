/*
 * arguments.h - the command line of `limpet serve` and `limpet check`: every option is also a flag,
 * `heartbeat.ping_interval` is `--heartbeat.ping-interval`. Flags override the file.
 */
#pragma once

#include "server/options.h"
#include "server/state.h"

#define ARGUMENTS_FLAGS_MAX 256

struct arguments {
    const char *options_path; /* NULL: dev mode */
    const char *state_directory;
    struct options options;
    struct state state; /* dev mode */
    struct {
        size_t index; /* of the option */
        const char *value;
    } flags[ARGUMENTS_FLAGS_MAX]; /* as they were given */
    size_t flag_count;
};

/* Parses, reads the file (or opens dev mode's state), applies the flags, validates. Returns 0, or
 * -1 after saying on stderr what is wrong. usage: argp's line; takes_path: the options file is the
 * positional argument. */
MUST_CHECK int arguments_read(struct arguments *arguments, int argc, char **argv, const char *usage,
                              const char *help, bool takes_path);

/* Reads the file once more (dev mode: takes its state folder), and the same flags over it. options
 * are initialised here, and the caller's to free whatever comes of it. 0, or -1 after writing lines
 * to errors. */
MUST_CHECK int arguments_read_again(const struct arguments *arguments, struct options *options,
                                    FILE *errors);

/* What the token checks want, out of the options. keys has OPTIONS_KEYS_MAX places. */
struct token_options;
struct token_key_options;
void arguments_token_options(const struct options *options, struct token_key_options *keys,
                             struct token_options *token_options);
