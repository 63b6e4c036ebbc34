/*
 * metrics.h - counters of many shards as Prometheus text (exposition format 0.0.4).
 *
 * The server describes its counters in a table (name, help, label, where the counter lies in a
 * shard's block of counters); this file knows nothing of what they mean. Labels are the shard's
 * number and constants of the program: nothing from a client becomes a label.
 */
#pragma once

#include "admin/kernel.h"
#include "base/bytes.h"
#include "base/counter.h"

#define HISTOGRAM_BUCKETS 24

/* Log2 buckets: bucket i counts values <= base << i; the last takes the rest. One writer. */
struct histogram {
    struct counter buckets[HISTOGRAM_BUCKETS + 1];
    struct counter sum;
};
void histogram_add(struct histogram *histogram, uint64_t value, uint64_t base);

enum metric_type {
    METRIC_COUNTER,
    METRIC_GAUGE,
    METRIC_HISTOGRAM_NS, /* a struct histogram of nanoseconds; shown in seconds, of all blocks */
    METRIC_GAUGE_MS,     /* milliseconds; shown in seconds */
    METRIC_GAUGE_US,     /* microseconds; shown in seconds */
    METRIC_AGE_MS, /* a time of the monotonic clock; shown in seconds, as a gauge of its age */
};

struct metric {
    const char *name; /* "limpet_handshakes_total"; entries of one name stand together */
    const char *help;
    enum metric_type type;
    const char *label;       /* `outcome` or NULL */
    const char *label_value; /* `done` */
    size_t offset;           /* of a struct counter or histogram in a block */
    uint64_t base;           /* histogram: value of the first bucket's bound */
    const char *label_2;     /* a second label, likewise */
    const char *label_2_value;
};

struct metrics {
    const struct metric *table;
    size_t table_size;
    const void *const *blocks; /* one a shard; alive until the admin server is closed */
    size_t block_count;
    bool is_shared;             /* one block for the whole process: no label says a shard */
    const struct metrics *next; /* rendered after these; NULL: none. Its names are others. */
};

/* The text, to free(); NULL when there is no memory. Also adds the process's own (RSS, CPU seconds,
 * open descriptors, start time), and the kernel's. now_ms: the monotonic clock. */
MUST_CHECK char *metrics_render(const struct metrics *metrics, struct kernel *kernel,
                                uint64_t now_ms, size_t *size);

/* Escapes a label value: exactly backslash, quote and newline, invalid UTF-8 replaced. Returns
 * bytes written without terminator, at most out_size - 1. */
size_t metrics_escape(struct slice value, char *out, size_t out_size);
