#include "tests/sim/world.h"

#include "server/drain.h"
#include "server/handshakes.h"
#include "server/opening.h"
#include "server/outbound.h"
#include "tests/sim/client.h"

#include <stdarg.h>
#include <stdlib.h>

#define MESSAGE_SIZE          512
#define NS_PER_MS             1000000ull
#define NS_PER_HOUR           3600000000000ull
#define BACKLOG               8
#define QUIET_ROUNDS          40 /* from then on rounds may take long */
#define SHORT_NS              (1 * NS_PER_MS)
#define LONG_NS               (100 * NS_PER_MS)
#define DEATH_TURNS_MAX       200
#define DEATH_NS_MAX          (500 * NS_PER_MS)
#define DEATH_RELAY_TURNS_MAX 8
#define JUMP_MIN_NS           (1000 * NS_PER_MS) /* no wait takes so long */

/* --- telling ------------------------------------------------------------------------------------
 */

PRINTF_LIKE(3, 0)
static void print(FILE *out, const struct client *client, const char *format, va_list arguments)
{
    (void)fprintf(out, "%12.6f ", (double)ring_sim_now_ns() / 1e9);
    if (client != NULL) {
        (void)fprintf(out, "client %u (%s): ", client->number, client_role_name(client->role));
    }
    (void)vfprintf(out, format, arguments);
    (void)fprintf(out, "\n");
}

void world_say(struct world *world, const struct client *client, const char *format, ...)
{
    va_list arguments;

    if (world->log == NULL) {
        return;
    }
    va_start(arguments, format);
    print(world->log, client, format, arguments);
    va_end(arguments);
}

_Noreturn void world_fail(struct world *world, const struct client *client, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    (void)fprintf(stderr, "seed %llu: ", (unsigned long long)world->seed);
    print(stderr, client, format, arguments);
    va_end(arguments);
    abort();
}

void world_trace(struct world *world, uint64_t value)
{
    world->trace = (world->trace ^ value) * 0x100000001b3u;
    world->trace ^= world->trace >> 29;
}

void world_trace_bytes(struct world *world, const uint8_t *bytes, size_t size)
{
    uint64_t hash = size;

    for (size_t i = 0; i < size; i++) {
        hash = (hash ^ bytes[i]) * 0x100000001b3u;
    }
    world_trace(world, hash);
}

/* --- counts -------------------------------------------------------------------------------------
 */

static uint64_t count_at(const struct counts *counts, size_t place)
{
    const struct counter *counter = (const void *)((const uint8_t *)counts + place);

    return counter_read(counter);
}

uint64_t world_count(const struct world *world, size_t place)
{
    uint64_t sum = count_at(&world->past, place);

    for (uint32_t i = 0; i < world->server.shard_count; i++) {
        sum += world->shards[i] != NULL ? count_at(&world->shards[i]->counts, place) : 0;
    }
    return sum;
}

uint64_t world_losses(const struct world *world)
{
    const uint64_t for_all =
        WORLD_COUNT(world, publications_lost) + WORLD_COUNT(world, mailbox_full);

    return for_all * WORLD_CLIENTS_MAX + WORLD_COUNT(world, dropped[SLOW_DROP_OLDEST]) +
           WORLD_COUNT(world, dropped[SLOW_KEEP_LATEST]);
}

bool world_is_lossy(const struct world *world)
{
    return world_losses(world) > 0;
}

bool world_drops(const struct world *world)
{
    const struct options *options = &world->options;

    return world->weather == WEATHER_TIGHT && options->plain.publish_channel != NULL &&
           options->plain.publish_channel[0] != '\0' && world->policy != SLOW_CLOSE;
}

bool world_has_excuse(const struct world *world)
{
    uint64_t reasons = WORLD_COUNT(world, closed[CAUSE_INTERNAL]);

    for (uint32_t i = 0; i < REFUSALS; i++) {
        reasons +=
            world_count(world, offsetof(struct counts, refused) + i * sizeof(struct counter));
    }
    if (world->weather == WEATHER_TIGHT) {
        reasons += WORLD_COUNT(world, publications_failed[BROKER_FULL]);
        reasons += WORLD_COUNT(world, closed[CAUSE_SLOW_CONSUMER]);
        reasons += WORLD_COUNT(world, accept_errors); /* the table of sockets was full */
    }
    return world->jumped || world->has_resets || reasons > 0;
}

/* --- open and close -----------------------------------------------------------------------------
 */

static void open_shared(struct world *world)
{
    struct server *server = &world->server;
    const struct options *options = &world->options;
    const uint32_t sockets = world->budget.sockets_max * world->budget.shard_count;
    char message[MESSAGE_SIZE];

    *server =
        (struct server){.options = options,
                        .budget = &world->budget,
                        .certificates = world->keyring->certificates,
                        .token_keys = options->token.required ? world->keyring->token_keys : NULL,
                        .shard_count = world->budget.shard_count};
    if (options->tls.tickets) {
        world->tickets = ticket_keys_open(NULL, 60, message, sizeof(message));
        ASSERT(world->tickets != NULL);
        server->tickets = world->tickets;
    }
    server->open = tally_open(64);
    ASSERT(server->open != NULL);
    if (options->limits.connections_per_address_max > 0) {
        server->addresses = tally_open(sockets);
        ASSERT(server->addresses != NULL);
    }
    if (options->limits.connections_per_user_max > 0) {
        server->users = tally_open(sockets);
        ASSERT(server->users != NULL);
    }
    for (uint32_t i = 0; i < server->shard_count; i++) {
        server->mailboxes[i] = mailbox_open(options->limits.mailbox_size);
        ASSERT(server->mailboxes[i] != NULL);
    }
}

static void open_shard(struct world *world, uint32_t number)
{
    char message[MESSAGE_SIZE];
    ASSERT(world->budget.sockets_max <= WORLD_SOCKETS_MAX);
    struct shard *shard = shard_open(&world->server, number, message, sizeof(message));

    if (shard == NULL || shard_open_ring(shard, message, sizeof(message)) != 0) {
        world_fail(world, NULL, "shard %u: %s", number, message);
    }
    world->server.ring_fds[number] = ring_fd(shard->ring);
    world->shards[number] = shard;
    world->arena_used[number] = shard->arena.used;
    if (weather_chance(50)) {
        shard->generation = RING_GENERATION_MAX - weather_between(0, 10); /* it wraps soon */
    }
    world->listener_fds[number] = ring_sim_listen(BACKLOG);
    const struct listener listener = {
        .fd = world->listener_fds[number],
        .kind = world->is_ipv6 ? LISTENER_IPV6 : LISTENER_IPV4,
    };
    accepting_listen(shard, &listener);
}

static void open_main_ring(struct world *world)
{
    const struct ring_options options = {.sockets_max = 1, .buffer_count = 1, .buffer_size = 64};
    char message[MESSAGE_SIZE];
    int error = 0;

    world->main_ring = ring_open(&options, &error, message, sizeof(message));
    ASSERT(world->main_ring != NULL);
}

static void open_relay(struct world *world)
{
    char message[MESSAGE_SIZE];

    identity_key_make(&world->server.identity_key);
    world->server.relay = relay_open(&world->server, message, sizeof(message));
    if (world->server.relay == NULL) {
        world_fail(world, NULL, "relay: %s", message);
    }
}

/* The shards have stopped: what is left ends with the relay. */
static void close_relay(struct world *world)
{
    relay_stop(world->server.relay, 1000);
    while (relay_turn(world->server.relay, 0)) {
    }
    relay_close(world->server.relay);
}

void world_open(struct world *world, const struct keyring *keyring, uint64_t seed, FILE *log)
{
    *world = (struct world){.seed = seed, .log = log, .keyring = keyring};
    random_source_seed(seed);
    ring_sim_seed(seed);
    weather_choose(world);
    world->deflater = deflate_open(1, CLIENT_SPEECH_MAX);
    ASSERT(world->deflater != NULL);
    open_shared(world);
    open_main_ring(world);
    open_relay(world);
    for (uint32_t i = 0; i < world->server.shard_count; i++) {
        open_shard(world, i);
    }
    world_say(world, NULL, "seed %llu: %u shards, weather %d", (unsigned long long)seed,
              world->server.shard_count, (int)world->weather);
}

void world_close(struct world *world)
{
    struct server *server = &world->server;

    close_relay(world);
    deflate_close(world->deflater);
    for (uint32_t i = 0; i < server->shard_count; i++) {
        ASSERT(world->shards[i] == NULL);
        mailbox_close(server->mailboxes[i]);
    }
    for (uint32_t version = 0; version < 2; version++) {
        for (uint32_t suite = 0; suite < 3; suite++) {
            if (world->tls_clients[version][suite] != NULL) {
                tls_client_close(world->tls_clients[version][suite]);
            }
        }
    }
    ring_close(world->main_ring);
    tally_close(server->open);
    tally_close(server->addresses);
    tally_close(server->users);
    if (world->tickets != NULL) {
        ticket_keys_close(world->tickets);
    }
    options_free(&world->options);
}

struct tls_client *world_tls_client(struct world *world, enum tls_version version,
                                    enum tls_suite suite)
{
    struct tls_client **place = &world->tls_clients[version][suite];
    const struct tls_client_options options = {.host_name = "localhost",
                                               .handshakes_max = WORLD_CLIENTS_MAX,
                                               .version = version,
                                               .suite = suite};
    char message[MESSAGE_SIZE];

    if (*place == NULL) {
        *place = tls_client_open(&options, message, sizeof(message));
        ASSERT(*place != NULL);
    }
    return *place;
}

/* --- turns --------------------------------------------------------------------------------------
 */

/* The keys of a connection grow old, as after millions of records: it must turn them. */
static void age_some_keys(struct shard *shard)
{
    const uint32_t number = (uint32_t)ring_sim_random(shard->conns.count_max);
    struct conn *conn = conn_at(shard, number);

    if (pool_is_taken(&shard->conns, number) && conn->state == CONN_OPEN &&
        conn_tls(shard, conn)->version == TLS_1_3) {
        conn_tls(shard, conn)->update_due = 1;
        outbound_mark(shard, number);
    }
}

static void keep_counts(struct world *world, const struct shard *shard)
{
    uint8_t *past = (uint8_t *)&world->past;

    for (size_t i = 0; i < sizeof(struct counts); i += sizeof(struct counter)) {
        counter_add((void *)(past + i), count_at(&shard->counts, i));
    }
}

/* A shard that may sleep while parcels wait for it is being woken. */
static void check_mailbox(struct world *world, uint32_t number)
{
    const struct shard *shard = world->shards[number];

    if (mailbox_next(world->server.mailboxes[number]).data != NULL && !shard->work_left &&
        !shard->starved && !shard->fanout.is_holding && ring_sim_wakes(shard->ring) == 0) {
        world_fail(world, NULL, "shard %u sleeps over its parcels", number);
    }
}

/* A dead connection waits for its operations to end and for the relay, which hears of it, to take
 * its turns; for nobody outside. */
static void check_deaths(struct world *world, uint32_t shard_number)
{
    struct shard *shard = world->shards[shard_number];

    for (uint32_t i = 0; i < shard->conns.count_max; i++) {
        struct death *death = &world->deaths[shard_number][i];
        if (!pool_is_taken(&shard->conns, i) || conn_at(shard, i)->state != CONN_DEAD) {
            death->turns = 0;
            continue;
        }
        if (death->turns++ == 0) {
            death->since_ns = ring_sim_now_ns();
            death->since_relay_turn = world->relay_turned;
        }
        if (death->turns > DEATH_TURNS_MAX && ring_sim_now_ns() - death->since_ns > DEATH_NS_MAX &&
            world->relay_turned - death->since_relay_turn > DEATH_RELAY_TURNS_MAX) {
            world_fail(world, NULL, "shard %u: connection %u is dead and stays, in flight %#x",
                       shard_number, i, conn_at(shard, i)->in_flight);
        }
    }
}

static void note_jump(struct world *world, uint64_t before_ns, uint64_t before_unix_ms)
{
    if (!world->jumped && (ring_sim_now_ns() - before_ns > JUMP_MIN_NS ||
                           ring_unix_ms(NULL) - before_unix_ms > JUMP_MIN_NS / NS_PER_MS)) {
        world->jumped = true;
        world_say(world, NULL, "the clock jumps");
    }
}

static void turn_relay(struct world *world)
{
    const uint64_t before_ns = ring_sim_now_ns();
    const uint64_t before_unix_ms = ring_unix_ms(NULL);
    world->relay_turned++;
    const bool goes_on = relay_turn(world->server.relay, 0);

    ASSERT(goes_on);
    note_jump(world, before_ns, before_unix_ms);
}

static void turn_shard(struct world *world, uint32_t number)
{
    struct shard *shard = world->shards[number];
    const uint64_t before_ns = ring_sim_now_ns();
    const uint64_t before_unix_ms = ring_unix_ms(NULL);

    ring_sim_set_sleep(world->quiet < QUIET_ROUNDS ? SHORT_NS : LONG_NS);
    if (ring_sim_random(50) == 0) {
        age_some_keys(shard);
    }
    check_mailbox(world, number);
    const bool goes_on = shard_tick(shard);
    shard_check(shard);
    ring_sim_check();
    check_deaths(world, number);
    note_jump(world, before_ns, before_unix_ms);
    world_trace(world, number);
    world_trace(world, shard->now_ns);
    world_trace(world, shard->conns.count);
    world_trace(world, shard->arena.used);
    if (!goes_on) {
        world_say(world, NULL, "shard %u stops with %u connections", number, shard->conns.count);
        keep_counts(world, shard);
        shard_close(shard);
        world->shards[number] = NULL;
    }
}

static uint64_t movement(const struct world *world)
{
    return WORLD_COUNT(world, bytes_sent) + WORLD_COUNT(world, bytes_received) +
           WORLD_COUNT(world, accepted) + WORLD_COUNT(world, connections_held);
}

void world_turn(struct world *world)
{
    const uint32_t count = world->server.shard_count;
    const uint32_t first = (uint32_t)ring_sim_random(count);
    const bool backwards = ring_sim_random(2) == 0;

    if (world->jump_per_mille > 0 && ring_sim_random(1000) < world->jump_per_mille) {
        world->jumped = true;
        world_say(world, NULL, "the clock jumps far");
        ring_sim_advance(ring_sim_random(5 * NS_PER_HOUR));
    }
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t number = (backwards ? first + count - i : first + i) % count;
        if (world->shards[number] != NULL && ring_sim_random(8) != 0) {
            turn_shard(world, number);
        }
        if (ring_sim_random(world->relay_turns) == 0) {
            turn_relay(world);
        }
    }
    const uint64_t moved = movement(world);
    world->quiet = moved == world->moved ? world->quiet + 1 : 0;
    world->moved = moved;
}

static void give_order(struct world *world, enum drain_order order, uint32_t within_ms)
{
    struct ring_event event;
    uint64_t now_ns = 0;

    drain_give_order(&world->server, order, within_ms, world->main_ring);
    const uint32_t events = ring_wait(world->main_ring, 0, &event, 1, &now_ns);
    ASSERT(events == 0);
}

void world_drain(struct world *world, uint32_t over_ms)
{
    world_say(world, NULL, "drain over %u ms", over_ms);
    give_order(world, ORDER_DRAIN, over_ms);
    world->stopping = true;
    world->quiet = 0;
}

void world_undo_drain(struct world *world)
{
    world_say(world, NULL, "drain undone");
    give_order(world, ORDER_UNDO, 0);
}

void world_stop(struct world *world)
{
    world_say(world, NULL, "stop");
    give_order(world, ORDER_STOP, world->options.deadlines.shutdown_ms);
    world->stopping = true;
    world->quiet = 0;
}

bool world_has_stopped(const struct world *world)
{
    for (uint32_t i = 0; i < world->server.shard_count; i++) {
        if (world->shards[i] != NULL) {
            return false;
        }
    }
    return true;
}

uint32_t world_held(const struct world *world)
{
    uint32_t held = 0;

    for (uint32_t i = 0; i < world->server.shard_count; i++) {
        const struct shard *shard = world->shards[i];
        held += shard ? shard->conns.count + shard->fanout.topics.count : 0;
    }
    return held;
}

static void check_empty_queues(const struct shard *shard)
{
    ASSERT(queue_count(&shard->dirty) == 0);
    ASSERT(queue_count(&shard->errands.joining) == 0);
    ASSERT(shard->identities.pool.count == 0);
    ASSERT(queue_count(&shard->reap) == 0);
    ASSERT(queue_count(&shard->continuing) == 0);
    ASSERT(handshakes_waiting(shard) == 0);
    for (uint32_t class = 0; class < ADMISSION_CLASSES; class ++) {
        ASSERT(shard->admission.held[class] == 0);
    }
}

static void check_empty_shard(const struct shard *shard, size_t arena_used)
{
    struct channel_counts channels;

    ASSERT(shard->conns.count == 0);
    for (uint32_t class = 0; class < TLS_CLASSES; class ++) {
        ASSERT(shard->tls[class].count == 0);
    }
    ASSERT(shard->openings.count == 0);
    ASSERT(shard->partials.count == 0);
    ASSERT(shard->nodes.count == 0);
    ASSERT(shard->fanout.topics.count == 0);
    ASSERT(shard->fanout.waiting == 0);
    ASSERT(shard->arena.used == arena_used);
    ASSERT(shard->wheel.count == 0);
    check_empty_queues(shard);
    ASSERT(shard->open_count == 0);
    ASSERT(handshake_count(shard->tls_server) == 0);
    channel_read_counts(shard->channels, &channels);
    ASSERT(channels.channels == 0);
    ASSERT(channels.subscriptions == 0);
    ASSERT(counter_read(&shard->counts.connections_open) == 0);
    ASSERT(counter_read(&shard->counts.connections_held) == 0);
    ASSERT(counter_read(&shard->counts.timers) == 0);
    ASSERT(counter_read(&shard->counts.arena_bytes) == arena_used);
    ASSERT(counter_read(&shard->counts.handshakes_in_flight) == 0);
    ASSERT(ring_sim_sockets(shard->ring) == 0);
    ASSERT(ring_sim_in_flight(shard->ring) == 0);
}

/* Every connection that was opened was closed for one reason. */
static void check_causes(const struct world *world)
{
    const uint64_t opened = WORLD_COUNT(world, upgrades[UPGRADE_OK]);
    uint64_t causes = 0;

    for (uint32_t i = 0; i < CLOSE_CAUSES; i++) {
        causes += world_count(world, offsetof(struct counts, closed) + i * sizeof(struct counter));
    }
    ASSERT(causes <= opened);
    /* Only where memory ends does a 101 not get out that was counted. */
    ASSERT(causes == opened || WORLD_COUNT(world, refused[REFUSED_MEMORY]) > 0);
}

static void count_members(void *context, const struct relay_answer *answer)
{
    uint32_t *members = context;

    ASSERT(answer->outcome == BROKER_DONE);
    *members = answer->event->member_count;
}

/* Whoever has left has said so. */
static void check_nobody_is_present(struct world *world)
{
    const struct relay_request request = {.question = RELAY_PRESENCE,
                                          .publication = {.channel = slice_text(WORLD_CHANNEL)}};
    uint32_t members = NONE;

    enum broker_outcome outcome;
    while ((outcome = relay_ask(world->server.relay, &request, count_members, &members)) ==
           BROKER_FULL) {
        turn_relay(world);
    }
    ASSERT(outcome == BROKER_DONE);
    for (uint32_t turns = 0; turns == 0 || members == NONE; turns++) {
        ASSERT(turns < 1000);
        turn_relay(world);
        for (uint32_t i = 0; i < world->server.shard_count; i++) {
            if (world->shards[i] != NULL) {
                turn_shard(world, i); /* its mailbox may be full */
            }
        }
    }
    if (members != 0) {
        world_fail(world, NULL, "%u members of nobody are present", members);
    }
}

void world_check_empty(struct world *world)
{
    const struct server *server = &world->server;

    for (uint32_t i = 0; i < server->shard_count; i++) {
        if (world->shards[i] != NULL) {
            check_empty_shard(world->shards[i], world->arena_used[i]);
        }
    }
    check_causes(world);
    if (world->has_presence && !world->stopping) {
        check_nobody_is_present(world);
    }
    ASSERT(handshake_heap() == 0);
    ASSERT(tally_count(server->open) == 0);
    ASSERT(server->addresses == NULL || tally_count(server->addresses) == 0);
    ASSERT(server->users == NULL || tally_count(server->users) == 0);
}
