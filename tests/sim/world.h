/*
 * world.h - a whole server in one thread: real shards on simulated rings, ticked one after the
 * other, and what the clients may expect of it.
 */
#pragma once

#include "server/shard.h"
#include "tests/sim/ring_sim.h"
#include "tls/client.h"

#include <stdio.h>

#define WORLD_SHARDS_MAX  3
#define WORLD_CLIENTS_MAX 40
#define WORLD_SOCKETS_MAX 512 /* of one shard */
#define WORLD_CHANNEL     "room"

/* What every run shares: made once, before the first. */
struct keyring {
    struct certificate_set *certificates;
    struct token_keys *token_keys;
    struct token_options token_options;
    struct token_key_options token_key;
};

/*
 * How bad the run is. In fair weather a client that behaves gets all that it was promised. In a
 * tight run limits are reached; in a rough one connections are reset and clocks jump. Then a client
 * may fail, if the counters say that there was a reason.
 */
enum weather {
    WEATHER_FAIR,
    WEATHER_TIGHT,
    WEATHER_ROUGH,
    WEATHERS
};

/* Since when a connection is dead: a number must be free again soon. */
struct death {
    uint64_t since_ns;
    uint64_t since_relay_turn;
    uint32_t turns; /* 0: it lives */
};

struct client;

struct world {
    uint64_t seed;
    FILE *log; /* what happens, line by line; NULL: not told */
    enum weather weather;
    const struct keyring *keyring;
    struct options options;
    struct budget budget;
    struct server server;
    struct ticket_keys *tickets;
    struct ring *main_ring;                 /* as the main thread's: posts the order to stop */
    struct shard *shards[WORLD_SHARDS_MAX]; /* NULL: stopped and closed */
    int listener_fds[WORLD_SHARDS_MAX];
    size_t arena_used[WORLD_SHARDS_MAX]; /* at the start */
    struct death deaths[WORLD_SHARDS_MAX][WORLD_SOCKETS_MAX];
    struct counts past; /* what closed shards had counted */
    bool is_ipv6;
    enum slow_policy policy; /* of the channel */
    bool has_presence;       /* of the world's channel */
    uint32_t relay_turns;    /* one in so many rounds */
    uint64_t relay_turned;   /* so often */
    bool stopping;
    bool jumped;     /* a clock has jumped */
    bool has_resets; /* the network resets connections and loses them while they are accepted */
    uint32_t quiet;  /* rounds in which nothing moved */
    uint64_t moved;  /* bytes and events, to notice that */
    uint64_t missed; /* messages that subscribers did not get */
    uint64_t trace;  /* a hash over all that happened */
    uint32_t jump_per_mille;
    struct deflater *deflater;            /* of all clients */
    struct tls_client *tls_clients[2][3]; /* by version and suite; made when needed */
    struct client *clients[WORLD_CLIENTS_MAX];
    uint32_t client_count;
};

/* The seed decides everything; ends the process with a message when the world cannot be made. */
void world_open(struct world *world, const struct keyring *keyring, uint64_t seed, FILE *log);
void world_close(struct world *world);

/* Every shard that has not stopped takes a turn, in an order by chance; then everything is checked.
 */
void world_turn(struct world *world);

/* Tells every shard to let its connections go within over_ms, and to take that back, as the main
 * thread does on request. From here on nobody is owed anything. */
void world_drain(struct world *world, uint32_t over_ms);
void world_undo_drain(struct world *world);

/* Tells every shard to stop, as the main thread does on a signal. */
void world_stop(struct world *world);

MUST_CHECK bool world_has_stopped(const struct world *world);

/* Connections that the shards hold, and channels whose fan-out goes on. */
MUST_CHECK uint32_t world_held(const struct world *world);

/* Asserts that every pool, queue, tally and gauge is as it was at the start. */
void world_check_empty(struct world *world);

/* One kind of counter over all shards, by its place in struct counts. */
MUST_CHECK uint64_t world_count(const struct world *world, size_t place);
#define WORLD_COUNT(world, field) world_count((world), offsetof(struct counts, field))

/* Messages that subscribers may have missed, at most: so the counters say. */
MUST_CHECK uint64_t world_losses(const struct world *world);
MUST_CHECK bool world_is_lossy(const struct world *world);

/* Slow consumers are not closed but miss messages, and limits are such that some will. */
MUST_CHECK bool world_drops(const struct world *world);

/* Something happened in this run for which a client that behaves may be dropped. */
MUST_CHECK bool world_has_excuse(const struct world *world);

MUST_CHECK struct tls_client *world_tls_client(struct world *world, enum tls_version version,
                                               enum tls_suite suite);

void world_trace(struct world *world, uint64_t value);
void world_trace_bytes(struct world *world, const uint8_t *bytes, size_t size);

/* A line of the log; client NULL: of the world. */
void world_say(struct world *world, const struct client *client, const char *format, ...)
    PRINTF_LIKE(3, 4);

/* What must not happen has: says so and ends the process. */
_Noreturn void world_fail(struct world *world, const struct client *client, const char *format, ...)
    PRINTF_LIKE(3, 4);

/* weather.c: options, limits and faults by the seed. */
void weather_choose(struct world *world);

/* chance in [from, to]. */
MUST_CHECK uint32_t weather_between(uint32_t from, uint32_t to);
MUST_CHECK bool weather_chance(uint32_t percent);
