#include "admin/metrics.h"

#include "admin/process.h"
#include "base/codepoint.h"

#include <stdio.h>
#include <stdlib.h>

#define LABEL_SIZE_MAX 256 /* bytes of an escaped label value, with terminator */
#define LINE_SIZE_MAX  2048

void histogram_add(struct histogram *histogram, uint64_t value, uint64_t base)
{
    uint32_t bucket = 0;

    ASSERT(base > 0);
    if (value > base) {
        /* The smallest i with value <= base << i, which is ceil(value / base) <= 1 << i. */
        uint64_t units = (value - 1) / base + 1;
        bucket = 64 - (uint32_t)__builtin_clzll(units - 1);
    }
    if (bucket > HISTOGRAM_BUCKETS) {
        bucket = HISTOGRAM_BUCKETS;
    }
    counter_add(&histogram->buckets[bucket], 1);
    counter_add(&histogram->sum, value);
}

/* --- escapes ---------------------------------------------------------------------------------- */

/* What stands for the first bytes of value; *taken of them. */
static struct slice escape_one(struct slice value, size_t *taken)
{
    *taken = 1;
    switch (value.data[0]) {
    case '\\':
        return slice_text("\\\\");
    case '"':
        return slice_text("\\\"");
    case '\n':
        return slice_text("\\n");
    default:
        break;
    }
    size_t size = code_point_size(value);
    if (size == 0) {
        return slice_text("\xef\xbf\xbd"); /* U+FFFD */
    }
    *taken = size;
    return slice_from(value.data, size);
}

size_t metrics_escape(struct slice value, char *out, size_t out_size)
{
    size_t written = 0;

    ASSERT(out_size > 0);
    while (value.size > 0) {
        size_t taken;
        struct slice piece = escape_one(value, &taken);
        if (written + piece.size > out_size - 1) {
            break; /* a whole escape or code point, or none of it */
        }
        memcpy(out + written, piece.data, piece.size);
        written += piece.size;
        value = slice_from(value.data + taken, value.size - taken);
    }
    return written;
}

/* --- lines ------------------------------------------------------------------------------------ */

/* One is put together here and then written: a scrape has thousands, and formats of stdio would
 * make up most of what it costs (measured: 1.0 ms of 8 shards, 0.2 so). */
struct line {
    char text[LINE_SIZE_MAX];
    size_t size;
};

static void put(struct line *line, struct slice text)
{
    ASSERT(text.size <= sizeof(line->text) - line->size);
    memcpy(line->text + line->size, text.data, text.size);
    line->size += text.size;
}

static void put_text(struct line *line, const char *text)
{
    put(line, slice_text(text));
}

static void put_number(struct line *line, uint64_t number)
{
    char digits[20];
    size_t at = sizeof(digits);

    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    put(line, slice_from(digits + at, sizeof(digits) - at));
}

/* whole.fraction, with so many digits behind the point. */
static void put_decimal(struct line *line, uint64_t value, uint32_t digits)
{
    char fraction[9];
    uint64_t scale = 1;

    for (uint32_t i = 0; i < digits; i++) {
        scale *= 10;
    }
    put_number(line, value / scale);
    value %= scale;
    for (uint32_t i = digits; i-- > 0;) {
        fraction[i] = (char)('0' + value % 10);
        value /= 10;
    }
    put_text(line, ".");
    put(line, slice_from(fraction, digits));
}

/* Errors stay in the stream, and are looked for once at its end. */
static void end_line(FILE *out, struct line *line)
{
    put_text(line, "\n");
    (void)fwrite_unlocked(line->text, 1, line->size, out);
    line->size = 0;
}

/* --- one sample ------------------------------------------------------------------------------- */

/* What the samples of a metric have in common: all but the shard's number stands ready. */
struct series {
    struct line head;   /* `name{shard="`, or for the whole process all up to the value */
    struct line tail;   /* `",label="value"} ` */
    struct line labels; /* `label="value"`, for histograms */
};

static void put_label(struct line *line, const char *name, const char *text)
{
    char value[LABEL_SIZE_MAX];

    if (name) {
        const size_t size = metrics_escape(slice_text(text), value, sizeof(value));
        put_text(line, line->size > 0 ? "," : "");
        put_text(line, name);
        put_text(line, "=\"");
        put(line, slice_from(value, size));
        put_text(line, "\"");
    }
}

static void make_series(struct series *series, const struct metric *metric, bool is_shared)
{
    struct line *labels = &series->labels;

    labels->size = 0;
    put_label(labels, metric->label, metric->label_value);
    put_label(labels, metric->label_2, metric->label_2_value);
    series->head.size = 0;
    series->tail.size = 0;
    put_text(&series->head, metric->name);
    if (is_shared) {
        put_text(&series->head, labels->size > 0 ? "{" : "");
        put(&series->head, slice_from(labels->text, labels->size));
        put_text(&series->head, labels->size > 0 ? "} " : " ");
        return;
    }
    put_text(&series->head, "{shard=\"");
    put_text(&series->tail, labels->size > 0 ? "\"," : "\"");
    put(&series->tail, slice_from(labels->text, labels->size));
    put_text(&series->tail, "} ");
}

/* A sample of a histogram up to its value: `name_suffix{label="value",le="0.001"} `. le NULL: none.
 */
static void put_bucket(struct line *line, const char *name, const struct series *series,
                       const char *suffix, const char *le)
{
    const struct slice labels = slice_from(series->labels.text, series->labels.size);

    put_text(line, name);
    put_text(line, suffix);
    put_text(line, labels.size > 0 || le ? "{" : "");
    put(line, labels);
    if (le) {
        put_text(line, labels.size > 0 ? ",le=\"" : "le=\"");
        put_text(line, le);
        put_text(line, "\"");
    }
    put_text(line, labels.size > 0 || le ? "} " : " ");
}

/* Bounds of a histogram's buckets, in seconds. */
struct bounds {
    char text[HISTOGRAM_BUCKETS][16];
};

static void make_bounds(struct bounds *bounds, uint64_t base)
{
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        (void)snprintf(bounds->text[i], sizeof(bounds->text[i]), "%.9g",
                       (double)base * (double)(1ull << i) / 1e9);
    }
}

static void write_count(FILE *out, const struct metric *metric, const struct series *series,
                        const char *suffix, const char *le, uint64_t count)
{
    struct line line;

    line.size = 0;
    put_bucket(&line, metric->name, series, suffix, le);
    put_number(&line, count);
    end_line(out, &line);
}

/* What all blocks have counted. */
struct sums {
    uint64_t buckets[HISTOGRAM_BUCKETS + 1];
    uint64_t sum_ns;
};

static void add_up(const struct metrics *metrics, size_t offset, struct sums *sums)
{
    *sums = (struct sums){.sum_ns = 0};
    for (size_t number = 0; number < metrics->block_count; number++) {
        const uint8_t *block = metrics->blocks[number];
        /* Offsets are those of the members, so the alignment holds. */
        const struct histogram *histogram = (const void *)(block + offset);
        for (uint32_t i = 0; i <= HISTOGRAM_BUCKETS; i++) {
            sums->buckets[i] += counter_read(&histogram->buckets[i]);
        }
        sums->sum_ns += counter_read(&histogram->sum);
    }
}

/* Of all shards together: each by itself would be half of all that is scraped. */
static void write_histogram(FILE *out, const struct metrics *metrics, const struct metric *metric)
{
    struct series series;
    struct bounds bounds;
    struct sums sums;
    struct line line;
    uint64_t count = 0;

    make_series(&series, metric, true);
    make_bounds(&bounds, metric->base);
    add_up(metrics, metric->offset, &sums);
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        count += sums.buckets[i];
        write_count(out, metric, &series, "_bucket", bounds.text[i], count);
    }
    count += sums.buckets[HISTOGRAM_BUCKETS];
    write_count(out, metric, &series, "_bucket", "+Inf", count);
    line.size = 0;
    put_bucket(&line, metric->name, &series, "_sum", NULL);
    put_decimal(&line, sums.sum_ns, 9);
    end_line(out, &line);
    write_count(out, metric, &series, "_count", NULL, count);
}

static void write_header(FILE *out, const char *name, const char *type, const char *help)
{
    (void)fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static const char *type_name(enum metric_type type)
{
    switch (type) {
    case METRIC_COUNTER:
        return "counter";
    case METRIC_GAUGE:
    case METRIC_GAUGE_MS:
    case METRIC_GAUGE_US:
    case METRIC_AGE_MS:
        return "gauge";
    case METRIC_HISTOGRAM_NS:
        break;
    }
    return "histogram";
}

/* 0 for a time that has not come: a shard has not started, or will not go on. */
static uint64_t age_ms(uint64_t at_ms, uint64_t now_ms)
{
    return at_ms != 0 && now_ms > at_ms ? now_ms - at_ms : 0;
}

static void put_value(struct line *line, enum metric_type type, uint64_t value, uint64_t now_ms)
{
    switch (type) {
    case METRIC_COUNTER:
    case METRIC_GAUGE:
        put_number(line, value);
        return;
    case METRIC_GAUGE_MS:
        put_decimal(line, value, 3);
        return;
    case METRIC_GAUGE_US:
        put_decimal(line, value, 6);
        return;
    case METRIC_AGE_MS:
        put_decimal(line, age_ms(value, now_ms), 3);
        return;
    case METRIC_HISTOGRAM_NS:
        break;
    }
    ASSERT(!"a histogram is no value");
}

/* Of each block by itself. */
static void write_values(FILE *out, const struct metrics *metrics, const struct metric *metric,
                         uint64_t now_ms)
{
    struct series series;
    struct line line;

    make_series(&series, metric, metrics->is_shared);
    for (size_t number = 0; number < metrics->block_count; number++) {
        const uint8_t *block = metrics->blocks[number];
        const struct counter *counter = (const void *)(block + metric->offset);
        line.size = 0;
        put(&line, slice_from(series.head.text, series.head.size));
        if (!metrics->is_shared) {
            put_number(&line, number);
            put(&line, slice_from(series.tail.text, series.tail.size));
        }
        put_value(&line, metric->type, counter_read(counter), now_ms);
        end_line(out, &line);
    }
}

static void write_table(FILE *out, const struct metrics *metrics, uint64_t now_ms)
{
    const char *name = "";

    for (size_t i = 0; i < metrics->table_size; i++) {
        const struct metric *metric = &metrics->table[i];
        if (strcmp(name, metric->name) != 0) {
            name = metric->name;
            write_header(out, name, type_name(metric->type), metric->help);
        }
        if (metric->type == METRIC_HISTOGRAM_NS) {
            write_histogram(out, metrics, metric);
        } else {
            write_values(out, metrics, metric, now_ms);
        }
    }
}

char *metrics_render(const struct metrics *metrics, struct kernel *kernel, uint64_t now_ms,
                     size_t *size)
{
    char *text = NULL;
    FILE *out = open_memstream(&text, size);

    if (!out) {
        return NULL;
    }
    for (const struct metrics *each = metrics; each; each = each->next) {
        write_table(out, each, now_ms);
    }
    kernel_read(kernel, now_ms);
    kernel_write(kernel, out);
    process_write(out);
    bool failed = ferror(out) != 0;
    if (fclose(out) != 0 || failed) {
        free(text);
        return NULL;
    }
    return text;
}
