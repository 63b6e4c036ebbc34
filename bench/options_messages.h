/*
 * options_messages.h - the part of the command line that fanout and echo have besides.
 */
#pragma once

#include "bench/options.h"

#include <argp.h>

/* A parser whose input is a struct bench_options, as a child of the scenario's. */
MUST_CHECK const struct argp *messages_options(enum bench_scenario scenario);

/* Before parsing. */
void messages_options_init(struct bench_options *options);

/* Ends the program with a message on what does not fit together; fills in what follows. */
void messages_options_check(struct argp_state *state, struct bench_options *options);

/* A number from min to max, or the program's end with a message. */
MUST_CHECK uint32_t option_number(struct argp_state *state, const char *name, const char *text,
                                  uint32_t min, uint32_t max);
