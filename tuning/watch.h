/*
 * watch.h - the counters live, as rates, while a load test runs.
 */
#pragma once

#include "tuning/counters.h"

#include <stdio.h>

/* A line each interval_ms, count of them (0: until interrupted), then what grew in all. Returns 0,
 * or 1 when something grew that is harm. */
MUST_CHECK int watch_run(const struct machine *machine, uint32_t interval_ms, uint32_t count,
                         FILE *out);
