#include "tuning/check.h"

#include <time.h>

#define FILL_LOW_SHARE   5  /* a fifth is left, and less */
#define FILL_RISKY_SHARE 20 /* a twentieth */

static void wait_ms(uint32_t milliseconds)
{
    struct timespec left = {.tv_sec = milliseconds / 1000,
                            .tv_nsec = (long)(milliseconds % 1000) * 1000000};

    while (nanosleep(&left, &left) != 0) {
    }
}

static enum verdict judge_fill(uint64_t value, uint64_t max)
{
    if (max == 0 || value < max - max / FILL_LOW_SHARE) {
        return VERDICT_OK;
    }
    return value >= max - max / FILL_RISKY_SHARE ? VERDICT_RISKY : VERDICT_LOW;
}

static enum verdict judge_counter(const struct check *check, size_t index)
{
    const struct counter_info *info = counter_info(index);

    ASSERT(info != NULL);
    if (check->after.values[index].outcome != HOST_READ) {
        return check->after.values[index].outcome == HOST_ABSENT ? VERDICT_ABSENT : VERDICT_UNKNOWN;
    }
    switch (info->kind) {
    case COUNTER_HARM:
        if (counters_grown(&check->before, &check->after, index) > 0) {
            return VERDICT_RISKY;
        }
        return check->after.values[index].value > 0 ? VERDICT_SEEN : VERDICT_OK;
    case COUNTER_FILL:
        return judge_fill(check->after.values[index].value, check->after.values[index].max);
    case COUNTER_NOTE:
    case COUNTER_SIZE:
        break;
    }
    return VERDICT_OK;
}

enum verdict check_listener(const struct check *check, uint32_t index)
{
    ASSERT(index < check->listener_count);
    const struct listening *listening = &check->listeners[index];
    const bool is_for_clients = listening->count > 1 || check->listener_count == 1;

    return is_for_clients && listening->backlog < check->backlog_min ? VERDICT_LOW : VERDICT_OK;
}

/* What listens already keeps the backlog that it began with, whatever was set since. */
static void look_at_listeners(struct check *check)
{
    const struct machine *machine = &check->plan->machine;
    struct want want;

    setting_want(setting_find("listen_backlog"), &check->plan->target, &want);
    check->backlog_min = (uint32_t)want.numbers[0];
    if (machine->pid == 0 || machine->root[0] != '\0' || check->plan->target.is_load_host) {
        return;
    }
    check->listener_count = listeners_read(machine->pid, check->listeners);
    for (uint32_t i = 0; i < check->listener_count; i++) {
        check->tally[check_listener(check, i)]++;
    }
}

bool check_shows(const struct finding *finding)
{
    return finding->setting->source != SOURCE_NOTHING &&
           (finding->setting->kind != SETTING_LEAVE || verdict_is_bad(finding->verdict) ||
            finding->verdict == VERDICT_UNKNOWN);
}

void check_run(struct check *check, const struct plan *plan, uint32_t interval_ms)
{
    *check = (struct check){.plan = plan};
    counters_read(&plan->machine, &check->before);
    if (plan->machine.root[0] == '\0') {
        trial_run(&check->trial, &plan->target);
        check->tally[check->trial.works ? VERDICT_OK : VERDICT_LOW]++;
    }
    look_at_listeners(check);
    wait_ms(interval_ms);
    counters_read(&plan->machine, &check->after);
    for (size_t i = 0; counter_info(i) != NULL; i++) {
        check->counted[i] = judge_counter(check, i);
        check->tally[check->counted[i]]++;
    }
    for (uint32_t i = 0; i < plan->count; i++) {
        if (check_shows(&plan->findings[i])) {
            check->tally[plan->findings[i].verdict]++;
        }
    }
    const bool fits = plan->bounds.rows[plan->bounds.first].holds >= plan->target.connections;
    check->tally[fits ? VERDICT_OK : VERDICT_LOW]++;
}

int check_status(const struct check *check)
{
    if (check->tally[VERDICT_UNKNOWN] > 0) {
        return 2;
    }
    return check->tally[VERDICT_LOW] + check->tally[VERDICT_RISKY] > 0 ? 1 : 0;
}
