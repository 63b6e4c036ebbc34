#include "tuning/page.h"
#include "tuning/plan_report.h"

#include <inttypes.h>

#define KEY_WIDTH   34u
#define KIND_WIDTH  12u
#define VALUE_WIDTH 23u
#define LABEL_WIDTH 6u
#define INDENT      15u /* of what explains a change */

/* Where a finding is told; each is told once. */
enum section {
    SECTION_CHANGE, /* by `limpet-tune apply` */
    SECTION_BY_HAND,
    SECTION_RIGHT,
    SECTION_LEAVE,
    SECTION_ABSENT,
    SECTION_UNKNOWN,
    SECTION_COUNT
};

static enum section section_of(const struct finding *finding)
{
    const enum setting_kind kind = finding->setting->kind;
    const bool is_written = kind == SETTING_SYSCTL || kind == SETTING_UNIT || kind == SETTING_LOGIN;
    const bool is_wanted = finding->want.count > 0 || finding->want.text;
    const bool is_needless = !is_wanted && finding->setting->source == SOURCE_NOTHING &&
                             !(finding->setting->flags & SETTING_OPTIONAL);

    if (finding->verdict == VERDICT_UNKNOWN) {
        return SECTION_UNKNOWN;
    }
    if (kind == SETTING_LEAVE || is_needless) {
        return SECTION_LEAVE;
    }
    if (!is_wanted) {
        return finding->verdict == VERDICT_ABSENT ? SECTION_ABSENT : SECTION_RIGHT;
    }
    if (verdict_is_bad(finding->verdict)) {
        return is_written ? SECTION_CHANGE : SECTION_BY_HAND;
    }
    if (finding->verdict == VERDICT_ABSENT) {
        if (finding->setting->source == SOURCE_NOTHING) {
            return SECTION_BY_HAND;
        }
        return kind == SETTING_UNIT && !(finding->setting->flags & SETTING_OPTIONAL)
                   ? SECTION_CHANGE
                   : SECTION_ABSENT;
    }
    return SECTION_RIGHT;
}

static void print_labelled(FILE *out, const char *label, const char *words)
{
    text_print(out, "%*s%-*s", (int)INDENT, "", (int)LABEL_WIDTH, label);
    page_wrap(out, INDENT + LABEL_WIDTH, words);
}

static void append_unit(const struct finding *finding, char *out, size_t size)
{
    const char *unit = finding->setting->unit;
    const size_t used = strlen(out);

    if (unit && strcmp(unit, "ms") != 0 && strcmp(out, "infinity") != 0 &&
        (strcmp(unit, "bytes") != 0 || finding->want.count > 1)) {
        (void)snprintf(out + used, size - used, " %s", unit);
    }
}

static void print_change(const struct finding *finding, FILE *out)
{
    const struct setting *setting = finding->setting;
    char now[HOST_TEXT_MAX];
    char wanted[HOST_TEXT_MAX];
    char line[3 * HOST_TEXT_MAX];

    plan_now(finding, now, sizeof(now));
    plan_wanted(finding, true, wanted, sizeof(wanted));
    append_unit(finding, wanted, sizeof(wanted));
    text_print(out, "  ");
    page_cell(out,
              setting->kind == SETTING_OPTION ? "option"
              : setting->kind == SETTING_BOOT ? "boot"
                                              : setting_kind_text(setting->kind),
              KIND_WIDTH);
    page_cell(out, setting->key, KEY_WIDTH);
    (void)snprintf(line, sizeof(line), "%s%s%s", now, now[0] != '\0' ? " -> " : "", wanted);
    page_wrap(out, 2 + KIND_WIDTH + 1 + KEY_WIDTH + 1, line);
    print_labelled(out, "why", finding->want.why);
    print_labelled(out, "cost", finding->want.cost);
    print_labelled(out, "risk", setting->risk);
    print_labelled(out, "needs",
                   setting->effect == EFFECT_NOW ? "nothing more, it holds at once"
                                                 : setting_effect_text(setting->effect));
}

static void print_short(const struct finding *finding, FILE *out)
{
    char now[HOST_TEXT_MAX];

    plan_now(finding, now, sizeof(now));
    text_print(out, "  ");
    page_cell(out, finding->setting->key, KEY_WIDTH);
    page_cell(out, now, VALUE_WIDTH);
    page_wrap(out, 2 + KEY_WIDTH + 1 + VALUE_WIDTH + 1, finding->want.why);
}

static void print_section(const struct plan *plan, enum section section, FILE *out)
{
    static const char *const headings[] = {
        [SECTION_CHANGE] = "To change (limpet-tune apply writes these)",
        [SECTION_BY_HAND] = "To see to by hand",
        [SECTION_RIGHT] = "Right already",
        [SECTION_LEAVE] = "No change needed, whatever the lists say",
        [SECTION_ABSENT] = "Not on this host",
        [SECTION_UNKNOWN] = "Could not be read",
    };
    bool is_first = true;

    for (uint32_t i = 0; i < plan->count; i++) {
        const struct finding *finding = &plan->findings[i];
        if (section_of(finding) != section) {
            continue;
        }
        if (is_first) {
            page_heading(out, "%s", headings[section]);
            is_first = false;
        }
        if (section <= SECTION_BY_HAND) {
            print_change(finding, out);
        } else {
            print_short(finding, out);
        }
    }
    if (is_first && section == SECTION_CHANGE) {
        page_heading(out, "Nothing to change");
    }
}

static void print_bound(FILE *out, const char *name, const char *has, const char *takes,
                        const char *holds, const char *how)
{
    text_print(out, "  %-24s %-16s %-24s %11s  %s\n", name, has, takes, holds, how);
}

static void print_bounds(const struct plan *plan, FILE *out)
{
    const struct bounds *bounds = &plan->bounds;
    const struct bound *first = &bounds->rows[bounds->first];
    char target[TEXT_SIZE];
    char holds[TEXT_SIZE];

    page_heading(out, "What this host holds");
    print_bound(out, "part", "has", "the target takes", "holds", "how");
    for (uint32_t i = 0; i < bounds->count; i++) {
        const struct bound *bound = &bounds->rows[i];
        const bool is_bound = bound->holds < INT64_MAX / 16;
        print_bound(out, bound->name, bound->has, bound->takes,
                    is_bound ? text_count(bound->holds, holds) : "no bound", bound->basis);
    }
    (void)text_count(plan->target.connections, target);
    (void)text_count(first->holds, holds);
    if (first->holds < plan->target.connections) {
        text_print(out, "  %s connections do not fit. The first bound: %s, at %s connections.\n",
                   target, first->name, holds);
    } else {
        text_print(out, "  %s connections fit. The first bound: %s, at %s connections.\n", target,
                   first->name, holds);
    }
}

void plan_print_head(const struct plan *plan, FILE *out)
{
    const struct target *target = &plan->target;
    char connections[TEXT_SIZE];
    char rate[TEXT_SIZE];
    char host[512];

    machine_describe(&plan->machine, host, sizeof(host));
    text_print(out, "target  %s connections %s, %s new ones a second\n",
               text_count(target->connections, connections),
               target->is_load_host ? "that this host opens" : "that this host takes",
               text_count(target->connect_rate, rate));
    text_print(out, "host    ");
    page_wrap(out, 8, host);
    if (target->is_load_host) {
        return;
    }
    text_print(out, "server  %u %s%s, heartbeat every %g s, backlog %u%s", target->threads,
               target->threads == 1 ? "shard" : "shards",
               target->options.shards == 0 ? " (one a core)" : "",
               target->options.ping_interval_ms / 1000.0, target->options.listen_backlog,
               plan->machine.pid == 0 ? "; none runs" : "");
    if (plan->machine.pid != 0) {
        text_print(out, "; runs as process %d", (int)plan->machine.pid);
    }
    text_print(out, "\n");
}

void plan_print(const struct plan *plan, FILE *out)
{
    plan_print_head(plan, out);
    print_bounds(plan, out);
    for (enum section section = SECTION_CHANGE; section < SECTION_COUNT; section++) {
        print_section(plan, section, out);
    }
}
