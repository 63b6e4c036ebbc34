#include "tuning/preflight.h"

#include "base/log.h"
#include "tuning/plan.h"

static void warn(const struct finding *finding, const struct target *target)
{
    char now[HOST_TEXT_MAX];
    char wanted[HOST_TEXT_MAX];

    plan_now(finding, now, sizeof(now));
    plan_wanted(finding, true, wanted, sizeof(wanted));
    LOG(LOG_WARN, "host is not set for so many connections",
        log_number("connections", (int64_t)target->connections),
        log_text("setting", finding->setting->key), log_text("now", now),
        log_text("wanted", wanted), log_text("see", "limpet-tune check"));
}

static void warn_of_bound(const struct bound *bound, const struct target *target)
{
    LOG(LOG_WARN, "host does not hold so many connections",
        log_number("connections", (int64_t)target->connections),
        log_number("holds", (int64_t)bound->holds), log_text("bound", bound->name),
        log_text("see", "limpet-tune plan"));
}

uint32_t preflight_warn(const char *root, int pid, const struct target_options *options,
                        uint32_t capacity)
{
    /* Without a number in the options the server takes what the limits allow: no one's aim. */
    const uint64_t connections = options->connections_max != 0 ? options->connections_max
                                 : capacity < TARGET_CONNECTIONS_DEFAULT
                                     ? capacity
                                     : TARGET_CONNECTIONS_DEFAULT;
    static struct machine machine; /* too large for a stack; the server starts once */
    static struct bounds bounds;
    const struct setting *setting;
    struct target target;
    char message[256];
    uint32_t count = 0;

    if (machine_read(&machine, root, NULL, pid, message, sizeof(message)) != 0) {
        LOG(LOG_INFO, "host is not looked at", log_text("error", message));
        return 0;
    }
    machine_target(&machine, options, connections, 0, &target);
    for (size_t i = 0; (setting = setting_at(i)) != NULL; i++) {
        if ((setting->flags & SETTING_AT_START) == 0) {
            continue;
        }
        struct finding finding;
        finding_make(&finding, setting, &machine, &target);
        if (verdict_is_bad(finding.verdict) && count++ < PREFLIGHT_LINES_MAX) {
            warn(&finding, &target);
        }
    }
    bounds_find(&bounds, &machine, &target);
    if (bounds.rows[bounds.first].holds < target.connections && count++ < PREFLIGHT_LINES_MAX) {
        warn_of_bound(&bounds.rows[bounds.first], &target);
    }
    if (count > PREFLIGHT_LINES_MAX) {
        LOG(LOG_WARN, "more of the host will not do",
            log_number("more", (int64_t)count - PREFLIGHT_LINES_MAX),
            log_text("see", "limpet-tune check"));
    }
    return count;
}
