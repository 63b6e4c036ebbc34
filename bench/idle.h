/*
 * idle.h - the scenario `limpet-bench idle`: open N connections, hold them, measure, let go.
 */
#pragma once

#include "bench/options.h"

/* Returns the program's exit status. */
MUST_CHECK int idle_run(const struct bench_options *options);
