#include "bench/track.h"

#define SEEN_MAX 64

enum sighting track_take(struct track *track, uint32_t sequence)
{
    ASSERT(sequence > 0);
    if (sequence > track->latest) {
        uint32_t step = sequence - track->latest;
        track->seen = step < SEEN_MAX ? track->seen << step | 1 : 1;
        track->latest = sequence;
        return SIGHTING_NEXT;
    }
    uint32_t back = track->latest - sequence;
    uint64_t bit = back < SEEN_MAX ? (uint64_t)1 << back : 0;
    if (bit == 0 || (track->seen & bit) != 0) {
        return SIGHTING_DUPLICATE;
    }
    track->seen |= bit;
    return SIGHTING_REORDERED;
}
