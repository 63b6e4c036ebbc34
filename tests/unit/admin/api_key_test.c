/*
 * Goal: every key of the file opens the API and nothing else does; the file may be changed while
 * the server runs; a file that is wrong is refused by name and line, without a word of what stands
 * there, and the old keys stay.
 */
#include "admin/api_key.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static char path[64];

static void write_file(const char *text, size_t size)
{
    FILE *file = fopen(path, "we");

    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static void write_text(const char *text)
{
    write_file(text, strlen(text));
}

static int setup(void **state)
{
    (void)state;
    (void)snprintf(path, sizeof(path), "/tmp/limpet-api-key-%d", (int)getpid());
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    return unlink(path);
}

static bool matches(struct api_keys *keys, const char *key)
{
    return api_keys_match(keys, slice_text(key));
}

static void test_keys(void **state)
{
    char message[256];

    (void)state;
    write_text("# the old one goes in March\n\n0123456789abcdef\n  second-key-of-the-file \r\n"
               "third-key-without-a-newline");
    struct api_keys *keys = api_keys_open(path, message, sizeof(message));
    assert_non_null(keys);
    assert_true(matches(keys, "0123456789abcdef"));
    assert_true(matches(keys, "second-key-of-the-file"));
    assert_true(matches(keys, "third-key-without-a-newline"));
    assert_false(matches(keys, ""));
    assert_false(matches(keys, "0123456789abcde"));
    assert_false(matches(keys, "0123456789abcdef0"));
    assert_false(matches(keys, "0123456789abcdeF"));
    assert_false(matches(keys, " second-key-of-the-file"));
    assert_false(matches(keys, "# the old one goes in March"));
    api_keys_close(keys);
    api_keys_close(NULL);
}

static bool reload(struct api_keys *keys)
{
    char message[256];
    struct api_keys *fresh = api_keys_open(path, message, sizeof(message));

    if (fresh) {
        api_keys_replace(keys, fresh);
    }
    return fresh != NULL;
}

static void test_rotation(void **state)
{
    char message[256];

    (void)state;
    write_text("0123456789abcdef\n");
    struct api_keys *keys = api_keys_open(path, message, sizeof(message));
    assert_non_null(keys);
    write_text("fedcba9876543210\n0123456789abcdef\n");
    assert_false(matches(keys, "fedcba9876543210"));
    assert_true(reload(keys));
    assert_true(matches(keys, "fedcba9876543210"));
    assert_true(matches(keys, "0123456789abcdef"));
    write_text("fedcba9876543210\n");
    assert_true(reload(keys));
    assert_false(matches(keys, "0123456789abcdef"));
    write_text("short\n");
    assert_false(reload(keys));
    assert_true(matches(keys, "fedcba9876543210"));
    api_keys_close(keys);
}

static void assert_refused(const char *part)
{
    char message[256];

    assert_null(api_keys_open(path, message, sizeof(message)));
    assert_non_null(strstr(message, path));
    if (!strstr(message, part)) {
        fail_msg("%s is not in: %s", part, message);
    }
    assert_null(strstr(message, "secret"));
}

static void test_bad_files(void **state)
{
    static char text[API_KEY_FILE_SIZE_MAX + 1];
    size_t size = 0;

    (void)state;
    write_text("\n# nothing\n \n");
    assert_refused("has no key");
    write_text("# one\nsecret-key-a-b-c\nsecret-15-bytes\n");
    assert_refused(":3: a key has at least 16");
    write_text("secret key with spaces\n");
    assert_refused(":1: a key has printable");
    write_text("secret-key-\xc3\xa4-umlaut\n");
    assert_refused(":1: a key has printable");
    memset(text, 'k', sizeof(text));
    write_file(text, API_SECRET_SIZE_MAX + 1);
    assert_refused(":1: a key has at most 512");
    write_file(text, API_KEY_FILE_SIZE_MAX);
    assert_refused("File too large");
    for (uint32_t i = 0; i < API_KEYS_MAX + 1; i++) {
        size += (size_t)snprintf(text + size, 32, "%016u\n", i);
    }
    write_file(text, size);
    assert_refused(":33: too many");
    assert_int_equal(unlink(path), 0);
    assert_refused("No such file");
    write_text("");
}

static void test_limits_are_good(void **state)
{
    static char text[API_KEYS_MAX * 32];
    char message[256];
    size_t size = 0;

    (void)state;
    for (uint32_t i = 0; i < API_KEYS_MAX; i++) {
        size += (size_t)snprintf(text + size, 32, "%016u\n", i);
    }
    write_file(text, size);
    struct api_keys *keys = api_keys_open(path, message, sizeof(message));
    assert_non_null(keys);
    assert_true(matches(keys, "0000000000000031"));
    memset(text, 'k', API_SECRET_SIZE_MAX);
    write_file(text, API_SECRET_SIZE_MAX);
    assert_true(reload(keys));
    assert_true(api_keys_match(keys, slice_from(text, API_SECRET_SIZE_MAX)));
    api_keys_close(keys);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_rotation),
        cmocka_unit_test(test_bad_files),
        cmocka_unit_test(test_limits_are_good),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
