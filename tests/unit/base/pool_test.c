/*
 * Goal: the lowest free number is taken first at every size around a level's edge; taken and free
 * never mix; memory of empty chunks, and of no others, goes back and returns as zeros; secrets stay
 * out of core dumps and, where the limit allows, of swap.
 */
#include "base/pool.h"

#include "aborts.h"
#include "dice.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

static struct pool pool;

static void open_pool(enum pool_kind kind, uint32_t item_size, uint32_t count_max)
{
    assert_int_equal(pool_open(&pool, kind, item_size, count_max), 0);
}

static void take_all(void)
{
    for (uint32_t i = 0; i < pool.count_max; i++) {
        assert_int_equal(pool_take(&pool), i);
    }
    assert_int_equal(pool_take(&pool), NONE);
    assert_int_equal(pool.count, pool.count_max);
}

static void test_edges(void **state)
{
    /* One word, one level; the 64 words of the next; and so on, one below and one above each. */
    const uint32_t counts[] = {1,    2,    63,   64,   65,     1023,   1024,
                               1025, 4095, 4096, 4097, 262143, 262144, 262145};

    (void)state;
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        uint32_t count = counts[i];
        open_pool(POOL_PLAIN, 4, count);
        take_all();
        assert_true(pool_is_taken(&pool, count - 1));
        pool_give(&pool, count - 1);
        assert_false(pool_is_taken(&pool, count - 1));
        assert_int_equal(pool_take(&pool), count - 1);
        assert_int_equal(pool_take(&pool), NONE);
        if (count > 1) {
            pool_give(&pool, count / 2);
            pool_give(&pool, 0);
            assert_int_equal(pool_take(&pool), 0);
            assert_int_equal(pool_take(&pool), count / 2);
        }
        assert_int_equal(pool.count, count);
        pool_close(&pool);
    }
}

static void test_largest(void **state)
{
    (void)state;
    open_pool(POOL_PLAIN, 4, 1U << 24);
    pool_take_number(&pool, (1U << 24) - 1);
    assert_int_equal(pool_take(&pool), 0);
    *(uint32_t *)pool_at(&pool, (1U << 24) - 1) = 7;
    assert_true(pool_is_taken(&pool, (1U << 24) - 1));
    pool_close(&pool);
}

static void test_open_refused(void **state)
{
    (void)state;
    assert_int_equal(pool_open(&pool, POOL_PLAIN, 4, 0), -EINVAL);
    assert_int_equal(pool_open(&pool, POOL_PLAIN, 4, (1U << 24) + 1), -EINVAL);
    pool_close(&pool);
    /* 16.7 million items of 2 GiB are more than an address space. */
    assert_int_equal(pool_open(&pool, POOL_PLAIN, 1U << 31, 1U << 24), -ENOMEM);
    pool_close(&pool);
    pool_close(&pool);
}

/* Against an array of flags: the lowest free number, always. */
static void test_model(void **state)
{
    enum {
        COUNT = 5000
    };
    static bool taken[COUNT];
    uint32_t count = 0;

    (void)state;
    dice_seed(1);
    memset(taken, 0, sizeof(taken));
    open_pool(POOL_PLAIN, 8, COUNT);
    for (uint32_t round = 0; round < 60000; round++) {
        uint32_t number = dice_roll(COUNT);
        if (taken[number]) {
            pool_give(&pool, number);
            taken[number] = false;
            count--;
        } else if (dice_roll(2) == 0) {
            pool_take_number(&pool, number);
            taken[number] = true;
            count++;
        } else {
            uint32_t lowest = 0;
            while (taken[lowest]) {
                lowest++;
            }
            assert_int_equal(pool_take(&pool), lowest);
            taken[lowest] = true;
            count++;
        }
        assert_int_equal(pool.count, count);
    }
    pool_close(&pool);
}

static void take_outside(void *context)
{
    (void)context;
    pool_take_number(&pool, 100);
}

static void take_twice(void *context)
{
    (void)context;
    pool_take_number(&pool, 5);
    pool_take_number(&pool, 5);
}

static void give_free(void *context)
{
    (void)context;
    pool_give(&pool, 99);
}

static void look_outside(void *context)
{
    (void)context;
    (void)pool_at(&pool, 100);
}

static void open_odd(void *context)
{
    struct pool odd;

    (void)context;
    _exit(pool_open(&odd, POOL_PLAIN, 5, 10));
}

static void test_misuse(void **state)
{
    (void)state;
    open_pool(POOL_PLAIN, 4, 100);
    assert_true(aborts(take_outside, NULL));
    assert_true(aborts(take_twice, NULL));
    assert_true(aborts(give_free, NULL));
    assert_true(aborts(look_outside, NULL));
    assert_true(aborts(open_odd, NULL));
    pool_close(&pool);
}

/* --- memory ----------------------------------------------------------------------------------- */

static uint32_t released[8];
static uint32_t released_count;

static void note_released(void *context, uint32_t first_number)
{
    assert_ptr_equal(context, &pool);
    released[released_count++] = first_number;
}

static size_t resident_pages(void *memory, size_t size)
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

static void test_trim(enum pool_kind kind)
{
    const size_t chunk = (size_t)POOL_CHUNK_ITEMS * 144; /* 72 pages */

    open_pool(kind, 144, 4 * POOL_CHUNK_ITEMS - 100);
    assert_int_equal(resident_pages(pool.slab, 4 * chunk), 0); /* nothing was touched */
    take_all();
    for (uint32_t i = 0; i < pool.count_max; i++) {
        memset(pool_at(&pool, i), 0xee, 144);
    }
    assert_int_equal(pool_trim(&pool, note_released, &pool), 0);

    for (uint32_t i = POOL_CHUNK_ITEMS; i < pool.count_max; i++) {
        if (i != 2 * POOL_CHUNK_ITEMS) { /* one item keeps its chunk */
            pool_give(&pool, i);
        }
    }
    assert_int_equal(*(uint8_t *)pool_at(&pool, POOL_CHUNK_ITEMS), 0xee);
    released_count = 0;
    assert_int_equal(pool_trim(&pool, note_released, &pool), 2 * chunk);
    assert_int_equal(released_count, 2);
    assert_int_equal(released[0], POOL_CHUNK_ITEMS);
    assert_int_equal(released[1], 3 * POOL_CHUNK_ITEMS);
    assert_int_equal(resident_pages(pool.slab + chunk, chunk), 0);
    assert_int_equal(resident_pages(pool.slab + 2 * chunk, chunk), 72);
    assert_int_equal(*(uint8_t *)pool_at(&pool, 2 * POOL_CHUNK_ITEMS), 0xee);
    assert_int_equal(*(uint8_t *)pool_at(&pool, POOL_CHUNK_ITEMS - 1), 0xee);

    assert_int_equal(pool_trim(&pool, note_released, &pool), 0); /* it has no more */
    assert_int_equal(pool_take(&pool), POOL_CHUNK_ITEMS);
    assert_int_equal(*(uint8_t *)pool_at(&pool, POOL_CHUNK_ITEMS), 0);
    pool_give(&pool, POOL_CHUNK_ITEMS);
    assert_int_equal(pool_trim(&pool, NULL, NULL), chunk);
    pool_close(&pool);
}

static void test_trim_plain(void **state)
{
    (void)state;
    test_trim(POOL_PLAIN);
}

static void test_trim_secret(void **state)
{
    (void)state;
    test_trim(POOL_SECRET);
}

/* Whether the mapping at address has the flag, as the kernel tells it. */
static bool has_flag(const void *address, const char *flag)
{
    FILE *maps = fopen("/proc/self/smaps", "r");
    char line[512];
    bool inside = false;
    bool found = false;

    assert_non_null(maps);
    while (fgets(line, sizeof(line), maps) != NULL) {
        char *rest = NULL;
        uintptr_t start = strtoull(line, &rest, 16);
        if (*rest == '-') {
            uintptr_t end = strtoull(rest + 1, NULL, 16);
            inside = (uintptr_t)address >= start && (uintptr_t)address < end;
        } else if (inside && strncmp(line, "VmFlags:", 8) == 0) {
            found = strstr(line, flag) != NULL;
        }
    }
    assert_int_equal(fclose(maps), 0);
    return found;
}

static void test_secret(void **state)
{
    (void)state;
    open_pool(POOL_PLAIN, 144, 2000);
    assert_false(has_flag(pool.slab, " dd"));
    assert_false(pool.locked);
    pool_close(&pool);

    open_pool(POOL_SECRET, 144, 2000);
    assert_true(has_flag(pool.slab, " dd"));
    assert_int_equal(has_flag(pool.slab, " lo"), pool.locked);
    pool_close(&pool);
}

/* An ordinary user without a limit on locked memory that would do. */
static void open_without_limit(void *context)
{
    const struct rlimit none = {0};

    (void)context;
    if (setrlimit(RLIMIT_MEMLOCK, &none) != 0 || (geteuid() == 0 && seteuid(65534) != 0)) {
        _exit(1);
    }
    if (pool_open(&pool, POOL_SECRET, 144, 2000) == 0 && !pool.locked) {
        *(uint8_t *)pool_at(&pool, pool_take(&pool)) = 1;
        pool_give(&pool, 0);
        if (pool_trim(&pool, NULL, NULL) == (size_t)POOL_CHUNK_ITEMS * 144) {
            abort(); /* the one way out that is a success */
        }
    }
}

static void test_lock_refused(void **state)
{
    (void)state;
    assert_true(aborts(open_without_limit, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_edges),        cmocka_unit_test(test_largest),
        cmocka_unit_test(test_open_refused), cmocka_unit_test(test_model),
        cmocka_unit_test(test_misuse),       cmocka_unit_test(test_trim_plain),
        cmocka_unit_test(test_trim_secret),  cmocka_unit_test(test_secret),
        cmocka_unit_test(test_lock_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
