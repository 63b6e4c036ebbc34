#include "base/pace.h"

#define UNIT 1024u /* of what is owed: parts of one that a short time makes due */

/* The product that pace_due makes of both is within 64 bits. */
static_assert((uint64_t)PACE_CROWD_MAX * UNIT <= UINT64_MAX / PACE_MS_MAX, "no overflow");

void pace_start(struct pace *pace, uint64_t now_ms, uint64_t over_ms, uint32_t rate_min)
{
    ASSERT(over_ms <= PACE_MS_MAX);
    *pace = (struct pace){.end_ms = now_ms + over_ms, .asked_ms = now_ms, .rate_min = rate_min};
}

uint32_t pace_due(struct pace *pace, uint32_t left, uint64_t now_ms)
{
    const uint64_t all = (uint64_t)left * UNIT;

    ASSERT(left <= PACE_CROWD_MAX);
    ASSERT(now_ms >= pace->asked_ms);
    if (pace->owed > all) {
        pace->owed = all; /* some of those who were due have left by themselves */
    }
    if (now_ms >= pace->end_ms) {
        pace->owed = all;
        pace->asked_ms = now_ms;
        return left;
    }
    const uint64_t elapsed_ms = now_ms - pace->asked_ms;
    const uint64_t by_line = (all - pace->owed) * elapsed_ms / (pace->end_ms - pace->asked_ms);
    const uint64_t by_rate = (uint64_t)pace->rate_min * UNIT * elapsed_ms / 1000;
    pace->owed += by_line > by_rate ? by_line : by_rate;
    pace->owed = pace->owed < all ? pace->owed : all;
    pace->asked_ms = now_ms;
    return (uint32_t)(pace->owed / UNIT);
}

void pace_went(struct pace *pace, uint32_t count)
{
    ASSERT((uint64_t)count * UNIT <= pace->owed);
    pace->owed -= (uint64_t)count * UNIT;
}

uint64_t pace_gap_ms(const struct pace *pace, uint32_t left, uint64_t now_ms)
{
    if (left == 0 || now_ms >= pace->end_ms) {
        return 0;
    }
    const uint64_t by_line = (pace->end_ms - now_ms) / left;
    const uint64_t by_rate = pace->rate_min > 0 ? 1000 / pace->rate_min : UINT64_MAX;
    return by_line < by_rate ? by_line : by_rate;
}
