/*
 * Goal: a bell that was rung wakes poll(2) until it is silenced, however often it was rung, also
 * from another thread.
 */
#include "io/bell.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <poll.h>
#include <pthread.h>

#include <cmocka.h>

static int ready(const struct bell *bell, int wait_ms)
{
    struct pollfd fd = {.fd = bell->fd, .events = POLLIN};

    return poll(&fd, 1, wait_ms);
}

static void test_ring_and_silence(void **state)
{
    struct bell bell;

    (void)state;
    assert_int_equal(bell_open(&bell), 0);
    assert_int_equal(ready(&bell, 0), 0);
    bell_silence(&bell); /* it did not ring: no-op */
    bell_ring(&bell);
    bell_ring(&bell);
    assert_int_equal(ready(&bell, 0), 1);
    bell_silence(&bell);
    assert_int_equal(ready(&bell, 0), 0);
    bell_close(&bell);
    bell_close(&bell);
    assert_int_equal(bell.fd, -1);
}

static void *run(void *argument)
{
    bell_ring(argument);
    return NULL;
}

static void test_other_thread(void **state)
{
    struct bell bell;
    pthread_t thread;

    (void)state;
    assert_int_equal(bell_open(&bell), 0);
    assert_int_equal(pthread_create(&thread, NULL, run, &bell), 0);
    assert_int_equal(ready(&bell, 10000), 1);
    assert_int_equal(pthread_join(thread, NULL), 0);
    bell_close(&bell);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ring_and_silence),
        cmocka_unit_test(test_other_thread),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
