/*
 * log.h - one line an event, to stderr, as text or JSON.
 *
 *   LOG(LOG_WARN, "token refused", log_text("reason", "expired"), log_number("shard", 1));
 *   text: 2026-01-31T12:00:00.123Z warn token refused reason=expired shard=1
 *   json: {"time":"...","level":"warn","event":"token refused","reason":"expired","shard":1}
 *
 * A line is made in a fixed buffer (LOG_LINE_MAX, longer values are cut and marked) and written by
 * one write(2). Values from outside are escaped, so that one event is always one line. Any thread.
 * Never pass a token, key or payload.
 */
#pragma once

#include "base/bytes.h"

#define LOG_LINE_MAX 2048

enum log_level {
    LOG_DEBUG,
    LOG_INFO,
    LOG_WARN,
    LOG_ERROR
};
enum log_format {
    LOG_TEXT,
    LOG_JSON
};

struct log_field {
    const char *name;
    struct slice text; /* data NULL: the number holds */
    int64_t number;
};

static inline struct log_field log_text(const char *name, const char *text)
{
    return (struct log_field){.name = name, .text = slice_text(text)};
}

static inline struct log_field log_slice(const char *name, struct slice text)
{
    return (struct log_field){.name = name, .text = text.data ? text : slice_text("")};
}

static inline struct log_field log_number(const char *name, int64_t number)
{
    return (struct log_field){.name = name, .number = number};
}

/* The texts of the system's error, thread-safe: log_errno("error", -result). */
struct log_field log_errno(const char *name, int error);

/* Before other threads start. Default: text, LOG_INFO. */
void log_setup(enum log_format format, enum log_level level_min);

/* At any time. */
void log_set_level(enum log_level level_min);
void log_write(enum log_level level, const char *event, const struct log_field *fields,
               size_t field_count);

#define LOG(level, event, ...)                                                                     \
    log_write((level), (event), (const struct log_field[]){__VA_ARGS__},                           \
              sizeof((const struct log_field[]){__VA_ARGS__}) / sizeof(struct log_field))

/* At most so many lines per interval_ms of their kind; how many were left out is told by the next.
 */
struct log_limit {
    uint64_t next_ms;
    uint64_t suppressed;
    uint32_t lines; /* in this interval */
};
/* True when the caller may write now; *suppressed: lines left out since the last one. */
MUST_CHECK bool log_limit_pass(struct log_limit *limit, uint64_t now_ms, uint64_t interval_ms,
                               uint64_t *suppressed);
MUST_CHECK bool log_limit_pass_some(struct log_limit *limit, uint64_t now_ms, uint64_t interval_ms,
                                    uint32_t lines_max, uint64_t *suppressed);
