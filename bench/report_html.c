#include "bench/report.h"

#include "base/text.h"
#include "bench/plot.h"
#include "bench/report_storm.h"

#include <inttypes.h>
#include <math.h>

static const char style[] =
    ":root{color-scheme:light dark;--page:#f7f8fa;--card:#fff;--text:#1a2030;--soft:#5c6578;"
    "--edge:#e3e6ec;--grid:#eceef3;--blue:#2563eb;--teal:#0d9488;--amber:#c2700a;--violet:#8b3fd9}\n"
    "@media(prefers-color-scheme:dark){:root{--page:#10131a;--card:#191d27;--text:#e7eaf1;"
    "--soft:#99a2b5;--edge:#2a3040;--grid:#252b39;--blue:#6ba1ff;--teal:#3fc7b6;--amber:#f0a83f;"
    "--violet:#bf8bff}}\n"
    "*{box-sizing:border-box}body{margin:0;background:var(--page);color:var(--text);"
    "font:15px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif}\n"
    "main{max-width:1080px;margin:0 auto;padding:32px 20px 48px}\n"
    "h1{font-size:26px;line-height:1.25;margin:0 0 6px;letter-spacing:-.01em}"
    "h2{font-size:16px;margin:0 0 2px}p{margin:0 0 12px;color:var(--soft)}\n"
    ".tiles{display:grid;grid-template-columns:repeat(4,1fr);gap:12px;"
    "margin:22px 0 12px}\n"
    ".card{background:var(--card);border:1px solid var(--edge);border-radius:10px;padding:16px 18px;"
    "margin:0 0 12px;overflow-x:auto}\n"
    ".tile{margin:0}.tile b{display:block;font-size:23px;line-height:1.3;"
    "font-variant-numeric:tabular-nums}.tile span{color:var(--soft);font-size:13px}\n"
    ".pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(430px,1fr));gap:12px}"
    ".pair .card{margin:0}\n"
    "@media(max-width:700px){.tiles{grid-template-columns:repeat(2,1fr)}}\n"
    "svg{display:block;width:100%;height:auto}svg text{fill:var(--soft);font-size:12px}"
    "svg text.strong{fill:var(--text);font-weight:600}\n"
    ".grid{stroke:var(--grid)}.axis{stroke:var(--edge)}.marker{stroke:var(--soft);"
    "stroke-dasharray:3 4}\n"
    ".line{fill:none;stroke-width:2;stroke-linejoin:round}.area{opacity:.14}\n"
    ".blue{stroke:var(--blue)}.teal{stroke:var(--teal)}.amber{stroke:var(--amber)}"
    ".violet{stroke:var(--violet)}\n"
    ".area,.bar{stroke:none}.area.blue,.bar.blue{fill:var(--blue)}"
    ".area.teal,.bar.teal{fill:var(--teal)}.bar.amber{fill:var(--amber)}.bar.soft{fill:var(--soft)}\n"
    ".key{display:flex;flex-wrap:wrap;gap:4px 18px;color:var(--soft);font-size:13px;margin:2px 0 4px}"
    ".key i{display:inline-block;width:11px;height:11px;border-radius:3px;margin-right:6px;"
    "vertical-align:-1px}\n"
    "i.blue{background:var(--blue)}i.teal{background:var(--teal)}i.amber{background:var(--amber)}"
    "i.violet{background:var(--violet)}i.soft{background:var(--soft)}\n"
    "table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}"
    "th,td{padding:5px 10px 5px 0;border-bottom:1px solid var(--grid);text-align:right;"
    "font-weight:400;white-space:nowrap}th:first-child,td:first-child{text-align:left}"
    "th{color:var(--soft);font-size:13px}tr:last-child td{border-bottom:0}"
    "td:first-child{white-space:normal}\n";

/* --- head ------------------------------------------------------------------------------------- */

static void write_tile(FILE *out, const char *label, const char *value)
{
    text_print(out, "<div class=\"card tile\"><b>%s</b><span>%s</span></div>\n", value, label);
}

static void write_tile_number(FILE *out, const char *label, double value, const char *unit)
{
    char text[TEXT_SIZE];
    char digits[TEXT_SIZE];

    if (isnan(value)) {
        write_tile(out, label, "&ndash;");
        return;
    }
    if (value >= 1000) {
        (void)snprintf(text, sizeof(text), "%.30s%s", text_count((uint64_t)llround(value), digits),
                       unit);
    } else {
        (void)snprintf(text, sizeof(text), "%.*f%s",
                       fabs(value) < 10    ? 2
                       : fabs(value) < 100 ? 1
                                           : 0,
                       value, unit);
    }
    write_tile(out, label, text);
}

static void write_title(const struct result *result, FILE *out)
{
    char count[TEXT_SIZE];
    char subscribers[TEXT_SIZE];

    switch (result->options->scenario) {
    case SCENARIO_IDLE:
        text_print(out, "%s idle WebSocket connections", text_count(result->open, count));
        break;
    case SCENARIO_FANOUT:
        text_print(out, "%s deliveries to %s subscribers",
                   text_count(result->traffic.deliveries, count),
                   text_count(result->open, subscribers));
        break;
    case SCENARIO_ECHO:
        text_print(out, "%s messages sent back to %s connections",
                   text_count(result->traffic.deliveries, count),
                   text_count(result->open, subscribers));
        break;
    case SCENARIO_STORM:
        text_print(out, "%s connections cut off at once",
                   text_count(result->storms[0].wanted, count));
        break;
    }
}

static void write_head(const struct result *result, FILE *out)
{
    char memory[TEXT_SIZE];

    text_print(out, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
                    "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
                    "<title>");
    write_title(result, out);
    text_print(out, "</title>\n<style>\n%s</style></head>\n<body><main>\n<h1>", style);
    write_title(result, out);
    text_print(out, "</h1>\n<p>");
    plot_escape(out, result->url);
    text_print(out, " &middot; TLS %s &middot; ",
               result->options->version == TLS_1_3 ? "1.3" : "1.2");
    plot_escape(out, result->machine.cpu);
    text_print(out, ", %" PRIu32 " cores, %s &middot; ", result->machine.cores,
               text_bytes((double)result->machine.memory, memory));
    plot_escape(out, result->machine.kernel);
    text_print(out, " &middot; %s</p>\n", result->machine.time);
}

static void write_tiles(const struct result *result, FILE *out)
{
    char text[TEXT_SIZE];

    text_print(out, "<section class=\"tiles\">\n");
    write_tile(out, "connections open", text_count(result->open, text));
    write_tile(out, "failed or lost",
               text_count(result_failed(result) + result_lost(result), text));
    write_tile_number(out, "handshakes per second",
                      result->ramp_s > 0 ? (double)result->opened / result->ramp_s : NAN, "");
    write_tile_number(out, "user memory each", result->user_bytes, " B");
    write_tile_number(out, "kernel memory each", result->kernel_bytes, " B");
    write_tile_number(out, "of a bare TCP socket", result->ratio, "&times;");
    write_tile_number(out, "CPU per new connection", result->cpu_us_per_connection, " &micro;s");
    write_tile_number(out, "CPU per heartbeat", result->cpu_us_per_heartbeat, " &micro;s");
    text_print(out, "</section>\n");
}

static void write_traffic_tiles(const struct result *result, FILE *out)
{
    const struct traffic *traffic = &result->traffic;
    char text[TEXT_SIZE];

    text_print(out, "<section class=\"tiles\">\n");
    write_tile_number(out, "deliveries per second", result_per_second(traffic, traffic->deliveries),
                      "");
    write_tile(out, "lost", text_count(traffic->lost, text));
    write_tile(out, "out of order", text_count(traffic->reordered, text));
    write_tile(out, "twice", text_count(traffic->duplicated, text));
    write_tile_number(out, "server CPU per delivery", traffic->cpu_us_per_delivery, " &micro;s");
    write_tile(out, "median latency",
               text_time((double)histogram_percentile(&traffic->latency, 50), text));
    write_tile(out, "latency of 99 %",
               text_time((double)histogram_percentile(&traffic->latency, 99), text));
    write_tile(out, "largest latency",
               text_time((double)histogram_percentile(&traffic->latency, 100), text));
    text_print(out, "</section>\n");
}

/* --- ramp ------------------------------------------------------------------------------------- */

static void write_axes(const struct plot *plot)
{
    double step = plot_step(plot->x_max, 8); /* both start at 0 */
    char label[TEXT_SIZE];

    for (uint32_t i = 0; i * step <= plot->x_max * 1.0001; i++) {
        (void)snprintf(label, sizeof(label), "%.4g s", i * step);
        plot_tick_x(plot, i * step, label);
    }
    step = plot_step(plot->y_max, 5);
    for (uint32_t i = 0; i * step <= plot->y_max * 1.0001; i++) {
        plot_tick_y(plot, i * step, text_count((uint64_t)llround(i * step), label));
    }
}

static void write_ramp(const struct result *result, FILE *out)
{
    static struct plot_point open[SAMPLES_MAX];
    const struct samples *samples = &result->samples;
    double open_max = 1;

    for (uint32_t i = 0; i < samples->count; i++) {
        open[i] = (struct plot_point){samples->items[i].seconds, (double)samples->items[i].open};
        open_max = open[i].y > open_max ? open[i].y : open_max;
    }
    const struct plot plot = {
        .out = out, .x_max = samples->items[samples->count - 1].seconds, .y_max = open_max * 1.06};
    plot_open(&plot, "Open connections over time");
    write_axes(&plot);
    plot_label_y(&plot, "open connections");
    plot_area(&plot, "blue", open, samples->count);
    plot_line(&plot, "blue", open, samples->count);
    if (result->ramp_s < plot.x_max * 0.98) {
        plot_marker_x(&plot, result->ramp_s, "all open, held");
    }
    plot_close(&plot);
}

struct rate {
    const char *title;
    const char *label;
    const char *colour;
    double from_s;
    double to_s;
    bool of_deliveries; /* else of new connections */
};

static uint64_t amount(const struct sample *sample, const struct rate *rate)
{
    return rate->of_deliveries ? sample->received : sample->opened;
}

/* What was added per second, each over about a fortieth of the time. */
static void write_rate(const struct result *result, const struct rate *rate, FILE *out)
{
    static struct plot_point rates[SAMPLES_MAX];
    const struct samples *samples = &result->samples;
    double duration_s = rate->to_s - rate->from_s;
    const struct sample *from = NULL;
    uint32_t count = 0;
    double rate_max = 1;

    for (uint32_t i = 0; i < samples->count; i++) {
        const struct sample *to = &samples->items[i];
        if (to->seconds > rate->to_s) {
            break;
        }
        if (!from || to->seconds < rate->from_s) {
            from = to;
        }
        double span_s = to->seconds - from->seconds;
        if (span_s <= 0 || span_s < duration_s / 40) {
            continue;
        }
        double per_second = (double)(amount(to, rate) - amount(from, rate)) / span_s;
        double middle_s = (from->seconds + to->seconds) / 2 - rate->from_s;
        rates[count++] = (struct plot_point){middle_s > 0 ? middle_s : 0, per_second};
        rate_max = per_second > rate_max ? per_second : rate_max;
        from = to;
    }
    const struct plot plot = {
        .out = out, .x_max = duration_s > 0.2 ? duration_s : 0.2, .y_max = rate_max * 1.06};
    plot_open(&plot, rate->title);
    write_axes(&plot);
    plot_label_y(&plot, rate->label);
    plot_area(&plot, rate->colour, rates, count);
    plot_line(&plot, rate->colour, rates, count);
    plot_close(&plot);
}

/* --- latency ---------------------------------------------------------------------------------- */

#define LATENCY_POINTS 160
#define NINES_MAX      4.0 /* the axis ends at 99.99 % */

struct latency_line {
    const char *name;
    const char *colour;
    const struct histogram *histogram;
};

/* The axis of percentiles is that of nines: as much room for 90 to 99 as for 99 to 99.9. */
static double percent_at(double nines)
{
    return 100 * (1 - pow(10, -nines));
}

static double milliseconds(uint64_t nanoseconds)
{
    return nanoseconds < 1000 ? 0.001 : (double)nanoseconds / 1e6;
}

static void write_latency_ticks(const struct plot *plot)
{
    static const double percents[] = {0, 50, 90, 99, 99.9, 99.99};
    char label[TEXT_SIZE];

    for (size_t i = 0; i < sizeof(percents) / sizeof(percents[0]); i++) {
        (void)snprintf(label, sizeof(label), "%g %%", percents[i]);
        plot_tick_x(plot, -log10(1 - percents[i] / 100), label);
    }
    for (int power = (int)ceil(plot->y_min); power <= plot->y_max; power++) {
        plot_tick_y(plot, power, text_time(pow(10, power) * 1e6, label));
    }
}

static void write_latency_line(const struct plot *plot, const struct latency_line *line)
{
    struct plot_point points[LATENCY_POINTS + 1];

    for (uint32_t i = 0; i <= LATENCY_POINTS; i++) {
        double nines = NINES_MAX * i / LATENCY_POINTS;
        double y = log10(milliseconds(histogram_percentile(line->histogram, percent_at(nines))));
        points[i] = (struct plot_point){nines, y < plot->y_min ? plot->y_min : y};
    }
    plot_line(plot, line->colour, points, LATENCY_POINTS + 1);
}

static void write_latency(FILE *out, const char *title, const struct latency_line *lines,
                          uint32_t count)
{
    double low = 1e9;
    double high = 0.001;

    for (uint32_t i = 0; i < count; i++) {
        double first = milliseconds(histogram_percentile(lines[i].histogram, 1));
        double last = milliseconds(histogram_percentile(lines[i].histogram, 99.99));
        low = first < low ? first : low;
        high = last > high ? last : high;
    }
    const struct plot plot = {.out = out,
                              .x_max = NINES_MAX,
                              .y_min = floor(log10(low)),
                              .y_max = ceil(log10(high * 1.05))};
    plot_open(&plot, title);
    write_latency_ticks(&plot);
    for (uint32_t i = 0; i < count; i++) {
        write_latency_line(&plot, &lines[i]);
    }
    plot_close(&plot);
    text_print(out, "<div class=\"key\">");
    for (uint32_t i = 0; i < count; i++) {
        char median[TEXT_SIZE];
        uint64_t value = histogram_percentile(lines[i].histogram, 50);
        text_print(out, "<span><i class=\"%s\"></i>%s, median %s</span>", lines[i].colour,
                   lines[i].name, text_time((double)value, median));
    }
    text_print(out, "</div>\n");
}

/* --- memory ----------------------------------------------------------------------------------- */

#define BAR_LEFT   190.0
#define BAR_WIDTH  (PLOT_WIDTH - BAR_LEFT - 90.0)
#define BAR_HEIGHT 34.0

static void write_bar(FILE *out, double y, const char *label, const double parts[2],
                      const char *const colours[2], double scale)
{
    double x = BAR_LEFT;
    char total[TEXT_SIZE];

    text_print(out, "<text class=\"strong\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n",
               BAR_LEFT - 12, y + BAR_HEIGHT / 2 + 4, label);
    for (uint32_t i = 0; i < 2; i++) {
        double width = parts[i] > 0 ? parts[i] * scale : 0;
        text_print(out,
                   "<rect class=\"bar %s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\">"
                   "<title>%.0f bytes</title></rect>\n",
                   colours[i], x, y, width, BAR_HEIGHT, parts[i]);
        x += width;
    }
    text_print(out, "<text class=\"strong\" x=\"%.1f\" y=\"%.1f\">%s B</text>\n", x + 10,
               y + BAR_HEIGHT / 2 + 4, text_count((uint64_t)llround(parts[0] + parts[1]), total));
}

static double or_zero(double value)
{
    return isnan(value) || value < 0 ? 0 : value;
}

static void write_memory(const struct result *result, FILE *out)
{
    static const char *const colours[2] = {"blue", "amber"};
    static const char *const colours_bare[2] = {"soft", "soft"};
    const double bare[2] = {or_zero(result->baseline_bytes), 0};
    const double server[2] = {or_zero(result->kernel_bytes), or_zero(result->user_bytes)};
    char kernel[TEXT_SIZE];
    char user[TEXT_SIZE];
    double most = server[0] + server[1] > bare[0] ? server[0] + server[1] : bare[0];

    if (most <= 0) {
        text_print(out, "<p>Not measured: %s.</p>\n",
                   result->kernel_reason ? result->kernel_reason : "the server was not found here");
        return;
    }
    text_print(
        out,
        "<svg viewBox=\"0 0 %d 116\" role=\"img\"><title>Memory of one idle connection</title>\n",
        PLOT_WIDTH);
    write_bar(out, 12, "bare accepted TCP socket", bare, colours_bare, BAR_WIDTH / most);
    write_bar(out, 66, "this server", server, colours, BAR_WIDTH / most);
    text_print(out,
               "</svg>\n<div class=\"key\"><span><i class=\"soft\"></i>kernel, plain socket</span>"
               "<span><i class=\"blue\"></i>kernel, %s B</span>"
               "<span><i class=\"amber\"></i>user, %s B</span></div>\n",
               text_count((uint64_t)llround(server[0]), kernel),
               text_count((uint64_t)llround(server[1]), user));
    if (result->kernel_method) {
        text_print(out, "<p>Kernel memory: %s. User memory: growth of the process's RSS.</p>\n",
                   result->kernel_method);
    } else if (result->kernel_reason) {
        text_print(out, "<p>Kernel memory not measured: %s.</p>\n", result->kernel_reason);
    }
}

/* --- tables ----------------------------------------------------------------------------------- */

static void write_slabs(const struct result *result, FILE *out)
{
    text_print(out, "<table><tr><th>slab, both ends</th><th>objects</th><th>bytes</th></tr>\n");
    for (uint32_t i = 0; i < result->growths.count; i++) {
        const struct slab_growth *growth = &result->growths.items[i];
        text_print(out, "<tr><td>");
        plot_escape(out, growth->name);
        text_print(out, "</td><td>%.2f</td><td>%.0f</td></tr>\n", growth->objects, growth->bytes);
    }
    text_print(out, "<tr><td>sum</td><td></td><td>%.0f</td></tr>\n", result->growths.bytes);
    text_print(out, "<tr><td>of it a client&rsquo;s end</td><td></td><td>%.0f</td></tr></table>\n",
               result->reference.client_bytes);
}

static void write_row(FILE *out, const char *label, const char *value)
{
    text_print(out, "<tr><td>%s</td><td>%s</td></tr>\n", label, value);
}

static void write_outcomes(const struct result *result, FILE *out)
{
    char text[TEXT_SIZE];

    text_print(out, "<table><tr><th>outcome</th><th>connections</th></tr>\n");
    write_row(out, "opened", text_count(result->opened, text));
    for (enum outcome outcome = 0; outcome < OUTCOMES; outcome++) {
        if (result->ended[outcome] > 0) {
            write_row(out, outcome_text(outcome), text_count(result->ended[outcome], text));
        }
    }
    write_row(out, "connects after a repeated SYN (1 s and later)",
              text_count(result->syn_steps[0] + result->syn_steps[1] + result->syn_steps[2], text));
    write_row(out, "pings answered", text_count(result->pings_answered, text));
    (void)snprintf(text, sizeof(text), "%.1f s", result->ramp_s);
    write_row(out, "ramp", text);
    (void)snprintf(text, sizeof(text), "%.1f s", result->hold_s);
    write_row(out, "hold", text);
    write_row(out, "server memory before", text_bytes((double)result->memory_before.rss, text));
    write_row(out, "server memory while held", text_bytes((double)result->memory_held.rss, text));
    write_row(out, "server memory after they had gone",
              text_bytes((double)result->memory_left.rss, text));
    if (result->shards > 0) {
        write_row(out, "shards of the server", text_count(result->shards, text));
    }
    text_print(out, "</table>\n");
}

/* --- messages --------------------------------------------------------------------------------- */

static void write_traffic_table(const struct result *result, FILE *out)
{
    const struct traffic *traffic = &result->traffic;
    const struct bench_messages *messages = &result->options->messages;
    char text[TEXT_SIZE];

    text_print(out, "<table><tr><th>messages of %" PRIu32 " bytes</th><th></th></tr>\n",
               messages->size);
    write_row(out, "published", text_count(traffic->publications, text));
    write_row(out, "refused of them", text_count(traffic->refused, text));
    write_row(out, "deliveries expected", text_count(traffic->expected, text));
    write_row(out, "delivered", text_count(traffic->deliveries, text));
    (void)snprintf(text, sizeof(text), "%.2f s", traffic->seconds);
    write_row(out, "first publication to last delivery", text);
    write_row(out, "pings answered meanwhile", text_count(traffic->pings_answered, text));
    write_row(out, "pong deadlines missed", text_count(traffic->pong_deadlines_missed, text));
    if (messages->arrivals > 0) {
        write_row(out, "connections opened meanwhile", text_count(traffic->arrivals_opened, text));
        write_row(out, "failed or lost of them", text_count(traffic->arrivals_failed, text));
    }
    if (!isnan(traffic->cpu_share)) {
        (void)snprintf(text, sizeof(text), "%.2f", traffic->cpu_share);
        write_row(out, "CPUs that the server used", text);
    }
    text_print(out, "</table>\n");
}

static void write_traffic(const struct result *result, FILE *out)
{
    const struct traffic *traffic = &result->traffic;
    const struct latency_line lines[] = {
        {"publication to delivery", "blue", &traffic->latency},
        {"opening a connection meanwhile", "violet", &traffic->arrivals_latency}};
    const struct rate rate = {"Deliveries per second over time",
                              "deliveries per second",
                              "teal",
                              traffic->start_s,
                              traffic->start_s + traffic->seconds,
                              true};

    if (traffic->deliveries > 0) {
        text_print(out, "<section class=\"card\"><h2>Latency</h2>\n");
        write_latency(out, "Latency by percentile", lines,
                      traffic->arrivals_latency.count > 0 ? 2 : 1);
        text_print(out, "</section>\n<section class=\"card\"><h2>Deliveries</h2>\n");
        write_rate(result, &rate, out);
        text_print(out, "</section>\n");
    }
    text_print(out, "<section class=\"card\">\n");
    write_traffic_table(result, out);
    text_print(out, "</section>\n");
}

/* --- connections ------------------------------------------------------------------------------ */

static void write_opening(const struct result *result, FILE *out)
{
    const struct latency_line lines[LATENCY_STEPS] = {
        {"TCP connect", "violet", &result->latency[LATENCY_CONNECT]},
        {"TLS handshake", "teal", &result->latency[LATENCY_TLS]},
        {"upgrade", "amber", &result->latency[LATENCY_UPGRADE]},
        {"total", "blue", &result->latency[LATENCY_TOTAL]}};

    text_print(out, "<section class=\"card\"><h2>Time to open one</h2>\n<p>");
    if (result->options->rate == 0) {
        text_print(out, "At full rate: mostly waiting for the %" PRIu32 " others in flight.",
                   result->options->in_flight_max);
    } else {
        text_print(out, "At %" PRIu32 " new connections per second.", result->options->rate);
    }
    text_print(out, "</p>\n");
    write_latency(out, "Time to open one connection, by percentile", lines, LATENCY_STEPS);
    text_print(out, "</section>\n");
}

static void write_ramp_cards(const struct result *result, FILE *out)
{
    const struct rate rate = {"New connections per second during the ramp",
                              "new connections per second",
                              "teal",
                              0,
                              result->ramp_s,
                              false};

    text_print(out, "<section class=\"card\"><h2>Ramp and hold</h2>\n");
    write_ramp(result, out);
    text_print(out, "</section>\n<section class=\"card\"><h2>Rate</h2>\n");
    write_rate(result, &rate, out);
    text_print(out, "</section>\n");
}

void report_html(const struct result *result, FILE *out)
{
    bool is_idle = result->options->scenario == SCENARIO_IDLE;

    write_head(result, out);
    if (result->storm_count > 0) {
        report_storms_html(result, out);
    } else if (is_idle) {
        write_tiles(result, out);
    } else {
        write_traffic_tiles(result, out);
        write_traffic(result, out);
    }
    if (result->samples.count > 1 && is_idle) {
        write_ramp_cards(result, out);
    }
    if (is_idle || result->reference.count > 0) {
        text_print(out, "<section class=\"card\"><h2>Memory of one idle connection</h2>\n");
        write_memory(result, out);
        text_print(out, "</section>\n");
    }
    if (result->latency[LATENCY_TOTAL].count > 0) {
        write_opening(result, out);
    }
    text_print(out, "<div class=\"pair\"><section class=\"card\">\n");
    write_outcomes(result, out);
    text_print(out, "</section>\n");
    if (result->growths.count > 0) {
        text_print(out, "<section class=\"card\">\n");
        write_slabs(result, out);
        text_print(out, "</section>\n");
    }
    text_print(out, "</div>\n</main></body></html>\n");
}
