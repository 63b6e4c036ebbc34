#include "bench/report.h"

#include "bench/report_storm.h"

#include <math.h>

/* null for what was not measured: JSON has no NaN. */
static json_t *number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *count(uint64_t value)
{
    return json_integer((json_int_t)value);
}

/* Takes the value. A failed allocation shows in the object's size at the end. */
static void set(json_t *object, const char *name, json_t *value)
{
    (void)json_object_set_new(object, name, value);
}

static const char *suite_name(const struct bench_options *options)
{
    switch (options->suite) {
    case TLS_AES_128_GCM:
        return "AES-128-GCM";
    case TLS_AES_256_GCM:
        return "AES-256-GCM";
    case TLS_CHACHA20_POLY1305:
        return "ChaCha20-Poly1305";
    }
    return "";
}

static json_t *latency_of(const struct histogram *histogram)
{
    static const struct {
        const char *name;
        double percent;
    } points[] = {{"p50", 50}, {"p90", 90}, {"p99", 99}, {"p99_9", 99.9}, {"max", 100}};
    json_t *object = json_object();

    for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
        set(object, points[i].name,
            number((double)histogram_percentile(histogram, points[i].percent) / 1e6));
    }
    set(object, "mean", number(histogram_mean(histogram) / 1e6));
    return object;
}

static json_t *outcomes_of(const struct result *result)
{
    json_t *object = json_object();

    for (enum outcome outcome = 0; outcome < OUTCOMES; outcome++) {
        set(object, outcome_name(outcome), count(result->ended[outcome]));
    }
    return object;
}

static json_t *slabs_of(const struct slab_growths *growths)
{
    json_t *object = json_object();

    for (uint32_t i = 0; i < growths->count; i++) {
        json_t *one = json_object();
        set(one, "objects", number(growths->items[i].objects));
        set(one, "bytes", number(growths->items[i].bytes));
        set(object, growths->items[i].name, one);
    }
    return object;
}

static json_t *memory_of(const struct process_memory *memory)
{
    json_t *object = json_object();

    set(object, "rss", count(memory->rss));
    set(object, "pss", count(memory->pss));
    set(object, "rss_anon", count(memory->rss_anon));
    set(object, "page_tables", count(memory->page_tables));
    return object;
}

static json_t *load_of(const struct result *result)
{
    const struct bench_options *options = result->options;
    json_t *object = json_object();

    set(object, "connections", count(options->connections));
    set(object, "rate", count(options->rate));
    set(object, "in_flight_max", count(options->in_flight_max));
    set(object, "threads", count(options->threads));
    set(object, "hold_s", count(options->hold_s));
    set(object, "tls", json_string(options->version == TLS_1_3 ? "1.3" : "1.2"));
    set(object, "suite", json_string(suite_name(options)));
    set(object, "rings", count(result->plan->rings));
    set(object, "source_addresses", count(result->plan->source_count));
    set(object, "url", json_string(result->url));
    return object;
}

static json_t *messages_of(const struct bench_options *options)
{
    const struct bench_messages *messages = &options->messages;
    bool is_fanout = options->scenario == SCENARIO_FANOUT;
    json_t *object = json_object();

    set(object, "via", is_fanout ? json_string(bench_via_name(messages->via)) : json_null());
    set(object, "channels", count(messages->channels));
    set(object, "channels_each", count(messages->channels_each));
    set(object, "publishers", count(is_fanout ? messages->publishers : options->connections));
    set(object, "size", count(messages->size));
    set(object, "messages", count(messages->count));
    set(object, "duration_s", count(messages->duration_s));
    set(object, "rate", count(messages->rate));
    set(object, "window", count(messages->window));
    set(object, "arrivals_per_second", count(messages->arrivals));
    return object;
}

static void set_traffic(json_t *object, const struct result *result)
{
    static const struct {
        const char *name;
        double percent;
    } points[] = {{"latency_ms_p50", 50},
                  {"latency_ms_p90", 90},
                  {"latency_ms_p99", 99},
                  {"latency_ms_p99_9", 99.9},
                  {"latency_ms_max", 100}};
    const struct traffic *traffic = &result->traffic;

    set(object, "publications", count(traffic->publications));
    set(object, "publications_refused", count(traffic->refused));
    set(object, "publishers_lost", json_boolean(traffic->publishers_lost));
    set(object, "deliveries_expected", count(traffic->expected));
    set(object, "deliveries", count(traffic->deliveries));
    set(object, "lost", count(traffic->lost));
    set(object, "reordered", count(traffic->reordered));
    set(object, "duplicated", count(traffic->duplicated));
    set(object, "foreign", count(traffic->foreign));
    set(object, "traffic_seconds", number(traffic->seconds));
    set(object, "deliveries_per_second", number(result_per_second(traffic, traffic->deliveries)));
    set(object, "publications_per_second",
        number(result_per_second(traffic, traffic->publications)));
    set(object, "server_cpu_us_per_delivery", number(traffic->cpu_us_per_delivery));
    set(object, "server_cpu_us_per_delivery_net", number(traffic->cpu_us_per_delivery_net));
    set(object, "server_cpu_held_share", number(traffic->cpu_held_share));
    set(object, "server_cpu_traffic_share", number(traffic->cpu_share));
    set(object, "client_cpu_us_per_delivery", number(traffic->own_cpu_us_per_delivery));
    for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
        uint64_t value = histogram_percentile(&traffic->latency, points[i].percent);
        set(object, points[i].name, number(traffic->deliveries > 0 ? (double)value / 1e6 : NAN));
    }
    set(object, "latency_ms_mean",
        number(traffic->deliveries > 0 ? histogram_mean(&traffic->latency) / 1e6 : NAN));
    set(object, "traffic_pings_answered", count(traffic->pings_answered));
    set(object, "pong_deadlines_missed", count(traffic->pong_deadlines_missed));
    set(object, "arrivals_opened", count(traffic->arrivals_opened));
    set(object, "arrivals_failed", count(traffic->arrivals_failed));
    set(object, "arrivals_latency_ms", latency_of(&traffic->arrivals_latency));
    set(object, "messages", messages_of(result->options));
}

static json_t *machine_of(const struct machine *machine)
{
    json_t *object = json_object();

    set(object, "cpu", json_string(machine->cpu));
    set(object, "cores", count(machine->cores));
    set(object, "memory_bytes", count(machine->memory));
    set(object, "kernel", json_string(machine->kernel));
    set(object, "time", json_string(machine->time));
    return object;
}

static void set_memory(json_t *object, const struct result *result)
{
    set(object, "user_bytes_per_connection", number(result->user_bytes));
    set(object, "rss_anon_bytes_per_connection", number(result->rss_anon_bytes));
    set(object, "pss_bytes_per_connection", number(result->pss_bytes));
    set(object, "kernel_bytes_per_connection", number(result->kernel_bytes));
    set(object, "baseline_bytes_per_connection", number(result->baseline_bytes));
    set(object, "memory_ratio_to_baseline", number(result->ratio));
    set(object, "kernel_method",
        result->kernel_method ? json_string(result->kernel_method) : json_null());
    set(object, "kernel_bytes_both_ends_per_connection",
        number(result->growths.count > 0 ? result->growths.bytes : NAN));
    set(object, "kernel_bytes_client_end",
        number(result->reference.count > 0 ? result->reference.client_bytes : NAN));
    set(object, "reference_connections", count(result->reference.count));
    set(object, "reference_slabs_both_ends", slabs_of(&result->reference.growths));
    set(object, "slabs_both_ends_per_connection", slabs_of(&result->growths));
    set(object, "server_memory_before", memory_of(&result->memory_before));
    set(object, "server_memory_held", memory_of(&result->memory_held));
    set(object, "server_memory_left", memory_of(&result->memory_left));
    set(object, "client_bytes_per_connection", number(result->own_user_bytes));
}

static void set_cpu(json_t *object, const struct result *result)
{
    set(object, "server_cpu_us_per_connection", number(result->cpu_us_per_connection));
    set(object, "server_cpu_us_per_connection_raw", number(result->cpu_us_per_connection_raw));
    set(object, "server_cpu_us_per_heartbeat", number(result->cpu_us_per_heartbeat));
    set(object, "server_cpu_idle_share", number(result->cpu_idle_share));
    set(object, "heartbeats_in_ramp", count(result->heartbeats_ramp));
    set(object, "heartbeats_in_hold", count(result->heartbeats_hold));
    set(object, "client_cpu_us_per_connection", number(result->own_cpu_us_per_connection));
}

static void set_latency(json_t *object, const struct result *result)
{
    static const char *const names[LATENCY_STEPS] = {"connect", "tls", "upgrade", "total"};
    json_t *latency = json_object();

    for (uint32_t step = 0; step < LATENCY_STEPS; step++) {
        set(latency, names[step], latency_of(&result->latency[step]));
    }
    set(object, "latency_ms", latency);
    json_t *steps = json_array();
    for (uint32_t i = 0; i < SYN_STEPS; i++) {
        (void)json_array_append_new(steps, count(result->syn_steps[i]));
    }
    set(object, "connects_after_1_3_7_s", steps);
    set(object, "listen_overflows", number(result->listen_overflows));
    set(object, "listen_drops", number(result->listen_drops));
}

json_t *report_json(const struct result *result)
{
    json_t *object = json_object();

    if (!object) {
        return NULL;
    }
    set(object, "scenario", json_string(bench_scenario_name(result->options->scenario)));
    set(object, "connections_open", count(result->open));
    set(object, "connections_failed", count(result_failed(result)));
    set(object, "connections_failed_here", count(result_failed_here(result)));
    set(object, "connections_lost", count(result_lost(result)));
    set(object, "handshakes_per_second",
        number(result->ramp_s > 0 ? (double)result->opened / result->ramp_s : NAN));
    set(object, "seconds", number(result->ramp_s + result->hold_s));
    set(object, "ramp_seconds", number(result->ramp_s));
    set(object, "hold_seconds", number(result->hold_s));
    set(object, "interrupted", json_boolean(result->is_interrupted));
    set(object, "server_pid",
        result->server_pid > 0 ? json_integer(result->server_pid) : json_null());
    set(object, "server_shards", result->shards > 0 ? count(result->shards) : json_null());
    if (result->storm_count > 0) {
        set(object, "storms", report_storms_json(result));
    } else if (result->options->scenario != SCENARIO_IDLE) {
        set_traffic(object, result);
    }
    set_cpu(object, result);
    set_memory(object, result);
    set_latency(object, result);
    set(object, "http_status_refused",
        result->http_status > 0 ? count(result->http_status) : json_null());
    set(object, "close_code", result->close_code > 0 ? count(result->close_code) : json_null());
    set(object, "tls_error",
        result->tls_error != 0 ? json_integer(result->tls_error) : json_null());
    set(object, "pings_answered", count(result->pings_answered));
    set(object, "pongs_missed", count(result->pongs_missed));
    set(object, "messages_received", count(result->messages));
    set(object, "outcomes", outcomes_of(result));
    set(object, "load", load_of(result));
    set(object, "machine", machine_of(&result->machine));
    set(object, "version", json_string(LIMPET_VERSION));
    return object;
}
