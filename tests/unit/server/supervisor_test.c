/*
 * Goal: systemd hears exactly what sd_notify(3) asks for, in one datagram each; without it, or with
 * a socket that is gone, nothing happens; a watchdog counts only when it is this process's.
 */
#include "server/supervisor.h"

#include "base/bytes.h"
#include "base/clock.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

static int manager = -1; /* systemd's end */

static int open_manager(void **state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char name[sizeof(address.sun_path)];

    (void)state;
    (void)snprintf(name, sizeof(name), "@limpet-supervisor-test-%d", (int)getpid());
    const socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name));
    memcpy(address.sun_path + 1, name + 1, strlen(name) - 1); /* abstract: begins with a NUL */
    manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    return manager >= 0 && bind(manager, (const struct sockaddr *)&address, size) == 0
               ? setenv("NOTIFY_SOCKET", name, 1)
               : -1;
}

static int close_manager(void **state)
{
    (void)state;
    unsetenv("NOTIFY_SOCKET");
    return close(manager);
}

/* A datagram is there when the call that sent it returns. */
static void read_message(char *text, size_t text_size)
{
    const ssize_t size = recv(manager, text, text_size - 1, MSG_DONTWAIT);

    assert_true(size >= 0);
    text[size] = '\0';
}

static void expect_message(const char *expected)
{
    char text[512];

    read_message(text, sizeof(text));
    assert_string_equal(text, expected);
}

static void expect_silence(void)
{
    char byte;

    assert_int_equal(recv(manager, &byte, 1, MSG_DONTWAIT), -1);
    assert_int_equal(errno, EAGAIN);
}

static void test_messages(void **state)
{
    (void)state;
    supervisor_ready("serves on 2 shards");
    expect_message("READY=1\nSTATUS=serves on 2 shards");
    supervisor_status("100 % of \\n"); /* text, not a format */
    expect_message("STATUS=100 % of \\n");
    supervisor_alive();
    expect_message("WATCHDOG=1");
    expect_silence();
}

static void test_a_reload_tells_the_time(void **state)
{
    const uint64_t before_us = clock_now_ns() / 1000;
    char text[512];
    unsigned long long told_us;
    int end = 0;

    (void)state;
    supervisor_reloading();
    const uint64_t after_us = clock_now_ns() / 1000;
    read_message(text, sizeof(text));
    assert_int_equal(sscanf(text, "RELOADING=1\nMONOTONIC_USEC=%llu%n", &told_us, &end), 1);
    assert_int_equal(text[end], '\0');
    assert_true(told_us >= before_us);
    assert_true(told_us <= after_us);
    expect_silence();
}

/* The kernel's share is 5 minutes. */
static void test_a_stop_takes_its_time_and_the_kernels(void **state)
{
    (void)state;
    supervisor_stopping(0);
    expect_message("STOPPING=1\nEXTEND_TIMEOUT_USEC=300000000");
    supervisor_stopping(25000);
    expect_message("STOPPING=1\nEXTEND_TIMEOUT_USEC=325000000");
    supervisor_stopping(UINT32_MAX);
    expect_message("STOPPING=1\nEXTEND_TIMEOUT_USEC=4295267295000");
    expect_silence();
}

static void say_all(void)
{
    supervisor_ready("x");
    supervisor_reloading();
    supervisor_status("x");
    supervisor_stopping(1);
    supervisor_alive();
}

static void test_without_systemd_nothing_happens(void **state)
{
    (void)state;
    assert_int_equal(setenv("NOTIFY_SOCKET", "@limpet-supervisor-test-nobody", 1), 0);
    say_all();
    assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
    say_all();
    expect_silence();
}

static void test_the_watchdog_is_this_process_s(void **state)
{
    char pid[32];

    (void)state;
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
    assert_false(supervisor_watches());
    assert_int_equal(setenv("WATCHDOG_USEC", "30000000", 1), 0);
    assert_true(supervisor_watches());
    (void)snprintf(pid, sizeof(pid), "%d", (int)getpid());
    assert_int_equal(setenv("WATCHDOG_PID", pid, 1), 0);
    assert_true(supervisor_watches());
    assert_true(supervisor_watches()); /* asking does not change it */
    (void)snprintf(pid, sizeof(pid), "%d", (int)getppid());
    assert_int_equal(setenv("WATCHDOG_PID", pid, 1), 0);
    assert_false(supervisor_watches());
    unsetenv("WATCHDOG_PID");
    static const char *const wrong[] = {"", "0", "soon", "-1"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_int_equal(setenv("WATCHDOG_USEC", wrong[i], 1), 0);
        assert_false(supervisor_watches());
    }
    unsetenv("WATCHDOG_USEC");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_manager, close_manager)
    const struct CMUnitTest tests[] = {
        TEST(test_messages),
        TEST(test_a_reload_tells_the_time),
        TEST(test_a_stop_takes_its_time_and_the_kernels),
        TEST(test_without_systemd_nothing_happens),
        TEST(test_the_watchdog_is_this_process_s),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
