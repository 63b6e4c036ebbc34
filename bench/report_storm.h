/*
 * report_storm.h - what the reports say of storms. For report_*.c.
 */
#pragma once

#include "bench/result.h"

#include <jansson.h>
#include <stdio.h>

/* An array, an object for each storm. NULL when there is no memory. */
MUST_CHECK json_t *report_storms_json(const struct result *result);

void report_storms_text(const struct result *result, FILE *out);

/* Cards: connections back over time, and a table. */
void report_storms_html(const struct result *result, FILE *out);
