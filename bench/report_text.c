#include "bench/report.h"

#include "base/text.h"
#include "bench/report_storm.h"

#include <inttypes.h>
#include <math.h>

#define LABEL_FORMAT "  %-34s "

static void line_text(FILE *out, const char *label, const char *value, const char *note)
{
    text_print(out, LABEL_FORMAT "%14s%s%s\n", label, value, *note ? "   " : "", note);
}

static void line_count(FILE *out, const char *label, uint64_t value, const char *note)
{
    char text[TEXT_SIZE];

    line_text(out, label, text_count(value, text), note);
}

static void line_number(FILE *out, const char *label, double value, const char *unit,
                        const char *note)
{
    char text[TEXT_SIZE];

    if (isnan(value)) {
        line_text(out, label, "not measured", note);
        return;
    }
    if (value >= 1000) {
        char digits[TEXT_SIZE];
        (void)snprintf(text, sizeof(text), "%.*s %s", (int)sizeof(digits) - 12,
                       text_count((uint64_t)llround(value), digits), unit);
        line_text(out, label, text, note);
        return;
    }
    int decimals = fabs(value) < 10 ? 2 : fabs(value) < 100 ? 1 : 0;
    (void)snprintf(text, sizeof(text), "%.*f %s", decimals, value, unit);
    line_text(out, label, text, note);
}

static void section(FILE *out, const char *title)
{
    text_print(out, "\n%s\n", title);
}

static void print_connections(const struct result *result, FILE *out)
{
    char note[128];

    section(out, "Connections");
    (void)snprintf(note, sizeof(note), "of %" PRIu32 " wanted%s", result->options->connections,
                   result->is_interrupted ? ", interrupted" : "");
    line_count(out, "open at the end", result->open, note);
    line_count(out, "failed by the server or the way",
               result_failed(result) - result_failed_here(result), "");
    line_count(out, "failed on our side", result_failed_here(result), "");
    line_count(out, "lost after being open", result_lost(result), "");
    for (enum outcome outcome = 0; outcome < OUTCOMES; outcome++) {
        if (result->ended[outcome] > 0) {
            line_count(out, "  of these", result->ended[outcome], outcome_text(outcome));
        }
    }
    if (result->http_status > 0) {
        line_count(out, "  most frequent HTTP status", result->http_status, "");
    }
    if (result->close_code > 0) {
        line_count(out, "  most frequent close code", result->close_code, "");
    }
    if (result->tls_error != 0) {
        (void)snprintf(note, sizeof(note), "%d", result->tls_error);
        line_text(out, "  last TLS alert or library error", note, "");
    }
    if (result->pongs_missed > 0) {
        line_count(out, "pings we could not answer", result->pongs_missed,
                   "our failure: use more --threads");
    }
}

static void print_latency(const struct result *result, FILE *out)
{
    static const char *const names[LATENCY_STEPS] = {"TCP connect", "TLS handshake", "upgrade",
                                                     "total"};
    static const double percents[] = {50, 90, 99, 99.9, 100};

    text_print(out, "\n%-36s%12s%12s%12s%12s%12s\n", "Opening one", "p50", "p90", "p99", "p99.9",
               "max");
    for (uint32_t step = 0; step < LATENCY_STEPS; step++) {
        text_print(out, "  %-34s", names[step]);
        for (size_t i = 0; i < sizeof(percents) / sizeof(percents[0]); i++) {
            char text[TEXT_SIZE];
            uint64_t value = histogram_percentile(&result->latency[step], percents[i]);
            text_print(out, "%12s", text_time((double)value, text));
        }
        text_print(out, "\n");
    }
    if (result->options->rate == 0) {
        text_print(out,
                   "  (at full rate these are mostly waiting: %" PRIu32
                   " in flight; use --rate for a latency without a queue)\n",
                   result->options->in_flight_max);
    }
    for (uint32_t i = 0; i < SYN_STEPS; i++) {
        static const char *const texts[SYN_STEPS] = {
            "connects that waited for the SYN's first repeat, 1 s",
            "connects that waited for its second repeat, 3 s",
            "connects that waited for its third repeat, 7 s"};
        if (result->syn_steps[i] > 0) {
            text_print(out, "  %" PRIu64 " %s: the listener's backlog was full\n",
                       result->syn_steps[i], texts[i]);
        }
    }
    if (result->listen_overflows > 0) {
        text_print(out,
                   "  %.0f listen overflows counted by this machine (see net.core.somaxconn)\n",
                   result->listen_overflows);
    }
}

static void print_server(const struct result *result, FILE *out)
{
    char note[256];

    section(out, "Server CPU");
    line_number(out, "one new connection", result->cpu_us_per_connection, "us",
                "accept, TLS handshake, upgrade; heartbeats taken off");
    (void)snprintf(note, sizeof(note), "%" PRIu64 " in the hold%s", result->heartbeats_hold,
                   result->heartbeats_hold < 100 ? ": too few, use a longer --hold" : "");
    line_number(out, "one heartbeat", result->cpu_us_per_heartbeat, "us", note);
    line_number(out, "without connections", result->cpu_idle_share * 100, "% of a CPU", "");
    line_number(out, "the load tool's, one connection", result->own_cpu_us_per_connection, "us",
                "for comparison");

    section(out, "Server memory, per connection");
    line_number(out, "user: RSS growth", result->user_bytes, "B", "");
    line_number(out, "  anonymous pages of it", result->rss_anon_bytes, "B", "");
    line_number(out, "  PSS growth", result->pss_bytes, "B", "");
    line_number(out, "kernel", result->kernel_bytes, "B",
                isnan(result->kernel_bytes) && result->kernel_reason ? result->kernel_reason : "");
    line_number(out, "user and kernel", result->user_bytes + result->kernel_bytes, "B", "");
    (void)snprintf(note, sizeof(note), "%" PRIu32 " measured before the run",
                   result->reference.count);
    line_number(out, "a bare accepted TCP socket", result->baseline_bytes, "B",
                result->reference.count > 0 ? note : "");
    line_number(out, "ratio of the two", result->ratio, "x", "");
    if (result->memory_left.rss > 0 && result->memory_before.rss > 0) {
        char before[TEXT_SIZE];
        char held[TEXT_SIZE];
        char left[TEXT_SIZE];
        text_print(out, LABEL_FORMAT "%14s   (before: %s, held: %s)\n", "RSS after they had gone",
                   text_bytes((double)result->memory_left.rss, left),
                   text_bytes((double)result->memory_before.rss, before),
                   text_bytes((double)result->memory_held.rss, held));
    }
}

static void print_slabs(const struct result *result, FILE *out)
{
    if (result->growths.count == 0) {
        return;
    }
    text_print(out, "\n%-36s%12s%14s\n", "Kernel slabs, both ends", "objects", "bytes");
    for (uint32_t i = 0; i < result->growths.count; i++) {
        const struct slab_growth *growth = &result->growths.items[i];
        text_print(out, "  %-34s%12.2f%14.0f\n", growth->name, growth->objects, growth->bytes);
    }
    text_print(out, "  %-34s%12s%14.0f\n", "sum", "", result->growths.bytes);
    if (result->reference.count > 0) {
        text_print(out, "  %-34s%12s%14.0f\n", "of it a client's end", "",
                   result->reference.client_bytes);
    }
}

static void print_delivery_latency(const struct traffic *traffic, FILE *out)
{
    static const double percents[] = {50, 90, 99, 99.9, 100};

    text_print(out, "\n%-36s%12s%12s%12s%12s%12s\n", "Latency", "p50", "p90", "p99", "p99.9",
               "max");
    text_print(out, "  %-34s", "publication to delivery");
    for (size_t i = 0; i < sizeof(percents) / sizeof(percents[0]); i++) {
        char text[TEXT_SIZE];
        uint64_t value = histogram_percentile(&traffic->latency, percents[i]);
        text_print(out, "%12s", text_time((double)value, text));
    }
    text_print(out, "\n");
    if (traffic->arrivals_latency.count > 0) {
        text_print(out, "  %-34s", "opening a connection meanwhile");
        for (size_t i = 0; i < sizeof(percents) / sizeof(percents[0]); i++) {
            char text[TEXT_SIZE];
            uint64_t value = histogram_percentile(&traffic->arrivals_latency, percents[i]);
            text_print(out, "%12s", text_time((double)value, text));
        }
        text_print(out, "\n");
    }
}

static void print_traffic(const struct result *result, FILE *out)
{
    const struct traffic *traffic = &result->traffic;
    const struct bench_messages *messages = &result->options->messages;
    char note[128];

    section(out, "Messages");
    (void)snprintf(note, sizeof(note), "of %" PRIu32 " bytes", messages->size);
    line_count(out, "published", traffic->publications, note);
    if (traffic->refused > 0) {
        line_count(out, "  refused of them", traffic->refused, "");
    }
    if (traffic->publishers_lost) {
        text_print(out, "  the connections to publish on were lost\n");
    }
    (void)snprintf(note, sizeof(note), "of %" PRIu64 " expected", traffic->expected);
    line_count(out, "delivered", traffic->deliveries, note);
    line_count(out, "lost", traffic->lost, "");
    line_count(out, "reordered", traffic->reordered, "");
    line_count(out, "duplicated", traffic->duplicated, "");
    if (traffic->foreign > 0) {
        line_count(out, "not ours", traffic->foreign, "");
    }
    line_number(out, "first publication to last delivery", traffic->seconds, "s", "");
    line_number(out, "deliveries", result_per_second(traffic, traffic->deliveries), "/s", "");
    line_number(out, "publications", result_per_second(traffic, traffic->publications), "/s", "");
    line_number(out, "server CPU, one delivery", traffic->cpu_us_per_delivery, "us", "");
    line_number(out, "  less what holding them costs", traffic->cpu_us_per_delivery_net, "us", "");
    line_number(out, "server CPU meanwhile", traffic->cpu_share * 100, "% of a CPU", "");
    line_number(out, "  while it only held them", traffic->cpu_held_share * 100, "% of a CPU", "");
    line_number(out, "the load tool's, one delivery", traffic->own_cpu_us_per_delivery, "us",
                "for comparison");
    line_count(out, "pings answered meanwhile", traffic->pings_answered, "");
    line_count(out, "pong deadlines missed", traffic->pong_deadlines_missed,
               "connections closed with 3008");
    if (messages->arrivals > 0) {
        line_count(out, "connections opened meanwhile", traffic->arrivals_opened, "");
        line_count(out, "  failed or lost", traffic->arrivals_failed, "");
    }
    print_delivery_latency(traffic, out);
}

void report_text(const struct result *result, FILE *out)
{
    char count[TEXT_SIZE];
    char memory[TEXT_SIZE];

    text_print(out, "\nlimpet-bench %s: %s connections to %s",
               bench_scenario_name(result->options->scenario),
               text_count(result->options->connections, count), result->url);
    if (result->server_pid > 0) {
        text_print(out, " (process %d)", result->server_pid);
    }
    text_print(out, "\n%s, %" PRIu32 " cores, %s, %s, %s\n", result->machine.cpu,
               result->machine.cores, text_bytes((double)result->machine.memory, memory),
               result->machine.kernel, result->machine.time);
    print_connections(result, out);
    section(out, "Time");
    line_number(out, "ramp", result->ramp_s, "s", "");
    line_number(out, "handshakes per second",
                result->ramp_s > 0 ? (double)result->opened / result->ramp_s : NAN, "/s", "");
    line_number(out, "hold", result->hold_s, "s", "");
    if (result->storm_count > 0) {
        report_storms_text(result, out);
    } else if (result->options->scenario != SCENARIO_IDLE) {
        print_traffic(result, out);
    }
    print_latency(result, out);
    print_server(result, out);
    print_slabs(result, out);
}
