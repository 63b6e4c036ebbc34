/*
 * Goal: what was written is read again, with its time; what was cut off, changed, put there by
 * somebody else or for another URL is refused with its reason; and a folder that will not do leaves
 * the old file as it is.
 */
#include "server/key_cache.h"

#include "child.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define URL      "https://id.example/keys"
#define DOCUMENT "{\"keys\":[]}\n"
#define NEWER    "{\"keys\":[1]}"
#define WHEN_S   1700000000

static struct child_folder folder;
static struct key_cache_entry entry;
static char message[1024];

static int open_folder(void **state)
{
    (void)state;
    child_folder_open(&folder);
    return 0;
}

static int close_folder(void **state)
{
    (void)state;
    child_folder_close(&folder);
    return 0;
}

static int save(const char *url, const char *document)
{
    char *copied = strdup(document);
    const struct key_cache_entry made = {
        .document = copied, .size = strlen(document), .fetched_s = WHEN_S};
    const int result = key_cache_write(folder.path, url, &made, message, sizeof(message));

    free(copied);
    return result;
}

static enum key_cache_outcome load(const char *url)
{
    return key_cache_read(folder.path, url, &entry, message, sizeof(message));
}

static void expect(const char *url, const char *document)
{
    assert_int_equal(load(url), KEY_CACHE_FOUND);
    assert_int_equal(entry.size, strlen(document));
    assert_memory_equal(entry.document, document, entry.size);
    assert_int_equal(entry.fetched_s, WHEN_S);
    free(entry.document);
}

static void expect_refusal(const char *reason)
{
    assert_int_equal(load(URL), KEY_CACHE_REFUSED);
    assert_null(entry.document);
    assert_memory_equal(message, folder.path, strlen(folder.path));
    if (!strstr(message, reason)) {
        fail_msg("\"%s\" lacks \"%s\"", message, reason);
    }
}

/* The one file of the folder. */
static const char *the_file(void)
{
    static char path[512];
    DIR *listing = opendir(folder.path);
    const struct dirent *found;
    uint32_t count = 0;

    assert_non_null(listing);
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): one thread. */
    while ((found = readdir(listing))) {
        if (found->d_name[0] != '.') {
            (void)snprintf(path, sizeof(path), "%s/%s", folder.path, found->d_name);
            count++;
        }
    }
    (void)closedir(listing);
    assert_int_equal(count, 1);
    return path;
}

static size_t read_bytes(char *bytes, size_t room)
{
    FILE *file = fopen(the_file(), "re");

    assert_non_null(file);
    const size_t size = fread(bytes, 1, room, file);
    assert_in_range(size, 1, room - 1);
    assert_int_equal(fclose(file), 0);
    return size;
}

static void write_bytes(const char *path, const char *bytes, size_t size)
{
    FILE *file = fopen(path, "we");

    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static void test_what_was_written_is_read(void **state)
{
    struct stat status;

    (void)state;
    assert_int_equal(load(URL), KEY_CACHE_NONE);
    assert_int_equal(save(URL, DOCUMENT), 0);
    expect(URL, DOCUMENT);
    assert_int_equal(stat(the_file(), &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
    assert_int_equal(save(URL, NEWER), 0);
    expect(URL, NEWER);
    (void)the_file(); /* and nothing is left beside it */
    assert_int_equal(save(URL, ""), 0);
    expect(URL, "");
    assert_int_equal(load(URL "2"), KEY_CACHE_NONE);
    assert_int_equal(save(URL "2", DOCUMENT), 0);
    expect(URL, "");
    expect(URL "2", DOCUMENT);
}

static void test_every_part_of_a_file_is_refused(void **state)
{
    char bytes[1024];

    (void)state;
    assert_int_equal(save(URL, DOCUMENT), 0);
    const size_t size = read_bytes(bytes, sizeof(bytes));
    for (size_t i = 0; i < size; i++) {
        write_bytes(the_file(), bytes, i);
        expect_refusal("it is not whole, or not a key set of this URL");
    }
    bytes[size] = '\n';
    write_bytes(the_file(), bytes, size + 1);
    expect_refusal("it is not whole");
    write_bytes(the_file(), bytes, size);
    expect(URL, DOCUMENT);
}

static void test_every_other_byte_is_refused(void **state)
{
    char bytes[1024];

    (void)state;
    assert_int_equal(save(URL, DOCUMENT), 0);
    const size_t size = read_bytes(bytes, sizeof(bytes));
    for (size_t i = 0; i < size; i++) {
        for (int bit = 0; bit < 8; bit++) {
            bytes[i] = (char)(bytes[i] ^ (1 << bit));
            write_bytes(the_file(), bytes, size);
            expect_refusal("it is not whole");
            bytes[i] = (char)(bytes[i] ^ (1 << bit));
        }
    }
}

static void test_times_that_cannot_be(void **state)
{
    static const char *const times[] = {"-1", "-9223372036854775808", " 5", "+5", "05",
                                        "",   "99999999999999999999"};
    char bytes[256];

    (void)state;
    assert_int_equal(save(URL, DOCUMENT), 0);
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        const int size =
            snprintf(bytes, sizeof(bytes),
                     "limpet-key-set 1 %s 12 0000000000000000\n" URL "\n" DOCUMENT, times[i]);
        write_bytes(the_file(), bytes, (size_t)size);
        expect_refusal("it is not whole");
    }
    /* With a checksum that is right: only what is before 1970 is wrong. */
    char document[] = DOCUMENT;
    struct key_cache_entry made = {
        .document = document, .size = strlen(document), .fetched_s = INT64_MIN};
    assert_int_equal(key_cache_write(folder.path, URL, &made, message, sizeof(message)), 0);
    expect_refusal("it is not whole");
    made.fetched_s = -1;
    assert_int_equal(key_cache_write(folder.path, URL, &made, message, sizeof(message)), 0);
    expect_refusal("it is not whole");
    made.fetched_s = 0;
    assert_int_equal(key_cache_write(folder.path, URL, &made, message, sizeof(message)), 0);
    assert_int_equal(load(URL), KEY_CACHE_FOUND);
    assert_int_equal(entry.fetched_s, 0);
    free(entry.document);
}

static void test_a_file_of_another_url(void **state)
{
    char path[512];

    (void)state;
    assert_int_equal(save(URL, DOCUMENT), 0);
    (void)snprintf(path, sizeof(path), "%s", the_file());
    assert_int_equal(unlink(path), 0);
    assert_int_equal(save(URL "2", NEWER), 0);
    assert_int_equal(rename(the_file(), path), 0);
    expect_refusal("not a key set of this URL");
}

static void test_files_that_are_not_ours(void **state)
{
    char path[512];
    char elsewhere[600];

    (void)state;
    assert_int_equal(save(URL, DOCUMENT), 0);
    (void)snprintf(path, sizeof(path), "%s", the_file());
    (void)snprintf(elsewhere, sizeof(elsewhere), "%s.moved", path);
    assert_int_equal(chmod(path, 0620), 0);
    expect_refusal("others may write to it");
    assert_int_equal(chmod(path, 0602), 0);
    expect_refusal("others may write to it");
    assert_int_equal(chmod(path, 0644), 0);
    expect(URL, DOCUMENT);
    if (geteuid() == 0) {
        assert_int_equal(chown(path, 1, 1), 0);
        expect_refusal("it belongs to another user");
    }
    assert_int_equal(rename(path, elsewhere), 0);
    assert_int_equal(symlink(elsewhere, path), 0);
    expect_refusal("symbolic links");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0); /* nobody writes to it: it must not be waited for */
    expect_refusal("not a file");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    expect_refusal("not a file");
    assert_int_equal(save(URL, NEWER), -1); /* nor is it replaced, and nothing is left */
    assert_non_null(strstr(message, "token.jwks_cache"));
    assert_int_equal(unlink(elsewhere), 0);
    (void)the_file();
}

static void test_sizes(void **state)
{
    char *document = malloc(KEY_CACHE_DOCUMENT_MAX + 8192);

    (void)state;
    assert_non_null(document);
    memset(document, ' ', KEY_CACHE_DOCUMENT_MAX + 8192);
    document[KEY_CACHE_DOCUMENT_MAX + 1] = '\0';
    assert_int_equal(save(URL, document), 0);
    expect_refusal("it is not whole");
    document[KEY_CACHE_DOCUMENT_MAX] = '\0';
    assert_int_equal(save(URL, document), 0);
    expect(URL, document);
    memset(document, ' ', KEY_CACHE_DOCUMENT_MAX + 8192);
    write_bytes(the_file(), document, KEY_CACHE_DOCUMENT_MAX + 8192);
    expect_refusal("it is too large");
    document[8000] = '\0';
    assert_int_equal(save(document, DOCUMENT), -1); /* a URL that has no room */
    assert_non_null(strstr(message, "too long"));
    free(document);
}

static void test_a_folder_that_is_not_there(void **state)
{
    struct key_cache_entry made = {.fetched_s = WHEN_S};

    (void)state;
    assert_int_equal(key_cache_read("/nowhere", URL, &entry, message, sizeof(message)),
                     KEY_CACHE_NONE);
    assert_int_equal(key_cache_write("/nowhere", URL, &made, message, sizeof(message)), -1);
    assert_non_null(strstr(message, "No such file or directory: token.jwks_cache has to be a "
                                    "folder that this user may write to"));
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, open_folder, close_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_what_was_written_is_read),
        TEST(test_every_part_of_a_file_is_refused),
        TEST(test_every_other_byte_is_refused),
        TEST(test_times_that_cannot_be),
        TEST(test_a_file_of_another_url),
        TEST(test_files_that_are_not_ours),
        TEST(test_sizes),
        TEST(test_a_folder_that_is_not_there),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
