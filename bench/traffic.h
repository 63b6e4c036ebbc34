/*
 * traffic.h - the scenarios that move messages, `limpet-bench fanout` and `limpet-bench echo`: open
 * the subscribers, publish, wait until everything has come or nothing more comes, measure.
 */
#pragma once

#include "bench/options.h"

/* Returns the program's exit status. */
MUST_CHECK int traffic_run(const struct bench_options *options);
