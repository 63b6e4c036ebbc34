/*
 * Goal: what handshakes hold is counted to the byte, per thread, and refused over the limit; what
 * is not theirs is not counted.
 */
#include "tls/heap.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void blocks_are_counted(void **state)
{
    (void)state;
    heap_allow(1000);
    uint8_t *one = heap_take(600);
    assert_non_null(one);
    assert_int_equal((uintptr_t)one % 16, 0);
    memset(one, 1, 600);
    assert_int_equal(heap_used(), 600);
    assert_null(heap_take(401));
    assert_int_equal(heap_used(), 600);
    void *two = heap_take(400);
    assert_non_null(two);
    assert_int_equal(heap_used(), 1000);
    assert_null(heap_take(1));
    heap_give(one);
    assert_int_equal(heap_used(), 400);
    assert_int_equal(heap_peak(), 1000);
    heap_peak_reset();
    assert_int_equal(heap_peak(), 400);
    heap_give(two);
    heap_give(NULL);
    assert_int_equal(heap_used(), 0);
    heap_allow(-1000);
    assert_null(heap_take(1));
}

static void *count_in_a_thread(void *context)
{
    (void)context;
    assert_int_equal(heap_used(), 0);
    assert_null(heap_take(1)); /* nothing is allowed here yet */
    heap_allow(10);
    void *block = heap_take(10);
    assert_non_null(block);
    heap_give(block);
    heap_allow(-10);
    return NULL;
}

static void threads_count_apart(void **state)
{
    (void)state;
    pthread_t thread;
    heap_allow(100);
    void *block = heap_take(100);
    assert_int_equal(pthread_create(&thread, NULL, count_in_a_thread, NULL), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(heap_used(), 100);
    heap_give(block);
    heap_allow(-100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_counted),
        cmocka_unit_test(threads_count_apart),
    };
    heap_install();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
