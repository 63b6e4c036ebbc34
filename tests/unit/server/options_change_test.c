/*
 * Goal: of two sets of options every difference is named, as one that holds from now on or one that
 * needs a new start; and what needs a new start is set back, so that the options tell what runs.
 */
#include "server/options_change.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static struct options start;
static struct options running;
static struct options next;
static struct options_change change;
static char message[512];

static void set(struct options *options, const char *name, const char *value)
{
    if (options_set(options, name, value, message, sizeof(message)) != 0) {
        fail_msg("%s=%s: %s", name, value, message);
    }
}

/* As the server was started, and as it runs. */
static void set_running(const char *name, const char *value)
{
    set(&start, name, value);
    set(&running, name, value);
}

static int open_options(void **state)
{
    (void)state;
    options_init(&start);
    options_init(&running);
    options_init(&next);
    return 0;
}

static int close_options(void **state)
{
    (void)state;
    options_free(&start);
    options_free(&running);
    options_free(&next);
    return 0;
}

static void merge(void)
{
    options_change_merge(&start, &running, &next, &change);
}

static void expect_changed(const char *name)
{
    merge();
    assert_int_equal(change.kept_count, 0);
    assert_int_equal(change.changed_count, 1);
    assert_string_equal(change.changed[0], name);
}

static void expect_kept(const char *name)
{
    merge();
    assert_int_equal(change.changed_count, 0);
    assert_int_equal(change.kept_count, 1);
    assert_string_equal(change.kept[0], name);
    merge(); /* it was set back: there is no difference left */
    assert_int_equal(change.changed_count + change.kept_count, 0);
}

static void test_no_difference(void **state)
{
    (void)state;
    merge();
    assert_int_equal(change.changed_count + change.kept_count, 0);
    set_running("namespaces", "news:presence=true");
    set(&next, "namespaces", "news:presence=true");
    set_running("token.keys", "k=HS256:/a");
    set(&next, "token.keys", "k=HS256:/a");
    merge();
    assert_int_equal(change.changed_count + change.kept_count, 0);
}

/* Each by itself, with a value that is not its default. */
static void test_what_can_change(void **state)
{
    static const char *const pairs[][2] = {
        {"tls.certificates", "/a:/b"},
        {"upgrade.path", "/ws"},
        {"upgrade.origins", "https://a.example"},
        {"upgrade.protocols", "chat"},
        {"upgrade.deflate_size_min", "100"},
        {"token.required", "false"},
        {"token.in_authorization", "false"},
        {"token.in_protocol", "false"},
        {"token.in_cookie", "true"},
        {"token.in_query", "true"},
        {"token.cookie_name", "c"},
        {"token.query_name", "q"},
        {"token.keys", "https://id.example/keys"},
        {"token.issuer", "i"},
        {"token.audience", "a"},
        {"token.leeway", "7s"},
        {"token.require_expiry", "false"},
        {"token.size_max", "1KB"},
        {"token.jwks_ca_file", "/ca.pem"},
        {"token.jwks_cache", "/cache"},
        {"token.jwks_refresh", "1m"},
        {"token.jwks_cooldown", "1m"},
        {"token.jwks_timeout", "1s"},
        {"token.channels_max", "3"},
        {"token.channel_size_max", "9"},
        {"limits.banned", "192.0.2.0/24"},
        {"limits.banned_file", "/banned"},
        {"limits.allowed", "192.0.2.0/24"},
        {"limits.allowed_file", "/allowed"},
        {"limits.handshakes_per_tick_max", "7"},
        {"limits.admissions_per_s", "7"},
        {"limits.admission_burst", "7"},
        {"heartbeat.ping_interval", "1s"},
        {"heartbeat.pong_timeout", "1s"},
        {"deadlines.admission_wait", "1s"},
        {"deadlines.handshake", "1s"},
        {"deadlines.upgrade", "1s"},
        {"deadlines.close", "1s"},
        {"deadlines.token_grace", "1s"},
        {"deadlines.age_max", "1h"},
        {"deadlines.age_jitter_percent", "3"},
        {"deadlines.shutdown", "1s"},
        {"plain.channels_query", "c"},
        {"broker.when_away", "queue"},
        {"broker.queue_bytes_max", "1MB"},
        {"proxy.trusted", "192.0.2.0/24"},
        {"namespaces", "news:history_size=5:history_age=1h"},
        {"admin.answer_timeout", "1s"},
        {"admin.ready_high_water", "50"},
        {"log.level", "debug"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        set(&next, pairs[i][0], pairs[i][1]);
        expect_changed(pairs[i][0]);
        set(&running, pairs[i][0], pairs[i][1]);
    }
    assert_int_equal(next.admin.ready_high_water_percent, 50);
    assert_int_equal(next.log.level, LOG_DEBUG);
    assert_string_equal(next.token.keys[0].path, "https://id.example/keys");
}

static void test_what_needs_a_new_start(void **state)
{
    static const char *const pairs[][2] = {
        {"listen", "9443,127.0.0.1:9444"}, /* a list */
        {"shards", "7"},
        {"tls.tickets", "false"},
        {"tls.ticket_key_file", "/tickets"}, /* a text that was not set */
        {"plain.publish_channel", "all"},
        {"limits.arena_size", "2MB"},
        {"broker.kind", "redis"}, /* a choice */
        {"redis.nodes", "a:1,b:2"},
        {"admin.listen", ""},
        {"log.format", "json"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        set(&next, pairs[i][0], pairs[i][1]);
        expect_kept(pairs[i][0]);
    }
    assert_int_equal(next.listen.count, 1);
    assert_string_equal(next.listen.names[0], "8443");
    assert_int_equal(next.shards, 0);
    assert_true(next.tls.tickets);
    assert_null(next.tls.ticket_key_file);
    assert_null(next.plain.publish_channel);
    assert_int_equal(next.broker.kind, BROKER_KIND_MEMORY);
    assert_string_equal(next.admin.listen, "127.0.0.1:9464");
    assert_int_equal(next.log.format, LOG_TEXT);
}

/* What was set, and is left out now, differs as well. */
static void test_what_is_taken_away(void **state)
{
    (void)state;
    set_running("token.issuer", "i");
    expect_changed("token.issuer");
    assert_null(next.token.issuer);
    set(&running, "token.issuer", "j"); /* back to no difference, but in one text */
    set(&next, "token.issuer", "i");
    expect_changed("token.issuer");
    set(&running, "token.issuer", "i");

    set_running("plain.publish_channel", "all");
    expect_kept("plain.publish_channel");
    assert_string_equal(next.plain.publish_channel, "all");
    set_running("limits.banned", "192.0.2.0/24,198.51.100.0/24");
    set(&next, "limits.banned", "192.0.2.0/24");
    expect_changed("limits.banned");
}

static void test_an_entry_with_a_text_less(void **state)
{
    (void)state;
    set_running("token.keys", "k=HS256:/a");
    set(&next, "token.keys", "HS256:/a");
    expect_changed("token.keys");
    set(&next, "token.keys", "k=HS256:/b");
    expect_changed("token.keys");
}

/* A count that nobody has kept cannot be compared with a limit. */
static void test_limits_that_need_a_count(void **state)
{
    static const char *const names[] = {"limits.connections_per_address_max",
                                        "limits.connections_per_user_max"};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        set(&next, names[i], "10");
        expect_kept(names[i]);
        set_running(names[i], "5");
        set(&next, names[i], "10");
        expect_changed(names[i]);
        /* Off and on again: what was counted at the start is counted still. */
        set(&running, names[i], "0");
        set(&next, names[i], "0");
        set(&next, names[i], "10");
        expect_changed(names[i]);
        set(&running, names[i], "10");
    }
}

static void test_presence_stays_as_it_is(void **state)
{
    (void)state;
    set(&next, "namespaces", "news:presence=true");
    expect_kept("namespaces");
    assert_int_equal(next.namespaces.count, 0);

    set_running("namespaces", "news:presence=true,chat:history_size=5");
    set(&next, "namespaces", "news:presence=true");
    expect_changed("namespaces"); /* one without presence goes */
    set(&next, "namespaces", "chat:history_size=5");
    expect_kept("namespaces"); /* one with it cannot */
    assert_int_equal(next.namespaces.count, 2);
    assert_string_equal(next.namespaces.entries[0].name, "news");
}

static void test_both_at_once_in_the_order_of_the_options(void **state)
{
    (void)state;
    set(&next, "log.level", "warn");
    set(&next, "shards", "3");
    set(&next, "token.leeway", "9s");
    set(&next, "log.format", "json");
    merge();
    assert_int_equal(change.changed_count, 2);
    assert_string_equal(change.changed[0], "token.leeway");
    assert_string_equal(change.changed[1], "log.level");
    assert_int_equal(change.kept_count, 2);
    assert_string_equal(change.kept[0], "shards");
    assert_string_equal(change.kept[1], "log.format");
    assert_int_equal(next.token.leeway_s, 9);
    assert_int_equal(next.shards, 0);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, open_options, close_options)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_no_difference),
        TEST(test_what_can_change),
        TEST(test_what_needs_a_new_start),
        TEST(test_what_is_taken_away),
        TEST(test_an_entry_with_a_text_less),
        TEST(test_limits_that_need_a_count),
        TEST(test_presence_stays_as_it_is),
        TEST(test_both_at_once_in_the_order_of_the_options),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
