#include "tuning/check.h"
#include "tuning/page.h"
#include "tuning/plan_report.h"

#include <inttypes.h>

#define STATE_WIDTH 9
#define KEY_WIDTH   35u
#define VALUE_WIDTH 24u
#define NAME_WIDTH  22u
#define COUNT_WIDTH 14u
#define LABEL_WIDTH 6

/* A verdict with its numbers; the columns of what is counted are narrower, its words are longer. */
static void print_row(FILE *out, enum verdict verdict, const char *name, const char *now,
                      const char *wanted)
{
    text_print(out, "  ");
    page_verdict(out, verdict, STATE_WIDTH);
    page_cell(out, name, KEY_WIDTH);
    page_cell(out, now, VALUE_WIDTH);
    page_wrap(out, 2 + STATE_WIDTH + KEY_WIDTH + 1 + VALUE_WIDTH + 1, wanted);
}

static void print_counted(FILE *out, enum verdict verdict, const char *name, const char *value,
                          const char *words)
{
    text_print(out, "  ");
    page_verdict(out, verdict, STATE_WIDTH);
    page_cell(out, name, NAME_WIDTH);
    page_cell(out, value, COUNT_WIDTH);
    page_wrap(out, 2 + STATE_WIDTH + NAME_WIDTH + 1 + COUNT_WIDTH + 1, words);
}

static void print_note(FILE *out, const char *label, const char *words)
{
    text_print(out, "%*s%-*s", 2 + STATE_WIDTH, "", LABEL_WIDTH, label);
    page_wrap(out, 2 + STATE_WIDTH + LABEL_WIDTH, words);
}

/* ">= 8192"; of several numbers only those that are looked at have a sign. */
static void format_wanted(const struct finding *finding, char *out, size_t size)
{
    const char compare = finding->setting->compare[0];
    const uint64_t enough = finding->want.enough;
    const char *sign = "";
    char wanted[HOST_TEXT_MAX];

    plan_wanted(finding, true, wanted, sizeof(wanted));
    if (finding->want.count == 1 && (enough > 0 || finding->want.numbers[0] != WANT_INFINITE)) {
        const uint64_t *number = enough > 0 ? &enough : finding->want.numbers;
        reading_format(number, 1, finding->setting->unit, wanted, sizeof(wanted));
        sign = compare == '>' ? ">= " : compare == '<' && *number > 0 ? "<= " : "";
    }
    (void)snprintf(out, size, "%s%s", sign, wanted[0] != '\0' ? wanted : "as it is");
}

static void print_finding(const struct finding *finding, FILE *out)
{
    const struct setting *setting = finding->setting;
    char now[HOST_TEXT_MAX];
    char wanted[HOST_TEXT_MAX + 4];

    plan_now(finding, now, sizeof(now));
    format_wanted(finding, wanted, sizeof(wanted));
    print_row(out, finding->verdict, setting->key, now, wanted);
    if (verdict_is_bad(finding->verdict)) {
        print_note(out, "why", finding->want.why);
        if (setting->risk) {
            print_note(out, "risk", setting->risk);
        }
    }
}

static void print_settings(const struct plan *plan, FILE *out)
{
    static const char *const groups[] = {
        [GROUP_FILES] = "Files, limits, io_uring",
        [GROUP_ACCEPT] = "Taking and opening connections",
        [GROUP_MEMORY] = "Memory",
        [GROUP_NETWORK] = "Network",
    };
    enum setting_group group = GROUP_COUNT;

    for (uint32_t i = 0; i < plan->count; i++) {
        const struct finding *finding = &plan->findings[i];
        if (!check_shows(finding)) {
            continue;
        }
        if (finding->setting->group != group) {
            group = finding->setting->group;
            page_heading(out, "%s", groups[group]);
        }
        print_finding(finding, out);
    }
}

static void print_counters(const struct check *check, FILE *out)
{
    const struct counter_info *info;

    page_heading(out, "What bites, or did since the host was started");
    for (size_t i = 0; (info = counter_info(i)) != NULL; i++) {
        const uint64_t grown = counters_grown(&check->before, &check->after, i);
        const uint64_t max = check->after.values[i].max;
        char value[TEXT_SIZE] = "absent";
        char words[256];
        char number[TEXT_SIZE];
        if (check->counted[i] == VERDICT_UNKNOWN) {
            (void)snprintf(value, sizeof(value), "cannot be read");
        } else if (check->counted[i] != VERDICT_ABSENT) {
            (void)text_count(check->after.values[i].value, value);
        }
        if (info->kind == COUNTER_FILL && max > 0 && max < INT64_MAX / 2) {
            (void)snprintf(words, sizeof(words), "%s, %s", info->means, text_count(max, number));
        } else if (grown > 0 && info->kind != COUNTER_SIZE && info->kind != COUNTER_FILL) {
            (void)snprintf(words, sizeof(words), "%s more while this ran: %s",
                           text_count(grown, number), info->means);
        } else {
            (void)snprintf(words, sizeof(words), "%s", info->means);
        }
        print_counted(out, check->counted[i], info->name, value, words);
    }
}

static void print_listeners(const struct check *check, FILE *out)
{
    for (uint32_t i = 0; i < check->listener_count; i++) {
        const struct listening *listening = &check->listeners[i];
        const enum verdict verdict = check_listener(check, i);
        char name[32];
        char value[32];
        char words[96];
        (void)snprintf(name, sizeof(name), "port %u", listening->port);
        (void)snprintf(value, sizeof(value), "backlog %u", listening->backlog);
        (void)snprintf(words, sizeof(words), "%u %s, %u clients wait to be accepted",
                       listening->count, listening->count == 1 ? "socket" : "sockets",
                       listening->queued);
        print_counted(out, verdict, name, value, words);
        if (verdict == VERDICT_LOW) {
            (void)snprintf(words, sizeof(words),
                           "%u is wanted; it holds for what listens from then on: "
                           "restart limpet",
                           check->backlog_min);
            print_note(out, "why", words);
        }
    }
}

static void print_trial(const struct check *check, FILE *out)
{
    const struct bound *first = &check->plan->bounds.rows[check->plan->bounds.first];
    const bool fits = first->holds >= check->plan->target.connections;
    char words[160];
    char number[TEXT_SIZE];

    page_heading(out, "As it comes out");
    (void)snprintf(words, sizeof(words), "%s, the first bound", first->name);
    print_counted(out, fits ? VERDICT_OK : VERDICT_LOW, "connections that fit",
                  text_count(first->holds, number), words);
    print_listeners(check, out);
    if (!check->trial.was_run) {
        return;
    }
    (void)snprintf(words, sizeof(words), "with a table of %s sockets, as this user",
                   text_count(check->trial.sockets, number));
    print_counted(out, check->trial.works ? VERDICT_OK : VERDICT_LOW, "a shard's ring",
                  check->trial.works ? "opened" : "refused", words);
    if (!check->trial.works) {
        print_note(out, "why", check->trial.message);
    }
}

void check_print(const struct check *check, FILE *out)
{
    const uint32_t *tally = check->tally;

    plan_print_head(check->plan, out);
    text_print(out, "\n  %-*s%-*s %-*s %s\n", STATE_WIDTH, "state", (int)KEY_WIDTH, "setting",
               (int)VALUE_WIDTH, "now", "wanted");
    print_settings(check->plan, out);
    print_counters(check, out);
    print_trial(check, out);
    text_print(out, "\n%u low, %u risky, %u unknown; %u seen, %u absent, %u ok.",
               tally[VERDICT_LOW], tally[VERDICT_RISKY], tally[VERDICT_UNKNOWN],
               tally[VERDICT_SEEN], tally[VERDICT_ABSENT], tally[VERDICT_OK]);
    if (check_status(check) != 0) {
        text_print(out, " `limpet-tune plan` tells more, `apply` changes what it can.");
    }
    text_print(out, "\n");
}

static json_t *counters_json(const struct check *check)
{
    json_t *rows = json_array();
    const struct counter_info *info;

    for (size_t i = 0; rows && (info = counter_info(i)) != NULL; i++) {
        const bool is_read = check->after.values[i].outcome == HOST_READ;
        const uint64_t max = check->after.values[i].max;
        json_t *value =
            is_read ? json_integer((json_int_t)check->after.values[i].value) : json_null();
        json_t *most = max > 0 ? json_integer((json_int_t)max) : json_null();
        (void)json_array_append_new(
            rows, json_pack("{s:s, s:s, s:o, s:I, s:o, s:s}", "name", info->name, "state",
                            verdict_text(check->counted[i]), "value", value, "grown",
                            (json_int_t)counters_grown(&check->before, &check->after, i), "max",
                            most, "means", info->means));
    }
    return rows;
}

static json_t *listeners_json(const struct check *check)
{
    json_t *rows = json_array();

    for (uint32_t i = 0; rows && i < check->listener_count; i++) {
        const struct listening *listening = &check->listeners[i];
        (void)json_array_append_new(
            rows, json_pack("{s:i, s:s, s:i, s:I, s:I}", "port", (int)listening->port, "state",
                            verdict_text(check_listener(check, i)), "sockets",
                            (int)listening->count, "backlog", (json_int_t)listening->backlog,
                            "queued", (json_int_t)listening->queued));
    }
    return rows;
}

json_t *check_json(const struct check *check)
{
    static const char *const statuses[] = {"ok", "bad", "unknown"};
    json_t *json = plan_json(check->plan);
    json_t *trial = json_null();

    if (check->trial.was_run) {
        trial = json_pack("{s:s, s:I, s:s}", "state", check->trial.works ? "ok" : "low", "sockets",
                          (json_int_t)check->trial.sockets, "message", check->trial.message);
    }
    if (!json || json_object_set_new(json, "counters", counters_json(check)) != 0 ||
        json_object_set_new(json, "listeners", listeners_json(check)) != 0 ||
        json_object_set_new(json, "trial", trial) != 0 ||
        json_object_set_new(json, "status", json_string(statuses[check_status(check)])) != 0) {
        json_decref(json);
        return NULL;
    }
    return json;
}
