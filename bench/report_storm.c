#include "bench/report_storm.h"

#include "base/text.h"
#include "bench/plot.h"

#include <inttypes.h>
#include <math.h>

#define SHARES 4

static const struct {
    double percent;
    const char *name; /* of the JSON */
    const char *text;
} shares[SHARES] = {{50, "seconds_to_50", "50 % back after"},
                    {90, "seconds_to_90", "90 % back after"},
                    {99, "seconds_to_99", "99 % back after"},
                    {100, "seconds_to_100", "all back after"}};

/* Of those who were cut off, not only of those who are back; NAN: never. */
static double seconds_to(const struct storm *storm, double percent)
{
    const double needed = ceil((double)storm->wanted * percent / 100);

    if (storm->returned == 0 || (double)storm->returned < needed) {
        return NAN;
    }
    const double of_returned = needed / (double)storm->returned * 100;
    return (double)histogram_percentile(&storm->back, of_returned) / 1e9;
}

static uint64_t timed_out(const struct storm *storm)
{
    return storm->ended[OUTCOME_CONNECT_TIMEOUT] + storm->ended[OUTCOME_TLS_TIMEOUT] +
           storm->ended[OUTCOME_UPGRADE_TIMEOUT];
}

static uint64_t failed_here(const struct storm *storm)
{
    uint64_t count = 0;

    for (enum outcome outcome = 0; outcome < OUTCOME_FIRST_OF_SERVER; outcome++) {
        count += storm->ended[outcome];
    }
    return count;
}

/* All other tries that failed: the server, or the way to it, said no. */
static uint64_t refused(const struct storm *storm)
{
    uint64_t count = 0;

    for (enum outcome outcome = OUTCOME_FIRST_OF_SERVER; outcome < OUTCOME_FIRST_LOST; outcome++) {
        count += storm->ended[outcome];
    }
    return count - timed_out(storm);
}

static double resumed_share(const struct storm *storm)
{
    return storm->returned > 0 ? (double)storm->resumed / (double)storm->returned : NAN;
}

static const char *title_of(const struct storm *storm)
{
    return storm->with_tickets ? "with tickets" : "full handshakes";
}

/* --- JSON ------------------------------------------------------------------------------------- */

static void set(json_t *object, const char *name, json_t *value)
{
    (void)json_object_set_new(object, name, value);
}

static void set_number(json_t *object, const char *name, double value)
{
    set(object, name, isfinite(value) ? json_real(value) : json_null());
}

static void set_count(json_t *object, const char *name, uint64_t value)
{
    set(object, name, json_integer((json_int_t)value));
}

static json_t *latency_of(const struct histogram *histogram)
{
    json_t *object = json_object();

    set_number(object, "p50", (double)histogram_percentile(histogram, 50) / 1e6);
    set_number(object, "p90", (double)histogram_percentile(histogram, 90) / 1e6);
    set_number(object, "p99", (double)histogram_percentile(histogram, 99) / 1e6);
    set_number(object, "max", (double)histogram_percentile(histogram, 100) / 1e6);
    return object;
}

static json_t *storm_of(const struct storm *storm)
{
    json_t *object = json_object();
    json_t *outcomes = json_object();

    set(object, "tickets", json_boolean(storm->with_tickets));
    set_count(object, "cut_off", storm->wanted);
    set_count(object, "back", storm->returned);
    for (uint32_t i = 0; i < SHARES; i++) {
        set_number(object, shares[i].name, seconds_to(storm, shares[i].percent));
    }
    set_number(object, "seconds_to_first_tries", storm->tried_s);
    set_count(object, "tries", storm->tries);
    set_count(object, "timed_out", timed_out(storm));
    set_count(object, "refused", refused(storm));
    set_count(object, "failed_here", failed_here(storm));
    set_number(object, "resumed_share", resumed_share(storm));
    set_number(object, "server_cpu_us_per_return", storm->cpu_us);
    set(object, "tls_ms", latency_of(&storm->tls));
    set(object, "try_ms", latency_of(&storm->total));
    for (enum outcome outcome = 0; outcome < OUTCOMES; outcome++) {
        set_count(outcomes, outcome_name(outcome), storm->ended[outcome]);
    }
    set(object, "outcomes", outcomes);
    return object;
}

json_t *report_storms_json(const struct result *result)
{
    json_t *array = json_array();

    for (uint32_t i = 0; array && i < result->storm_count; i++) {
        (void)json_array_append_new(array, storm_of(&result->storms[i]));
    }
    return array;
}

/* --- tables ----------------------------------------------------------------------------------- */

#define ROWS_MAX 32

struct row {
    const char *label;
    char cells[STORMS_MAX][TEXT_SIZE];
};

static void seconds_text(double seconds, char text[TEXT_SIZE])
{
    (void)snprintf(text, TEXT_SIZE, isnan(seconds) ? "never" : "%.2f s", seconds);
}

/* One storm's column; the labels are the same in each. Returns the rows. */
static uint32_t fill_rows(const struct storm *storm, uint32_t column, struct row rows[ROWS_MAX])
{
    uint32_t count = 0;
    const struct {
        const char *label;
        uint64_t value;
    } counts[] = {{"connections cut off", storm->wanted},
                  {"back", storm->returned},
                  {"tries", storm->tries},
                  {"  timed out", timed_out(storm)},
                  {"  refused by the server or the way", refused(storm)},
                  {"  failed on our side", failed_here(storm)}};
    const struct {
        const char *label;
        const struct histogram *histogram;
        double percent;
    } times[] = {{"TLS handshake, p50", &storm->tls, 50},
                 {"TLS handshake, p99", &storm->tls, 99},
                 {"the try that succeeded, p50", &storm->total, 50},
                 {"the try that succeeded, p99", &storm->total, 99},
                 {"the try that succeeded, max", &storm->total, 100}};

    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        rows[count].label = counts[i].label;
        (void)text_count(counts[i].value, rows[count++].cells[column]);
    }
    rows[count].label = "all have tried after";
    seconds_text(storm->tried_s, rows[count++].cells[column]);
    for (uint32_t i = 0; i < SHARES; i++) {
        rows[count].label = shares[i].text;
        seconds_text(seconds_to(storm, shares[i].percent), rows[count++].cells[column]);
    }
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        rows[count].label = times[i].label;
        uint64_t value = histogram_percentile(times[i].histogram, times[i].percent);
        (void)text_time((double)value, rows[count++].cells[column]);
    }
    rows[count].label = "resumed of those that are back";
    (void)snprintf(rows[count++].cells[column], TEXT_SIZE, "%.1f %%", resumed_share(storm) * 100);
    rows[count].label = "server CPU for one";
    (void)snprintf(rows[count++].cells[column], TEXT_SIZE,
                   isnan(storm->cpu_us) ? "not measured" : "%.0f us", storm->cpu_us);
    ASSERT(count < ROWS_MAX);
    return count;
}

void report_storms_text(const struct result *result, FILE *out)
{
    struct row rows[ROWS_MAX] = {0};
    uint32_t count = 0;

    text_print(out, "\n%-36s", "Coming back");
    for (uint32_t i = 0; i < result->storm_count; i++) {
        count = fill_rows(&result->storms[i], i, rows);
        text_print(out, "%18s", title_of(&result->storms[i]));
    }
    text_print(out, "\n");
    for (uint32_t row = 0; row < count; row++) {
        text_print(out, "  %-34s", rows[row].label);
        for (uint32_t i = 0; i < result->storm_count; i++) {
            text_print(out, "%18s", rows[row].cells[i]);
        }
        text_print(out, "\n");
    }
}

static const char *const colours[STORMS_MAX] = {"teal", "violet"};

static void write_curve(const struct result *result, FILE *out)
{
    static struct plot_point points[SAMPLES_MAX];
    double longest_s = 0.1;
    double most = 1;

    ASSERT(result->storm_count <= STORMS_MAX);
    for (uint32_t i = 0; i < result->storm_count; i++) {
        const struct storm *storm = &result->storms[i];
        longest_s = storm->seconds > longest_s ? storm->seconds : longest_s;
        most = (double)storm->wanted > most ? (double)storm->wanted : most;
    }
    const struct plot plot = {.out = out, .x_max = longest_s, .y_max = most * 1.06};
    const double step_s = plot_step(longest_s, 8);
    const double step = plot_step(plot.y_max, 5);
    char text[TEXT_SIZE];
    plot_open(&plot, "Connections back over time");
    for (uint32_t i = 0; step_s * i <= longest_s; i++) {
        (void)snprintf(text, sizeof(text), "%g s", step_s * i);
        plot_tick_x(&plot, step_s * i, text);
    }
    for (uint32_t i = 0; step * i <= plot.y_max; i++) {
        plot_tick_y(&plot, step * i, text_count((uint64_t)(step * i), text));
    }
    plot_label_y(&plot, "connections back");
    for (uint32_t i = 0; i < result->storm_count; i++) {
        const struct samples *samples = &result->storms[i].samples;
        for (uint32_t j = 0; j < samples->count; j++) {
            points[j] =
                (struct plot_point){samples->items[j].seconds, (double)samples->items[j].opened};
        }
        plot_line(&plot, colours[i], points, samples->count);
    }
    plot_close(&plot);
}

void report_storms_html(const struct result *result, FILE *out)
{
    struct row rows[ROWS_MAX] = {0};
    uint32_t count = 0;

    ASSERT(result->storm_count <= STORMS_MAX);
    text_print(out, "<section class=\"card\"><h2>Coming back</h2>\n"
                    "<p>Every client was cut off at the time 0, and tries until it is back.</p>\n");
    write_curve(result, out);
    text_print(out, "<div class=\"key\">");
    for (uint32_t i = 0; i < result->storm_count; i++) {
        count = fill_rows(&result->storms[i], i, rows);
        text_print(out, "<span><i class=\"%s\"></i>%s</span>", colours[i],
                   title_of(&result->storms[i]));
    }
    text_print(out, "</div></section>\n<section class=\"card\"><table><tr><th></th>");
    for (uint32_t i = 0; i < result->storm_count; i++) {
        text_print(out, "<th>%s</th>", title_of(&result->storms[i]));
    }
    text_print(out, "</tr>\n");
    for (uint32_t row = 0; row < count; row++) {
        text_print(out, "<tr><td>%s</td>", rows[row].label);
        for (uint32_t i = 0; i < result->storm_count; i++) {
            text_print(out, "<td>%s</td>", rows[row].cells[i]);
        }
        text_print(out, "</tr>\n");
    }
    text_print(out, "</table></section>\n");
}
