/*
 * counters.h - what the kernel counts when a limit bites, and how full its tables are. One entry in
 * counters.c for each.
 */
#pragma once

#include "tuning/machine.h"

#define COUNTERS_MAX 32

enum counter_kind {
    COUNTER_HARM, /* events: each is a connection or a packet that suffered */
    COUNTER_NOTE, /* events: worth seeing, no harm by themselves */
    COUNTER_FILL, /* how much of something is in use, with what there is at most */
    COUNTER_SIZE, /* how much of something there is */
};

struct counter_info {
    const char *name;   /* the kernel's where it has one: "ListenOverflows" */
    const char *column; /* of `check --watch`, 6 characters at most; NULL: not shown there */
    const char *means;
    enum counter_kind kind;
};

/* NULL past the last. */
MUST_CHECK const struct counter_info *counter_info(size_t index);

struct counters {
    struct {
        enum host_reading outcome;
        uint64_t value;
        uint64_t max; /* of COUNTER_FILL; 0: not known */
    } values[COUNTERS_MAX];
};

/* Each by itself: what cannot be read does not keep the others from it. */
void counters_read(const struct machine *machine, struct counters *counters);

/* Events between two readings; 0 when one of them failed, or the host's count began anew. */
MUST_CHECK uint64_t counters_grown(const struct counters *before, const struct counters *after,
                                   size_t index);
