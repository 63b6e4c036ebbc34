/*
 * Goal: the real server, whole, under everything that a kernel, a network and clients may do, from
 * a seed: shards on simulated rings, real TLS and tokens, clients that behave and clients that do
 * not. After every tick every invariant holds; in the end nothing is left over, and whoever behaved
 * got every message that was addressed to it, in order, once, and the right close code.
 *
 * Every seed runs in a process of its own. A seed that fails is named, with the command to run it
 * again; the same seed gives the same run, bit by bit.
 */
#include "tests/sim/client.h"

#include <argp.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define SEEDS_DEFAULT   300
#define WORKERS         2
#define REPEAT_EVERY    25 /* such a seed runs twice */
#define ROUNDS_MAX      60000
#define TALK_ROUNDS_MAX 40000
#define SETTLE_ROUNDS   400
#define LAST_ROUNDS     80 /* after the end: the last bytes are read, doubts are settled */
#define SECRET          "simulated secret: 32 bytes or more of it"

/* --- one seed -----------------------------------------------------------------------------------
 */

static void round_of(struct world *world)
{
    const uint32_t first = (uint32_t)ring_sim_random(world->client_count);

    world_turn(world);
    for (uint32_t i = 0; i < world->client_count; i++) {
        client_step(world->clients[(first + i) % world->client_count]);
    }
}

static bool all_are_done(const struct world *world)
{
    for (uint32_t i = 0; i < world->client_count; i++) {
        if (!script_is_done(world->clients[i])) {
            return false;
        }
    }
    return true;
}

static void complain_about_stuck(struct world *world)
{
    for (uint32_t i = 0; i < world->client_count; i++) {
        const struct client *client = world->clients[i];
        if (!script_is_done(client)) {
            world_fail(world, client,
                       "is stuck: life %d, stage %d, sent %u of %u, pings %u of %u, pongs %u, "
                       "unsent %u, close sent %d received %d",
                       (int)client->life, (int)client->stage, client->sent, client->message_count,
                       client->pings_sent, client->ping_count, client->pongs, client->output_size,
                       (int)client->close_sent, (int)client->close_received);
        }
    }
}

/* Everyone does what it came for; those who misbehave are gone in the end. */
static void talk(struct world *world, uint32_t rounds_max)
{
    for (uint32_t rounds = 0; rounds < rounds_max; rounds++) {
        if (all_are_done(world)) {
            return;
        }
        round_of(world);
    }
    if (rounds_max == TALK_ROUNDS_MAX && !world_has_excuse(world) && !world_is_lossy(world)) {
        complain_about_stuck(world);
    }
}

static void everyone_leaves(struct world *world)
{
    for (uint32_t i = 0; i < world->client_count; i++) {
        client_leave(world->clients[i]);
    }
    for (uint32_t rounds = 0; world_held(world) > 0 || rounds < 10; rounds++) {
        if (rounds == ROUNDS_MAX) {
            world_fail(world, NULL, "%u connections of nobody, or fan-outs to nobody, stay",
                       world_held(world));
        }
        round_of(world);
    }
    world_check_empty(world);
}

/* The shards let their connections go, some of them or all, at one pace or two; perhaps they are
 * told to take that back. */
static void drain(struct world *world)
{
    for (uint32_t times = weather_between(1, 3); times > 0; times--) {
        world_drain(world, weather_between(0, 5000));
        for (uint32_t rounds = weather_between(0, 500); rounds > 0; rounds--) {
            round_of(world);
        }
        if (weather_chance(50)) {
            world_undo_drain(world);
        }
        for (uint32_t rounds = weather_between(0, 50); rounds > 0; rounds--) {
            round_of(world);
        }
    }
}

static void stop(struct world *world)
{
    world_stop(world);
    for (uint32_t rounds = 0; !world_has_stopped(world); rounds++) {
        if (rounds == ROUNDS_MAX) {
            world_fail(world, NULL, "a shard does not stop");
        }
        round_of(world);
        if (!world_has_stopped(world) && world_held(world) == 0 && weather_chance(10)) {
            world_check_empty(world);
        }
    }
    for (uint32_t rounds = 0; rounds < LAST_ROUNDS; rounds++) {
        round_of(world);
    }
}

/* Returns the trace of the run. */
static uint64_t run(const struct keyring *keyring, uint64_t seed, FILE *log)
{
    struct world *world = calloc(1, sizeof(*world));

    ASSERT(world != NULL);
    world_open(world, keyring, seed, log);
    world->client_count = weather_between(1, WORLD_CLIENTS_MAX);
    for (uint32_t i = 0; i < world->client_count; i++) {
        world->clients[i] = client_new(world, i);
    }
    const bool early = weather_chance(25);
    talk(world, early ? weather_between(1, 3000) : TALK_ROUNDS_MAX);
    if (!early) {
        for (uint32_t rounds = 0; rounds < SETTLE_ROUNDS && world->quiet < 100; rounds++) {
            round_of(world);
        }
        ledger_settle(world);
    }
    if (weather_chance(30)) {
        drain(world);
    }
    if (weather_chance(50)) {
        everyone_leaves(world);
    }
    stop(world);
    const uint64_t trace = world->trace;
    for (uint32_t i = 0; i < world->client_count; i++) {
        client_leave(world->clients[i]);
        client_free(world->clients[i]);
    }
    world_close(world);
    ring_sim_seed(0);
    free(world);
    return trace;
}

/* --- many seeds ---------------------------------------------------------------------------------
 */

/* A seed that runs in a process of its own. */
struct worker {
    pid_t pid; /* 0: none */
    uint64_t seed;
    int pipe_fd; /* tells the trace */
};

struct tally_of_runs {
    uint64_t runs;
    uint64_t failures;
};

static void start_worker(struct worker *worker, const struct keyring *keyring, uint64_t seed,
                         FILE *log)
{
    int ends[2];

    const int error = pipe(ends);
    ASSERT(error == 0);
    (void)fflush(NULL);
    worker->seed = seed;
    worker->pipe_fd = ends[0];
    worker->pid = fork();
    ASSERT(worker->pid >= 0);
    if (worker->pid == 0) {
        const uint64_t trace = run(keyring, seed, log);
        const ssize_t written = write(ends[1], &trace, sizeof(trace));
        exit(written == (ssize_t)sizeof(trace) ? 0 : 1); /* NOLINT: a child, one thread */
    }
    close(ends[1]);
}

/* Returns whether the run went well. */
static bool end_worker(struct worker *worker, uint64_t *trace)
{
    int status = 0;
    const bool told = read(worker->pipe_fd, trace, sizeof(*trace)) == (ssize_t)sizeof(*trace);

    close(worker->pipe_fd);
    const pid_t ended = waitpid(worker->pid, &status, 0);
    ASSERT(ended == worker->pid);
    worker->pid = 0;
    if (told && WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        return true;
    }
    (void)fprintf(stderr,
                  "sim: seed %llu failed; again, with all that happens: sim --seed %llu "
                  "--trace\n",
                  (unsigned long long)worker->seed, (unsigned long long)worker->seed);
    return false;
}

static bool runs_alike(const struct keyring *keyring, uint64_t seed, uint64_t trace)
{
    struct worker again = {0};
    uint64_t second = 0;

    start_worker(&again, keyring, seed, NULL);
    if (!end_worker(&again, &second)) {
        return false;
    }
    if (second != trace) {
        (void)fprintf(stderr, "sim: seed %llu does not repeat\n", (unsigned long long)seed);
    }
    return second == trace;
}

static void run_seeds(const struct keyring *keyring, uint64_t from, uint64_t to, FILE *log,
                      struct tally_of_runs *tally)
{
    struct worker workers[WORKERS] = {0};
    uint64_t next = from;
    uint64_t trace = 0;

    for (;;) {
        struct worker *worker = &workers[next % WORKERS];
        if (worker->pid != 0) {
            bool good = end_worker(worker, &trace);
            if (good && worker->seed % REPEAT_EVERY == 0) {
                good = runs_alike(keyring, worker->seed, trace);
            }
            tally->runs++;
            tally->failures += good ? 0 : 1;
        }
        if (next < to + WORKERS && next <= to) {
            start_worker(worker, keyring, next, log);
        } else if (next >= to + WORKERS) {
            return;
        }
        next++;
    }
}

/* --- keys and arguments -------------------------------------------------------------------------
 */

struct arguments {
    uint64_t from;
    uint64_t to;
    bool trace;
};

static error_t parse(int key, char *value, struct argp_state *state)
{
    struct arguments *arguments = state->input;
    char *rest = NULL;

    switch (key) {
    case 's':
        arguments->from = strtoull(value, NULL, 10);
        arguments->to = arguments->from;
        return 0;
    case 'S':
        arguments->from = strtoull(value, &rest, 10);
        arguments->to = *rest == '-' ? strtoull(rest + 1, NULL, 10) : arguments->from;
        return 0;
    case 't':
        arguments->trace = true;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option argp_options[] = {
    {"seed", 's', "N", 0, "Runs one seed", 0},
    {"seeds", 'S', "A-B", 0, "Runs these seeds (0-299)", 0},
    {"trace", 't', NULL, 0, "Tells what happens", 0},
    {0},
};

/* A certificate and a secret, the same in every process: files only while this one runs. */
static void make_keyring(struct keyring *keyring, const char *directory)
{
    char certificate[64];
    char key[64];
    static char secret[64];
    const char *names[] = {"localhost"};
    const struct certificate_files files = {.certificate_path = certificate, .key_path = key};
    char message[512] = "";

    (void)snprintf(certificate, sizeof(certificate), "%s/certificate.pem", directory);
    (void)snprintf(key, sizeof(key), "%s/key.pem", directory);
    (void)snprintf(secret, sizeof(secret), "%s/secret", directory);
    FILE *file = fopen(secret, "w");
    ASSERT(file != NULL);
    (void)fputs(SECRET, file);
    const int closed = fclose(file);
    ASSERT(closed == 0);
    *keyring = (struct keyring){
        .token_key = {.algorithm = "HS256", .path = secret},
        .token_options = {.key_count = 1,
                          .leeway_s = 2,
                          .token_size_max = 2048,
                          .channels_max = 8,
                          .channel_size_max = CHANNEL_NAME_MAX},
    };
    keyring->token_options.keys = &keyring->token_key;
    keyring->token_keys = token_keys_open(&keyring->token_options, message, sizeof(message));
    if (keyring->token_keys != NULL &&
        certificate_make(names, 1, &files, message, sizeof(message)) == 0) {
        keyring->certificates = certificate_set_open(&files, 1, message, sizeof(message));
    }
    if (keyring->certificates == NULL) {
        (void)fprintf(stderr, "sim: %s\n", message);
        exit(1); /* NOLINT: one thread */
    }
    (void)remove(certificate);
    (void)remove(key);
}

int main(int argc, char **argv)
{
    const struct argp argp = {.options = argp_options, .parser = parse};
    struct arguments arguments = {.from = 0, .to = SEEDS_DEFAULT - 1};
    struct tally_of_runs tally = {0};
    char directory[] = "/tmp/limpet-sim-XXXXXX";
    char secret[64];
    struct keyring keyring;

    if (argp_parse(&argp, argc, argv, 0, NULL, &arguments) != 0 || mkdtemp(directory) == NULL) {
        return 1;
    }
    log_setup(LOG_TEXT, arguments.trace ? LOG_DEBUG : LOG_ERROR);
    ring_sim_seed(0);
    random_source_seed(0);
    make_keyring(&keyring, directory);
    run_seeds(&keyring, arguments.from, arguments.to, arguments.trace ? stderr : NULL, &tally);
    (void)snprintf(secret, sizeof(secret), "%s/secret", directory);
    (void)remove(secret);
    (void)rmdir(directory);
    token_keys_close(keyring.token_keys);
    certificate_set_close(keyring.certificates);
    (void)printf("sim: %llu seeds, %llu failed\n", (unsigned long long)tally.runs,
                 (unsigned long long)tally.failures);
    return tally.failures == 0 ? 0 : 1;
}
