/*
 * bounds.h - how many connections each part of the host holds, and which of them is the first to
 * say no.
 */
#pragma once

#include "tuning/machine.h"

#define BOUNDS_MAX 12

struct bound {
    const char *name;
    char has[48];      /* "23.4 GB" */
    char takes[64];    /* what the target takes of it: "9.0 GB" */
    uint64_t holds;    /* connections */
    const char *basis; /* the arithmetic, as a phrase */
};

struct bounds {
    struct bound rows[BOUNDS_MAX];
    uint32_t count;
    uint32_t first; /* index of the one that holds least */
};

void bounds_find(struct bounds *bounds, const struct machine *machine, const struct target *target);
