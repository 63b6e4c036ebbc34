#include "server/readiness.h"

#include "server/alive.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#define HOST_SIZE_MAX 128 /* bytes that are shown, with the port */

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

/* Of the URL only the host: a path or query may be nobody's business. */
static struct slice host_of(const char *url)
{
    const char *begin = strstr(url, "://");
    struct slice host;

    begin = begin ? begin + 3 : url;
    const char *at = memrchr(begin, '@', strcspn(begin, "/?#"));
    begin = at ? at + 1 : begin;
    host = slice_from(begin, strcspn(begin, "/?#"));
    host.size = host.size < HOST_SIZE_MAX ? host.size : HOST_SIZE_MAX;
    return host;
}

static void add_missing_keys(const struct readiness_facts *facts, struct admin_health *health)
{
    const struct slice host = host_of(facts->missing_url);
    char others[32] = "";

    if (facts->missing_count > 1) {
        (void)snprintf(others, sizeof(others), ", nor %u others", facts->missing_count - 1);
    }
    add_line(health,
             "not ready: the key set of %.*s has not come yet%s: its tokens are answered with 503 "
             "(token.keys)\n",
             (int)host.size, (const char *)host.data, others);
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
    if (facts->missing_url) {
        add_missing_keys(facts, health);
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
