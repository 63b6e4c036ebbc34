/*
 * Goal: blocks never overlap, have the size asked for and no more than twice that, merge back into
 * one when all are given, and what is free goes back to the system without harm to what is not.
 */
#include "base/arena.h"

#include "aborts.h"
#include "dice.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

static struct arena arena;

static void open_arena(size_t size)
{
    assert_int_equal(arena_open(&arena, size), 0);
    arena_check(&arena);
}

static void close_arena(void)
{
    arena_check(&arena);
    arena_close(&arena);
}

static void test_open(void **state)
{
    const struct {
        size_t asked;
        size_t size;
    } cases[] = {{1, 64},
                 {64, 64},
                 {65, 128},
                 {4095, 4096},
                 {4096, 4096},
                 {(1 << 20) + 1, 1 << 21},
                 {1UL << 32, 1UL << 32}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(arena_open(&arena, cases[i].asked), 0);
        assert_int_equal(arena.size, cases[i].size);
        uint32_t all = arena_take(&arena, arena.size);
        assert_int_equal(all, 0);
        assert_int_equal(arena_take(&arena, 1), NONE);
        arena_give(&arena, all);
        arena_close(&arena);
    }
    assert_int_equal(arena_open(&arena, 0), -EINVAL);
    assert_int_equal(arena_open(&arena, (1UL << 32) + 1), -EINVAL);
    arena_close(&arena);
    arena_close(&arena);
}

static void test_sizes(void **state)
{
    (void)state;
    open_arena(1 << 16);
    for (size_t size = 1; size <= 1 << 16; size += size < 300 ? 1 : 61) {
        uint32_t block = arena_take(&arena, size);
        assert_int_not_equal(block, NONE);
        size_t room = arena_block_size(&arena, block);
        assert_true(room >= size);
        assert_true(room < 2 * size || room == ARENA_BLOCK_MIN);
        assert_int_equal(arena.used, room);
        memset(arena_at(&arena, block), 0xee, room);
        arena_give(&arena, block);
        assert_int_equal(arena.used, 0);
    }
    assert_int_equal(arena_take(&arena, (1 << 16) + 1), NONE);
    assert_int_equal(arena_take(&arena, SIZE_MAX), NONE);
    close_arena();
}

static void test_full(void **state)
{
    enum {
        BLOCKS = 1024
    };
    static uint32_t blocks[BLOCKS];

    (void)state;
    open_arena((size_t)BLOCKS * ARENA_BLOCK_MIN);
    for (size_t i = 0; i < BLOCKS; i++) {
        blocks[i] = arena_take(&arena, 1);
        assert_true(blocks[i] < BLOCKS);
        memset(arena_at(&arena, blocks[i]), (int)i, ARENA_BLOCK_MIN);
    }
    assert_int_equal(arena_take(&arena, 1), NONE);
    assert_int_equal(arena.used, arena.size);
    arena_check(&arena);
    for (size_t i = 0; i < BLOCKS; i++) {
        assert_int_equal(*(uint8_t *)arena_at(&arena, blocks[i]), (uint8_t)i); /* no overlap */
    }
    /* Every other one: half is free, and nothing larger than the smallest fits. */
    for (size_t i = 0; i < BLOCKS; i++) {
        if (blocks[i] % 2 == 0) {
            arena_give(&arena, blocks[i]);
        }
    }
    arena_check(&arena);
    assert_int_equal(arena.used, arena.size / 2);
    assert_int_equal(arena_take(&arena, ARENA_BLOCK_MIN + 1), NONE);
    for (size_t i = 0; i < BLOCKS; i++) {
        if (blocks[i] % 2 == 1) {
            arena_give(&arena, blocks[i]);
        }
    }
    assert_int_equal(arena_take(&arena, arena.size), 0); /* all merged */
    arena_give(&arena, 0);
    close_arena();
}

/* Random sizes; every block keeps the bytes that were written into it. */
static void test_model(void **state)
{
    enum {
        SLOTS = 200
    };
    static struct {
        uint32_t block;
        uint8_t fill;
        size_t size;
    } slots[SLOTS];

    (void)state;
    dice_seed(2);
    memset(slots, 0, sizeof(slots));
    open_arena(1 << 18);
    for (uint32_t round = 0; round < 40000; round++) {
        size_t i = dice_roll(SLOTS);
        if (slots[i].size != 0) {
            const uint8_t *bytes = arena_at(&arena, slots[i].block);
            for (size_t at = 0; at < slots[i].size; at++) {
                assert_int_equal(bytes[at], slots[i].fill);
            }
            arena_give(&arena, slots[i].block);
            slots[i].size = 0;
        } else {
            size_t size = 1 + dice_roll_bits(14);
            slots[i].block = arena_take(&arena, size);
            if (slots[i].block != NONE) {
                slots[i].size = size;
                slots[i].fill = (uint8_t)dice_roll(256);
                memset(arena_at(&arena, slots[i].block), slots[i].fill, size);
            }
        }
        if (round % 500 == 0) {
            arena_trim(&arena);
            arena_check(&arena);
        }
    }
    for (size_t i = 0; i < SLOTS; i++) {
        if (slots[i].size != 0) {
            arena_give(&arena, slots[i].block);
        }
    }
    assert_int_equal(arena.used, 0);
    assert_int_equal(arena_take(&arena, arena.size), 0);
    arena_give(&arena, 0);
    close_arena();
}

static size_t resident_pages_of(void *memory, size_t size)
{
    static unsigned char pages[1024];
    size_t count = 0;

    assert_true(size / 4096 <= sizeof(pages));
    assert_int_equal(mincore(memory, size, pages), 0);
    for (size_t i = 0; i < size / 4096; i++) {
        count += pages[i] & 1;
    }
    return count;
}

static size_t resident_pages(size_t size)
{
    return resident_pages_of(arena.memory, size);
}

static void test_trim(void **state)
{
    (void)state;
    open_arena(4 << 20);
    assert_true(resident_pages(arena.size) <= 1); /* the head of the one free block */
    uint32_t kept = arena_take(&arena, 100000);
    uint32_t large = arena_take(&arena, 2 << 20);
    memset(arena_at(&arena, kept), 0xee, 100000);
    memset(arena_at(&arena, large), 0xee, 2 << 20);
    assert_true(resident_pages(arena.size) > 512);
    assert_int_equal(arena_trim(&arena), 0); /* nothing was given */

    arena_give(&arena, large);
    assert_true(arena_trim(&arena) >= (2 << 20) - 4096);
    assert_true(resident_pages(arena.size) < 40);
    assert_int_equal(arena_trim(&arena), 0);
    for (size_t i = 0; i < 100000; i++) {
        assert_int_equal(((uint8_t *)arena_at(&arena, kept))[i], 0xee);
    }
    arena_check(&arena);
    arena_give(&arena, kept);
    assert_int_equal(arena_trim(&arena), (4 << 20) - 4096);
    assert_true(resident_pages(arena.size) <= 1);
    close_arena();
}

/* A crowd of small blocks leaves one that stays: the halves beside it are given back too, and what
 * the arena knew about the crowd's blocks. */
static void test_trim_behind_a_crowd(void **state)
{
    static uint32_t crowd[(4 << 20) / 64];
    const size_t count = sizeof(crowd) / sizeof(crowd[0]);

    (void)state;
    open_arena(4 << 20);
    for (size_t i = 0; i < count; i++) {
        crowd[i] = arena_take(&arena, 64);
        assert_int_not_equal(crowd[i], NONE);
        memset(arena_at(&arena, crowd[i]), 0xee, 64);
    }
    assert_int_equal(resident_pages(arena.size), 1024);
    assert_int_equal(resident_pages_of(arena.order, arena.size / ARENA_BLOCK_MIN), 16);
    for (size_t i = 1; i < count; i++) {
        arena_give(&arena, crowd[i]);
    }
    (void)arena_trim(&arena);
    /* The first page of each half: 4 KB (with those below), 8 KB .. 2 MB. */
    assert_int_equal(resident_pages(arena.size), 11);
    /* Of order[], by a page for 256 KB: those where a free block starts. */
    assert_int_equal(resident_pages_of(arena.order, arena.size / ARENA_BLOCK_MIN), 5);
    arena_check(&arena);
    arena_give(&arena, crowd[0]);
    (void)arena_trim(&arena);
    assert_int_equal(resident_pages(arena.size), 1);
    assert_int_equal(resident_pages_of(arena.order, arena.size / ARENA_BLOCK_MIN), 1);
    assert_int_equal(arena_take(&arena, arena.size), 0);
    arena_give(&arena, 0);
    close_arena();
}

/* In an arena that is in use, a system call for each of its small free blocks would cost more than
 * their memory is worth: a few are looked at. */
static void test_trim_of_fragments(void **state)
{
    static uint32_t blocks[512];

    (void)state;
    open_arena(4 << 20);
    for (size_t i = 0; i < 512; i++) {
        blocks[i] = arena_take(&arena, 8192);
        assert_int_not_equal(blocks[i], NONE);
        memset(arena_at(&arena, blocks[i]), 0xee, 8192);
    }
    for (size_t i = 0; i < 512; i += 2) {
        arena_give(&arena, blocks[i]);
    }
    assert_in_range(arena_trim(&arena), 1, 64 * 4096);
    assert_in_range(resident_pages(arena.size), 1024 - 64, 1023);
    close_arena();
}

static void take_nothing(void *context)
{
    (void)context;
    _exit((int)arena_take(&arena, 0));
}

static void give(void *block)
{
    arena_give(&arena, *(uint32_t *)block);
}

static void look(void *block)
{
    (void)arena_at(&arena, *(uint32_t *)block);
}

static void measure(void *block)
{
    _exit((int)arena_block_size(&arena, *(uint32_t *)block));
}

static void test_misuse(void **state)
{
    (void)state;
    open_arena(4096);
    uint32_t taken = arena_take(&arena, 256); /* blocks 0 to 3 */
    uint32_t inside = 1;
    uint32_t unused = 4;
    uint32_t outside = 64;

    assert_true(aborts(take_nothing, NULL));
    assert_false(aborts(give, &taken));
    assert_true(aborts(give, &inside));
    assert_true(aborts(give, &unused));
    assert_true(aborts(give, &outside));
    assert_true(aborts(look, &outside));
    assert_true(aborts(measure, &unused));
    assert_true(aborts(measure, &inside));
    arena_give(&arena, taken);
    assert_true(aborts(give, &taken)); /* twice */
    close_arena();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_open),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_model),
        cmocka_unit_test(test_trim),
        cmocka_unit_test(test_trim_behind_a_crowd),
        cmocka_unit_test(test_trim_of_fragments),
        cmocka_unit_test(test_misuse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
