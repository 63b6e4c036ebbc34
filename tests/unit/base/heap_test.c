/*
 * Goal: what is pushed in any order is popped from the smallest on, equal keys each, also when both
 * go on in turn; to the last place, and again after the memory was given back.
 */
#include "base/heap.h"

#include "aborts.h"
#include "dice.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define COUNT_MAX 2000u

static int compare(const void *a, const void *b)
{
    const uint64_t first = *(const uint64_t *)a;
    const uint64_t second = *(const uint64_t *)b;

    return first < second ? -1 : first > second;
}

static void test_sorts(void **state)
{
    struct heap heap;
    static uint64_t keys[COUNT_MAX];

    (void)state;
    assert_int_equal(heap_open(&heap, COUNT_MAX), 0);
    for (uint32_t count = 1; count <= COUNT_MAX; count = count * 3 / 2 + 1) {
        const uint32_t size = count < COUNT_MAX ? count : COUNT_MAX;
        const uint32_t range = dice_roll(2) == 0 ? size / 4 + 1 : UINT32_MAX;
        for (uint32_t i = 0; i < size; i++) {
            keys[i] = (uint64_t)dice_roll(range) << dice_roll(2) * 24 | dice_roll(4);
            heap_push(&heap, keys[i]);
            heap_check(&heap);
        }
        qsort(keys, size, sizeof(keys[0]), compare);
        for (uint32_t i = 0; i < size; i++) {
            assert_true(heap_pop(&heap) == keys[i]);
        }
        assert_int_equal(heap.count, 0);
    }
    heap_close(&heap);
}

/* Against a list that is searched each time. */
static void test_pushes_and_pops_in_turn(void **state)
{
    struct heap heap;
    static uint64_t keys[COUNT_MAX];
    uint32_t count = 0;

    (void)state;
    assert_int_equal(heap_open(&heap, COUNT_MAX), 0);
    for (uint32_t i = 0; i < 20000; i++) {
        if (count < COUNT_MAX && (count == 0 || dice_roll(2) == 0)) {
            keys[count] = dice_roll(1000);
            heap_push(&heap, keys[count++]);
        } else {
            uint32_t smallest = 0;
            for (uint32_t j = 1; j < count; j++) {
                smallest = keys[j] < keys[smallest] ? j : smallest;
            }
            assert_true(heap_pop(&heap) == keys[smallest]);
            keys[smallest] = keys[--count];
        }
        assert_int_equal(heap.count, count);
    }
    heap_check(&heap);
    heap_close(&heap);
}

static void test_clear_forgets_all(void **state)
{
    struct heap heap;

    (void)state;
    assert_int_equal(heap_open(&heap, COUNT_MAX), 0);
    for (uint32_t i = 0; i < COUNT_MAX; i++) {
        heap_push(&heap, COUNT_MAX - i);
    }
    heap_clear(&heap);
    assert_int_equal(heap.count, 0);
    heap_push(&heap, 7);
    assert_true(heap_pop(&heap) == 7);
    heap_close(&heap);
    heap_close(&heap); /* no-op */
}

static struct heap full;

static void push_one_more(void *context)
{
    (void)context;
    heap_push(&full, 0);
}

static void pop_one(void *context)
{
    (void)context;
    const uint64_t key = heap_pop(&full);
    (void)key;
}

static void test_bounds(void **state)
{
    (void)state;
    assert_int_equal(heap_open(&full, 1), 0);
    assert_true(aborts(pop_one, NULL));
    heap_push(&full, 1);
    assert_true(aborts(push_one_more, NULL));
    heap_close(&full);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sorts),
        cmocka_unit_test(test_pushes_and_pops_in_turn),
        cmocka_unit_test(test_clear_forgets_all),
        cmocka_unit_test(test_bounds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
