/*
 * Goal: a message lives exactly as long as somebody holds it, and has room for what was asked.
 */
#include "pubsub/message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static struct arena arena;

static int setup(void **state)
{
    (void)state;
    return arena_open(&arena, 4096);
}

static int teardown(void **state)
{
    (void)state;
    arena_close(&arena);
    return 0;
}

static void test_life(void **state)
{
    uint32_t number = message_new(&arena, 5);

    (void)state;
    assert_int_not_equal(number, NONE);
    assert_int_equal(message_at(&arena, number)->size, 5);
    assert_int_equal(message_at(&arena, number)->references, 1);
    message_hold(&arena, number);
    message_hold(&arena, number);
    assert_int_equal(message_at(&arena, number)->references, 3);
    message_release(&arena, number);
    message_release(&arena, number);
    assert_int_equal(arena.used, ARENA_BLOCK_MIN);
    message_release(&arena, number);
    assert_int_equal(arena.used, 0);
    arena_check(&arena);
}

static void test_sizes(void **state)
{
    /* The head is 24 bytes: 40 fill the smallest block, 41 take the next. */
    const struct {
        uint32_t size;
        size_t block;
    } cases[] = {{0, 64}, {1, 64}, {40, 64}, {41, 128}, {4072, 4096}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint32_t number = message_new(&arena, cases[i].size);
        assert_int_not_equal(number, NONE);
        memset(message_at(&arena, number)->bytes, 0xff, cases[i].size);
        assert_int_equal(message_at(&arena, number)->size, cases[i].size);
        assert_int_equal(arena_block_size(&arena, number), cases[i].block);
        message_release(&arena, number);
        arena_check(&arena);
    }
}

static void test_full(void **state)
{
    uint32_t first = message_new(&arena, 2048 - 24);
    uint32_t second = message_new(&arena, 2048 - 24);

    (void)state;
    assert_int_not_equal(second, NONE);
    assert_int_equal(message_new(&arena, 0), NONE);
    assert_int_equal(message_new(&arena, 4073), NONE);
    assert_int_equal(message_new(&arena, UINT32_MAX), NONE);
    message_release(&arena, first);
    first = message_new(&arena, 0);
    assert_int_not_equal(first, NONE);
    message_release(&arena, first);
    message_release(&arena, second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_life, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sizes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
