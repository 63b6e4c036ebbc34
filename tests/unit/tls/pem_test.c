/*
 * Goal: a file is read whole or refused with its name and the reason, up to the largest size and no
 * further; blocks are found one after the other, whatever stands between them.
 */
#include "tls/pem.h"

#include "pki.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static struct pki pki;

static int open_folder(void **state)
{
    (void)state;
    pki_open(&pki);
    return 0;
}

static int close_folder(void **state)
{
    (void)state;
    pki_close(&pki);
    return 0;
}

/* --- files ------------------------------------------------------------------------------------ */

static void a_file_is_read_whole(void **state)
{
    static const char text[] = "a\0b\n"; /* zeros are no end */
    struct pem_file file;
    char message[256] = "";

    (void)state;
    const char *path = pki_write_text(&pki, "text", text, sizeof(text) - 1);
    assert_int_equal(pem_open(&file, path, message, sizeof(message)), 0);
    assert_int_equal(file.size, sizeof(text) - 1);
    assert_memory_equal(file.text, text, sizeof(text)); /* with the zero at the end */
    assert_string_equal(message, "");
    pem_close(&file);
    assert_null(file.text);
    assert_int_equal(file.size, 0);
    pem_close(&file); /* nothing to close */

    path = pki_write_text(&pki, "empty", "", 0);
    assert_int_equal(pem_open(&file, path, message, sizeof(message)), 0);
    assert_int_equal(file.size, 0);
    assert_int_equal(file.text[0], 0);
    pem_close(&file);
}

static void assert_unreadable(const char *path, const char *reason)
{
    struct pem_file file;
    char message[256] = "";

    assert_int_equal(pem_open(&file, path, message, sizeof(message)), -1);
    assert_null(file.text);
    assert_memory_equal(message, path, strlen(path));
    assert_non_null(strstr(message, reason));
    pem_close(&file);
}

static void what_cannot_be_read_is_named(void **state)
{
    (void)state;
    assert_unreadable(pki_path(&pki, "none"), "cannot be read: No such file");
    assert_unreadable(pki.folder, "cannot be read: Is a directory");
    assert_unreadable("/dev/zero", "cannot be read: not a file");
}

static void the_largest_file_and_one_byte_more(void **state)
{
    struct pem_file file;
    char message[256] = "";

    (void)state;
    const char *path = pki_write_text(&pki, "large", "x", 1);
    assert_int_equal(truncate(path, PEM_FILE_SIZE_MAX), 0);
    assert_int_equal(pem_open(&file, path, message, sizeof(message)), 0);
    assert_int_equal(file.size, PEM_FILE_SIZE_MAX);
    pem_close(&file);
    assert_int_equal(truncate(path, PEM_FILE_SIZE_MAX + 1), 0);
    assert_unreadable(path, "File too large");
}

/* Nobody writes into it: to open or read it would hold a reload up for good. */
static void a_pipe_is_refused(void **state)
{
    char path[32];
    int ends[2];

    (void)state;
    assert_int_equal(pipe(ends), 0);
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", ends[0]);
    assert_unreadable(path, "not a file");
    assert_int_equal(close(ends[0]), 0);
    assert_int_equal(close(ends[1]), 0);
}

/* --- blocks ----------------------------------------------------------------------------------- */

/* Each block of the text with the suffix, then no more. blocks ends with NULL. */
static void assert_blocks(const char *text, const char *suffix, const char *const *blocks)
{
    struct slice rest = slice_text(text);
    struct slice block;

    for (; *blocks; blocks++) {
        assert_true(pem_next(&rest, suffix, &block));
        assert_int_equal(block.size, strlen(*blocks));
        assert_memory_equal(block.data, *blocks, block.size);
    }
    assert_false(pem_next(&rest, suffix, &block));
}

#define LEAF      "-----BEGIN CERTIFICATE-----\nleaf\n-----END CERTIFICATE-----"
#define ISSUER    "-----BEGIN CERTIFICATE-----\r\nissuer\r\n-----END CERTIFICATE-----"
#define KEY       "-----BEGIN EC PRIVATE KEY-----\nkey\n-----END EC PRIVATE KEY-----"
#define PLAIN_KEY "-----BEGIN PRIVATE KEY-----\nkey\n-----END PRIVATE KEY-----"

static void blocks_come_one_after_the_other(void **state)
{
    static const char *const none[] = {NULL};
    static const char *const leaf[] = {LEAF, NULL};
    static const char *const chain[] = {LEAF, ISSUER, NULL};
    static const char *const keys[] = {KEY, PLAIN_KEY, NULL};
    static const char *const key[] = {KEY, NULL};

    (void)state;
    assert_blocks("", "CERTIFICATE", none);
    assert_blocks("no block at all", "CERTIFICATE", none);
    assert_blocks(LEAF, "CERTIFICATE", leaf);
    assert_blocks("subject=x\n" LEAF "\nmore text\n" ISSUER "\n\n", "CERTIFICATE", chain);
    assert_blocks(LEAF ISSUER, "CERTIFICATE", chain);
    assert_blocks(KEY "\n" LEAF "\n", "CERTIFICATE", leaf); /* what is not asked for is skipped */
    assert_blocks(LEAF "\n" KEY "\n" PLAIN_KEY, "PRIVATE KEY", keys); /* by the label's end */
    assert_blocks(LEAF "\n" KEY "\n" PLAIN_KEY, "EC PRIVATE KEY", key);
    assert_blocks(LEAF, "ERTIFICATE X", none);
    assert_blocks(LEAF, "X CERTIFICATE", none);
}

/* Every cut of a file that has a second block: the first is found, the second only when whole. */
static void a_cut_block_is_none(void **state)
{
    static const char text[] = LEAF "\n" ISSUER;
    const size_t first_size = strlen(LEAF);

    (void)state;
    for (size_t size = 0; size <= sizeof(text) - 1; size++) {
        struct slice rest = slice_from(text, size);
        struct slice block;
        size_t count = 0;
        while (pem_next(&rest, "CERTIFICATE", &block)) {
            count++;
            assert_true(block.data + block.size <= (const uint8_t *)text + size);
        }
        const bool has_second = size == sizeof(text) - 1;
        assert_int_equal(count, has_second ? 2 : size >= first_size);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_is_read_whole),
        cmocka_unit_test(what_cannot_be_read_is_named),
        cmocka_unit_test(the_largest_file_and_one_byte_more),
        cmocka_unit_test(a_pipe_is_refused),
        cmocka_unit_test(blocks_come_one_after_the_other),
        cmocka_unit_test(a_cut_block_is_none),
    };
    return cmocka_run_group_tests(tests, open_folder, close_folder);
}
