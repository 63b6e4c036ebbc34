#include "base/pace.h"

void pace_start(struct pace *pace, uint64_t now_ms, uint64_t over_ms, uint32_t rate_min)
{
    *pace = (struct pace){.end_ms = now_ms + over_ms, .asked_ms = now_ms, .rate_min = rate_min};
}

uint32_t pace_due(struct pace *pace, uint32_t left, uint64_t now_ms)
{
    ASSERT(now_ms >= pace->asked_ms);
    if (pace->owed > left) {
        pace->owed = left; /* some of those who were due have left by themselves */
    }
    if (now_ms >= pace->end_ms) {
        pace->owed = left;
    } else {
        const double elapsed_ms = (double)(now_ms - pace->asked_ms);
        const double rest_ms = (double)(pace->end_ms - pace->asked_ms);
        const double by_line = (left - pace->owed) * elapsed_ms / rest_ms;
        const double by_rate = pace->rate_min * elapsed_ms / 1000;
        pace->owed += by_line > by_rate ? by_line : by_rate;
        pace->owed = pace->owed < left ? pace->owed : left;
    }
    pace->asked_ms = now_ms;
    return (uint32_t)pace->owed;
}

void pace_went(struct pace *pace, uint32_t count)
{
    ASSERT(count <= pace->owed);
    pace->owed -= count;
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
