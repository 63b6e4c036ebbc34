/* weather.c - what a seed decides before the first tick: options, limits, faults. */
#include "tests/sim/world.h"

#include <stdlib.h>

#define KB 1024u
#define MB (1024u * 1024u)

uint32_t weather_between(uint32_t from, uint32_t to)
{
    ASSERT(from <= to);
    return from + (uint32_t)ring_sim_random((uint64_t)to - from + 1);
}

bool weather_chance(uint32_t percent)
{
    return ring_sim_random(100) < percent;
}

static void choose_deadlines(struct options *options)
{
    options->heartbeat.ping_interval_ms = weather_between(300, 6000);
    options->heartbeat.pong_timeout_ms = weather_between(1000, 3000);
    options->deadlines.handshake_ms = weather_between(2000, 4000);
    options->deadlines.admission_wait_ms = weather_chance(50) ? weather_between(500, 3000) : 0;
    options->deadlines.upgrade_ms = weather_between(2000, 4000);
    options->deadlines.close_ms = weather_between(1000, 3000);
    options->deadlines.shutdown_ms = weather_between(6000, 10000);
    options->deadlines.age_max_ms = weather_chance(25) ? weather_between(2000, 20000) : 0;
    options->deadlines.age_jitter_percent = weather_between(0, 50);
    options->deadlines.token_grace_ms = weather_chance(50) ? 0 : weather_between(1, 3000);
}

static void choose_channel(struct options *options)
{
    const uint32_t choice = weather_between(0, 9);

    free(options->plain.publish_channel);
    options->plain.publish_channel = NULL; /* refused with 1008 */
    if (choice > 0) {
        options->plain.publish_channel = strdup(choice > 4 ? WORLD_CHANNEL : "");
        ASSERT(options->plain.publish_channel != NULL);
    }
}

/* How often the relay comes to its turn. */
static void choose_relay(struct world *world)
{
    world->relay_turns = weather_between(1, world->weather == WEATHER_TIGHT ? 300 : 4);
}

/* What the world's channel has: presence, and what slow consumers meet. */
static void choose_namespace(struct world *world)
{
    static const char *const policies[] = {"close", "drop_oldest", "keep_latest"};
    char message[256];
    char text[64];

    world->has_presence = weather_chance(50);
    world->policy = (enum slow_policy)weather_between(SLOW_CLOSE, SLOW_KEEP_LATEST);
    (void)snprintf(text, sizeof(text), ":presence=%s:publish=client:slow=%s",
                   world->has_presence ? "true" : "false", policies[world->policy]);
    if (options_set(&world->options, "namespaces", text, message, sizeof(message)) != 0) {
        world_fail(world, NULL, "namespaces: %s", message);
    }
}

static void choose_fair_limits(struct world *world)
{
    struct options *options = &world->options;

    options->limits.connections_max = WORLD_CLIENTS_MAX;
    options->limits.handshakes_max = 32;
    options->limits.handshakes_per_tick_max = weather_between(1, 32);
    options->limits.admissions_per_s = weather_chance(50) ? weather_between(60, 500) : 0;
    options->limits.message_size_max = weather_between(200, 40000);
    options->limits.queue_bytes_max = 256 * KB;
    options->limits.receive_buffer_count = 1u << weather_between(0, 5);
    options->limits.receive_buffer_size = weather_between(512, 8 * KB);
    options->limits.mailbox_size = 1 * MB;
    options->limits.arena_size = 4 * MB;
}

/* Limits that a few clients reach, some of them below what the options allow. */
static void choose_tight_limits(struct world *world)
{
    struct options *options = &world->options;

    options->limits.connections_max = weather_between(1, WORLD_CLIENTS_MAX);
    options->limits.connections_per_address_max = weather_chance(30) ? weather_between(1, 6) : 0;
    options->limits.connections_per_user_max = weather_chance(30) ? weather_between(1, 4) : 0;
    options->limits.handshakes_max = weather_between(1, 4);
    options->limits.handshakes_per_tick_max = weather_between(1, options->limits.handshakes_max);
    options->limits.admissions_per_s = weather_chance(50) ? weather_between(1, 30) : 0;
    options->limits.admission_burst = weather_chance(50) ? weather_between(1, 10) : 0;
    options->limits.message_size_max = weather_between(125, 3000);
    options->limits.queue_bytes_max = weather_between(4 * KB, 16 * KB);
    options->limits.shard_queue_bytes_max = options->limits.queue_bytes_max * weather_between(1, 8);
    options->limits.receive_buffer_count = 1u << weather_between(0, 2);
    options->limits.receive_buffer_size = weather_between(512, 1 * KB);
    options->limits.mailbox_size = weather_chance(50) ? 8 * KB : 64 * KB;
    options->limits.arena_size = 1 * MB;
    options->broker.mailbox_size = (4 * KB) << weather_between(0, 4);
}

static void choose_budget(struct world *world)
{
    struct budget *budget = &world->budget;
    char message[256];

    if (budget_make(&world->options, "", budget, message, sizeof(message)) != 0) {
        world_fail(world, NULL, "budget: %s", message);
    }
    budget->channels_max = 64;
    budget->fanouts_per_tick_max = weather_between(1, 32);
    budget->topics_max = weather_between(1, 4);
    budget->publications_max = weather_between(1, 64);
    if (world->weather != WEATHER_TIGHT) {
        return;
    }
    budget->sockets_max = weather_between(2, budget->sockets_max);
    budget->openings_max = weather_between(1, budget->sockets_max);
    budget->partials_max = weather_between(1, budget->sockets_max);
    budget->nodes_max = weather_between(4, 4 * budget->sockets_max);
    budget->channels_max = weather_between(1, 4);
    budget->subscriptions_max = weather_between(1, 2 * budget->sockets_max);
    budget->arena_size = (64 * KB) << weather_between(0, 4);
}

static void choose_faults(struct world *world)
{
    ring_sim_storm();
    if (world->weather != WEATHER_ROUGH) {
        ring_sim_set_fault(SIM_RESET, 0);
        ring_sim_set_fault(SIM_ACCEPT_FAILS, 0);
        ring_sim_set_fault(SIM_NAME_FAILS, 0);
        ring_sim_set_fault(SIM_CLOCK_JUMP, 0);
        return;
    }
    world->has_resets = weather_chance(60);
    if (!world->has_resets) {
        ring_sim_set_fault(SIM_RESET, 0);
        ring_sim_set_fault(SIM_ACCEPT_FAILS, 0);
        ring_sim_set_fault(SIM_NAME_FAILS, 0);
    }
    ring_sim_set_fault(SIM_CLOCK_JUMP, world->has_resets && weather_chance(50) ? 0 : 1);
    world->jump_per_mille = weather_chance(30) ? 1 : 0;
}

void weather_choose(struct world *world)
{
    struct options *options = &world->options;

    world->weather = (enum weather)weather_between(0, WEATHERS - 1);
    options_init(options);
    options->shards = weather_between(1, WORLD_SHARDS_MAX);
    options->token.required = weather_chance(90);
    options->token.require_expiry = false;
    options->token.leeway_s = world->keyring->token_options.leeway_s;
    options->tls.tickets = weather_chance(50);
    options->tls.tls_1_2 = weather_chance(70);
    world->is_ipv6 = weather_chance(50);
    choose_deadlines(options);
    choose_channel(options);
    options->upgrade.deflate = weather_chance(50);
    options->upgrade.deflate_size_min = weather_between(1, 400);
    options->upgrade.deflate_level = weather_between(1, 9);
    choose_relay(world);
    choose_namespace(world);
    if (world->weather == WEATHER_TIGHT) {
        choose_tight_limits(world);
    } else {
        choose_fair_limits(world);
    }
    choose_budget(world);
    choose_faults(world);
}
