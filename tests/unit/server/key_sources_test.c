/*
 * Goal: a key set by URL is fetched once at the start, again when it is old and when a token wishes
 * for it, but at most once in a cool-down; only what differs is a change, and whatever the host
 * answers, the last good set stays: also beside a set that could not stand with the other keys.
 * Secrets are not taken from a URL.
 */
#include "key_sources_tool.h"

#include "admin/fetch.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void test_the_first_fetch(void **state)
{
    (void)state;
    expect_document("/keys", NULL);
    assert_int_equal(counter_read(&counts->oldest_ms), 0);
    add();
    expect_document("/keys", ONE);
    assert_int_equal(counter_read(&counts->fetched), 1);
    assert_int_equal(counter_read(&counts->failed), 0);
    assert_in_range(counter_read(&counts->oldest_ms), 1, UINT64_MAX);
    assert_true(key_sources_changed(sources));
    assert_false(key_sources_changed(sources));
    key_sources_again(sources);
    assert_true(key_sources_changed(sources));
    add(); /* it is there */
    assert_int_equal(https_host_count(host), 1);
    assert_int_equal(counter_read(&counts->missing), 0);
}

/* What comes first is no key set: named, counted, and the thread's from then on. */
static void expect_refusal(const char *reason)
{
    assert_int_equal(key_sources_add(sources, &options, message, sizeof(message)), -1);
    assert_memory_equal(message, "token.keys: https://127.0.0.1:", 30);
    if (!strstr(message, reason)) {
        fail_msg("\"%s\" lacks \"%s\"", message, reason);
    }
    expect_document("/keys", NULL);
    assert_false(key_sources_changed(sources));
    assert_int_equal(counter_read(&counts->fetched), 0);
    assert_int_equal(counter_read(&counts->failed), 1);
    add(); /* not asked for again by this thread */
    assert_int_equal(counter_read(&counts->failed), 1);
}

static void test_a_status(void **state)
{
    (void)state;
    https_host_give(host, "/keys", 500, "", ONE);
    expect_refusal("answers with status 500");
}

static void test_no_json(void **state)
{
    (void)state;
    https_host_give(host, "/keys", 200, "", "<html>");
    expect_refusal("not JSON");
}

static void test_no_keys(void **state)
{
    (void)state;
    https_host_give(host, "/keys", 200, "", KEY_SET(""));
    expect_refusal("no key in it");
}

static void test_a_set_that_is_too_large(void **state)
{
    const size_t size = (1 << 20) + 1;
    char *body = malloc(size + 1);

    (void)state;
    assert_non_null(body);
    memset(body, ' ', size);
    memcpy(body, ONE, sizeof(ONE) - 1);
    body[size] = '\0';
    https_host_give(host, "/keys", 200, "", body);
    expect_refusal("larger than 1048576 bytes");
    free(body);
}

static void test_a_set_of_the_largest_size(void **state)
{
    const size_t size = 1 << 20;
    char *body = malloc(size + 1);

    (void)state;
    assert_non_null(body);
    memset(body, ' ', size);
    memcpy(body, ONE, sizeof(ONE) - 1);
    body[size] = '\0';
    https_host_give(host, "/keys", 200, "", body);
    add();
    expect_document("/keys", body);
    free(body);
}

static void test_a_set_of_symmetric_keys(void **state)
{
    (void)state;
    https_host_give(host, "/keys", 200, "", KEY_SET(SECRET "," SECRET));
    expect_refusal("only symmetric keys, which no URL may give away");
    assert_null(strstr(message, "MDEy"));
}

static void test_symmetric_keys_among_others(void **state)
{
    (void)state;
    https_host_give(host, "/keys", 200, "", KEY_SET(SECRET "," EC_KEY("one", 0) "," SECRET));
    add();
    assert_int_equal(counter_read(&counts->fetched), 1);
    assert_int_equal(counter_read(&counts->symmetric), 2);
}

/* A secret of the same text in a file is nobody else's to read. */
static void test_an_algorithm_for_secrets(void **state)
{
    (void)state;
    free(options.token.keys[0].algorithm);
    options.token.keys[0].algorithm = strdup("HS256");
    expect_refusal("HS256 is for secrets, which no URL may give away");
}

static void test_a_stranger(void **state)
{
    (void)state;
    set("token.jwks_ca_file", child_folder_write(&folder, "none.pem", ""));
    assert_int_equal(key_sources_add(sources, &options, message, sizeof(message)), -1);
    assert_int_equal(https_host_count(host), 0); /* nothing was said to it */
    expect_document("/keys", NULL);
}

static void test_each_source_by_itself(void **state)
{
    (void)state;
    set_keys(https_host_url(host, "/keys"), https_host_url(host, "/other"));
    assert_int_equal(key_sources_add(sources, &options, message, sizeof(message)), -1);
    assert_non_null(strstr(message, "/other: answers with status 404"));
    expect_document("/keys", ONE);
    expect_document("/other", NULL);
    assert_int_equal(counter_read(&counts->fetched), 1);
    assert_int_equal(counter_read(&counts->failed), 1);
}

static void expect_clash(const char *path, const char *reason, uint64_t count)
{
    assert_int_equal(key_sources_add(sources, &options, message, sizeof(message)), -1);
    assert_non_null(strstr(message, https_host_url(host, path)));
    assert_non_null(strstr(message, reason));
    expect_document(path, NULL);
    assert_int_equal(counter_read(&counts->clashing), count);
    assert_int_equal(counter_read(&counts->failed), 0);
}

static void test_a_kid_that_a_file_has(void **state)
{
    (void)state;
    set_keys(https_host_url(host, "/keys"),
             child_folder_write(&folder, "keys.json", KEY_SET(EC_KEY("one", 2))));
    expect_clash("/keys", "two keys have the kid \"one\"", 1);
}

static void test_a_kid_of_a_secret(void **state)
{
    char entry[256];

    (void)state;
    (void)snprintf(entry, sizeof(entry), "one=HS256:%s",
                   child_folder_write(&folder, "secret", "32 characters are in this secret"));
    set_keys(entry, https_host_url(host, "/keys"));
    expect_clash("/keys", "two keys have the kid \"one\"", 1);
}

static void test_a_kid_that_another_source_has(void **state)
{
    (void)state;
    https_host_give(host, "/other", 200, "", KEY_SET(EC_KEY("two", 1) "," EC_KEY("one", 2)));
    set_keys(https_host_url(host, "/keys"), https_host_url(host, "/other"));
    expect_clash("/other", "two keys have the kid \"one\"", 1);
    expect_document("/keys", ONE); /* who came first stays */
}

/* The file is judged when all are opened; the set is good by itself. */
static void test_beside_a_file_that_is_bad(void **state)
{
    (void)state;
    set_keys(https_host_url(host, "/keys"), child_folder_write(&folder, "keys.json", "{"));
    add();
    expect_document("/keys", ONE);
}

static void test_a_clash_later_leaves_the_last_good_one(void **state)
{
    (void)state;
    set("token.jwks_refresh", "1s");
    set("token.jwks_cooldown", "1s");
    set_keys(https_host_url(host, "/keys"),
             child_folder_write(&folder, "keys.json", KEY_SET(EC_KEY("file", 2))));
    add();
    assert_true(key_sources_changed(sources));
    https_host_give(host, "/keys", 200, "", KEY_SET(EC_KEY("two", 1) "," EC_KEY("file", 0)));
    key_sources_use(sources, &options);
    await_count(&counts->clashing, 1);
    expect_document("/keys", ONE);
    assert_false(key_sources_changed(sources));
    https_host_give(host, "/keys", 200, "", BOTH);
    await_change();
    expect_document("/keys", BOTH);
}

static void test_sources_that_are_no_longer_named(void **state)
{
    (void)state;
    add();
    key_sources_use(sources, &options);
    expect_document("/keys", ONE);
    https_host_give(host, "/other", 200, "", TWO);
    set("token.keys", https_host_url(host, "/other"));
    add();
    expect_document("/keys", ONE); /* a reload may still fail */
    key_sources_use(sources, &options);
    expect_document("/keys", NULL);
    expect_document("/other", TWO);
}

/* Its word is shorter than token.jwks_refresh. */
static void test_the_host_says_how_long(void **state)
{
    (void)state;
    set("token.jwks_cooldown", "1s");
    https_host_give(host, "/keys", 200, "Cache-Control: public, max-age=1\r\n", ONE);
    add();
    assert_true(key_sources_changed(sources));
    https_host_give(host, "/keys", 200, "", TWO);
    key_sources_use(sources, &options);
    await_change();
    expect_document("/keys", TWO);
}

static void test_a_wish_is_granted(void **state)
{
    (void)state;
    set("token.jwks_cooldown", "1s");
    add();
    assert_true(key_sources_changed(sources));
    key_sources_use(sources, &options);
    https_host_give(host, "/keys", 200, "", BOTH);
    key_sources_wish(sources);
    await_change();
    expect_document("/keys", BOTH);
    assert_int_equal(https_host_count(host), 2);
}

/* The refresh that comes after them is the one fetch: so none was made for a wish. */
static void test_wishes_wait_for_the_cooldown(void **state)
{
    (void)state;
    add();
    assert_true(key_sources_changed(sources));
    key_sources_use(sources, &options);
    https_host_give(host, "/keys", 200, "", BOTH);
    for (uint32_t i = 0; i < 1000; i++) {
        key_sources_wish(sources);
    }
    set("token.jwks_refresh", "1s");
    key_sources_use(sources, &options);
    await_change();
    assert_int_equal(https_host_count(host), 2);
}

static void test_what_is_the_same_is_no_change(void **state)
{
    (void)state;
    set("token.jwks_refresh", "1s");
    set("token.jwks_cooldown", "1s");
    add();
    assert_true(key_sources_changed(sources));
    key_sources_use(sources, &options);
    await_count(&counts->fetched, 2);
    assert_false(key_sources_changed(sources));
    expect_document("/keys", ONE);
}

static void test_the_last_good_one_stays(void **state)
{
    (void)state;
    set("token.jwks_refresh", "1s");
    set("token.jwks_cooldown", "1s");
    add();
    assert_true(key_sources_changed(sources));
    https_host_give(host, "/keys", 200, "", KEY_SET(""));
    key_sources_use(sources, &options);
    await_count(&counts->failed, 1);
    https_host_give(host, "/keys", 503, "", TWO);
    await_count(&counts->failed, 3);
    expect_document("/keys", ONE);
    assert_false(key_sources_changed(sources));
    https_host_give(host, "/keys", 200, "", TWO);
    await_change();
    expect_document("/keys", TWO);
}

/* The one that was away at the start. */
static void test_the_thread_goes_on_asking(void **state)
{
    (void)state;
    https_host_give(host, "/keys", 503, "", "");
    assert_int_equal(key_sources_add(sources, &options, message, sizeof(message)), -1);
    assert_int_equal(counter_read(&counts->missing), 1);
    https_host_give(host, "/keys", 200, "", ONE);
    key_sources_use(sources, &options);
    await_change();
    expect_document("/keys", ONE);
    assert_int_equal(counter_read(&counts->missing), 0);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, open_all, close_all)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_the_first_fetch),
        TEST(test_a_status),
        TEST(test_no_json),
        TEST(test_no_keys),
        TEST(test_a_set_that_is_too_large),
        TEST(test_a_set_of_the_largest_size),
        TEST(test_a_set_of_symmetric_keys),
        TEST(test_symmetric_keys_among_others),
        TEST(test_an_algorithm_for_secrets),
        TEST(test_a_stranger),
        TEST(test_each_source_by_itself),
        TEST(test_a_kid_that_a_file_has),
        TEST(test_a_kid_of_a_secret),
        TEST(test_a_kid_that_another_source_has),
        TEST(test_beside_a_file_that_is_bad),
        TEST(test_a_clash_later_leaves_the_last_good_one),
        TEST(test_sources_that_are_no_longer_named),
        TEST(test_the_host_says_how_long),
        TEST(test_a_wish_is_granted),
        TEST(test_wishes_wait_for_the_cooldown),
        TEST(test_what_is_the_same_is_no_change),
        TEST(test_the_last_good_one_stays),
        TEST(test_the_thread_goes_on_asking),
    };

    (void)signal(SIGPIPE, SIG_IGN); /* the host writes to clients that had enough */
    fetch_setup();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
