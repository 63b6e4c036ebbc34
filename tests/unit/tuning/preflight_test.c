/*
 * Goal: the server's look at its host warns of what will not do for its own number of connections,
 * of nothing on a host that is right, at most so many times, and never stops anything.
 */
#include "tuning/preflight.h"

#include "scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define PID 812

static struct scratch scratch;

static int open_host(void **state)
{
    (void)state;
    scratch_open(&scratch);
    scratch_host(&scratch);
    scratch_write(&scratch, "/proc/812/comm", "limpet\n");
    return 0;
}

static int close_host(void **state)
{
    (void)state;
    scratch_close(&scratch);
    return 0;
}

static uint32_t warnings(uint32_t connections_max, uint32_t capacity)
{
    const struct target_options options = {.connections_max = connections_max,
                                           .user_timeout_ms = 30000};

    return preflight_warn(scratch.root, PID, &options, capacity);
}

static void test_defaults_are_enough_for_a_hundred_thousand(void **state)
{
    (void)state;
    assert_int_equal(warnings(100000, 100000), 0);
    assert_int_equal(warnings(0, 30000), 0);
    /* What the limits allow is no one's aim. */
    assert_int_equal(warnings(0, 4000000), 0);
}

static void test_a_million_needs_more(void **state)
{
    (void)state;
    assert_int_equal(warnings(1000000, 1000000), 2); /* tcp_mem, listen_backlog */
    scratch_sysctl(&scratch, "net.ipv4.tcp_mem", "625000 833333 1250000");
    assert_int_equal(warnings(1000000, 1000000), 1);
    assert_int_equal(warnings(4000000, 4000000), 3); /* and the memory */
}

static void test_a_container_is_its_own_size(void **state)
{
    (void)state;
    assert_int_equal(warnings(100000, 100000), 0);
    scratch_write(&scratch, "/sys/fs/cgroup/memory.max", "1073741824\n");
    assert_int_equal(warnings(100000, 100000), 0);
    /* 6.7 KB each: the limit is too low, and it is the first bound. */
    assert_int_equal(warnings(170000, 170000), 2);
}

static void test_what_is_wrong_for_any_number(void **state)
{
    (void)state;
    scratch_sysctl(&scratch, "net.ipv4.tcp_syncookies", "0");
    assert_int_equal(warnings(10, 10), 1);
    scratch_sysctl(&scratch, "net.ipv4.tcp_abort_on_overflow", "1");
    assert_int_equal(warnings(10, 10), 2);
    scratch_sysctl(&scratch, "fs.file-max", "1000");
    assert_int_equal(warnings(10, 10), 4); /* the limit, and that ten do not fit below it */
}

static void test_more_than_are_written(void **state)
{
    (void)state;
    scratch_sysctl(&scratch, "net.ipv4.tcp_syncookies", "0");
    scratch_sysctl(&scratch, "net.ipv4.tcp_abort_on_overflow", "1");
    scratch_sysctl(&scratch, "fs.file-max", "1000");
    assert_true(warnings(1000000, 1000000) > PREFLIGHT_LINES_MAX);
}

static void test_a_host_that_cannot_be_read(void **state)
{
    (void)state;
    scratch_remove(&scratch, "/proc/meminfo");
    assert_int_equal(warnings(1000000, 1000000), 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, open_host, close_host)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_defaults_are_enough_for_a_hundred_thousand),
        TEST(test_a_million_needs_more),
        TEST(test_a_container_is_its_own_size),
        TEST(test_what_is_wrong_for_any_number),
        TEST(test_more_than_are_written),
        TEST(test_a_host_that_cannot_be_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
