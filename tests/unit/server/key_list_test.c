/*
 * Goal: a copy of the options' keys stands by itself, and a document is judged by itself first,
 * then beside all the others: in any order, and up to the most keys that there may be.
 */
#include "server/key_list.h"

#include "https_host.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define URL       "https://id.example/keys"
#define OTHER_URL "https://id.example/other"

static struct child_folder folder;
static struct options options;
static struct key_list list;
static char message[1024];
static size_t symmetric;

static int open_all(void **state)
{
    (void)state;
    child_folder_open(&folder);
    options_init(&options);
    list = (struct key_list){.count = 0};
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    key_list_free(&list);
    options_free(&options);
    child_folder_close(&folder);
    return 0;
}

static void read_keys(const char *keys)
{
    if (options_set(&options, "token.keys", keys, message, sizeof(message)) != 0) {
        fail_msg("%s", message);
    }
    key_list_free(&list);
    key_list_from(&list, &options);
}

static void read_url_and_file(const char *content)
{
    char keys[512];

    (void)snprintf(keys, sizeof(keys), "%s,%s", URL,
                   child_folder_write(&folder, "keys.json", content));
    read_keys(keys);
}

static enum key_list_outcome check(const char *document)
{
    message[0] = '\0';
    return key_list_check(&list, URL, slice_text(document), &symmetric, message, sizeof(message));
}

static void test_a_copy_stands_by_itself(void **state)
{
    struct key_list copied;

    (void)state;
    read_keys("k=HS256:/secret,RS256:/key.pem," URL);
    read_keys("k=HS256:/secret,RS256:/key.pem," URL); /* the first texts are gone */
    assert_int_equal(list.count, 3);
    key_list_find(&list, URL)->document = strdup("{}");
    key_list_find(&list, URL)->size = 2;
    key_list_copy(&copied, &list);
    key_list_free(&list);
    assert_int_equal(list.count, 0);
    assert_int_equal(copied.count, 3);
    assert_string_equal(copied.entries[0].kid, "k");
    assert_string_equal(copied.entries[0].algorithm, "HS256");
    assert_string_equal(copied.entries[0].path, "/secret");
    assert_null(copied.entries[1].kid);
    assert_null(copied.entries[1].document);
    assert_memory_equal(key_list_find(&copied, URL)->document, "{}", 2);
    assert_int_equal(key_list_find(&copied, URL)->size, 2);
    assert_null(key_list_find(&copied, OTHER_URL));
    key_list_free(&copied);
}

static void test_by_itself(void **state)
{
    (void)state;
    read_keys(URL);
    assert_int_equal(check(KEY_SET(EC_KEY("one", 0))), KEY_LIST_GOOD);
    assert_int_equal(symmetric, 0);
    assert_int_equal(check(KEY_SET(EC_KEY("one", 0) "," EC_KEY("one", 1))), KEY_LIST_BAD);
    assert_memory_equal(message, URL ": two keys", strlen(URL ": two keys"));
    assert_int_equal(check(""), KEY_LIST_BAD);
    assert_int_equal(check(KEY_SET("{\"kty\":\"oct\"}," EC_KEY("one", 0))), KEY_LIST_GOOD);
    assert_int_equal(symmetric, 1);
}

/* What holds of a key that leaves its algorithm open. */
static void test_with_the_algorithm_of_the_options(void **state)
{
    (void)state;
    read_keys(URL);
    list.entries[0].algorithm = strdup("HS512");
    assert_int_equal(check(KEY_SET(EC_KEY("one", 0))), KEY_LIST_BAD);
    assert_non_null(strstr(message, "HS512 is for secrets"));
}

static void test_beside_a_file(void **state)
{
    (void)state;
    read_url_and_file(KEY_SET(EC_KEY("file", 2)));
    assert_int_equal(check(KEY_SET(EC_KEY("one", 0))), KEY_LIST_GOOD);
    assert_int_equal(check(KEY_SET(EC_KEY("file", 0))), KEY_LIST_CLASHING);
    /* It is said of the URL, although the file stands behind it. */
    assert_memory_equal(message, URL ": two keys have the kid \"file\"",
                        strlen(URL ": two keys have the kid \"file\""));
    assert_int_equal(check(KEY_SET("")), KEY_LIST_BAD);
    read_url_and_file("half a fi");
    assert_int_equal(check(KEY_SET(EC_KEY("file", 0))), KEY_LIST_GOOD);
}

static void test_beside_another_url(void **state)
{
    static const char document[] = KEY_SET(EC_KEY("two", 1));

    (void)state;
    read_keys(OTHER_URL "," URL);
    assert_int_equal(check(KEY_SET(EC_KEY("two", 0))), KEY_LIST_GOOD); /* nothing has come there */
    key_list_find(&list, OTHER_URL)->document = strdup(document);
    key_list_find(&list, OTHER_URL)->size = sizeof(document) - 1;
    assert_int_equal(check(KEY_SET(EC_KEY("two", 0))), KEY_LIST_CLASHING);
    assert_int_equal(check(KEY_SET(EC_KEY("one", 0))), KEY_LIST_GOOD);
    /* One of its own that came before does not count. */
    key_list_find(&list, URL)->document = strdup(document);
    key_list_find(&list, URL)->size = sizeof(document) - 1;
    assert_int_equal(check(KEY_SET(EC_KEY("one", 0))), KEY_LIST_GOOD);
}

/* A set of keys a0, a1, ... */
static char *many(size_t count, const char *begin)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    assert_non_null(out);
    (void)fputs("{\"keys\":[", out);
    for (size_t i = 0; i < count; i++) {
        (void)fprintf(out, "%s{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"%s%zu\"," EC_0 "}",
                      i > 0 ? "," : "", begin, i);
    }
    (void)fputs("]}", out);
    assert_int_equal(fclose(out), 0);
    return text;
}

static void test_at_most_so_many_together(void **state)
{
    char *file = many(200, "a");
    char *fits = many(56, "b");
    char *too_many = many(57, "b");

    (void)state;
    read_url_and_file(file);
    assert_int_equal(check(fits), KEY_LIST_GOOD);
    assert_int_equal(check(too_many), KEY_LIST_CLASHING);
    assert_non_null(strstr(message, "more than 256 keys"));
    free(file);
    free(fits);
    free(too_many);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, open_all, close_all)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_copy_stands_by_itself),
        TEST(test_by_itself),
        TEST(test_with_the_algorithm_of_the_options),
        TEST(test_beside_a_file),
        TEST(test_beside_another_url),
        TEST(test_at_most_so_many_together),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
