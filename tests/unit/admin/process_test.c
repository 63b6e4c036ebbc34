/*
 * Goal: what the process tells of itself is what the kernel tells of it, and it is told in the form
 * that Prometheus reads.
 */
#include "admin/process.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define MEGABYTE 1048576

static const char *const names[] = {
    "process_resident_memory_bytes",
    "process_cpu_seconds_total",
    "process_open_fds",
    "process_max_fds",
    "process_start_time_seconds",
};
#define NAMES (sizeof(names) / sizeof(names[0]))

/* Caller frees. */
static char *render(void)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    assert_non_null(out);
    process_write(out);
    assert_int_equal(fclose(out), 0);
    return text;
}

static double sample_in(const char *text, const char *name)
{
    char wanted[128];
    char *end = NULL;

    (void)snprintf(wanted, sizeof(wanted), "\n%s ", name);
    const char *line = strstr(text, wanted);
    assert_non_null(line);
    double value = strtod(line + strlen(wanted), &end);
    assert_int_equal(*end, '\n');
    return value;
}

static double sample(const char *name)
{
    char *text = render();
    double value = sample_in(text, name);

    free(text);
    return value;
}

static void each_has_help_type_and_one_sample(void **state)
{
    char *text = render();
    char *rest = NULL;
    size_t lines = 0;

    (void)state;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        const char *name = names[lines / 3];
        char wanted[128];
        const bool is_counter = strcmp(name + strlen(name) - 6, "_total") == 0;
        assert_true(lines < 3 * NAMES);
        if (lines % 3 == 0) {
            (void)snprintf(wanted, sizeof(wanted), "# HELP %s ", name);
        } else if (lines % 3 == 1) {
            (void)snprintf(wanted, sizeof(wanted), "# TYPE %s %s", name,
                           is_counter ? "counter" : "gauge");
        } else {
            (void)snprintf(wanted, sizeof(wanted), "%s ", name);
        }
        assert_memory_equal(line, wanted, strlen(wanted));
        lines++;
    }
    assert_int_equal(lines, 3 * NAMES);
    free(text);
}

static void memory_grows_by_what_is_touched(void **state)
{
    const size_t size = (size_t)64 * MEGABYTE;

    (void)state;
    double before = sample("process_resident_memory_bytes");
    char *block = malloc(size);
    assert_non_null(block);
    for (size_t at = 0; at < size; at += 4096) {
        *(volatile char *)(block + at) = 1;
    }
    double grown = sample("process_resident_memory_bytes") - before;
    free(block);
    assert_true(before > 0);
    assert_true(grown >= 63.0 * MEGABYTE);
    assert_true(grown <= 512.0 * MEGABYTE); /* a sanitizer keeps a shadow of it, up to four times */
}

/* Asked one by one, up to the first thousand: the test opens no more. */
static double descriptors_open(void)
{
    unsigned count = 0;

    for (int fd = 0; fd < 1000; fd++) {
        count += fcntl(fd, F_GETFD) >= 0;
    }
    return count;
}

static void open_descriptors_are_counted_and_nothing_else(void **state)
{
    struct rlimit limit;
    int fds[3];

    (void)state;
    double before = sample("process_open_fds");
    assert_true(before == descriptors_open());
    for (size_t i = 0; i < 3; i++) {
        fds[i] = dup(STDERR_FILENO);
        assert_true(fds[i] >= 0);
        assert_true(sample("process_open_fds") == before + (double)i + 1);
    }
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(close(fds[i]), 0);
    }
    assert_true(sample("process_open_fds") == before);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_true(sample("process_max_fds") == (double)limit.rlim_cur);
}

static double cpu_now(void)
{
    struct timespec used;

    assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used), 0);
    return (double)used.tv_sec + (double)used.tv_nsec / 1e9;
}

/* Work is done until the clock has moved: no wait for time that others may take. */
static void cpu_time_is_what_was_used(void **state)
{
    (void)state;
    double start = cpu_now();
    while (cpu_now() < start + 0.1) {
    }
    double told = sample("process_cpu_seconds_total");
    assert_true(told >= start + 0.05); /* getrusage may lag by a tick */
    assert_true(told <= cpu_now() + 0.05);
}

static void it_started_a_moment_ago(void **state)
{
    struct timespec now;

    (void)state;
    double told = sample("process_start_time_seconds");
    assert_int_equal(clock_gettime(CLOCK_REALTIME, &now), 0);
    double age = (double)now.tv_sec + (double)now.tv_nsec / 1e9 - told;
    assert_true(age > -0.05); /* it is told in hundredths of a second */
    assert_true(age >= cpu_now() - 0.05);
    assert_true(age < 100); /* the test's own time limit is 120 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_has_help_type_and_one_sample),
        cmocka_unit_test(memory_grows_by_what_is_touched),
        cmocka_unit_test(open_descriptors_are_counted_and_nothing_else),
        cmocka_unit_test(cpu_time_is_what_was_used),
        cmocka_unit_test(it_started_a_moment_ago),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
