/*
 * Goal: a client gets the channels of the query that its token or the rules allow, all or none, and
 * is told which one it does not get; a list that is wrong or too long is refused on its limit; the
 * memory of a list ends with it; who may publish goes by the option, then by the channel's rule.
 */
#include "server/permissions.h"

#include "bare_shard.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct bare_shard bare;
static struct token_claims claims;
static size_t arena_used;

static int open_shard(void **unused)
{
    (void)unused;
    bare_shard_open(&bare);
    claims = (struct token_claims){0};
    arena_used = bare.shard->arena.used;
    return 0;
}

/* Of no request anything is left. */
static int close_shard(void **unused)
{
    (void)unused;
    assert_int_equal(bare.shard->arena.used, arena_used);
    bare_shard_close(&bare);
    return 0;
}

/* names: zero-terminated ones, one after the other. */
static void expect_names(const char *query, const char *names, uint32_t count)
{
    struct wanted_channels wanted;

    assert_int_equal(permissions_read(bare.shard, slice_text(query), &claims, &wanted), UPGRADE_OK);
    assert_int_equal(wanted.names.count, count);
    assert_int_equal(wanted.refused.size, 0);
    const char *name = wanted.names.names;
    for (uint32_t i = 0; i < count; i++) {
        assert_string_equal(name, names);
        name += strlen(name) + 1;
        names += strlen(names) + 1;
    }
    permissions_end(bare.shard, &wanted);
    assert_int_equal(bare.shard->arena.used, arena_used);
}

static void expect_reason(const char *query, enum upgrade_reason reason, const char *refused)
{
    struct wanted_channels wanted;

    assert_int_equal(permissions_read(bare.shard, slice_text(query), &claims, &wanted), reason);
    assert_true(slice_equal(wanted.refused, slice_text(refused)));
    permissions_end(bare.shard, &wanted);
    assert_int_equal(bare.shard->arena.used, arena_used);
}

/* --- what the query asks for ------------------------------------------------------------------ */

static void a_query_without_channels_asks_for_none(void **unused)
{
    (void)unused;
    expect_names("", "", 0);
    expect_names("token=x", "", 0);
    expect_names("channels", "", 0);
    expect_names("channels=", "", 0);
    expect_names("channels=,,", "", 0);
    expect_names("Channels=news", "", 0); /* another name */
    bare_shard_set(&bare, "plain.channels_query", "");
    expect_names("channels=news", "", 0); /* the option says: none by query */
    expect_names("=news", "", 0);
    bare_shard_set(&bare, "plain.channels_query", "c");
    expect_names("channels=news", "", 0);
    expect_reason("c=news", UPGRADE_CHANNEL_REFUSED, "news");
}

static void names_are_decoded(void **unused)
{
    (void)unused;
    bare_shard_set(&bare, "namespaces", ":subscribe=client,news:subscribe=client");
    expect_names("channels=a,news:b", "a\0news:b", 2);
    expect_names("x=1&channels=%61%2Cb+c%2c%F0%9F%98%80&y", "a\0b c\0\xf0\x9f\x98\x80", 3);
    expect_names("channels=,a,,b,", "a\0b", 2);
}

static void what_is_no_list_of_names_is_refused(void **unused)
{
    static const char *const queries[] = {
        "channels=a&channels=b", "channels=%",      "channels=%4",     "channels=%zz",
        "channels=a%00b",        "channels=a,%0a",  "channels=%7f",    "channels=%c2%80",
        "channels=good,%ff",     "channels=%e2%82", "channels=%c0%af", "channels=%ed%a0%80",
    };

    (void)unused;
    bare_shard_set(&bare, "namespaces", ":subscribe=client");
    for (size_t i = 0; i < sizeof(queries) / sizeof(queries[0]); i++) {
        expect_reason(queries[i], UPGRADE_BAD_CHANNELS, "");
    }
}

static void the_limits_of_names(void **unused)
{
    (void)unused;
    bare_shard_set(&bare, "namespaces", ":subscribe=client");
    bare_shard_set(&bare, "token.channel_size_max", "4");
    bare_shard_set(&bare, "token.channels_max", "3");
    expect_names("channels=abcd", "abcd", 1);
    expect_reason("channels=abcde", UPGRADE_BAD_CHANNELS, "");
    expect_names("channels=%61%62%63%64", "abcd", 1); /* as decoded */
    expect_names("channels=a,b,c", "a\0b\0c", 3);
    expect_reason("channels=a,b,c,d", UPGRADE_BAD_CHANNELS, "");
}

/* --- what is allowed -------------------------------------------------------------------------- */

static void tokens_and_rules_allow(void **unused)
{
    (void)unused;
    bare_shard_set(&bare, "namespaces",
                   "open:subscribe=client,claim:subscribe=claim,shut:subscribe=nobody");
    expect_names("channels=open:1", "open:1", 1);
    expect_reason("channels=claim:1", UPGRADE_CHANNEL_REFUSED, "claim:1");
    expect_reason("channels=shut:1", UPGRADE_CHANNEL_REFUSED, "shut:1");
    expect_reason("channels=plain", UPGRADE_CHANNEL_REFUSED, "plain");
    expect_reason("channels=other:1", UPGRADE_CHANNEL_REFUSED, "other:1");

    claims.allowed[NAMESPACE_SUBSCRIBE] =
        (struct name_list){.names = "claim:*\0plain\0shut:*", .count = 3};
    expect_names("channels=claim:1,plain,open:2", "claim:1\0plain\0open:2", 3);
    expect_reason("channels=shut:1", UPGRADE_CHANNEL_REFUSED, "shut:1"); /* to everybody */
    claims.allowed[NAMESPACE_PUBLISH] = (struct name_list){.names = "other:1", .count = 1};
    expect_reason("channels=other:1", UPGRADE_CHANNEL_REFUSED, "other:1"); /* another action */
}

/* Whoever signs tokens subscribes: no rule is asked. */
static void what_the_token_subscribes_to_needs_no_rule(void **unused)
{
    (void)unused;
    bare_shard_set(&bare, "namespaces", "shut:subscribe=nobody");
    claims.channels = (struct name_list){.names = "shut:mine\0shut:p*", .count = 2};
    expect_names("channels=shut:mine,shut:p1,shut:p*", "shut:mine\0shut:p1\0shut:p*", 3);
    expect_reason("channels=shut:mine,shut:m", UPGRADE_CHANNEL_REFUSED, "shut:m");
    expect_reason("channels=shut:*", UPGRADE_CHANNEL_REFUSED, "shut:*"); /* more than is its own */
}

static void patterns_need_a_right_to_all_that_they_reach(void **unused)
{
    (void)unused;
    bare_shard_set(&bare, "namespaces", "open:subscribe=client,shut:subscribe=nobody");
    expect_names("channels=open:*", "open:*", 1);
    expect_reason("channels=*", UPGRADE_CHANNEL_REFUSED, "*");
    claims.allowed[NAMESPACE_SUBSCRIBE] = (struct name_list){.names = "*", .count = 1};
    expect_reason("channels=*", UPGRADE_CHANNEL_REFUSED, "*"); /* reaches into shut */
    expect_names("channels=o*", "o*", 1);
}

static void one_that_is_refused_refuses_all(void **unused)
{
    (void)unused;
    bare_shard_set(&bare, "namespaces", "open:subscribe=client");
    expect_reason("channels=open:1,first,second", UPGRADE_CHANNEL_REFUSED, "first");
    expect_reason("channels=open:1,open:2,last", UPGRADE_CHANNEL_REFUSED, "last");
}

/* --- memory ----------------------------------------------------------------------------------- */

static void without_memory_it_is_full(void **unused)
{
    struct arena *arena = &bare.shard->arena;
    const uint32_t block = arena_take(arena, arena->size / 2);
    struct wanted_channels wanted;

    (void)unused;
    assert_int_not_equal(block, NONE);
    bare_shard_set(&bare, "namespaces", ":subscribe=client");
    assert_int_equal(permissions_read(bare.shard, slice_text("channels=a"), &claims, &wanted),
                     UPGRADE_FULL);
    assert_int_equal(counter_read(&bare.shard->counts.refused[REFUSED_MEMORY]), 1);
    permissions_end(bare.shard, &wanted);
    assert_int_equal(permissions_read(bare.shard, (struct slice){0}, &claims, &wanted), UPGRADE_OK);
    permissions_end(bare.shard, &wanted); /* takes none */
    arena_give(arena, block);
    expect_names("channels=a", "a", 1);
}

/* --- who may publish -------------------------------------------------------------------------- */

static bool may_publish(void)
{
    return permissions_may_publish(bare.shard, 1, &claims);
}

static void without_a_channel_to_publish_to(void **unused)
{
    (void)unused;
    assert_string_equal(bare.options.plain.publish_channel, ""); /* for development */
    assert_true(may_publish());                                  /* back to its sender */
    free(bare.options.plain.publish_channel);
    bare.options.plain.publish_channel = NULL;
    assert_false(may_publish());
    bare_shard_set(&bare, "broker.forward", "true"); /* to backends alone */
    assert_true(may_publish());
    bare_shard_set(&bare, "broker.forward", "false");
    assert_false(may_publish());
}

static void a_channel_without_a_rule_goes_by_the_option(void **unused)
{
    (void)unused;
    bare_shard_set(&bare, "plain.publish_channel", "news");
    assert_true(may_publish());
    bare_shard_set(&bare, "namespaces", "other:publish=nobody");
    assert_true(may_publish());
}

static void a_rule_decides(void **unused)
{
    (void)unused;
    bare_shard_set(&bare, "plain.publish_channel", "news:all");
    bare_shard_set(&bare, "namespaces", "news:publish=nobody");
    claims.allowed[NAMESPACE_PUBLISH] = (struct name_list){.names = "news:*", .count = 1};
    assert_false(may_publish());
    bare_shard_set(&bare, "namespaces", "news:publish=claim");
    assert_true(may_publish());
    claims.allowed[NAMESPACE_PUBLISH] = (struct name_list){.names = "news:other", .count = 1};
    assert_false(may_publish());
    bare_shard_set(&bare, "namespaces", "news:publish=client");
    assert_true(may_publish());
}

static void subscribers_publish_where_they_are_subscribed(void **unused)
{
    struct channel_table *channels = bare.shard->channels;

    (void)unused;
    (void)!bare_shard_connect(&bare, 1);
    (void)!bare_shard_connect(&bare, 2);
    bare_shard_set(&bare, "plain.publish_channel", "news:all");
    bare_shard_set(&bare, "namespaces", "news:publish=subscriber");
    assert_int_equal(channel_subscribe(channels, slice_text("news:all"), 2), CHANNEL_SUBSCRIBED);
    assert_int_equal(channel_subscribe(channels, slice_text("news:al"), 1), CHANNEL_SUBSCRIBED);
    assert_false(may_publish());
    assert_true(permissions_may_publish(bare.shard, 2, &claims));
    assert_int_equal(channel_subscribe(channels, slice_text("news:a*"), 1), CHANNEL_SUBSCRIBED);
    assert_true(may_publish());
    channel_unsubscribe_all(channels, 1);
    channel_unsubscribe_all(channels, 2);
    arena_used = bare.shard->arena.used; /* the table's own */
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_shard, close_shard)
    const struct CMUnitTest tests[] = {
        TEST(a_query_without_channels_asks_for_none),
        TEST(names_are_decoded),
        TEST(what_is_no_list_of_names_is_refused),
        TEST(the_limits_of_names),
        TEST(tokens_and_rules_allow),
        TEST(what_the_token_subscribes_to_needs_no_rule),
        TEST(patterns_need_a_right_to_all_that_they_reach),
        TEST(one_that_is_refused_refuses_all),
        TEST(without_memory_it_is_full),
        TEST(without_a_channel_to_publish_to),
        TEST(a_channel_without_a_rule_goes_by_the_option),
        TEST(a_rule_decides),
        TEST(subscribers_publish_where_they_are_subscribed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
