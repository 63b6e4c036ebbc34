/*
 * storm.h - the scenario "storm": all clients are cut off at once, and come back: with tickets,
 * then with full handshakes.
 */
#pragma once

#include "bench/options.h"

/* Returns the exit status. */
MUST_CHECK int storm_run(const struct bench_options *options);
