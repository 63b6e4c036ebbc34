#include "base/log.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define VALUE_MAX  400 /* bytes that a value may take in the line, its quotes and mark aside */
#define TAIL_SIZE  16  /* kept free for the mark of a cut line and its end */
#define ESCAPE_MAX 8

static enum log_format line_format = LOG_TEXT;
static atomic_uint level_least = LOG_INFO; /* relaxed: a line more or less */

static const char *const level_names[] = {
    [LOG_DEBUG] = "debug", [LOG_INFO] = "info", [LOG_WARN] = "warn", [LOG_ERROR] = "error"};

struct line {
    size_t size;
    bool full; /* something did not fit */
    char bytes[LOG_LINE_MAX];
};

struct log_field log_errno(const char *name, int error)
{
    /* Not strerror: that one may translate, and allocate. */
    const char *text = strerrordesc_np(error);

    return text != NULL ? log_text(name, text) : log_number(name, error);
}

void log_set_level(enum log_level level_min)
{
    atomic_store_explicit(&level_least, level_min, memory_order_relaxed);
}

void log_setup(enum log_format format, enum log_level level_min)
{
    struct tm calendar;
    time_t start = 0;

    line_format = format;
    log_set_level(level_min);
    (void)gmtime_r(&start, &calendar); /* the first call reads the time zone and allocates */
}

static void append(struct line *line, const char *text, size_t size)
{
    if (line->full || size > sizeof(line->bytes) - TAIL_SIZE - line->size) {
        line->full = true;
        return;
    }
    memcpy(line->bytes + line->size, text, size);
    line->size += size;
}

static void append_text(struct line *line, const char *text)
{
    append(line, text, strlen(text));
}

/* The size of the UTF-8 sequence that text starts with, or 0 when it is none (RFC 3629, section 4).
 */
static size_t sequence_size(struct slice text)
{
    uint8_t first = text.data[0];
    uint8_t second_min = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    uint8_t second_max = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    size_t size = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;

    if (first < 0x80) {
        return 1;
    }
    if (first < 0xc2 || first > 0xf4 || size > text.size) {
        return 0;
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

/* Control characters, also those of ISO 6429's second set, which some terminals obey. */
static bool is_control(const uint8_t *sequence, size_t size)
{
    return (size == 1 && (sequence[0] < 0x20 || sequence[0] == 0x7f)) ||
           (size == 2 && sequence[0] == 0xc2 && sequence[1] < 0xa0);
}

/*
 * The next character of *text as it goes into quotes, into out (ESCAPE_MAX bytes); returns its size
 * there and moves *text on. What is not UTF-8 stays readable as text, and is replaced in JSON,
 * which has no way to spell it.
 */
static size_t escape_next(struct slice *text, char *out)
{
    size_t size = sequence_size(*text);
    size_t taken = size == 0 ? 1 : size;
    uint8_t first = text->data[0];
    int written = 0;

    if (size == 0) {
        written = line_format == LOG_JSON ? snprintf(out, ESCAPE_MAX, "\\ufffd")
                                          : snprintf(out, ESCAPE_MAX, "\\x%02x", first);
    } else if (is_control(text->data, size)) {
        /* In UTF-8, the second set's code is its second byte. */
        written = snprintf(out, ESCAPE_MAX, line_format == LOG_JSON ? "\\u00%02x" : "\\x%02x",
                           (unsigned)text->data[size - 1]);
    } else if (first == '"' || first == '\\') {
        out[0] = '\\';
        out[1] = (char)first;
        written = 2;
    } else {
        memcpy(out, text->data, size);
        written = (int)size;
    }
    *text = slice_from(text->data + taken, text->size - taken);
    return (size_t)written;
}

static void append_quoted(struct line *line, struct slice text)
{
    size_t room = VALUE_MAX;

    append_text(line, "\"");
    while (text.size > 0) {
        char escaped[ESCAPE_MAX];
        size_t size = escape_next(&text, escaped);
        if (size > room) {
            append_text(line, "...");
            break;
        }
        append(line, escaped, size);
        room -= size;
    }
    append_text(line, "\"");
}

/* Whether a reader of name=value pairs could mistake the text for something else. */
static bool needs_quotes(struct slice text)
{
    for (size_t i = 0; i < text.size; i++) {
        uint8_t byte = text.data[i];
        if (byte <= ' ' || byte >= 0x7f || byte == '"' || byte == '\\' || byte == '=') {
            return true;
        }
    }
    return text.size == 0 || text.size > VALUE_MAX;
}

static void append_value(struct line *line, const struct log_field *field)
{
    char number[24];

    if (field->text.data == NULL) {
        int size = snprintf(number, sizeof(number), "%lld", (long long)field->number);
        append(line, number, (size_t)size);
    } else if (line_format == LOG_JSON || needs_quotes(field->text)) {
        append_quoted(line, field->text);
    } else {
        append(line, (const char *)field->text.data, field->text.size);
    }
}

static void append_field(struct line *line, const struct log_field *field)
{
    size_t start = line->size;

    append_text(line, line_format == LOG_JSON ? ",\"" : " ");
    append_text(line, field->name);
    append_text(line, line_format == LOG_JSON ? "\":" : "=");
    append_value(line, field);
    if (line->full) {
        line->size = start; /* whole fields only: the line stays well formed */
    }
}

static void append_time(struct line *line)
{
    struct timespec now = {0};
    struct tm calendar = {0};
    char text[72]; /* what the compiler thinks seven ints may need */

    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)gmtime_r(&now.tv_sec, &calendar);
    int size =
        snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", calendar.tm_year + 1900,
                 calendar.tm_mon + 1, calendar.tm_mday, calendar.tm_hour, calendar.tm_min,
                 calendar.tm_sec, (int)(now.tv_nsec / 1000000));
    append(line, text, (size_t)size);
}

static void append_head(struct line *line, enum log_level level, const char *event)
{
    if (line_format == LOG_JSON) {
        append_text(line, "{\"time\":\"");
        append_time(line);
        append_text(line, "\",\"level\":\"");
        append_text(line, level_names[level]);
        append_text(line, "\",\"event\":");
        append_quoted(line, slice_text(event));
    } else {
        append_time(line);
        append_text(line, " ");
        append_text(line, level_names[level]);
        append_text(line, " ");
        append_text(line, event);
    }
}

/* The room for this was kept free. */
static void append_end(struct line *line)
{
    const char *mark = line_format == LOG_JSON ? ",\"cut\":true" : " ...";
    const char *end = line_format == LOG_JSON ? "}\n" : "\n";

    if (line->full) {
        memcpy(line->bytes + line->size, mark, strlen(mark));
        line->size += strlen(mark);
    }
    memcpy(line->bytes + line->size, end, strlen(end));
    line->size += strlen(end);
}

void log_write(enum log_level level, const char *event, const struct log_field *fields,
               size_t field_count)
{
    if (level < atomic_load_explicit(&level_least, memory_order_relaxed)) {
        return;
    }

    int error = errno; /* the caller may not be done with it */
    struct line line;
    line.size = 0;
    line.full = false;
    append_head(&line, level, event);
    for (size_t i = 0; i < field_count; i++) {
        append_field(&line, &fields[i]);
    }
    append_end(&line);

    ssize_t written = 0;
    do {
        written = write(STDERR_FILENO, line.bytes, line.size);
    } while (written < 0 && errno == EINTR);
    errno = error;
}

bool log_limit_pass_some(struct log_limit *limit, uint64_t now_ms, uint64_t interval_ms,
                         uint32_t lines_max, uint64_t *suppressed)
{
    if (now_ms < limit->next_ms && limit->lines >= lines_max) {
        limit->suppressed++;
        return false;
    }
    *suppressed = limit->suppressed;
    limit->suppressed = 0;
    if (now_ms >= limit->next_ms) {
        limit->next_ms = now_ms + interval_ms;
        limit->lines = 0;
    }
    limit->lines++;
    return true;
}

bool log_limit_pass(struct log_limit *limit, uint64_t now_ms, uint64_t interval_ms,
                    uint64_t *suppressed)
{
    return log_limit_pass_some(limit, now_ms, interval_ms, 1, suppressed);
}
