#include "tuning/watch.h"

#include "base/text.h"

#include <inttypes.h>
#include <signal.h>
#include <time.h>

#define LINES_PER_HEAD 20
#define COLUMN_WIDTH   6

static volatile sig_atomic_t is_interrupted;

static void interrupt(int number)
{
    (void)number;
    is_interrupted = 1;
}

static uint64_t clock_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* To the beat, however long the lines take; an interrupt ends it early. */
static void wait_until(uint64_t moment_ms)
{
    const struct timespec moment = {.tv_sec = (time_t)(moment_ms / 1000),
                                    .tv_nsec = (long)(moment_ms % 1000) * 1000000};

    while (!is_interrupted && clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &moment, NULL) != 0) {
    }
}

static bool is_event(const struct counter_info *info)
{
    return info->kind == COUNTER_HARM || info->kind == COUNTER_NOTE;
}

/* In six characters: 123456, then 12345k, 12345M. */
static void print_cell(FILE *out, uint64_t value)
{
    if (value <= 999999) {
        text_print(out, " %*" PRIu64, COLUMN_WIDTH, value);
    } else if (value / 1000 <= 99999) {
        text_print(out, " %*" PRIu64 "k", COLUMN_WIDTH - 1, value / 1000);
    } else {
        text_print(out, " %*" PRIu64 "M", COLUMN_WIDTH - 1, value / 1000000);
    }
}

/* What the host does not have, has no column. */
static bool is_shown(const struct counters *first, size_t index)
{
    return counter_info(index)->column && first->values[index].outcome == HOST_READ;
}

static void print_head(FILE *out, const struct counters *first)
{
    const struct counter_info *info;

    text_print(out, "%8s", "");
    for (size_t i = 0; (info = counter_info(i)) != NULL; i++) {
        if (is_shown(first, i)) {
            text_print(out, " %*s", COLUMN_WIDTH, info->column);
        }
    }
    text_print(out, "\n%8s", "time");
    for (size_t i = 0; (info = counter_info(i)) != NULL; i++) {
        if (is_shown(first, i)) {
            text_print(out, " %*s", COLUMN_WIDTH, is_event(info) ? "/s" : "now");
        }
    }
    text_print(out, "\n");
}

static void print_line(FILE *out, const struct counters *before, const struct counters *now,
                       const struct counters *first, uint64_t elapsed_ms)
{
    const struct counter_info *info;
    const time_t seconds = time(NULL);
    struct tm local;
    char text[16];

    (void)localtime_r(&seconds, &local);
    (void)strftime(text, sizeof(text), "%H:%M:%S", &local);
    text_print(out, "%s", text);
    for (size_t i = 0; (info = counter_info(i)) != NULL; i++) {
        if (!is_shown(first, i)) {
            continue;
        }
        const uint64_t grown = counters_grown(before, now, i);
        /* Rounded up: a single event is never shown as none. */
        print_cell(out, is_event(info) ? (grown * 1000 + elapsed_ms - 1) / elapsed_ms
                                       : now->values[i].value);
    }
    text_print(out, "\n");
}

static int print_sum(FILE *out, const struct counters *first, const struct counters *last,
                     uint64_t elapsed_ms)
{
    const struct counter_info *info;
    char number[TEXT_SIZE];
    uint32_t harms = 0;

    text_print(out, "\nin %.1f s:", (double)elapsed_ms / 1000);
    for (size_t i = 0; (info = counter_info(i)) != NULL; i++) {
        const uint64_t grown = counters_grown(first, last, i);
        if (info->kind == COUNTER_HARM && grown > 0) {
            text_print(out, "\n  %s  %s (%s)", text_count(grown, number), info->name, info->means);
            harms++;
        }
    }
    text_print(out, "%s\n", harms == 0 ? " no limit bit" : "");
    return harms == 0 ? 0 : 1;
}

int watch_run(const struct machine *machine, uint32_t interval_ms, uint32_t count, FILE *out)
{
    const struct sigaction action = {.sa_handler = interrupt};
    struct counters first;
    struct counters before;
    struct counters now;

    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    counters_read(machine, &first);
    now = first;
    const uint64_t start_ms = clock_ms();
    uint64_t last_ms = start_ms;
    for (uint64_t line = 0; !is_interrupted && (count == 0 || line < count) && !ferror(out);
         line++) {
        wait_until(start_ms + (line + 1) * interval_ms);
        before = now;
        counters_read(machine, &now);
        const uint64_t now_ms = clock_ms();
        if (line % LINES_PER_HEAD == 0) {
            print_head(out, &first);
        }
        print_line(out, &before, &now, &first, now_ms > last_ms ? now_ms - last_ms : 1);
        last_ms = now_ms;
        (void)fflush(out);
    }
    return print_sum(out, &first, &now, last_ms - start_ms);
}
