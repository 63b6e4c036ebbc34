/*
 * Goal: what is given and comes to nothing is told, with the option that makes it so; what is not
 * given, or has its effect, is not.
 */
#include "server/options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* Pairs of names and values; NULL ends them. expected: lines. */
static void expect_warnings(const char *const *pairs, const char *expected)
{
    struct options options;
    char message[512];
    char lines[2048] = "";

    options_init(&options);
    for (size_t i = 0; pairs[i]; i += 2) {
        assert_int_equal(options_set(&options, pairs[i], pairs[i + 1], message, sizeof(message)),
                         0);
    }
    for (size_t next = 0; options_warning(&options, &next, message, sizeof(message));) {
        const size_t size = strlen(lines);
        (void)snprintf(lines + size, sizeof(lines) - size, "%s\n", message);
    }
    assert_string_equal(lines, expected);
    options_free(&options);
}

#define EXPECT(expected, ...) expect_warnings((const char *const[]){__VA_ARGS__, NULL}, expected)

static void nothing_is_said_of_defaults(void **state)
{
    (void)state;
    EXPECT("", "broker.kind", "memory");
    EXPECT("", "broker.kind", "redis");
    EXPECT("", "redis.nodes", "127.0.0.1:6379", "redis.master_name", "mymaster");
}

static void of_another_broker(void **state)
{
    (void)state;
    EXPECT("redis.nodes: has no effect, for broker.kind is memory\n", "redis.nodes", "a:1");
    EXPECT("", "redis.nodes", "a:1", "broker.kind", "redis");
    EXPECT("redis.tls: has no effect, for broker.kind is memory\n"
           "redis.prefix: has no effect, for broker.kind is memory\n",
           "redis.tls", "true", "redis.prefix", "");
    EXPECT("memory.members_max: has no effect, for broker.kind is redis\n", "memory.members_max",
           "7", "broker.kind", "redis");
    EXPECT("", "memory.members_max", "7");
    EXPECT("broker.when_away: has no effect, for broker.kind is memory, which is never away\n",
           "broker.when_away", "queue");
    EXPECT("", "broker.when_away", "queue", "broker.kind", "redis", "broker.queue_bytes_max",
           "1MB");
    EXPECT("broker.queue_bytes_max: has no effect, for broker.when_away is refuse\n", "broker.kind",
           "redis", "broker.queue_bytes_max", "1MB");
}

static void of_tokens_and_compression(void **state)
{
    (void)state;
    EXPECT("upgrade.deflate_level: has no effect, for upgrade.deflate is false\n",
           "upgrade.deflate_level", "6");
    EXPECT("", "upgrade.deflate_level", "6", "upgrade.deflate", "true");
    EXPECT("limits.connections_per_user_max: has no effect, for token.required is false: no user "
           "is known\n",
           "token.required", "false", "limits.connections_per_user_max", "3");
    EXPECT("token.audience: has no effect, for token.required is false\n", "token.required",
           "false", "token.audience", "a");
    EXPECT("", "token.required", "false", "token.channels_max", "3"); /* what clients ask for */
}

static void of_another_topology(void **state)
{
    (void)state;
    EXPECT("redis.master_name: has no effect, for redis.topology is single\n", "broker.kind",
           "redis", "redis.master_name", "x");
    EXPECT("redis.master_name: has no effect, for redis.topology is cluster\n"
           "redis.sentinel_password_file: has no effect, for redis.topology is cluster\n",
           "broker.kind", "redis", "redis.topology", "cluster", "redis.master_name", "x",
           "redis.sentinel_password_file", "/a");
    EXPECT("", "broker.kind", "redis", "redis.topology", "sentinel", "redis.master_name", "x",
           "redis.sentinel_password_file", "/a");
}

static void of_forwarding(void **state)
{
    (void)state;
    EXPECT("redis.forward_name: has no effect, for broker.forward is false\n", "broker.kind",
           "redis", "redis.forward_name", "x");
    EXPECT("redis.forward_length_max: has no effect, for redis.forward is channel\n", "broker.kind",
           "redis", "broker.forward", "true", "redis.forward", "channel", "redis.forward_name", "x",
           "redis.forward_length_max", "5");
    EXPECT("", "broker.kind", "redis", "broker.forward", "true", "redis.forward_name", "x",
           "redis.forward_length_max", "5");
}

static void a_channel_for_backends_that_clients_may_have(void **state)
{
    (void)state;
    EXPECT("redis.forward_name: begins with redis.prefix: subscribers of the channel \"inbound\" "
           "read what all clients send\n",
           "broker.kind", "redis", "broker.forward", "true", "redis.forward", "channel");
    EXPECT("", "broker.kind", "redis", "broker.forward", "true", "redis.forward", "channel",
           "redis.prefix", "limpet:c:");
    EXPECT("", "broker.kind", "redis", "broker.forward", "true"); /* a stream is no channel */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_said_of_defaults),
        cmocka_unit_test(of_another_broker),
        cmocka_unit_test(of_tokens_and_compression),
        cmocka_unit_test(of_another_topology),
        cmocka_unit_test(of_forwarding),
        cmocka_unit_test(a_channel_for_backends_that_clients_may_have),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
