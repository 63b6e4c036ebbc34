/*
 * track.h - which of one publisher's messages in one channel a subscriber has seen.
 *
 * Knows the latest 64 numbers exactly. What comes later than that counts as seen already: then it
 * is missing among the deliveries, rather than a loss being hidden.
 */
#pragma once

#include "base/bytes.h"

struct track {     /* zeroed: nothing was seen */
    uint64_t seen; /* bit i: number latest - i */
    uint32_t latest;
};

enum sighting {
    SIGHTING_NEXT,      /* later than all before; what lies between may be lost */
    SIGHTING_REORDERED, /* new, but a later one came first */
    SIGHTING_DUPLICATE,
};

/* sequence: from 1 on. */
MUST_CHECK enum sighting track_take(struct track *track, uint32_t sequence);
