/*
 * Goal: a cache on disk has each good key set, and gives it back when its host is away at the
 * start, and only then; what is no good there, or no good beside the other keys, is not taken.
 */
#include "key_sources_tool.h"

#include "admin/fetch.h"
#include "base/clock.h"
#include "server/key_cache.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* What the thread has kept; a look now and then. */
static void await_saved(const char *path, const char *expected)
{
    static const struct timespec pause = {.tv_nsec = 1000000};
    struct key_cache_entry entry;
    bool is_same = false;

    for (uint32_t i = 0; i < WAIT_MS && !is_same; i++) {
        if (key_cache_read(folder.path, https_host_url(host, path), &entry, message,
                           sizeof(message)) == KEY_CACHE_FOUND) {
            is_same =
                entry.size == strlen(expected) && memcmp(entry.document, expected, entry.size) == 0;
            assert_in_range(entry.fetched_s, 1600000000, time(NULL));
            free(entry.document);
        }
        (void)nanosleep(&pause, NULL);
    }
    assert_true(is_same);
}

static void save(const char *document)
{
    char *copied = strdup(document);
    const struct key_cache_entry entry = {
        .document = copied, .size = strlen(document), .fetched_s = time(NULL) - 10};

    assert_int_equal(key_cache_write(folder.path, https_host_url(host, "/keys"), &entry, message,
                                     sizeof(message)),
                     0);
    free(copied);
}

static void start_while_away(void)
{
    https_host_give(host, "/keys", 503, "", "");
    assert_int_equal(key_sources_add(sources, &options, message, sizeof(message)), -1);
}

static void expect_nothing_restored(void)
{
    start_while_away();
    assert_false(key_sources_restore(sources));
    expect_document("/keys", NULL);
    assert_int_equal(counter_read(&counts->cached), 0);
    assert_int_equal(counter_read(&counts->missing), 1);
}

static void test_each_good_set_is_saved(void **state)
{
    (void)state;
    set("token.jwks_cache", folder.path);
    set("token.jwks_cooldown", "1s");
    set("token.jwks_refresh", "1s");
    add();
    assert_true(key_sources_changed(sources));
    key_sources_use(sources, &options);
    await_saved("/keys", ONE);
    https_host_give(host, "/keys", 200, "", TWO);
    await_change();
    await_saved("/keys", TWO);
    https_host_give(host, "/keys", 200, "", KEY_SET(""));
    await_count(&counts->failed, 1);
    await_saved("/keys", TWO);
    assert_int_equal(counter_read(&counts->cached), 0);
}

static void test_a_start_from_the_cache(void **state)
{
    (void)state;
    set("token.jwks_cache", folder.path);
    set("token.jwks_cooldown", "1s");
    save(ONE);
    start_while_away();
    assert_true(key_sources_restore(sources));
    expect_document("/keys", ONE);
    assert_int_equal(counter_read(&counts->cached), 1);
    assert_int_equal(counter_read(&counts->missing), 0);
    assert_in_range(counter_read(&counts->oldest_ms), 1, clock_now_ms() - 10000);
    https_host_give(host, "/keys", 200, "", TWO);
    key_sources_use(sources, &options);
    await_change();
    expect_document("/keys", TWO);
    assert_int_equal(counter_read(&counts->cached), 0);
    await_saved("/keys", TWO);
}

static void test_the_cache_is_not_for_a_host_that_answers(void **state)
{
    (void)state;
    set("token.jwks_cache", folder.path);
    save(TWO);
    add();
    assert_true(key_sources_restore(sources));
    expect_document("/keys", ONE);
    assert_int_equal(counter_read(&counts->cached), 0);
}

static void test_no_cache(void **state)
{
    (void)state;
    save(ONE);
    expect_nothing_restored();
}

static void test_an_empty_cache(void **state)
{
    (void)state;
    set("token.jwks_cache", folder.path);
    expect_nothing_restored();
}

static void test_a_saved_set_that_is_of_no_use(void **state)
{
    (void)state;
    set("token.jwks_cache", folder.path);
    save(KEY_SET(SECRET));
    expect_nothing_restored();
}

/* It was good when it was saved; the file's key came since. */
static void test_a_saved_set_that_clashes(void **state)
{
    (void)state;
    set("token.jwks_cache", folder.path);
    save(ONE);
    set_keys(https_host_url(host, "/keys"),
             child_folder_write(&folder, "keys.json", KEY_SET(EC_KEY("one", 2))));
    expect_nothing_restored();
}

static void test_a_folder_that_is_not_there(void **state)
{
    (void)state;
    set("token.jwks_cache", "/nowhere");
    set("token.jwks_cooldown", "1s");
    set("token.jwks_refresh", "1s");
    add();
    assert_true(key_sources_restore(sources));
    key_sources_use(sources, &options);
    await_count(&counts->fetched, 3); /* it goes on */
    expect_document("/keys", ONE);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, open_all, close_all)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_each_good_set_is_saved),
        TEST(test_a_start_from_the_cache),
        TEST(test_the_cache_is_not_for_a_host_that_answers),
        TEST(test_no_cache),
        TEST(test_an_empty_cache),
        TEST(test_a_saved_set_that_is_of_no_use),
        TEST(test_a_saved_set_that_clashes),
        TEST(test_a_folder_that_is_not_there),
    };

    (void)signal(SIGPIPE, SIG_IGN); /* the host writes to clients that had enough */
    fetch_setup();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
