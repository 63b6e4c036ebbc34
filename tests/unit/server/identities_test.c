/*
 * Goal: a name is kept by its connection's number, whatever its length and bytes, until the
 * connection ends, and takes memory only as long; without room it is refused and nothing is left
 * behind; where none are kept nothing is, and nothing fails.
 */
#include "server/identities.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT_MAX  5000
#define ARENA_SIZE 4096 /* of names: 16 blocks of the longest */

struct fixture {
    struct arena arena;
    struct identities identities;
};

static int open_kept(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    *state = fixture;
    return fixture && arena_open(&fixture->arena, ARENA_SIZE) == 0
               ? identities_open(&fixture->identities, true, COUNT_MAX, &fixture->arena)
               : -1;
}

static int close_kept(void **state)
{
    struct fixture *fixture = *state;

    arena_check(&fixture->arena);
    identities_close(&fixture->identities);
    identities_close(&fixture->identities); /* nothing is there any more */
    arena_close(&fixture->arena);
    free(fixture);
    return 0;
}

static void fill_name(uint8_t name[UINT8_MAX], uint32_t seed)
{
    for (uint32_t i = 0; i < UINT8_MAX; i++) {
        name[i] = (uint8_t)(seed * 31 + i); /* zeros among them */
    }
}

static void assert_user(const struct identities *identities, uint32_t number, struct slice user)
{
    assert_non_null(identities_find(identities, number));
    assert_true(slice_equal(identities_user(identities, number), user));
}

static void assert_none(const struct identities *identities, uint32_t number)
{
    assert_null(identities_find(identities, number));
    assert_int_equal(identities_user(identities, number).size, 0);
}

/* Each length, one at a time: those that fit into the item take no block. */
static void test_all_lengths(void **state)
{
    struct fixture *fixture = *state;
    uint8_t name[UINT8_MAX];

    fill_name(name, 0);
    for (uint32_t size = 0; size <= UINT8_MAX; size++) {
        const struct slice user = slice_from(name, size);
        assert_none(&fixture->identities, 7);
        assert_true(identities_keep(&fixture->identities, 7, user));
        assert_user(&fixture->identities, 7, user);
        assert_int_equal(identities_find(&fixture->identities, 7)->presence, PRESENCE_NONE);
        assert_int_equal(fixture->arena.used > 0, size > IDENTITY_USER_INLINE);
        identities_end(&fixture->identities, 7);
        assert_int_equal(fixture->arena.used, 0);
    }
    assert_none(&fixture->identities, 7);
}

static void test_each_number_has_its_own(void **state)
{
    static const uint32_t numbers[] = {0, 1, POOL_CHUNK_ITEMS, COUNT_MAX - 1};
    struct fixture *fixture = *state;
    uint8_t names[4][UINT8_MAX];

    for (uint32_t i = 0; i < 4; i++) {
        fill_name(names[i], i);
        assert_true(
            identities_keep(&fixture->identities, numbers[i], slice_from(names[i], 20 + 10 * i)));
    }
    identities_find(&fixture->identities, 1)->presence = PRESENCE_JOINED;
    for (uint32_t i = 0; i < 4; i++) {
        assert_user(&fixture->identities, numbers[i], slice_from(names[i], 20 + 10 * i));
        assert_int_equal(identities_find(&fixture->identities, numbers[i])->presence,
                         i == 1 ? PRESENCE_JOINED : PRESENCE_NONE);
    }
    identities_end(&fixture->identities, 1);
    identities_end(&fixture->identities, 1); /* it has none any more */
    identities_end(&fixture->identities, 2); /* it never had */
    assert_none(&fixture->identities, 1);
    assert_none(&fixture->identities, 2);
    assert_user(&fixture->identities, 0, slice_from(names[0], 20));

    assert_true(identities_keep(&fixture->identities, 1, slice_text("the next")));
    assert_user(&fixture->identities, 1, slice_text("the next"));
    assert_int_equal(identities_find(&fixture->identities, 1)->presence, PRESENCE_NONE);
    for (uint32_t i = 0; i < 4; i++) {
        identities_end(&fixture->identities, numbers[i]);
    }
    assert_int_equal(fixture->arena.used, 0);
    assert_int_equal(fixture->identities.pool.count, 0);
}

static void test_no_room_for_a_name(void **state)
{
    struct fixture *fixture = *state;
    uint8_t name[UINT8_MAX];
    uint32_t count = 0;

    fill_name(name, 9);
    while (identities_keep(&fixture->identities, count, slice_from(name, sizeof(name)))) {
        count++;
    }
    assert_int_equal(count, ARENA_SIZE / 256);
    assert_none(&fixture->identities, count); /* who was refused has none */
    assert_true(identities_keep(&fixture->identities, count,
                                slice_from(name, IDENTITY_USER_INLINE))); /* takes no block */
    identities_end(&fixture->identities, count);
    identities_end(&fixture->identities, 0);
    assert_true(identities_keep(&fixture->identities, count, slice_from(name, sizeof(name))));
    assert_user(&fixture->identities, count, slice_from(name, sizeof(name)));
    for (uint32_t i = 0; i <= count; i++) {
        identities_end(&fixture->identities, i);
    }
    assert_int_equal(fixture->arena.used, 0);
}

static void test_trim_loses_none(void **state)
{
    struct fixture *fixture = *state;

    for (uint32_t i = 0; i < COUNT_MAX; i++) {
        assert_true(identities_keep(&fixture->identities, i, slice_from(&i, sizeof(i))));
    }
    for (uint32_t i = 1; i < COUNT_MAX; i++) {
        identities_end(&fixture->identities, i);
    }
    const uint32_t first = 0;
    identities_trim(&fixture->identities);
    assert_user(&fixture->identities, 0, slice_from(&first, sizeof(first)));
    assert_true(identities_keep(&fixture->identities, COUNT_MAX - 1, slice_text("late")));
    assert_user(&fixture->identities, COUNT_MAX - 1, slice_text("late"));
}

static void test_none_are_kept(void **state)
{
    struct arena arena = {0}; /* there is not even one */
    struct identities identities;
    uint8_t name[UINT8_MAX];

    (void)state;
    fill_name(name, 1);
    assert_int_equal(identities_open(&identities, false, COUNT_MAX, &arena), 0);
    assert_true(identities_keep(&identities, 3, slice_from(name, sizeof(name))));
    assert_none(&identities, 3);
    identities_end(&identities, 3);
    identities_trim(&identities);
    identities_close(&identities);

    struct identities zeros = {0};
    identities_close(&zeros);
}

/* In a child, whose address space is at its end. */
static int open_without_memory(void)
{
    const struct rlimit none = {0};
    struct identities identities;
    struct arena arena = {0};

    setrlimit(RLIMIT_AS, &none);
    const int error = identities_open(&identities, true, 1U << 24, &arena);
    identities_close(&identities); /* no-op when open failed */
    return error < 0 ? 42 : 0;
}

static void test_no_memory(void **state)
{
    int status = 0;
    const pid_t child = fork();

    (void)state;
    if (child == 0) {
        _exit(open_without_memory());
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 42);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_all_lengths, open_kept, close_kept),
        cmocka_unit_test_setup_teardown(test_each_number_has_its_own, open_kept, close_kept),
        cmocka_unit_test_setup_teardown(test_no_room_for_a_name, open_kept, close_kept),
        cmocka_unit_test_setup_teardown(test_trim_loses_none, open_kept, close_kept),
        cmocka_unit_test(test_none_are_kept),
        cmocka_unit_test(test_no_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
