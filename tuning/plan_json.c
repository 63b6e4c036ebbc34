#include "tuning/plan_report.h"

static json_t *value_json(const char *text)
{
    return text && text[0] != '\0' ? json_string(text) : json_null();
}

static json_t *finding_json(const struct finding *finding)
{
    const struct setting *setting = finding->setting;
    char now[HOST_TEXT_MAX] = "";
    char wanted[HOST_TEXT_MAX];

    if (finding->now.outcome == HOST_READ && finding->now.count > 0) {
        reading_format(finding->now.numbers, finding->now.count, NULL, now, sizeof(now));
    } else if (finding->now.outcome == HOST_READ) {
        (void)snprintf(now, sizeof(now), "%s", finding->now.text);
    }
    plan_wanted(finding, false, wanted, sizeof(wanted));
    return json_pack("{s:s, s:s, s:s, s:o, s:o, s:o, s:s, s:o, s:o, s:o, s:s}", "key", setting->key,
                     "kind", setting_kind_text(setting->kind), "state",
                     verdict_text(finding->verdict), "now", value_json(now), "wanted",
                     value_json(wanted), "unit", value_json(setting->unit), "why",
                     finding->want.why, "cost", value_json(finding->want.cost), "risk",
                     value_json(setting->risk), "problem",
                     value_json(finding->now.outcome == HOST_UNREADABLE ? finding->now.text : NULL),
                     "takes_effect", setting_effect_text(setting->effect));
}

static json_t *bounds_json(const struct bounds *bounds)
{
    json_t *rows = json_array();

    for (uint32_t i = 0; rows && i < bounds->count; i++) {
        const struct bound *bound = &bounds->rows[i];
        json_t *holds =
            bound->holds >= INT64_MAX / 16 ? json_null() : json_integer((json_int_t)bound->holds);
        (void)json_array_append_new(
            rows, json_pack("{s:s, s:s, s:s, s:o, s:s}", "part", bound->name, "has", bound->has,
                            "takes", bound->takes, "holds", holds, "how", bound->basis));
    }
    return rows;
}

json_t *plan_json(const struct plan *plan)
{
    const struct target *target = &plan->target;
    const struct machine *machine = &plan->machine;
    const struct bound *first = &plan->bounds.rows[plan->bounds.first];
    json_t *settings = json_array();

    for (uint32_t i = 0; settings && i < plan->count; i++) {
        (void)json_array_append_new(settings, finding_json(&plan->findings[i]));
    }
    return json_pack(
        "{s:{s:I, s:I, s:s, s:i}, s:{s:i, s:I, s:s, s:o, s:i, s:i, s:i}, s:o, s:{s:s, s:I, s:b}, "
        "s:o}",
        "target", "connections", (json_int_t)target->connections, "connect_rate",
        (json_int_t)target->connect_rate, "role", target->is_load_host ? "load host" : "server",
        "shards", (int)target->threads, /* */
        "host", "cores", (int)machine->cores, "memory_bytes", (json_int_t)machine->memory_bytes,
        "kernel", machine->kernel, "interface", value_json(machine->nic), "link_mbit",
        (int)machine->link_mbit, "receive_queues", (int)machine->rx_queues, "server_pid",
        (int)machine->pid, /* */
        "bounds", bounds_json(&plan->bounds), "first_bound", "part", first->name, "holds",
        (json_int_t)first->holds, "fits", first->holds >= target->connections, /* */
        "settings", settings);
}
