#include "admin/metrics.h"

#include "admin/process.h"

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

/* Bytes of the code point at the start of text, or 0 when they are no UTF-8 (RFC 3629, section 4).
 */
static size_t code_point_size(struct slice text)
{
    uint8_t first = text.data[0];
    uint8_t second_min = 0x80;
    uint8_t second_max = 0xbf;
    size_t size = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;

    if (size == 1) {
        return 1;
    }
    if (first < 0xc2 || first > 0xf4 || size > text.size) {
        return 0;
    }
    if (first == 0xe0) {
        second_min = 0xa0; /* shorter forms exist */
    } else if (first == 0xf0) {
        second_min = 0x90;
    } else if (first == 0xed) {
        second_max = 0x9f; /* surrogates */
    } else if (first == 0xf4) {
        second_max = 0x8f; /* beyond U+10FFFF */
    }
    if (text.data[1] < second_min || text.data[1] > second_max) {
        return 0;
    }
    for (size_t i = 2; i < size; i++) {
        if ((text.data[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return size;
}

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

/* Writes `name_suffix{shard="1",label="value",le="0.001"}` without le; the brace stays open. */
static void write_series(FILE *out, const struct metric *metric, const char *suffix, size_t shard)
{
    print(out, "%s%s{shard=\"%zu\"", metric->name, suffix, shard);
    if (metric->label) {
        char value[LABEL_SIZE_MAX];
        size_t size = metrics_escape(slice_text(metric->label_value), value, sizeof(value));
        print(out, ",%s=\"%.*s\"", metric->label, (int)size, value);
    }
}

static void write_histogram(FILE *out, const struct metric *metric,
                            const struct histogram *histogram, size_t shard)
{
    uint64_t sum_ns = counter_read(&histogram->sum);
    uint64_t count = 0;

    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        count += counter_read(&histogram->buckets[i]);
        write_series(out, metric, "_bucket", shard);
        print(out, ",le=\"%.9g\"} %" PRIu64 "\n", (double)metric->base * (double)(1ull << i) / 1e9,
              count);
    }
    count += counter_read(&histogram->buckets[HISTOGRAM_BUCKETS]);
    write_series(out, metric, "_bucket", shard);
    print(out, ",le=\"+Inf\"} %" PRIu64 "\n", count);
    write_series(out, metric, "_sum", shard);
    print(out, "} %" PRIu64 ".%09" PRIu64 "\n", sum_ns / 1000000000, sum_ns % 1000000000);
    write_series(out, metric, "_count", shard);
    print(out, "} %" PRIu64 "\n", count);
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
        return "gauge";
    case METRIC_HISTOGRAM_NS:
        break;
    }
    return "histogram";
}

static void write_metric(FILE *out, const struct metrics *metrics, const struct metric *metric)
{
    for (size_t shard = 0; shard < metrics->block_count; shard++) {
        const uint8_t *block = metrics->blocks[shard];

        if (metric->type == METRIC_HISTOGRAM_NS) {
            /* Offsets are those of the members, so the alignment holds. */
            write_histogram(out, metric, (const void *)(block + metric->offset), shard);
        } else {
            const struct counter *counter = (const void *)(block + metric->offset);
            write_series(out, metric, "", shard);
            print(out, "} %" PRIu64 "\n", counter_read(counter));
        }
    }
}

char *metrics_render(const struct metrics *metrics, size_t *size)
{
    char *text = NULL;
    const char *name = "";
    FILE *out = open_memstream(&text, size);

    if (!out) {
        return NULL;
    }
    for (size_t i = 0; i < metrics->table_size; i++) {
        const struct metric *metric = &metrics->table[i];
        if (strcmp(name, metric->name) != 0) {
            name = metric->name;
            write_header(out, name, type_name(metric->type), metric->help);
        }
        write_metric(out, metrics, metric);
    }
    process_write(out);
    bool failed = ferror(out) != 0;
    if (fclose(out) != 0 || failed) {
        free(text);
        return NULL;
    }
    return text;
}
