/*
 * check.h - whether the host will do for its target: settings, counters, and a ring that is tried.
 */
#pragma once

#include "tuning/counters.h"
#include "tuning/listeners.h"
#include "tuning/plan.h"
#include "tuning/trial.h"

#include <jansson.h>
#include <stdio.h>

struct check {
    const struct plan *plan; /* borrowed */
    struct trial trial;
    struct listening listeners[LISTENERS_MAX];
    uint32_t listener_count;
    uint32_t backlog_min; /* that a listener must have */
    struct counters before;
    struct counters after;
    enum verdict counted[COUNTERS_MAX];
    uint32_t tally[VERDICT_UNKNOWN + 1]; /* how many of each */
};

/*
 * Reads the counters twice, interval_ms apart: what grows in between bites now, what grew before
 * was seen. The ring is tried on the host itself only, not below a scratch root.
 */
void check_run(struct check *check, const struct plan *plan, uint32_t interval_ms);

/* What no one can read, and what needs no change, is for the plan to tell. */
MUST_CHECK bool check_shows(const struct finding *finding);

/* Ports that all shards listen at must have the backlog of the target; others (the admin port) are
 * only told. */
MUST_CHECK enum verdict check_listener(const struct check *check, uint32_t index);

/* 0: all is well; 1: something is low or risky; 2: something could not be read. */
MUST_CHECK int check_status(const struct check *check);

void check_print(const struct check *check, FILE *out);
MUST_CHECK json_t *check_json(const struct check *check); /* NULL: no memory */
