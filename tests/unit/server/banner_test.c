/*
 * Goal: in dev mode what is printed can be pasted: the token is good, port and paths are the real
 * ones. With an options file no token is printed. The line that says what the server holds is
 * always there.
 */
#include "server/banner.h"

#include "child.h"
#include "session/token.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

static struct child_folder folder;
static struct child child;
static struct arguments arguments;
static const struct budget budget = {
    .shard_count = 3, .connections_max = 12345, .bound_by = "something with blanks"};

static int open_arguments(void **unused)
{
    char path[128];
    char message[512];

    (void)unused;
    child_folder_open(&folder);
    (void)snprintf(path, sizeof(path), "%s/state", folder.path);
    options_init(&arguments.options);
    if (state_open(&arguments.state, path, message, sizeof(message)) != 0) {
        return -1;
    }
    state_set_options(&arguments.state, &arguments.options);
    return 0;
}

static int close_arguments(void **unused)
{
    (void)unused;
    options_free(&arguments.options);
    child_folder_close(&folder);
    return 0;
}

static int act(const void *context)
{
    const struct arguments *given = context;

    banner_print(given, &budget, 8444, 9465);
    return 0;
}

static void print(const struct arguments *given)
{
    child_run(&child, act, given);
    assert_int_equal(child.status, 0);
    const char *line =
        strstr(child.err, "listening port=8444 admin_port=9465 shards=3 "
                          "connections_max=12345 bounded_by=\"something with blanks\"");
    assert_non_null(line);
    assert_int_equal(child_lines(child.err), 1);
}

/* What follows a text, up to a blank, quote or line end. */
static struct slice after(const char *text)
{
    const char *at = strstr(child.out, text);

    assert_non_null(at);
    at += strlen(text);
    return slice_from(at, strcspn(at, " '\n"));
}

static void check_token(struct slice token)
{
    struct token_key_options keys[OPTIONS_KEYS_MAX];
    struct token_options token_options;
    struct token_claims claims;
    char message[512];

    arguments_token_options(&arguments.options, keys, &token_options);
    struct token_keys *opened = token_keys_open(&token_options, message, sizeof(message));
    assert_non_null(opened);
    assert_int_equal(token_check(opened, token, (double)time(NULL), &claims), TOKEN_GOOD);
    assert_string_equal(claims.subject, "dev");
    assert_int_equal(claims.channels.count, 1);
    assert_true(claims.expires_s > (double)time(NULL) + 86400 - 100); /* a day's work */
    assert_true(claims.expires_s <= (double)time(NULL) + 86400);
    token_claims_free(&claims);
    token_keys_close(opened);
}

static void dev_mode_is_ready_to_paste(void **unused)
{
    char expected[2 * PATH_MAX];

    (void)unused;
    print(&arguments);
    const struct slice token = after("  token   ");
    check_token(token);
    assert_true(slice_equal(after("  url     wss://localhost:8444/?token="), token));
    assert_true(slice_equal(after("--header 'Authorization: Bearer "), token));
    (void)snprintf(expected, sizeof(expected), "npx wscat --ca %s --connect wss://localhost:8444 ",
                   arguments.state.certificate_path);
    assert_non_null(strstr(child.out, expected));
    (void)snprintf(expected, sizeof(expected),
                   " token --state %s --sub NAME --channels a,b --ttl 1h",
                   arguments.state.directory);
    assert_non_null(strstr(child.out, expected));
    (void)snprintf(expected, sizeof(expected), "State folder: %s (new)\n",
                   arguments.state.directory);
    assert_non_null(strstr(child.out, expected));
}

static void a_folder_that_was_there_is_not_called_new(void **unused)
{
    struct arguments again = arguments;

    (void)unused;
    again.state.is_new = false;
    print(&again);
    assert_null(strstr(child.out, "(new)"));
    assert_non_null(strstr(child.out, "State folder: "));
}

static void no_token_is_printed_where_none_belongs(void **unused)
{
    struct arguments with_file = arguments;
    struct arguments open_to_all = arguments;

    (void)unused;
    with_file.options_path = "/etc/limpet.yaml";
    print(&with_file);
    assert_string_equal(child.out, "");
    open_to_all.options.token.required = false;
    print(&open_to_all);
    assert_string_equal(child.out, "");
}

/* The flags may have taken the HMAC key away: the server runs, and says what it cannot do. */
static void without_a_key_for_it_the_token_is_missed(void **unused)
{
    struct arguments other = arguments;

    (void)unused;
    other.options.token.key_count = 0;
    child_run(&child, act, &other);
    assert_int_equal(child.status, 0);
    assert_string_equal(child.out, "");
    assert_non_null(strstr(child.err, "no token could be made: "));
    assert_non_null(strstr(child.err, "listening port=8444"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dev_mode_is_ready_to_paste),
        cmocka_unit_test(a_folder_that_was_there_is_not_called_new),
        cmocka_unit_test(no_token_is_printed_where_none_belongs),
        cmocka_unit_test(without_a_key_for_it_the_token_is_missed),
    };
    return cmocka_run_group_tests(tests, open_arguments, close_arguments);
}
