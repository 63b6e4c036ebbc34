/*
 * Goal: numbers come out in the order they went in, or the newest first, also where the running
 * counts wrap; a queue holds as many as was asked for, one more is a bug that stops the process;
 * an empty queue gives its memory back, however it got empty.
 */
#include "base/queue.h"

#include "aborts.h"
#include "dice.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <cmocka.h>

#define SIZE_MIN  1024u
#define COUNT_MAX (1u << 30)

static void open_queue(struct queue *queue, uint32_t count_max)
{
    assert_int_equal(queue_open(queue, count_max), 0);
    assert_int_equal(queue_count(queue), 0);
}

/* The same, with running counts that wrap after left more. */
static void open_before_wrap(struct queue *queue, uint32_t count_max, uint32_t left)
{
    open_queue(queue, count_max);
    queue->head = 0u - left;
    queue->tail = 0u - left;
}

static void push_range(struct queue *queue, uint32_t first, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        queue_push(queue, first + i);
    }
}

static void assert_empty(struct queue *queue)
{
    assert_int_equal(queue_count(queue), 0);
    assert_int_equal(queue_peek(queue), NONE);
    assert_int_equal(queue_pop(queue), NONE);
    assert_int_equal(queue_pop_newest(queue), NONE);
    assert_int_equal(queue_count(queue), 0);
}

static void push_one(void *queue)
{
    queue_push(queue, 0);
}

/* Pages of the queue that hold memory. */
static uint32_t pages_held(const struct queue *queue)
{
    unsigned char held[64];
    uint32_t count = 0;

    assert_true(queue->size <= 64 * SIZE_MIN);
    assert_int_equal(mincore(queue->numbers, queue->size * sizeof(uint32_t), held), 0);
    for (uint32_t i = 0; i < queue->size / SIZE_MIN; i++) {
        count += held[i] & 1;
    }
    return count;
}

static void test_first_in_first_out(void **state)
{
    struct queue queue;

    (void)state;
    open_queue(&queue, 10);
    assert_empty(&queue);
    push_range(&queue, 0, 3);
    assert_int_equal(queue_count(&queue), 3);
    assert_int_equal(queue_peek(&queue), 0);
    assert_int_equal(queue_peek(&queue), 0); /* it stays */
    assert_int_equal(queue_pop(&queue), 0);
    assert_int_equal(queue_pop(&queue), 1);
    queue_push(&queue, 3);
    assert_int_equal(queue_pop(&queue), 2);
    assert_int_equal(queue_pop(&queue), 3);
    assert_empty(&queue);
    queue_close(&queue);
}

static void test_newest_first(void **state)
{
    struct queue queue;

    (void)state;
    open_queue(&queue, 10);
    push_range(&queue, 0, 4);
    assert_int_equal(queue_pop_newest(&queue), 3);
    assert_int_equal(queue_pop(&queue), 0);
    assert_int_equal(queue_pop_newest(&queue), 2);
    queue_push(&queue, 9);
    assert_int_equal(queue_pop_newest(&queue), 9);
    assert_int_equal(queue_peek(&queue), 1);
    assert_int_equal(queue_pop_newest(&queue), 1);
    assert_empty(&queue);
    queue_close(&queue);
}

/* Against an array that is as plain as can be, across the wrap. */
static void test_counts_wrap(void **state)
{
    static uint32_t model[20000];
    struct queue queue;
    uint32_t first = 0;
    uint32_t end = 0;

    (void)state;
    open_before_wrap(&queue, SIZE_MIN, 500);
    for (uint32_t i = 0; i < 20000; i++) {
        const uint32_t choice = dice_roll(4);
        if (choice >= 2 && end - first < SIZE_MIN) {
            queue_push(&queue, i);
            model[end++] = i;
        } else if (first < end && choice == 1) {
            assert_int_equal(queue_pop_newest(&queue), model[--end]);
        } else if (first < end) {
            assert_int_equal(queue_peek(&queue), model[first]);
            assert_int_equal(queue_pop(&queue), model[first++]);
        }
        assert_int_equal(queue_count(&queue), end - first);
    }
    assert_true(queue.tail < 0u - 500); /* both have wrapped */
    queue_close(&queue);
}

static void test_full(void **state)
{
    struct queue queue;

    (void)state;
    open_queue(&queue, SIZE_MIN);
    push_range(&queue, 0, SIZE_MIN - 1);
    assert_false(aborts(push_one, &queue));
    queue_push(&queue, SIZE_MIN - 1);
    assert_true(aborts(push_one, &queue));
    assert_int_equal(queue_pop(&queue), 0);
    assert_false(aborts(push_one, &queue));
    queue_close(&queue);

    open_before_wrap(&queue, SIZE_MIN, 5);
    push_range(&queue, 0, SIZE_MIN);
    assert_true(aborts(push_one, &queue));
    for (uint32_t i = 0; i < SIZE_MIN; i++) {
        assert_int_equal(queue_pop(&queue), i);
    }
    assert_empty(&queue);
    queue_close(&queue);
}

static void open_above_the_most(void *queue)
{
    (void)!queue_open(queue, COUNT_MAX + 1);
}

static void test_sizes(void **state)
{
    static const uint32_t counts[] = {0, 1, SIZE_MIN, SIZE_MIN + 1, 5000, COUNT_MAX};
    struct queue queue;

    (void)state;
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        open_queue(&queue, counts[i]);
        assert_true(queue.size >= counts[i]);
        assert_int_equal(queue.size & (queue.size - 1), 0);
        queue_close(&queue);
        assert_null(queue.numbers);
        queue_close(&queue); /* nothing is there any more */
    }
    assert_true(aborts(open_above_the_most, &queue));
}

static void test_no_memory(void **state)
{
    struct queue queue;
    struct rlimit before;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_AS, &before), 0);
    const struct rlimit none = {.rlim_cur = 0, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_AS, &none), 0);
    const int error = queue_open(&queue, SIZE_MIN);
    assert_int_equal(setrlimit(RLIMIT_AS, &before), 0);
    assert_int_equal(error, -ENOMEM);
}

static void test_trim(void **state)
{
    struct queue queue;

    (void)state;
    open_queue(&queue, 16 * SIZE_MIN);
    push_range(&queue, 0, 10 * SIZE_MIN);
    assert_int_equal(pages_held(&queue), 10);
    queue_trim(&queue); /* it is not empty */
    assert_int_equal(pages_held(&queue), 10);
    for (uint32_t i = 0; i < 10 * SIZE_MIN; i++) {
        assert_int_equal(queue_pop(&queue), i);
    }
    queue_trim(&queue);
    assert_int_equal(pages_held(&queue), 0);
    queue_trim(&queue);
    push_range(&queue, 7, 2); /* it is as good as new */
    assert_int_equal(queue_pop(&queue), 7);
    assert_int_equal(queue_pop(&queue), 8);
    assert_empty(&queue);
    queue_close(&queue);
}

static void test_trim_where_the_counts_are_0_again(void **state)
{
    struct queue queue;

    (void)state;
    open_queue(&queue, 16 * SIZE_MIN);
    push_range(&queue, 0, 3 * SIZE_MIN);
    for (uint32_t i = 3 * SIZE_MIN; i > 0; i--) {
        assert_int_equal(queue_pop_newest(&queue), i - 1);
    }
    queue_trim(&queue);
    assert_int_equal(pages_held(&queue), 0);
    queue_close(&queue);

    open_before_wrap(&queue, 16 * SIZE_MIN, 3 * SIZE_MIN);
    push_range(&queue, 0, 3 * SIZE_MIN);
    for (uint32_t i = 0; i < 3 * SIZE_MIN; i++) {
        assert_int_equal(queue_pop(&queue), i);
    }
    queue_trim(&queue);
    assert_int_equal(pages_held(&queue), 0);
    queue_close(&queue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_in_first_out),
        cmocka_unit_test(test_newest_first),
        cmocka_unit_test(test_counts_wrap),
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_trim),
        cmocka_unit_test(test_trim_where_the_counts_are_0_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
