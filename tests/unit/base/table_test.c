/*
 * Goal: what is added is found by its hash, also among others of the same bucket and of the same
 * hash; what is removed is not; the walk over the buckets sees each entry once.
 */
#include "base/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#define THINGS 1000u

struct thing {
    struct table_entry entry;
    uint32_t number;
    bool seen;
};

static struct thing things[THINGS];

static struct slice key_of(const uint32_t *number)
{
    return slice_from(number, sizeof(*number));
}

static struct thing *find(const struct table *table, uint32_t number)
{
    struct table_entry *entry = table_find(table, table_hash(table, key_of(&number)));

    while (entry && ((struct thing *)entry)->number != number) {
        entry = table_find_next(entry);
    }
    return (struct thing *)entry;
}

static void add_all(struct table *table)
{
    for (uint32_t i = 0; i < THINGS; i++) {
        things[i] = (struct thing){.number = i};
        table_add(table, &things[i].entry, table_hash(table, key_of(&i)));
    }
}

static void test_many_in_few_buckets(void **state)
{
    struct table table;

    (void)state;
    assert_int_equal(table_open(&table, 1), 0);
    assert_true(table.bucket_mask + 1 < THINGS / 10);
    assert_null(find(&table, 0));
    add_all(&table);
    assert_int_equal(table.count, THINGS);
    for (uint32_t i = 0; i < THINGS; i++) {
        assert_ptr_equal(find(&table, i), &things[i]);
    }
    assert_null(find(&table, THINGS));
    for (uint32_t i = 0; i < THINGS; i += 2) {
        table_remove(&table, &things[i].entry);
    }
    assert_int_equal(table.count, THINGS / 2);
    for (uint32_t i = 0; i < THINGS; i++) {
        assert_ptr_equal(find(&table, i), i % 2 == 0 ? NULL : &things[i]);
    }
    table_close(&table);
}

static void test_walk(void **state)
{
    struct table table;
    uint32_t seen = 0;

    (void)state;
    assert_int_equal(table_open(&table, THINGS), 0);
    add_all(&table);
    for (uint32_t i = 0; i <= table.bucket_mask; i++) {
        for (struct table_entry *entry = table_bucket(&table, i); entry; entry = entry->next) {
            assert_false(((struct thing *)entry)->seen);
            ((struct thing *)entry)->seen = true;
            seen++;
        }
    }
    assert_int_equal(seen, THINGS);
    table_close(&table);
}

static void test_equal_hashes(void **state)
{
    struct table table;
    struct thing a = {.number = 1};
    struct thing b = {.number = 2};

    (void)state;
    assert_int_equal(table_open(&table, 10), 0);
    table_add(&table, &a.entry, 7);
    table_add(&table, &b.entry, 7);
    assert_ptr_equal(table_find(&table, 7), &b.entry);
    assert_ptr_equal(table_find_next(&b.entry), &a.entry);
    assert_null(table_find_next(&a.entry));
    assert_null(table_find(&table, 7 + table.bucket_mask + 1)); /* same bucket, other hash */
    table_remove(&table, &b.entry);
    assert_ptr_equal(table_find(&table, 7), &a.entry);
    table_close(&table);
    table_close(&table); /* no-op */
}

static void test_keyed_by_chance(void **state)
{
    struct table one;
    struct table other;

    (void)state;
    assert_int_equal(table_open(&one, 1), 0);
    assert_int_equal(table_open(&other, 1), 0);
    assert_true(table_hash(&one, slice_text("a")) != table_hash(&other, slice_text("a")));
    table_close(&one);
    table_close(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many_in_few_buckets),
        cmocka_unit_test(test_walk),
        cmocka_unit_test(test_equal_hashes),
        cmocka_unit_test(test_keyed_by_chance),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
