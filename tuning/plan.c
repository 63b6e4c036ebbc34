#include "tuning/plan.h"

#include <stdio.h>

static bool number_is_right(char compare, uint64_t now, uint64_t wanted)
{
    switch (compare) {
    case '>':
        return now >= wanted;
    case '<':
        return now <= wanted;
    case '=':
        return now == wanted;
    default:
        ASSERT(compare == '.');
        return true;
    }
}

/* What to write: what is right already stays as it is, or the file would lower it. */
static void choose_numbers(struct finding *finding)
{
    const char *compare = finding->setting->compare;

    for (uint32_t i = 0; i < finding->want.count; i++) {
        const bool keeps =
            finding->now.outcome == HOST_READ &&
            number_is_right(compare[i], finding->now.numbers[i], finding->want.numbers[i]);
        finding->numbers[i] = keeps ? finding->now.numbers[i] : finding->want.numbers[i];
    }
}

/* Less may do, where more is written for the sake of later. */
static bool is_enough(const struct finding *finding)
{
    const struct reading *now = &finding->now;
    const struct want *want = &finding->want;

    if (want->text) {
        return strcmp(want->text, now->text) == 0;
    }
    if (want->enough > 0) {
        return now->numbers[0] >= want->enough;
    }
    for (uint32_t i = 0; i < want->count; i++) {
        if (!number_is_right(finding->setting->compare[i], now->numbers[i], want->numbers[i])) {
            return false;
        }
    }
    return true;
}

static enum verdict judge(const struct finding *finding, const struct target *target)
{
    const struct setting *setting = finding->setting;

    if (finding->now.outcome == HOST_ABSENT) {
        return VERDICT_ABSENT;
    }
    if (finding->now.outcome == HOST_UNREADABLE) {
        return VERDICT_UNKNOWN;
    }
    if (!is_enough(finding)) {
        return setting->flags & SETTING_RISKY ? VERDICT_RISKY : VERDICT_LOW;
    }
    return setting->is_risky && setting->is_risky(target, finding->now.numbers) ? VERDICT_RISKY
                                                                                : VERDICT_OK;
}

void finding_make(struct finding *finding, const struct setting *setting,
                  const struct machine *machine, const struct target *target)
{
    *finding = (struct finding){.setting = setting};
    setting_want(setting, target, &finding->want);
    ASSERT(finding->want.count == 0 || finding->want.count == strlen(setting->compare));
    reading_take(setting, machine, target, &finding->now);
    finding->verdict = judge(finding, target);
    choose_numbers(finding);
}

void plan_make(struct plan *plan, const struct machine *machine, const struct target *target)
{
    const unsigned role = target->is_load_host ? SETTING_LOAD : SETTING_SERVER;
    const struct setting *setting;

    plan->target = *target;
    plan->machine = *machine;
    plan->count = 0;
    for (size_t i = 0; (setting = setting_at(i)) != NULL; i++) {
        if ((setting->flags & role) == 0) {
            continue;
        }
        ASSERT(plan->count < FINDINGS_MAX);
        finding_make(&plan->findings[plan->count++], setting, machine, target);
    }
    bounds_find(&plan->bounds, machine, target);
}

static bool is_change(const struct finding *finding)
{
    const struct setting *setting = finding->setting;

    if (finding->want.count == 0) {
        return false;
    }
    switch (setting->kind) {
    case SETTING_UNIT:
        /* No server runs: what it will need is written; what is only looked at is not. */
        if (finding->verdict == VERDICT_ABSENT) {
            return (setting->flags & SETTING_OPTIONAL) == 0;
        }
        return verdict_is_bad(finding->verdict);
    case SETTING_SYSCTL:
    case SETTING_LOGIN:
        return verdict_is_bad(finding->verdict);
    case SETTING_BOOT:
    case SETTING_OPTION:
    case SETTING_ADVICE:
    case SETTING_LEAVE:
        break;
    }
    return false;
}

uint32_t plan_changes(const struct plan *plan, struct change *changes, uint32_t max)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < plan->count; i++) {
        const struct finding *finding = &plan->findings[i];
        const struct setting *setting = finding->setting;
        if (!is_change(finding)) {
            continue;
        }
        ASSERT(count < max);
        struct change *change = &changes[count++];
        *change = (struct change){
            .kind = setting->kind == SETTING_SYSCTL ? CHANGE_SYSCTL
                    : setting->kind == SETTING_UNIT ? CHANGE_UNIT_LIMIT
                                                    : CHANGE_LOGIN_LIMIT,
            .may_be_absent = (setting->flags & SETTING_OPTIONAL) != 0,
        };
        (void)snprintf(change->key, sizeof(change->key), "%s", setting->key);
        plan_wanted(finding, false, change->wanted, sizeof(change->wanted));
        if (finding->now.outcome == HOST_READ) {
            reading_format(finding->now.numbers, finding->now.count, NULL, change->now,
                           sizeof(change->now));
        }
        (void)snprintf(change->why, sizeof(change->why), "%s", finding->want.why);
    }
    return count;
}

uint32_t plan_holding(const struct plan *plan, struct change *changes, uint32_t count, uint32_t max)
{
    for (uint32_t i = 0; i < plan->count; i++) {
        const struct finding *finding = &plan->findings[i];
        const struct setting *setting = finding->setting;
        if (setting->kind != SETTING_SYSCTL || finding->verdict != VERDICT_OK ||
            finding->want.count == 0 || finding->now.count == 0) {
            continue;
        }
        ASSERT(count < max);
        struct change *change = &changes[count++];
        *change = (struct change){
            .kind = CHANGE_SYSCTL,
            .may_be_absent = (setting->flags & SETTING_OPTIONAL) != 0,
        };
        (void)snprintf(change->key, sizeof(change->key), "%s", setting->key);
        reading_format(finding->now.numbers, finding->now.count, NULL, change->now,
                       sizeof(change->now));
        (void)snprintf(change->wanted, sizeof(change->wanted), "%s", change->now);
        (void)snprintf(change->why, sizeof(change->why), "%s", finding->want.why);
    }
    return count;
}

void plan_wanted(const struct finding *finding, bool for_people, char *out, size_t size)
{
    if (finding->want.text) {
        (void)snprintf(out, size, "%s", finding->want.text);
    } else {
        reading_format(finding->numbers, finding->want.count,
                       for_people ? finding->setting->unit : NULL, out, size);
    }
}

void plan_now(const struct finding *finding, char *out, size_t size)
{
    if (finding->now.outcome == HOST_READ && finding->now.count > 0) {
        reading_format(finding->now.numbers, finding->now.count, finding->setting->unit, out, size);
    } else {
        (void)snprintf(out, size, "%s", finding->now.text);
    }
}

const char *verdict_text(enum verdict verdict)
{
    switch (verdict) {
    case VERDICT_OK:
        return "ok";
    case VERDICT_LOW:
        return "low";
    case VERDICT_RISKY:
        return "risky";
    case VERDICT_ABSENT:
        return "absent";
    case VERDICT_SEEN:
        return "seen";
    case VERDICT_UNKNOWN:
        return "unknown";
    }
    return "";
}

bool verdict_is_bad(enum verdict verdict)
{
    return verdict == VERDICT_LOW || verdict == VERDICT_RISKY;
}
