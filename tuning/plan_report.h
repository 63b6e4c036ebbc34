/*
 * plan_report.h - the plan as text for people, or as JSON for programs.
 */
#pragma once

#include "tuning/plan.h"

#include <jansson.h>
#include <stdio.h>

void plan_print(const struct plan *plan, FILE *out);

/* What plan and check share: target, host, bounds, settings. The caller owns it; NULL: no memory.
 */
MUST_CHECK json_t *plan_json(const struct plan *plan);

/* One line above all: what for, on what. */
void plan_print_head(const struct plan *plan, FILE *out);
