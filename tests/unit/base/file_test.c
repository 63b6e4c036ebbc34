/*
 * Goal: a file is opened, and nothing else: what is no file is refused with its reason, at once.
 */
#include "base/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/limpet-test-XXXXXX";
static char path[64];

static int setup(void **state)
{
    (void)state;
    memcpy(folder, "/tmp/limpet-test-XXXXXX", sizeof(folder));
    if (!mkdtemp(folder)) {
        return -1;
    }
    (void)snprintf(path, sizeof(path), "%s/it", folder);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    (void)unlink(path);
    return rmdir(folder);
}

static void expect_refused(const char *name, const char *expected)
{
    const char *reason = NULL;

    assert_int_equal(file_open(name, &reason), -1);
    assert_string_equal(reason, expected);
}

static void test_a_file(void **state)
{
    const char *reason = NULL;
    char bytes[4];
    FILE *file = fopen(path, "we");

    (void)state;
    assert_non_null(file);
    assert_true(fputs("abc", file) >= 0);
    assert_int_equal(fclose(file), 0);
    const int fd = file_open(path, &reason);
    assert_true(fd >= 0);
    assert_null(reason);
    assert_int_equal(read(fd, bytes, sizeof(bytes)), 3);
    assert_int_equal(close(fd), 0);
}

static void test_what_is_no_file(void **state)
{
    (void)state;
    expect_refused(path, "No such file or directory");
    expect_refused(folder, "Is a directory");
    expect_refused("/dev/zero", "not a file");
    assert_int_equal(mkfifo(path, 0600), 0);
    expect_refused(path, "not a file"); /* without a writer: a plain open would wait */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_no_file, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
