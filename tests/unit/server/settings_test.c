/*
 * Goal: a thread keeps the settings that it holds, the newest are always there to be taken, and
 * whatever nobody needs any more is freed, in whatever order it is let go; renewed token keys
 * borrow the rest from the settings that they were renewed from, which stay as long. (Leaks and
 * early frees are for the sanitizers to see.)
 */
#include "server/settings.h"

#include "child.h"
#include "server/key_sources.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static struct child_folder folder;
static struct options options;
static struct settings_desk desk;
static struct key_sources *sources;
static char message[1024];

static void set(const char *name, const char *value)
{
    if (options_set(&options, name, value, message, sizeof(message)) != 0) {
        fail_msg("%s", message);
    }
}

static void write_secret(const char *secret)
{
    char keys[512];

    (void)snprintf(keys, sizeof(keys), "HS256:%s", child_folder_write(&folder, "secret", secret));
    set("token.keys", keys);
}

static int open_all(void **state)
{
    (void)state;
    child_folder_open(&folder);
    options_init(&options);
    write_secret("the first secret has 32 characters");
    settings_desk_open(&desk);
    sources = key_sources_open(message, sizeof(message));
    return sources ? 0 : -1;
}

static int close_all(void **state)
{
    (void)state;
    settings_desk_close(&desk);
    key_sources_close(sources);
    options_free(&options);
    child_folder_close(&folder);
    return 0;
}

static struct settings *make(void)
{
    struct settings *settings = settings_new(&options, NULL);

    assert_non_null(settings);
    assert_int_equal(settings_open_token_keys(settings, sources, message, sizeof(message)), 0);
    assert_int_equal(settings_open_networks(settings, message, sizeof(message)), 0);
    return settings;
}

static struct settings *publish(void)
{
    struct settings *settings = make();

    settings_publish(&desk, settings);
    return settings;
}

static struct settings *renew(void)
{
    struct settings *settings = settings_renew_keys(&desk, sources, message, sizeof(message));

    assert_non_null(settings);
    settings_publish(&desk, settings);
    return settings;
}

static size_t count_on_desk(void)
{
    size_t count = 0;

    for (const struct settings *entry = desk.oldest; entry; entry = entry->newer) {
        count++;
    }
    return count;
}

/* A token of the key whose secret stands in the file just now. */
static char *make_token_of(uint32_t number)
{
    struct token_key_options key = {.algorithm = "HS256", .path = options.token.keys[number].path};
    const struct token_options token_options = {
        .keys = &key, .key_count = 1, .token_size_max = 8192};
    const struct token_request request = {
        .subject = "a", .now_s = (double)time(NULL), .lifetime_s = 600};
    char *token = token_make(&token_options, &request, message, sizeof(message));

    assert_non_null(token);
    return token;
}

static char *make_token(void)
{
    return make_token_of(0);
}

static enum token_outcome check(const struct settings *settings, const char *token)
{
    struct token_claims claims = {0};
    const enum token_outcome outcome =
        token_check(settings->token_keys, slice_text(token), (double)time(NULL), &claims);

    if (outcome == TOKEN_GOOD) {
        token_claims_free(&claims);
    }
    return outcome;
}

static void test_the_newest_are_taken(void **state)
{
    (void)state;
    const struct settings *first = publish();
    const struct settings *held = settings_take(&desk);
    assert_ptr_equal(held, first);
    assert_int_equal(held->number, 1);
    assert_false(settings_are_old(&desk, held));

    const struct settings *second = publish();
    assert_int_equal(second->number, 2);
    assert_true(settings_are_old(&desk, held));
    const struct settings *also_held = settings_take(&desk);
    assert_ptr_equal(also_held, second);
    assert_false(settings_are_old(&desk, also_held));
    settings_let_go(&desk, held);
    settings_let_go(&desk, also_held);
}

static void test_sweep_takes_what_nobody_holds(void **state)
{
    (void)state;
    publish();
    assert_true(settings_sweep(&desk)); /* never the newest */
    assert_int_equal(count_on_desk(), 1);

    const struct settings *held = settings_take(&desk);
    const struct settings *twice = settings_take(&desk);
    publish();
    publish();
    assert_false(settings_sweep(&desk)); /* the one in the middle goes */
    assert_int_equal(count_on_desk(), 2);
    assert_ptr_equal(desk.oldest, held);
    assert_ptr_equal(desk.oldest->newer, desk.newest);
    settings_let_go(&desk, held);
    assert_false(settings_sweep(&desk)); /* another thread holds it still */
    settings_let_go(&desk, twice);
    assert_true(settings_sweep(&desk));
    assert_int_equal(count_on_desk(), 1);
    assert_int_equal(desk.newest->number, 3);
}

static void test_those_in_any_order_are_let_go(void **state)
{
    const struct settings *held[4];

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        publish();
        held[i] = settings_take(&desk);
    }
    static const size_t order[] = {2, 0, 3};
    for (size_t i = 0; i < 3; i++) {
        settings_let_go(&desk, held[order[i]]);
        assert_false(settings_sweep(&desk));
    }
    /* The newest stay; of the older ones the held. */
    assert_int_equal(count_on_desk(), 2);
    assert_ptr_equal(desk.oldest, held[1]);
    settings_let_go(&desk, held[1]);
    assert_true(settings_sweep(&desk));
    assert_ptr_equal(desk.oldest, held[3]);
}

static void test_renewed_keys_borrow_from_a_base(void **state)
{
    (void)state;
    struct settings *base = publish();
    assert_null(base->base);
    const struct settings *held = settings_take(&desk);

    const struct settings *first = renew();
    assert_ptr_equal(first->base, base);
    assert_ptr_equal(first->options, base->options);
    const struct settings *second = renew();
    assert_ptr_equal(second->base, base); /* not a chain */
    assert_int_equal(base->dependents, 2);

    settings_let_go(&desk, held);
    assert_true(settings_sweep(&desk)); /* the first, which nobody holds; its base is needed */
    assert_int_equal(count_on_desk(), 2);
    assert_ptr_equal(desk.oldest, base);
    assert_int_equal(base->dependents, 1);

    publish(); /* a reload: a base of its own */
    assert_null(desk.newest->base);
    assert_true(settings_sweep(&desk)); /* the last dependent, and then its base */
    assert_int_equal(count_on_desk(), 1);
}

static void test_a_base_stays_for_a_dependent_that_is_held(void **state)
{
    (void)state;
    struct settings *base = publish();
    renew();
    const struct settings *held = settings_take(&desk);
    publish();
    assert_false(settings_sweep(&desk));
    assert_int_equal(count_on_desk(), 3);
    assert_ptr_equal(desk.oldest, base);
    settings_let_go(&desk, held);
    assert_true(settings_sweep(&desk));
    assert_int_equal(count_on_desk(), 1);
}

static void test_renewed_keys_are_read_anew(void **state)
{
    (void)state;
    char *old_token = make_token();
    const struct settings *base = publish();
    write_secret("the second secret has 32 characters");
    char *new_token = make_token();
    const struct settings *renewed = renew();

    assert_int_equal(check(base, old_token), TOKEN_GOOD);
    assert_int_equal(check(base, new_token), TOKEN_BAD_SIGNATURE);
    assert_int_equal(check(renewed, old_token), TOKEN_BAD_SIGNATURE);
    assert_int_equal(check(renewed, new_token), TOKEN_GOOD);
    free(old_token);
    free(new_token);
}

static void test_keys_that_cannot_be_read_change_nothing(void **state)
{
    (void)state;
    struct settings *base = publish();
    assert_int_equal(unlink(options.token.keys[0].path), 0);
    assert_null(settings_renew_keys(&desk, sources, message, sizeof(message)));
    assert_non_null(strstr(message, options.token.keys[0].path));
    assert_ptr_equal(desk.newest, base);
    assert_int_equal(base->dependents, 0);

    struct settings *settings = settings_new(&options, NULL);
    assert_int_equal(settings_open_token_keys(settings, sources, message, sizeof(message)), -1);
    settings_free(settings);
    settings_free(NULL);
}

static void test_no_token_no_keys(void **state)
{
    (void)state;
    set("token.required", "false");
    const struct settings *settings = publish();
    assert_null(settings->token_keys);
    assert_int_equal(settings->missing_count, 0);
}

/* Beside those that are there. */
static void test_key_sets_that_have_not_come(void **state)
{
    char keys[512];

    (void)state;
    const struct settings *settings = publish();
    assert_int_equal(settings->missing_count, 0);
    assert_null(settings->missing_url);
    (void)snprintf(keys, sizeof(keys), "https://id.example/a,HS256:%s,https://id.example/b",
                   options.token.keys[0].path);
    set("token.keys", keys);
    settings = publish();
    assert_int_equal(settings->missing_count, 2);
    assert_string_equal(settings->missing_url, "https://id.example/a");
    char *token = make_token_of(1);
    assert_int_equal(check(settings, token), TOKEN_GOOD);
    free(token);
    settings = renew();
    assert_int_equal(settings->missing_count, 2);
    assert_string_equal(settings->missing_url, "https://id.example/a");
}

static void test_own_options_go_with_them(void **state)
{
    struct options *own = malloc(sizeof(*own));

    (void)state;
    assert_non_null(own);
    options_init(own);
    publish();
    struct settings *settings = settings_new(own, own);
    settings_publish(&desk, settings);
    publish();
    assert_true(settings_sweep(&desk));
    assert_int_equal(count_on_desk(), 1);
}

static void test_networks(void **state)
{
    (void)state;
    struct settings *settings = publish();
    assert_true(settings->allows_all);
    set("limits.allowed", "192.0.2.0/24");
    settings = publish();
    assert_false(settings->allows_all);
    set("limits.banned_file", "/nowhere/banned");
    settings = settings_new(&options, NULL);
    assert_int_equal(settings_open_networks(settings, message, sizeof(message)), -1);
    assert_non_null(strstr(message, "/nowhere/banned"));
    settings_free(settings);
}

static void test_certificates_that_are_not_there(void **state)
{
    (void)state;
    struct settings *settings = settings_new(&options, NULL);
    assert_int_equal(settings_open_certificates(settings, message, sizeof(message)), 0); /* none */
    assert_null(settings->certificates);
    set("tls.certificates", "/nowhere/chain.pem:/nowhere/key.pem");
    assert_int_equal(settings_open_certificates(settings, message, sizeof(message)), -1);
    assert_non_null(strstr(message, "/nowhere/chain.pem"));
    settings_free(settings);
}

static int close_while_held(const void *context)
{
    (void)context;
    const struct settings *held = settings_take(&desk);
    settings_desk_close(&desk);
    return held != NULL ? 0 : 1;
}

static void test_a_desk_is_not_closed_under_a_holder(void **state)
{
    static struct child child;

    (void)state;
    publish();
    child_run(&child, close_while_held, NULL);
    assert_int_equal(child.status, -1);
    assert_non_null(strstr(child.err, "holders"));
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, open_all, close_all)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_the_newest_are_taken),
        TEST(test_sweep_takes_what_nobody_holds),
        TEST(test_those_in_any_order_are_let_go),
        TEST(test_renewed_keys_borrow_from_a_base),
        TEST(test_a_base_stays_for_a_dependent_that_is_held),
        TEST(test_renewed_keys_are_read_anew),
        TEST(test_keys_that_cannot_be_read_change_nothing),
        TEST(test_no_token_no_keys),
        TEST(test_key_sets_that_have_not_come),
        TEST(test_own_options_go_with_them),
        TEST(test_networks),
        TEST(test_certificates_that_are_not_there),
        TEST(test_a_desk_is_not_closed_under_a_holder),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
