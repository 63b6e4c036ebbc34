/*
 * Goal: every option is a flag, flags override the file and dev mode's state wherever they stand,
 * and what cannot be read is said before anything starts.
 */
#include "server/arguments.h"

#include "child.h"

#include "session/token.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sysexits.h>

#include <cmocka.h>

#define ARGUMENTS_MAX 600

static struct child_folder folder;
static struct child child;
static char state_path[128];

struct run {
    bool takes_path;
    bool wants_state; /* --state goes before the others: no HOME is touched */
    const char *const *given;
};

static int open_folder(void **unused)
{
    struct state made;
    char message[512];

    (void)unused;
    child_folder_open(&folder);
    (void)snprintf(state_path, sizeof(state_path), "%s/state", folder.path);
    return state_open(&made, state_path, message, sizeof(message));
}

static int close_folder(void **unused)
{
    (void)unused;
    child_folder_close(&folder);
    return 0;
}

/* Prints what was understood. */
static int act(const void *context)
{
    const struct run *run = context;
    static char *argv[ARGUMENTS_MAX + 1];
    struct arguments arguments;
    int argc = 0;

    argv[argc++] = "limpet";
    if (run->wants_state) {
        argv[argc++] = "--state";
        argv[argc++] = state_path;
    }
    for (size_t i = 0; run->given[i]; i++) {
        ASSERT(argc < ARGUMENTS_MAX);
        argv[argc++] = strdup(run->given[i]);
    }
    if (arguments_read(&arguments, argc, argv, "FILE", "Test.", run->takes_path) != 0) {
        return 1;
    }
    (void)printf("path=%s state=%s ping=%u shards=%u listen=%s backlog=%u\n",
                 arguments.options_path ? arguments.options_path : "-", arguments.state.directory,
                 arguments.options.heartbeat.ping_interval_ms, arguments.options.shards,
                 arguments.options.listen.names[0], arguments.options.listen_backlog);
    options_free(&arguments.options);
    return 0;
}

static void read_all(bool takes_path, bool wants_state, const char *const *given)
{
    struct run run = {.takes_path = takes_path, .wants_state = wants_state, .given = given};

    child_run(&child, act, &run);
}

#define READ(takes_path, wants_state, ...)                                                         \
    read_all((takes_path), (wants_state), (const char *const[]){__VA_ARGS__, NULL})

static void assert_read(const char *part)
{
    if (child.status != 0 || !strstr(child.out, part)) {
        fail_msg("status %d: %s%s", child.status, child.out, child.err);
    }
}

static void assert_refused(int status, const char *part)
{
    assert_string_equal(child.out, "");
    if (child.status != status || !strstr(child.err, part)) {
        fail_msg("status %d: %s", child.status, child.err);
    }
}

/* An options file that is valid, with more lines behind. */
static const char *write_file(const char *name, const char *more)
{
    static char text[2048];

    (void)snprintf(text, sizeof(text),
                   "tls:\n  certificates:\n    - certificate: %s/certificate.pem\n"
                   "      key: %s/key.pem\n"
                   "token:\n  keys:\n    - algorithm: HS256\n      path: %s/secret\n%s",
                   state_path, state_path, state_path, more);
    return child_folder_write(&folder, name, text);
}

/* --- where options come from ------------------------------------------------------------------ */

static void without_a_file_it_is_dev_mode(void **unused)
{
    char expected[256];

    (void)unused;
    READ(false, true, "--shards", "3");
    (void)snprintf(expected, sizeof(expected), "path=- state=%s ", state_path);
    assert_read(expected);
    assert_read(" ping=25000 shards=3 listen=127.0.0.1:8443 ");
    READ(false, true, "--listen", "127.0.0.1:0"); /* over the state's own */
    assert_read(" listen=127.0.0.1:0 ");
}

static void flags_override_the_file_wherever_they_stand(void **unused)
{
    char expected[256];

    (void)unused;
    const char *path = write_file("a.yaml", "heartbeat:\n  ping_interval: 30s\nshards: 2\n");
    (void)snprintf(expected, sizeof(expected), "path=%s state= ping=30000 shards=2 ", path);
    READ(false, false, "--options", path);
    assert_read(expected);
    READ(false, false, "--heartbeat.ping-interval", "40s", "--options", path);
    assert_read(" ping=40000 shards=2 ");
    READ(false, false, "--options", path, "--heartbeat.ping-interval=40s");
    assert_read(" ping=40000 shards=2 ");
    READ(false, false, "--options", path, "--shards", "5", "--shards",
         "4"); /* the last one holds */
    assert_read(" ping=30000 shards=4 ");
}

static void a_file_may_be_named_without_a_flag(void **unused)
{
    char expected[256];

    (void)unused;
    const char *path = write_file("b.yaml", "");
    (void)snprintf(expected, sizeof(expected), "path=%s ", path);
    READ(true, false, path);
    assert_read(expected);
    READ(true, false, path, path);
    assert_refused(EX_USAGE, "Too many arguments");
    READ(true, false, "--options", path, path);
    assert_refused(EX_USAGE, "Too many arguments");
    READ(false, false, path); /* `limpet serve FILE`: not what it says it takes */
    assert_refused(EX_USAGE, "Too many arguments");
}

static void every_option_is_a_flag(void **unused)
{
    const struct option_info *info;

    (void)unused;
    READ(false, false, "--help");
    assert_int_equal(child.status, 0);
    for (size_t i = 0; (info = options_info(i)) != NULL; i++) {
        char flag[128];
        (void)snprintf(flag, sizeof(flag), "--%s=%s", info->name, info->value);
        for (char *at = flag; *at && *at != '='; at++) {
            if (*at == '_') {
                *at = '-';
            }
        }
        if (!strstr(child.out, flag)) {
            fail_msg("no %s in the help", flag);
        }
    }
}

/* --- what is refused -------------------------------------------------------------------------- */

static void what_cannot_be_is_said(void **unused)
{
    (void)unused;
    READ(false, true, "--heartbeat.ping-interval", "25");
    assert_refused(1, "limpet: --heartbeat.ping-interval: ");
    READ(false, true, "--no-such-flag", "1");
    assert_refused(EX_USAGE, "no-such-flag");
    READ(false, true, "--shards");
    assert_refused(EX_USAGE, "requires an argument");
    READ(false, false, "--options", "/dev/null/limpet.yaml");
    assert_refused(1, "/dev/null/limpet.yaml");
    READ(false, false, "--state", "/dev/null/state");
    assert_refused(1, "limpet: state folder /dev/null/state: Not a directory");

    const char *path = write_file("broken.yaml", "heartbeat:\n  ping_interval: soon\n");
    READ(false, false, "--options", path, "--shards", "1");
    assert_refused(1, "broken.yaml:10: heartbeat.ping_interval: ");
    /* What fits alone and not together. */
    path = child_folder_write(&folder, "bare.yaml", "shards: 1\n");
    READ(false, false, "--options", path);
    assert_refused(1, "tls.certificates");
}

static void flags_are_bounded(void **unused)
{
    static const char *given[ARGUMENTS_MAX];

    (void)unused;
    for (size_t i = 0; i < 256; i++) {
        given[2 * i] = "--listen-backlog";
        given[2 * i + 1] = i == 255 ? "17" : "16";
    }
    read_all(false, true, given);
    assert_read(" backlog=17");
    given[512] = "--listen-backlog";
    given[513] = "18";
    read_all(false, true, given);
    assert_refused(EX_USAGE, "more than 256 flags");
}

/* --- for the token checks --------------------------------------------------------------------- */

static void token_options_are_handed_on(void **unused)
{
    struct token_key_options keys[OPTIONS_KEYS_MAX];
    struct token_options token_options;
    struct options options;
    char message[256];

    (void)unused;
    options_init(&options);
    static const char *const settings[][2] = {
        {"token.keys", "one=HS256:/a,ES256:/b"},
        {"token.issuer", "me"},
        {"token.audience", "you"},
        {"token.leeway", "7s"},
        {"token.require_expiry", "false"},
        {"token.size_max", "4KB"},
        {"token.channels_max", "9"},
        {"token.channel_size_max", "99"},
    };
    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
        assert_int_equal(
            options_set(&options, settings[i][0], settings[i][1], message, sizeof(message)), 0);
    }
    arguments_token_options(&options, keys, &token_options);
    assert_ptr_equal(token_options.keys, keys);
    assert_int_equal(token_options.key_count, 2);
    assert_string_equal(keys[0].kid, "one");
    assert_string_equal(keys[0].algorithm, "HS256");
    assert_string_equal(keys[0].path, "/a");
    assert_null(keys[1].kid);
    assert_string_equal(keys[1].algorithm, "ES256");
    assert_string_equal(keys[1].path, "/b");
    assert_string_equal(token_options.issuer, "me");
    assert_string_equal(token_options.audience, "you");
    assert_int_equal(token_options.leeway_s, 7);
    assert_false(token_options.require_expiry);
    assert_int_equal(token_options.token_size_max, 4096);
    assert_int_equal(token_options.channels_max, 9);
    assert_int_equal(token_options.channel_size_max, 99);
    options_free(&options);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_file_it_is_dev_mode),
        cmocka_unit_test(flags_override_the_file_wherever_they_stand),
        cmocka_unit_test(a_file_may_be_named_without_a_flag),
        cmocka_unit_test(every_option_is_a_flag),
        cmocka_unit_test(what_cannot_be_is_said),
        cmocka_unit_test(flags_are_bounded),
        cmocka_unit_test(token_options_are_handed_on),
    };
    return cmocka_run_group_tests(tests, open_folder, close_folder);
}
