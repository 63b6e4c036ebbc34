/*
 * options_storm.h - the part of the command line that storm has besides.
 */
#pragma once

#include "bench/options.h"

#include <argp.h>

/* A parser whose input is a struct bench_options, as a child of the scenario's. */
MUST_CHECK const struct argp *storm_options(void);

/* Before parsing. */
void storm_options_init(struct bench_options *options);

/* Ends the program with a message on what does not fit together. */
void storm_options_check(struct argp_state *state, const struct bench_options *options);
