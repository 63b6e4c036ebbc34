#include "server/readiness.h"

#include "server/alive.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#define GAP_SHARE 20 /* the part of the mark that has to be free again */

static uint64_t mark_of(const struct readiness_facts *facts)
{
    uint64_t mark = facts->capacity * facts->high_percent / 100;

    return mark > 0 ? mark : 1;
}

static void look_at_mark(struct readiness *readiness, const struct readiness_facts *facts)
{
    const uint64_t mark = mark_of(facts);

    if (facts->high_percent == 0 || facts->open < mark - mark / GAP_SHARE) {
        readiness->is_full = false;
    } else if (facts->open >= mark) {
        readiness->is_full = true;
    }
}

/* One more line. What has no room is left out: the room is for all of them. */
PRINTF_LIKE(2, 3)
static void add_line(struct admin_health *health, const char *format, ...)
{
    const size_t size = strlen(health->not_ready);
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(health->not_ready + size, sizeof(health->not_ready) - size, format, arguments);
    va_end(arguments);
}

void readiness_look(struct readiness *readiness, const struct readiness_facts *facts,
                    struct admin_health *health)
{
    *health = (struct admin_health){0};
    look_at_mark(readiness, facts);
    if (readiness->is_full) {
        const uint64_t mark = mark_of(facts);
        add_line(health,
                 "not ready: high water: %" PRIu64 " of %" PRIu64
                 " connections are open; above %" PRIu64 " until below %" PRIu64
                 " (admin.ready_high_water)\n",
                 facts->open, facts->capacity, mark - 1, mark - mark / GAP_SHARE);
    }
    if (facts->broker_problem) {
        add_line(health, "not ready: %s\n", facts->broker_problem);
    }
    if (facts->silent_shard != NONE) {
        add_line(health, "not ready: shard %u has not ticked for %d s\n", facts->silent_shard,
                 ALIVE_SILENCE_MS_MAX / 1000);
        (void)snprintf(health->not_live, sizeof(health->not_live),
                       "not live: shard %u has not ticked for %d s\n", facts->silent_shard,
                       ALIVE_SILENCE_MS_MAX / 1000);
    }
}
