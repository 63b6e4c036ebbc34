#include "admin/metrics.h"

#include "admin/process.h"
#include "base/codepoint.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define LABEL_SIZE_MAX 256 /* bytes of an escaped label value or help text, with terminator */

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

/* Errors stay in the stream, and are looked for once at its end. */
PRINTF_LIKE(2, 3) static void print(FILE *out, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    (void)vfprintf(out, format, arguments);
    va_end(arguments);
}

/* --- one sample ------------------------------------------------------------------------------- */

/* Of one metric and block; shard NULL when the block is the whole process's. */
struct series {
    const struct metric *metric;
    const char *shard;
};

/* `,name="value"`, the comma only when labels stand before it; returns whether any do now. */
static bool write_label(FILE *out, const char *name, const char *text, bool has_labels)
{
    char value[LABEL_SIZE_MAX];

    if (!name) {
        return has_labels;
    }
    size_t size = metrics_escape(slice_text(text), value, sizeof(value));
    print(out, "%s%s=\"%.*s\"", has_labels ? "," : "", name, (int)size, value);
    return true;
}

/* A sample up to its value: `name_suffix{shard="1",label="value",le="0.001"} `. le NULL: none. */
static void write_series(FILE *out, const struct series *series, const char *suffix, const char *le)
{
    const struct metric *metric = series->metric;
    bool has_labels = false;

    print(out, "%s%s", metric->name, suffix);
    if (!series->shard && !metric->label && !metric->label_2 && !le) {
        print(out, " ");
        return;
    }
    print(out, "{");
    has_labels = write_label(out, series->shard ? "shard" : NULL, series->shard, has_labels);
    has_labels = write_label(out, metric->label, metric->label_value, has_labels);
    has_labels = write_label(out, metric->label_2, metric->label_2_value, has_labels);
    (void)write_label(out, le ? "le" : NULL, le, has_labels);
    print(out, "} ");
}

static void write_histogram(FILE *out, const struct series *series,
                            const struct histogram *histogram)
{
    uint64_t sum_ns = counter_read(&histogram->sum);
    uint64_t count = 0;
    char le[32];

    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        count += counter_read(&histogram->buckets[i]);
        (void)snprintf(le, sizeof(le), "%.9g",
                       (double)series->metric->base * (double)(1ull << i) / 1e9);
        write_series(out, series, "_bucket", le);
        print(out, "%" PRIu64 "\n", count);
    }
    count += counter_read(&histogram->buckets[HISTOGRAM_BUCKETS]);
    write_series(out, series, "_bucket", "+Inf");
    print(out, "%" PRIu64 "\n", count);
    write_series(out, series, "_sum", NULL);
    print(out, "%" PRIu64 ".%09" PRIu64 "\n", sum_ns / 1000000000, sum_ns % 1000000000);
    write_series(out, series, "_count", NULL);
    print(out, "%" PRIu64 "\n", count);
}

static void write_header(FILE *out, const char *name, const char *type, const char *help)
{
    print(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
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
static double age_s(uint64_t at_ms, uint64_t now_ms)
{
    return at_ms != 0 && now_ms > at_ms ? (double)(now_ms - at_ms) / 1000 : 0;
}

static void write_value(FILE *out, const struct metric *metric, uint64_t value, uint64_t now_ms)
{
    switch (metric->type) {
    case METRIC_COUNTER:
    case METRIC_GAUGE:
        print(out, "%" PRIu64 "\n", value);
        return;
    case METRIC_GAUGE_MS:
        print(out, "%.3f\n", (double)value / 1e3);
        return;
    case METRIC_GAUGE_US:
        print(out, "%.6f\n", (double)value / 1e6);
        return;
    case METRIC_AGE_MS:
        print(out, "%.3f\n", age_s(value, now_ms));
        return;
    case METRIC_HISTOGRAM_NS:
        break;
    }
    ASSERT(!"a histogram is no value");
}

static void write_metric(FILE *out, const struct metrics *metrics, const struct metric *metric,
                         uint64_t now_ms)
{
    for (size_t number = 0; number < metrics->block_count; number++) {
        const uint8_t *block = metrics->blocks[number];
        char shard[24];
        const struct series series = {.metric = metric, .shard = metrics->is_shared ? NULL : shard};

        (void)snprintf(shard, sizeof(shard), "%zu", number);
        if (metric->type == METRIC_HISTOGRAM_NS) {
            /* Offsets are those of the members, so the alignment holds. */
            write_histogram(out, &series, (const void *)(block + metric->offset));
        } else {
            const struct counter *counter = (const void *)(block + metric->offset);
            write_series(out, &series, "", NULL);
            write_value(out, metric, counter_read(counter), now_ms);
        }
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
        write_metric(out, metrics, metric, now_ms);
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
