/*
 * Goal: `limpet token` prints tokens that the server with the same secret takes, with just the
 * claims that were wished for, and says why when it prints none.
 */
#include "server/token_command.h"

#include "child.h"
#include "server/arguments.h"
#include "server/state.h"
#include "session/token.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sysexits.h>
#include <time.h>

#include <cmocka.h>

#define ARGUMENTS_MAX 16

static struct child_folder folder;
static struct child child;
static char state_path[128];
static struct token_keys *keys;

static struct token_keys *open_keys(const char *directory)
{
    struct token_key_options key_options[OPTIONS_KEYS_MAX];
    struct token_options token_options;
    struct state made;
    struct options options;
    char message[512];

    assert_int_equal(state_open(&made, directory, message, sizeof(message)), 0);
    options_init(&options);
    state_set_options(&made, &options);
    arguments_token_options(&options, key_options, &token_options);
    struct token_keys *opened = token_keys_open(&token_options, message, sizeof(message));
    assert_non_null(opened);
    options_free(&options);
    return opened;
}

static int open_folder(void **unused)
{
    (void)unused;
    child_folder_open(&folder);
    (void)snprintf(state_path, sizeof(state_path), "%s/state", folder.path);
    keys = open_keys(state_path);
    return 0;
}

static int close_folder(void **unused)
{
    (void)unused;
    token_keys_close(keys);
    child_folder_close(&folder);
    return 0;
}

static int act(const void *context)
{
    const char *const *given = context;
    static char *argv[ARGUMENTS_MAX + 1];
    int argc = 0;

    argv[argc++] = "limpet token";
    for (; *given; given++) {
        ASSERT(argc < ARGUMENTS_MAX);
        argv[argc++] = strdup(*given); /* lists are cut in place */
    }
    int status = token_command(argc, argv);
    for (int i = 1; i < argc; i++) {
        free(argv[i]);
    }
    return status;
}

#define TOKEN(...) child_run(&child, act, (const char *const[]){__VA_ARGS__, NULL})

static void assert_refused(int status, const char *part)
{
    assert_string_equal(child.out, "");
    if (child.status != status || !strstr(child.err, part)) {
        fail_msg("status %d: %s", child.status, child.err);
    }
}

/* The claims of line number of the output; to be freed. */
static struct token_claims claims_of(size_t number)
{
    struct token_claims claims;
    const char *line = child.out;

    if (child.status != 0) {
        fail_msg("status %d: %s", child.status, child.err);
    }
    for (; number > 0; number--) {
        line = strchr(line, '\n') + 1;
    }
    const struct slice text = slice_from(line, strcspn(line, "\n"));
    assert_int_equal(token_check(keys, text, (double)time(NULL), &claims), TOKEN_GOOD);
    return claims;
}

static void assert_names(const struct name_list *list, const char *const *names, uint32_t count)
{
    const char *name = list->names;

    assert_int_equal(list->count, count);
    for (uint32_t i = 0; i < count; i++) {
        assert_string_equal(name, names[i]);
        name += strlen(name) + 1;
    }
}

/* --- claims ----------------------------------------------------------------------------------- */

static void it_makes_one_for_dev_and_an_hour(void **unused)
{
    (void)unused;
    const double before = (double)time(NULL);
    TOKEN("--state", state_path);
    const double after = (double)time(NULL);
    assert_int_equal(child_lines(child.out), 1);
    assert_string_equal(child.err, "");
    struct token_claims claims = claims_of(0);
    assert_string_equal(claims.subject, "dev");
    assert_int_equal(claims.channels.count, 0);
    assert_true(claims.expires_s >= before + 3600);
    assert_true(claims.expires_s <= after + 3600);
    token_claims_free(&claims);
}

static void lists_are_names_between_commas(void **unused)
{
    static const char *const channels[] = {"news", "ann"};
    static const char *const subscribe[] = {"chat:*", "quotes:eur"};
    static const char *const publish[] = {"chat:lobby"};

    (void)unused;
    TOKEN("--state", state_path, "--sub", "ann", "--channels", "news,ann", "--subscribe",
          "chat:*,quotes:eur", "--publish", "chat:lobby");
    struct token_claims claims = claims_of(0);
    assert_string_equal(claims.subject, "ann");
    assert_names(&claims.channels, channels, 2);
    assert_names(&claims.allowed[NAMESPACE_SUBSCRIBE], subscribe, 2);
    assert_names(&claims.allowed[NAMESPACE_PUBLISH], publish, 1);
    token_claims_free(&claims);
    TOKEN("--state", state_path, "--channels", ",news,,ann,"); /* empty names are none */
    claims = claims_of(0);
    assert_names(&claims.channels, channels, 2);
    token_claims_free(&claims);
}

static void lists_are_bounded(void **unused)
{
    static const char *const flags[] = {"--channels", "--subscribe", "--publish"};
    char list[1024];

    (void)unused;
    for (size_t flag = 0; flag < 3; flag++) {
        size_t size = 0;
        for (unsigned i = 0; i < 128; i++) {
            size += (size_t)snprintf(list + size, sizeof(list) - size, "c%u,", i);
        }
        TOKEN("--state", state_path, flags[flag], list);
        struct token_claims claims = claims_of(0);
        const struct name_list *lists[] = {&claims.channels, &claims.allowed[NAMESPACE_SUBSCRIBE],
                                           &claims.allowed[NAMESPACE_PUBLISH]};
        assert_int_equal(lists[flag]->count, 128);
        token_claims_free(&claims);
        (void)snprintf(list + size, sizeof(list) - size, "more");
        TOKEN("--state", state_path, flags[flag], list);
        assert_refused(1, "limpet token: more than 128 channels in a list");
    }
}

static void lives_have_units(void **unused)
{
    static const struct {
        const char *text;
        double life_s;
    } lives[] = {
        {"1", 1},       {"90", 90},           {"90s", 90},           {"15m", 900}, {"1h", 3600},
        {"7d", 604800}, {"3650d", 315360000}, {"87600h", 315360000}, {"1s", 1},
    };
    static const char *const refused[] = {"",
                                          "0",
                                          "0s",
                                          "x",
                                          "s",
                                          "1w",
                                          "1hh",
                                          "1 ",
                                          "3651d",
                                          "87601h",
                                          "-1",
                                          "-1h",
                                          "99999999999999999999",
                                          "315360001"};

    (void)unused;
    for (size_t i = 0; i < sizeof(lives) / sizeof(lives[0]); i++) {
        const double before = (double)time(NULL);
        TOKEN("--state", state_path, "--ttl", lives[i].text);
        const double after = (double)time(NULL);
        struct token_claims claims = claims_of(0);
        assert_true(claims.expires_s >= before + lives[i].life_s);
        assert_true(claims.expires_s <= after + lives[i].life_s);
        token_claims_free(&claims);
    }
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        TOKEN("--state", state_path, "--ttl", refused[i]);
        assert_refused(EX_USAGE, "want 90s, 15m, 1h or 7d, at most 3650d");
    }
}

/* --- many ------------------------------------------------------------------------------------- */

static void many_are_numbered(void **unused)
{
    (void)unused;
    TOKEN("--state", state_path, "--sub", "load", "--count", "3", "--channels", "a,b");
    assert_int_equal(child_lines(child.out), 3);
    for (size_t i = 0; i < 3; i++) {
        char subject[32];
        struct token_claims claims = claims_of(i);
        (void)snprintf(subject, sizeof(subject), "load-%zu", i + 1);
        assert_string_equal(claims.subject, subject);
        assert_int_equal(claims.channels.count, 2); /* in each */
        token_claims_free(&claims);
    }
    TOKEN("--state", state_path, "--sub", "one", "--count", "1");
    struct token_claims claims = claims_of(0);
    assert_string_equal(claims.subject, "one");
    token_claims_free(&claims);
}

static void counts_are_numbers_up_to_ten_million(void **unused)
{
    static const char *const refused[] = {
        "0", "", "x", "-1", "5x", "1e3", "10000001", "4294967297", "99999999999999999999"};

    (void)unused;
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        TOKEN("--state", state_path, "--count", refused[i]);
        assert_refused(EX_USAGE, "want 1 to 10000000");
    }
}

/* --- whose key -------------------------------------------------------------------------------- */

static void a_new_state_is_told_of(void **unused)
{
    static char path[160];

    (void)unused;
    (void)snprintf(path, sizeof(path), "%s/new", folder.path);
    TOKEN("--state", path);
    assert_int_equal(child.status, 0);
    assert_int_equal(child_lines(child.out), 1);
    assert_non_null(strstr(child.err, "was made just now: no running server has its secret"));
    struct token_claims claims;
    const struct slice text = slice_from(child.out, strcspn(child.out, "\n"));
    assert_int_equal(token_check(keys, text, (double)time(NULL), &claims), TOKEN_BAD_SIGNATURE);
    TOKEN("--state", path);
    assert_string_equal(child.err, "");
    TOKEN("--state", "/dev/null/state");
    assert_refused(1, "limpet token: state folder /dev/null/state: Not a directory");
}

static void a_file_of_options_has_the_key_and_its_rules(void **unused)
{
    char text[512];

    (void)unused;
    (void)snprintf(text, sizeof(text),
                   "token:\n  keys:\n    - algorithm: HS256\n      path: %s/secret\n"
                   "  channel_size_max: 5\n  issuer: us\n",
                   state_path);
    const char *path = child_folder_write(&folder, "options.yaml", text);
    TOKEN("--options", path, "--channels", "12345");
    struct token_claims claims = claims_of(0);
    assert_int_equal(claims.channels.count, 1);
    token_claims_free(&claims);
    TOKEN("--options", path, "--channels", "123456");
    assert_refused(1, "limpet token: the server would refuse this token: bad_claim");

    path = child_folder_write(&folder, "none.yaml", "shards: 1\n");
    TOKEN("--options", path);
    assert_int_equal(child.status, 1);
    assert_string_equal(child.out, "");
    assert_memory_equal(child.err, "limpet token: ", 14);
    TOKEN("--options", "/dev/null/limpet.yaml");
    assert_refused(1, "/dev/null/limpet.yaml");
    TOKEN("--no-such-flag");
    assert_refused(EX_USAGE, "no-such-flag");
    TOKEN("--state", state_path, "too", "much");
    assert_refused(EX_USAGE, "Too many arguments");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_makes_one_for_dev_and_an_hour),
        cmocka_unit_test(lists_are_names_between_commas),
        cmocka_unit_test(lists_are_bounded),
        cmocka_unit_test(lives_have_units),
        cmocka_unit_test(many_are_numbered),
        cmocka_unit_test(counts_are_numbers_up_to_ten_million),
        cmocka_unit_test(a_new_state_is_told_of),
        cmocka_unit_test(a_file_of_options_has_the_key_and_its_rules),
    };
    return cmocka_run_group_tests(tests, open_folder, close_folder);
}
