/*
 * Goal: options have the defaults that the header promises, each can be set to both ends of its
 * range and no further, and sets that do not fit together are told.
 */
#include "server/options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void expect_set(struct options *options, const char *name, const char *value)
{
    char message[512] = "";
    int result = options_set(options, name, value, message, sizeof(message));

    if (result != 0) {
        print_error("%s %s: %s\n", name, value, message);
    }
    assert_int_equal(result, 0);
}

static void expect_not_set(struct options *options, const char *name, const char *value,
                           const char *reason)
{
    char message[512] = "";
    int result = options_set(options, name, value, message, sizeof(message));

    if (result != -1 || strcmp(message, reason) != 0) {
        print_error("%s %s: \"%s\"\ninstead of \"%s\"\n", name, value, message, reason);
    }
    assert_int_equal(result, -1);
    assert_string_equal(message, reason);
}

/* --- values ----------------------------------------------------------------------------------- */

static void defaults_are_as_promised(void **state)
{
    struct options options;

    (void)state;
    options_init(&options);
    assert_int_equal(options.listen.count, 1);
    assert_string_equal(options.listen.names[0], "8443");
    assert_int_equal(options.shards, 0);
    assert_int_equal(options.listen_backlog, 4096);
    assert_int_equal(options.tcp_user_timeout_ms, 30000);
    assert_int_equal(options.tls.certificate_count, 0);
    assert_true(options.tls.tls_1_2);
    assert_true(options.tls.tickets);
    assert_null(options.tls.ticket_key_file);
    assert_int_equal(options.tls.ticket_rotate_s, 8 * 3600);
    assert_null(options.upgrade.path);
    assert_int_equal(options.upgrade.origins.count, 0);
    assert_int_equal(options.upgrade.request_size_max, 16 * 1024);
    assert_true(options.token.required);
    assert_true(options.token.in_authorization);
    assert_true(options.token.in_protocol);
    assert_false(options.token.in_cookie);
    assert_false(options.token.in_query);
    assert_string_equal(options.token.cookie_name, "token");
    assert_null(options.token.issuer);
    assert_int_equal(options.token.leeway_s, 5);
    assert_int_equal(options.token.size_max, 8 * 1024);
    assert_int_equal(options.token.channels_max, 128);
    assert_int_equal(options.token.channel_size_max, 255);
    assert_int_equal(options.limits.connections_max, 0);
    assert_int_equal(options.limits.handshakes_max, 1024);
    assert_int_equal(options.limits.message_size_max, 64 * 1024);
    assert_int_equal(options.limits.queue_bytes_max, 256 * 1024);
    assert_int_equal(options.limits.shard_queue_bytes_max, 0);
    assert_int_equal(options.limits.arena_size, 64 << 20);
    assert_int_equal(options.limits.receive_buffer_size, 4096);
    assert_int_equal(options.limits.mailbox_size, 1 << 20);
    assert_int_equal(options.heartbeat.ping_interval_ms, 25000);
    assert_int_equal(options.heartbeat.pong_timeout_ms, 10000);
    assert_int_equal(options.deadlines.handshake_ms, 10000);
    assert_int_equal(options.deadlines.token_grace_ms, 0);
    assert_int_equal(options.deadlines.age_jitter_percent, 10);
    assert_null(options.plain.publish_channel);
    assert_string_equal(options.admin.listen, "127.0.0.1:9464");
    assert_null(options.admin.api_key_file);
    assert_false(options.admin.api_key_in_query);
    assert_false(options.admin.api_namespaces_only);
    assert_int_equal(options.admin.body_size_max, 1024 * 1024);
    assert_int_equal(options.admin.answer_timeout_ms, 5000);
    assert_int_equal(options.log.format, LOG_TEXT);
    assert_int_equal(options.log.level, LOG_INFO);
    options_free(&options);
}

static void numbers_sizes_and_durations(void **state)
{
    struct options options;

    (void)state;
    options_init(&options);
    expect_set(&options, "heartbeat.ping_interval", "100ms");
    assert_int_equal(options.heartbeat.ping_interval_ms, 100);
    expect_set(&options, "heartbeat.ping_interval", "90m");
    assert_int_equal(options.heartbeat.ping_interval_ms, 5400000);
    expect_set(&options, "heartbeat.ping_interval", "1d");
    assert_int_equal(options.heartbeat.ping_interval_ms, 86400000);
    expect_set(&options, "tls.ticket_rotate", "24h");
    assert_int_equal(options.tls.ticket_rotate_s, 86400);
    expect_set(&options, "tls.ticket_rotate", "60000ms");
    assert_int_equal(options.tls.ticket_rotate_s, 60);
    expect_set(&options, "deadlines.age_max", "0");
    expect_set(&options, "deadlines.age_max", "30d");
    assert_int_equal(options.deadlines.age_max_ms, 2592000000u);
    expect_set(&options, "limits.arena_size", "2GB");
    assert_int_equal(options.limits.arena_size, 1u << 31);
    expect_set(&options, "limits.message_size_max", "125");
    assert_int_equal(options.limits.message_size_max, 125);
    expect_set(&options, "limits.message_size_max", "16MB");
    expect_set(&options, "limits.message_size_max", "1000B");
    assert_int_equal(options.limits.message_size_max, 1000);
    expect_set(&options, "limits.receive_buffer_count", "32768");
    expect_set(&options, "shards", "256");
    expect_set(&options, "deadlines.age_jitter_percent", "0");
    expect_set(&options, "deadlines.age_jitter_percent", "50");
    options_free(&options);
}

static void values_out_of_range(void **state)
{
    struct options options;

    (void)state;
    options_init(&options);
    expect_not_set(&options, "heartbeat.ping_interval", "99ms",
                   "99ms is out of range; allowed: 100ms to 1d");
    expect_not_set(&options, "heartbeat.ping_interval", "86400001ms",
                   "86400001ms is out of range; allowed: 100ms to 1d");
    expect_not_set(&options, "heartbeat.ping_interval", "0",
                   "0 is out of range; allowed: 100ms to 1d");
    static const char *const no_durations[] = {"25",
                                               "25 s",
                                               "25S",
                                               "s",
                                               "",
                                               "-1s",
                                               "+1s",
                                               "1.5s",
                                               "1s ",
                                               " 1s",
                                               "0x10s",
                                               "4294967296ms",
                                               "99999999999999999999d"};
    for (size_t i = 0; i < COUNT(no_durations); i++) {
        char reason[256];
        (void)snprintf(reason, sizeof(reason),
                       "\"%s\" is not a duration, a whole number with ms, s, m, h or d, as in 25s; "
                       "allowed: 0, or 1s to 30d",
                       no_durations[i]);
        expect_not_set(&options, "deadlines.age_max", no_durations[i], reason);
    }
    expect_not_set(&options, "tls.ticket_rotate", "60500ms",
                   "60500ms: whole seconds are allowed only");
    expect_not_set(&options, "limits.arena_size", "2049MB",
                   "2049MB is out of range; allowed: 1MB to 2GB");
    expect_not_set(&options, "limits.arena_size", "4GB",
                   "4GB is out of range; allowed: 1MB to 2GB");
    expect_not_set(
        &options, "limits.arena_size", "64mb",
        "\"64mb\" is not a size, a whole number of bytes or with KB, MB or GB, as in 64KB; "
        "allowed: 1MB to 2GB");
    expect_not_set(&options, "shards", "257", "257 is out of range; allowed: 0, or 1 to 256");
    expect_not_set(&options, "shards", "2s",
                   "\"2s\" is not a whole number; allowed: 0, or 1 to 256");
    expect_not_set(&options, "limits.receive_buffer_count", "100",
                   "100 is no power of two; allowed: those from 8 to 32768");
    expect_not_set(&options, "deadlines.age_jitter_percent", "51",
                   "51 is out of range; allowed: 0 to 50");
    assert_int_equal(options.heartbeat.ping_interval_ms, 25000); /* as it was */
    assert_int_equal(options.limits.arena_size, 64 << 20);
    options_free(&options);
}

static void texts_bools_and_choices(void **state)
{
    static const char *const bad_paths[] = {"ws", "/a?b", "/a#b", "/a b", "/\xc3\xa4"};
    struct options options;

    (void)state;
    options_init(&options);
    static const char *const yes[] = {"true", "yes", "on"};
    static const char *const no[] = {"false", "no", "off"};
    for (size_t i = 0; i < COUNT(yes); i++) {
        expect_set(&options, "token.in_cookie", yes[i]);
        assert_true(options.token.in_cookie);
        expect_set(&options, "token.in_cookie", no[i]);
        assert_false(options.token.in_cookie);
    }
    expect_not_set(&options, "token.in_cookie", "True",
                   "\"True\" is not allowed; allowed: true or false");
    expect_not_set(&options, "token.in_cookie", "", "\"\" is not allowed; allowed: true or false");
    expect_not_set(&options, "token.in_cookie", "tru",
                   "\"tru\" is not allowed; allowed: true or false");
    expect_set(&options, "log.level", "debug");
    assert_int_equal(options.log.level, LOG_DEBUG);
    expect_set(&options, "log.level", "error");
    assert_int_equal(options.log.level, LOG_ERROR);
    expect_set(&options, "log.format", "json");
    assert_int_equal(options.log.format, LOG_JSON);
    expect_not_set(&options, "log.level", "warning",
                   "\"warning\" is not allowed; allowed: debug|info|warn|error");
    expect_set(&options, "plain.publish_channel", "");
    assert_string_equal(options.plain.publish_channel, "");
    expect_set(&options, "admin.listen", "");
    expect_set(&options, "admin.listen", "[::1]:9464");
    expect_not_set(&options, "admin.listen", "localhost:9464",
                   "\"localhost:9464\" is not allowed; allowed: PORT, A.B.C.D:PORT or [IPv6]:PORT");
    expect_set(&options, "upgrade.path", "/ws");
    for (size_t i = 0; i < COUNT(bad_paths); i++) {
        char message[512];
        (void)snprintf(
            message, sizeof(message),
            "\"%s\" is not allowed; allowed: a path that begins with /, as it stands in a "
            "request line",
            bad_paths[i]);
        expect_not_set(&options, "upgrade.path", bad_paths[i], message);
    }
    expect_not_set(&options, "token.issuer", "",
                   "\"\" is not allowed; allowed: text that is not empty");
    expect_not_set(&options, "token.issuer", "a\nb",
                   "\"a\nb\" is not allowed; allowed: text without control characters");
    expect_not_set(&options, "token.cookie_name", "my token",
                   "\"my token\" is not allowed; allowed: letters, digits and !#$%&'*+-.^_`|~");
    expect_not_set(&options, "nothing", "1", "there is no such option");
    expect_not_set(&options, "heartbeat", "1", "there is no such option");
    options_free(&options);
}

static void lists_as_flags(void **state)
{
    struct options options;

    (void)state;
    options_init(&options);
    expect_set(&options, "listen", "127.0.0.1:1,[::1]:2,3");
    assert_int_equal(options.listen.count, 3);
    assert_string_equal(options.listen.names[1], "[::1]:2");
    expect_set(&options, "listen", "4"); /* replaces */
    assert_int_equal(options.listen.count, 1);
    expect_not_set(&options, "listen", "5,",
                   "\"\" is not allowed; allowed: text that is not empty");
    expect_set(&options, "upgrade.origins", "https://a.example,http://localhost:3000");
    expect_not_set(&options, "upgrade.origins", "https://a.example/",
                   "\"https://a.example/\" is not allowed; allowed: scheme://host or "
                   "scheme://host:port, without a path");
    expect_set(&options, "tls.certificates", "a.pem:a.key,b.pem:b.key");
    assert_int_equal(options.tls.certificate_count, 2);
    assert_string_equal(options.tls.certificates[1].certificate, "b.pem");
    assert_string_equal(options.tls.certificates[1].key, "b.key");
    expect_not_set(&options, "tls.certificates", "a.pem", "\"a.pem\" is not CHAIN:KEY, two files");
    expect_set(&options, "token.keys", "HS256:/a,old=RS256:/b,/c.json");
    assert_int_equal(options.token.key_count, 3);
    assert_null(options.token.keys[0].kid);
    assert_string_equal(options.token.keys[0].algorithm, "HS256");
    assert_string_equal(options.token.keys[0].path, "/a");
    assert_string_equal(options.token.keys[1].kid, "old");
    assert_string_equal(options.token.keys[1].algorithm, "RS256");
    assert_string_equal(options.token.keys[1].path, "/b");
    assert_null(options.token.keys[2].kid);
    assert_null(options.token.keys[2].algorithm);
    assert_string_equal(options.token.keys[2].path, "/c.json");

    /* As many as there is room for, and one more. */
    char many[17 * 2 + 1] = "";
    for (size_t i = 0; i < 16; i++) {
        strcat(many, i ? ",1" : "1");
    }
    expect_set(&options, "listen", many);
    assert_int_equal(options.listen.count, 16);
    expect_not_set(&options, "listen", strcat(many, ",1"), "more than 16 entries");
    options_free(&options);
}

static void namespaces_as_flags(void **state)
{
    struct options options;
    char many[65 * 4 + 1] = "";
    char name[65 + 1];

    (void)state;
    options_init(&options);
    expect_set(&options, "namespaces",
               "a,:publish=client,b.c-d_E:history_size=5:history_age=2d:slow=drop_oldest");
    assert_int_equal(options.namespaces.count, 3);
    assert_string_equal(options.namespaces.entries[0].name, "a");
    assert_string_equal(options.namespaces.entries[1].name, "");
    assert_int_equal(options.namespaces.entries[1].who[NAMESPACE_PUBLISH], WHO_CLIENT);
    assert_int_equal(options.namespaces.entries[2].history_size, 5);
    assert_int_equal(options.namespaces.entries[2].history_age_s, 2 * 86400);
    assert_int_equal(options.namespaces.entries[2].slow, SLOW_DROP_OLDEST);
    expect_set(&options, "namespaces", "a"); /* replaces */
    assert_int_equal(options.namespaces.count, 1);
    expect_not_set(&options, "namespaces", "a:publish",
                   "\"publish\" is not KEY=VALUE with a key of a namespace");
    expect_not_set(&options, "namespaces", "a:name=b",
                   "\"name\" is not KEY=VALUE with a key of a namespace");
    expect_not_set(&options, "namespaces",
                   "a:slow=", "slow: \"\" is not allowed; allowed: close|drop_oldest|keep_latest");
    expect_not_set(&options, "namespaces", "a,b,a",
                   "name: \"a\" is there already; allowed: each once");

    memset(name, 'n', 64);
    name[64] = 0;
    expect_set(&options, "namespaces", name);
    name[64] = 'n';
    name[65] = 0;
    char message[256];
    assert_int_equal(options_set(&options, "namespaces", name, message, sizeof(message)), -1);
    assert_non_null(strstr(message, "at most 64"));
    for (size_t i = 0; i < 64; i++) {
        (void)sprintf(many + strlen(many), "%sn%02zu", i ? "," : "", i);
    }
    expect_set(&options, "namespaces", many);
    assert_int_equal(options.namespaces.count, 64);
    expect_not_set(&options, "namespaces", strcat(many, ",n"), "more than 64 entries");
    options_free(&options);
}

/* `limpet check` and `limpet options` show them. */
static void namespaces_are_described(void **state)
{
    struct options options;
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    (void)state;
    assert_non_null(out);
    options_init(&options);
    expect_set(&options, "namespaces", "a:history_age=90s:history_size=7,:frame=text");
    options_describe_namespaces(&options, out);
    assert_int_equal(fflush(out), 0);
    assert_string_equal(text, "namespace a: subscribe=claim publish=claim see_presence=claim "
                              "see_history=claim presence=false history_size=7 history_age=90s "
                              "slow=close frame=auto\n"
                              "namespace \"\": subscribe=claim publish=claim see_presence=claim "
                              "see_history=claim presence=false history_size=0 history_age=1h "
                              "slow=close frame=text\n");
    options_describe(&options, out);
    assert_int_equal(fclose(out), 0);
    assert_non_null(strstr(text, "a:history_size=7:history_age=90s,:frame=text"));
    assert_non_null(strstr(text, "namespaces: - see_history"));
    free(text);
    options_free(&options);
}

/* --- cross-checks ----------------------------------------------------------------------------- */

/* Sets one more option of a good set; the line that validation says about it begins with name. */
static void expect_invalid(const char *name, const char *value, const char *line)
{
    struct options options;
    char *messages = NULL;
    size_t size;
    FILE *errors = open_memstream(&messages, &size);

    assert_non_null(errors);
    options_init(&options);
    expect_set(&options, "tls.certificates", "a:b");
    expect_set(&options, "token.keys", "HS256:/a");
    assert_int_equal(options_validate(&options, errors), 0);
    expect_set(&options, name, value);
    int result = options_validate(&options, errors);
    assert_int_equal(fclose(errors), 0);
    if (result != (line ? -1 : 0)) {
        print_error("%s %s: %s\n", name, value, messages);
    }
    assert_int_equal(result, line ? -1 : 0);
    assert_memory_equal(messages, line ? line : "", line ? strlen(line) : 1);
    free(messages);
    options_free(&options);
}

static void options_fit_each_other(void **state)
{
    (void)state;
    expect_invalid("plain.publish_channel", "news:a", NULL);
    expect_invalid("plain.publish_channel", "news:*", "plain.publish_channel: a pattern");
    expect_invalid("namespaces", "a:publish=nobody", NULL);
    expect_invalid("plain.channels_query", "token", NULL); /* as long as no token stands there */
    expect_invalid("namespaces", "a:history_age=5m:history_size=1", NULL);
    expect_invalid("namespaces", "a:history_age=5m", "namespaces: history_age without");
    expect_invalid("listen", "1,2,1", "listen: the same address twice");
    expect_invalid("admin.listen", "8443", "admin.listen: ");
    expect_invalid("token.keys", "/a", "token.keys: /a: no algorithm");
    expect_invalid("token.keys", "/a.json", NULL);
    expect_invalid("token.size_max", "16KB", "upgrade.request_size_max: ");
    expect_invalid("token.size_max", "15872", NULL);
    expect_invalid("token.size_max", "15873", "upgrade.request_size_max: ");
    expect_invalid("limits.queue_bytes_max", "65600", NULL);
    expect_invalid("limits.queue_bytes_max", "65599", "limits.queue_bytes_max: ");
    expect_invalid("limits.message_size_max", "256KB", "limits.queue_bytes_max: ");
    expect_invalid("limits.shard_queue_bytes_max", "262143", "limits.shard_queue_bytes_max: ");
    expect_invalid("limits.shard_queue_bytes_max", "256KB", NULL);
    expect_invalid("limits.queue_bytes_max", "33MB", "limits.arena_size: ");
    expect_invalid("limits.queue_bytes_max", "32MB", NULL);
    expect_invalid("limits.mailbox_size", "129KB", NULL);
    expect_invalid("limits.mailbox_size", "132095", "limits.mailbox_size: ");
    expect_invalid("limits.handshakes_max", "31", "limits.handshakes_per_tick_max: ");
    expect_invalid("limits.handshakes_max", "32", NULL);
    /* A pong may take longer than the next ping: any byte that comes counts as life. */
    expect_invalid("heartbeat.ping_interval", "1s", NULL);
    /* Port 0, the kernel's choice, is another one each time. */
    expect_invalid("listen", "127.0.0.1:0,127.0.0.1:0", NULL);
}

static void somebody_may_publish_where_clients_do(void **state)
{
    static const char *const rules[] = {"claim", "client", "subscriber", "nobody"};
    struct options options;
    FILE *errors = fopen("/dev/null", "w");

    (void)state;
    assert_non_null(errors);
    options_init(&options);
    expect_set(&options, "tls.certificates", "a:b");
    expect_set(&options, "token.keys", "HS256:/a");
    expect_set(&options, "plain.publish_channel", "n:a");
    for (size_t i = 0; i < COUNT(rules); i++) {
        char text[64];
        (void)snprintf(text, sizeof(text), "m:publish=nobody,n:publish=%s", rules[i]);
        expect_set(&options, "namespaces", text);
        assert_int_equal(options_validate(&options, errors), i < 3 ? 0 : -1);
    }
    assert_int_equal(fclose(errors), 0);
    options_free(&options);
}

static void keys_and_certificates_are_needed(void **state)
{
    struct options options;
    char *messages = NULL;
    size_t size;
    FILE *errors = open_memstream(&messages, &size);

    (void)state;
    assert_non_null(errors);
    options_init(&options);
    assert_int_equal(options_validate(&options, errors), -1);
    assert_int_equal(fflush(errors), 0);
    assert_non_null(strstr(messages, "tls.certificates: none"));
    assert_non_null(strstr(messages, "token.keys: no key"));
    expect_set(&options, "tls.certificates", "a:b");
    expect_set(&options, "token.in_authorization", "false");
    expect_set(&options, "token.in_protocol", "false");
    assert_int_equal(options_validate(&options, errors), -1);
    assert_int_equal(fflush(errors), 0);
    assert_non_null(strstr(messages, "token: tokens are required but taken from nowhere"));
    expect_set(&options, "token.required", "false");
    assert_int_equal(options_validate(&options, errors), 0);
    assert_int_equal(fclose(errors), 0);
    free(messages);
    options_free(&options);
}

/* --- the table -------------------------------------------------------------------------------- */

/* Every option has a name of its own, a help, and a default that it takes, also when said again. */
static void every_option_is_described(void **state)
{
    const struct option_info *info;
    struct options options;
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    size_t count = 0;

    (void)state;
    assert_non_null(out);
    options_init(&options);
    options_describe(&options, out);
    assert_int_equal(fclose(out), 0);
    for (; (info = options_info(count)); count++) {
        char line[64];

        (void)snprintf(line, sizeof(line), "%s%s ", count ? "\n" : "", info->name);
        assert_non_null(strstr(text, line));
        assert_non_null(strstr(text, info->help));
        for (size_t i = 0; i < count; i++) {
            assert_string_not_equal(options_info(i)->name, info->name);
        }
        if (info->standard) {
            expect_set(&options, info->name, info->standard);
            /* And it is written in the way that it was said. */
            (void)snprintf(line, sizeof(line), "%-34s %-16s ", info->name, info->standard);
            assert_non_null(strstr(text, line));
        }
    }
    assert_true(count > 50);
    free(text);
    options_free(&options);
    options_free(&options); /* twice is no harm */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_as_promised),
        cmocka_unit_test(numbers_sizes_and_durations),
        cmocka_unit_test(values_out_of_range),
        cmocka_unit_test(texts_bools_and_choices),
        cmocka_unit_test(lists_as_flags),
        cmocka_unit_test(namespaces_as_flags),
        cmocka_unit_test(namespaces_are_described),
        cmocka_unit_test(options_fit_each_other),
        cmocka_unit_test(somebody_may_publish_where_clients_do),
        cmocka_unit_test(keys_and_certificates_are_needed),
        cmocka_unit_test(every_option_is_described),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
