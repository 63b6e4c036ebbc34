/*
 * Goal: a failed assertion says where and what, and stops the process; one that holds does nothing.
 */
#include "base/assert.h"

#include "aborts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void check(void *condition)
{
    ASSERT(*(bool *)condition);
}

static void test_condition(void **state)
{
    bool holds = true;
    bool fails = false;

    (void)state;
    assert_false(aborts(check, &holds));
    assert_true(aborts(check, &fails));
}

struct place {
    const char *condition;
    int fd;
};

static void fail_into(void *context)
{
    const struct place *place = context;

    dup2(place->fd, STDERR_FILENO);
    assert_failed(place->condition, "core/base/some.c", 42);
}

static void assert_message(const char *condition, const char *start, size_t size)
{
    int ends[2] = {-1, -1};
    char text[2048] = "";

    assert_int_equal(pipe(ends), 0);
    struct place place = {.condition = condition, .fd = ends[1]};
    assert_true(aborts(fail_into, &place));
    close(ends[1]);
    ssize_t got = read(ends[0], text, sizeof(text) - 1);
    close(ends[0]);
    assert_int_equal(got, size);
    assert_memory_equal(text, start, strlen(start));
}

static void test_message(void **state)
{
    const char *text = "core/base/some.c:42: assertion failed: a == b\n";
    char longest[1000];

    (void)state;
    assert_message("a == b", text, strlen(text));
    memset(longest, 'x', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = 0;
    assert_message(longest, "core/base/some.c:42: assertion failed: xxx", 511);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_condition),
        cmocka_unit_test(test_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
