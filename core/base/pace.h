/*
 * pace.h - how many of a crowd are due to go by now, when none is to be left at the end.
 *
 * The line goes from how many there are now to none at the end, and is drawn anew with every
 * question: when some leave by themselves it gets flatter, and still ends at the end. A slowest
 * rate, when there is one, ends it earlier. Pure: time is passed in.
 */
#pragma once

#include "base/bytes.h"

struct pace {
    uint64_t end_ms;
    uint64_t asked_ms; /* of the last question */
    double owed;       /* due and not gone yet; a part of one has its time to come */
    uint32_t rate_min; /* a second; 0: none */
};

void pace_start(struct pace *pace, uint64_t now_ms, uint64_t over_ms, uint32_t rate_min);

/* How many of the left are due: at most left, all of them from the end on. */
MUST_CHECK uint32_t pace_due(struct pace *pace, uint32_t left, uint64_t now_ms);

/* So many of those that were due have gone. */
void pace_went(struct pace *pace, uint32_t count);

/* The mean time between two that become due, in ms, when so many are left; 0: less than one. */
MUST_CHECK uint64_t pace_gap_ms(const struct pace *pace, uint32_t left, uint64_t now_ms);
