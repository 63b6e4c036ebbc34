/*
 * Goal: the buffer hands out each byte once and wipes it, a forked child and another thread draw
 * their own, its pages stay out of core dumps, and no number is likelier than another. The source
 * here counts: what comes out can be told byte for byte.
 */
#include "base/random.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static uint64_t calls;
static uint8_t *last_out;
static size_t last_size;
static uint8_t next_byte; /* never 0, so that a wiped byte is known */

void random_source(void *out, size_t size)
{
    calls++;
    last_out = out;
    last_size = size;
    for (size_t i = 0; i < size; i++) {
        last_out[i] = next_byte = next_byte == 255 ? 1 : next_byte + 1;
    }
}

/* Leaves a full buffer, whose first byte comes next. */
static uint8_t *fill_buffer(void)
{
    uint8_t byte = 0;
    uint64_t before = calls;

    do {
        random_bytes(&byte, 1);
    } while (calls == before);
    for (size_t i = 1; i < RANDOM_BUFFER_SIZE; i++) {
        random_bytes(&byte, 1);
    }
    random_bytes(&byte, 1); /* of a fresh buffer: 4,095 are left */
    assert_int_equal(last_size, RANDOM_BUFFER_SIZE);
    assert_int_equal(last_out[0], 0);
    return last_out;
}

static void test_wiped_as_used(void **state)
{
    uint8_t *buffer = fill_buffer();
    uint8_t expected[100];
    uint8_t out[100];
    uint64_t before = calls;

    (void)state;
    memcpy(expected, buffer + 1, 100);
    random_bytes(out, 100);
    assert_memory_equal(out, expected, 100);
    for (size_t i = 0; i < 101; i++) {
        assert_int_equal(buffer[i], 0);
    }
    assert_int_not_equal(buffer[101], 0);
    random_bytes(NULL, 0);
    assert_int_equal(calls, before);
}

/* Across the end of the buffer: the rest of one and the start of the next, nothing twice. */
static void test_refill(void **state)
{
    uint8_t out[RANDOM_BUFFER_SIZE];
    uint64_t before = 0;

    (void)state;
    uint8_t *buffer = fill_buffer();
    uint8_t expected = buffer[1];
    before = calls;
    random_bytes(out, RANDOM_BUFFER_SIZE - 2);
    assert_int_equal(calls, before);
    random_bytes(out + RANDOM_BUFFER_SIZE - 2, 2); /* one is left */
    assert_int_equal(calls, before + 1);
    for (size_t i = 0; i < RANDOM_BUFFER_SIZE; i++) {
        assert_int_equal(out[i], expected);
        expected = expected == 255 ? 1 : expected + 1;
    }
}

static void test_sizes(void **state)
{
    uint8_t out[RANDOM_BUFFER_SIZE + 2];
    uint64_t before = 0;

    (void)state;
    (void)fill_buffer();
    before = calls;
    out[RANDOM_BUFFER_SIZE] = 0;
    random_bytes(out, RANDOM_BUFFER_SIZE); /* through the buffer */
    assert_int_equal(calls, before + 1);
    assert_int_equal(out[RANDOM_BUFFER_SIZE], 0);
    random_bytes(out, RANDOM_BUFFER_SIZE + 1); /* straight */
    assert_int_equal(calls, before + 2);
    assert_ptr_equal(last_out, out);
    assert_int_equal(last_size, RANDOM_BUFFER_SIZE + 1);
}

static void test_fork(void **state)
{
    uint8_t byte = 0;
    int status = 0;

    (void)state;
    (void)fill_buffer();
    uint64_t before = calls;
    pid_t child = fork();
    if (child == 0) {
        random_bytes(&byte, 1);
        _exit(calls == before + 1 ? 42 : 1); /* its own bytes */
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 42);
    random_bytes(&byte, 1);
    assert_int_equal(calls, before); /* the parent goes on with its buffer */
}

static void *draw(void *out)
{
    random_bytes(out, 16);
    return NULL;
}

static void test_threads(void **state)
{
    uint8_t *buffer = fill_buffer();
    uint64_t before = calls;

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        pthread_t thread;
        uint8_t out[16] = {0};
        assert_int_equal(pthread_create(&thread, NULL, draw, out), 0);
        assert_int_equal(pthread_join(thread, NULL), 0);
        assert_int_equal(calls, before + 1 + i);
        assert_ptr_not_equal(last_out, buffer);
        assert_int_not_equal(out[15], 0);
    }
}

/* The flags of the buffer's mapping, as the kernel tells them. */
static void read_flags(const uint8_t *buffer, char *flags, size_t flags_size)
{
    FILE *maps = fopen("/proc/self/smaps", "r");
    char line[512];
    bool inside = false;

    flags[0] = 0;
    assert_non_null(maps);
    while (fgets(line, sizeof(line), maps) != NULL) {
        char *rest = NULL;
        uintptr_t start = strtoull(line, &rest, 16);
        if (*rest == '-') {
            uintptr_t end = strtoull(rest + 1, NULL, 16);
            inside = (uintptr_t)buffer >= start && (uintptr_t)buffer < end;
        } else if (inside && strncmp(line, "VmFlags:", 8) == 0) {
            (void)snprintf(flags, flags_size, "%s", line);
        }
    }
    assert_int_equal(fclose(maps), 0);
}

static void test_pages(void **state)
{
    char flags[512];

    (void)state;
    read_flags(fill_buffer(), flags, sizeof(flags));
    assert_non_null(strstr(flags, " dd")); /* not in a core dump */
    assert_non_null(strstr(flags, " wf")); /* zeros in a forked child */
}

static void test_below(void **state)
{
    const uint64_t bounds[] = {1, 2, 3, 10, 255, 256, 1ULL << 63, (1ULL << 63) + 1, UINT64_MAX};
    unsigned counts[3] = {0};

    (void)state;
    for (size_t i = 0; i < sizeof(bounds) / sizeof(bounds[0]); i++) {
        for (unsigned round = 0; round < 1000; round++) {
            assert_true(random_below(bounds[i]) < bounds[i]);
        }
    }
    for (unsigned round = 0; round < 3000; round++) {
        counts[random_below(3)]++;
    }
    for (size_t i = 0; i < 3; i++) {
        assert_in_range(counts[i], 700, 1300);
    }
    /* Without drawing again, a third of the results would come half of the time. */
    unsigned low = 0;
    for (unsigned round = 0; round < 3000; round++) {
        low += random_below(3ULL << 62) < 1ULL << 62;
    }
    assert_in_range(low, 800, 1200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wiped_as_used), cmocka_unit_test(test_refill),
        cmocka_unit_test(test_sizes),         cmocka_unit_test(test_fork),
        cmocka_unit_test(test_threads),       cmocka_unit_test(test_pages),
        cmocka_unit_test(test_below),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
