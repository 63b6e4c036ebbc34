/*
 * What sealing and opening one record costs, as minimum, median and maximum nanoseconds of ROUNDS
 * rounds: hot, with one state that stays in the cache, and cold, over STATES states in random
 * order, as a tick meets its connections, without and with prefetching them AHEAD states ahead. At
 * the end what a KeyUpdate costs. CPU time of the thread.
 */
#include "tls/record.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define ROUNDS      21
#define ROUND_NS    2000000.0
#define STATES      100000
#define AHEAD       4
#define RECORD_ROOM (TLS_DATA_SIZE_MAX + TLS_OVERHEAD_MAX)
#define COLD_SIZE   64 /* of the data: a short message */

struct kind {
    const char *name;
    enum tls_version version;
    enum tls_suite suite;
};

static const struct kind kinds[] = {
    {"1.3 AES-128-GCM", TLS_1_3, TLS_AES_128_GCM},
    {"1.3 AES-256-GCM", TLS_1_3, TLS_AES_256_GCM},
    {"1.3 ChaCha20-Poly1305", TLS_1_3, TLS_CHACHA20_POLY1305},
    {"1.2 AES-128-GCM", TLS_1_2, TLS_AES_128_GCM},
    {"1.2 AES-256-GCM", TLS_1_2, TLS_AES_256_GCM},
    {"1.2 ChaCha20-Poly1305", TLS_1_2, TLS_CHACHA20_POLY1305},
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static const size_t sizes[] = {16, 128, 1024, 16384};
#define SIZES (sizeof(sizes) / sizeof(sizes[0]))

/* One state of whatever class. */
union state {
    struct tls_state head;
    uint8_t bytes[TLS_STATE_SIZE_MAX];
};

/* States as a pool holds them: one behind the other, and the order in which they are visited. */
struct crowd {
    uint8_t *bytes;
    uint8_t *fresh; /* as they were before a round */
    size_t stride;
    uint32_t *order;
};

static uint8_t buffer[RECORD_ROOM];
static uint8_t sealed[RECORD_ROOM];

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

static double now_ns(void)
{
    struct timespec now;

    require(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now) == 0);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* Both directions have the same key, so that a state can open what another one sealed. */
static struct tls_keys make_keys(const struct kind *kind)
{
    struct tls_keys keys = {.version = kind->version, .suite = kind->suite};

    memset(keys.send_secret, 0x11, sizeof(keys.send_secret));
    memset(keys.receive_secret, 0x11, sizeof(keys.receive_secret));
    memset(keys.send_key, 0x22, sizeof(keys.send_key));
    memset(keys.receive_key, 0x22, sizeof(keys.receive_key));
    memset(keys.send_iv, 0x33, sizeof(keys.send_iv));
    memset(keys.receive_iv, 0x33, sizeof(keys.receive_iv));
    return keys;
}

static int compare(const void *a, const void *b)
{
    const double *left = a;
    const double *right = b;

    return (*left > *right) - (*left < *right);
}

static void report(const char *name, const char *what, size_t size, double rounds[ROUNDS])
{
    qsort(rounds, ROUNDS, sizeof(rounds[0]), compare);
    printf("%-22s %-14s %6zu B  %8.0f %8.0f %8.0f ns\n", name, what, size, rounds[0],
           rounds[ROUNDS / 2], rounds[ROUNDS - 1]);
}

/* Seals or opens size bytes count times with one state; a record is opened again and again. */
static void run_hot(const struct kind *kind, bool open, size_t size, size_t count)
{
    struct tls_keys keys = make_keys(kind);
    union state state;
    struct tls_record record;

    tls_state_init(&state.head, &keys);
    size_t sealed_size = tls_seal(&state.head, sealed, size);
    for (size_t i = 0; i < count; i++) {
        if (open) {
            memcpy(buffer, sealed, sealed_size);
            state.head.receive_sequence = 0;
            require(tls_open(&state.head, buffer, sealed_size, &record) == TLS_DATA);
        } else {
            require(tls_seal(&state.head, buffer, size) > 0);
        }
    }
}

static void measure_hot(const struct kind *kind, bool open, size_t size)
{
    double rounds[ROUNDS];
    size_t count = 16;
    double start = now_ns();

    run_hot(kind, open, size, count);
    count = (size_t)(ROUND_NS * (double)count / (now_ns() - start)) + 1;
    for (int i = 0; i < ROUNDS; i++) {
        start = now_ns();
        run_hot(kind, open, size, count);
        rounds[i] = (now_ns() - start) / (double)count;
    }
    report(kind->name, open ? "open" : "seal", size, rounds);
}

static struct crowd make_crowd(const struct kind *kind)
{
    struct crowd crowd = {.stride = tls_class_size(tls_class_of(kind->version, kind->suite))};
    struct tls_keys keys = make_keys(kind);

    crowd.bytes = aligned_alloc(64, STATES * crowd.stride / 64 * 64 + 64);
    crowd.fresh = malloc(STATES * crowd.stride);
    crowd.order = malloc(STATES * sizeof(crowd.order[0]));
    require(crowd.bytes != NULL && crowd.fresh != NULL && crowd.order != NULL);
    for (uint32_t i = 0; i < STATES; i++) {
        union state state;

        tls_state_init(&state.head, &keys);
        memcpy(crowd.fresh + i * crowd.stride, &state, crowd.stride);
        crowd.order[i] = i;
    }
    uint64_t seed = 88172645463325252U;
    for (uint32_t i = STATES - 1; i > 0; i--) {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        uint32_t other = (uint32_t)(seed % (i + 1));
        uint32_t kept = crowd.order[i];
        crowd.order[i] = crowd.order[other];
        crowd.order[other] = kept;
    }
    return crowd;
}

static void free_crowd(struct crowd *crowd)
{
    free(crowd->bytes);
    free(crowd->fresh);
    free(crowd->order);
}

static struct tls_state *crowd_state(const struct crowd *crowd, size_t turn)
{
    return (struct tls_state *)(void *)(crowd->bytes + crowd->order[turn] * crowd->stride);
}

/* One visit to every state; opening takes the record that a state sealed first of all. */
static double run_cold(const struct crowd *crowd, bool open, bool prefetch, size_t sealed_size)
{
    struct tls_record record;

    memcpy(crowd->bytes, crowd->fresh, STATES * crowd->stride);
    double start = now_ns();
    for (size_t i = 0; i < STATES; i++) {
        struct tls_state *state = crowd_state(crowd, i);

        if (prefetch && i + AHEAD < STATES) {
            tls_state_prefetch(crowd_state(crowd, i + AHEAD));
        }
        if (open) {
            memcpy(buffer, sealed, sealed_size);
            require(tls_open(state, buffer, sealed_size, &record) == TLS_DATA);
        } else {
            require(tls_seal(state, buffer, COLD_SIZE) > 0);
        }
    }
    return (now_ns() - start) / STATES;
}

static void measure_cold(const struct kind *kind, const struct crowd *crowd, bool open,
                         bool prefetch)
{
    static const char *const names[2][2] = {
        {"seal cold", "seal prefetch"},
        {"open cold", "open prefetch"},
    };
    struct tls_keys keys = make_keys(kind);
    double rounds[ROUNDS];
    union state first;

    tls_state_init(&first.head, &keys);
    size_t sealed_size = tls_seal(&first.head, sealed, COLD_SIZE);
    for (int i = 0; i < ROUNDS; i++) {
        rounds[i] = run_cold(crowd, open, prefetch, sealed_size);
    }
    report(kind->name, names[open][prefetch], COLD_SIZE, rounds);
}

static void measure_update(const struct kind *kind)
{
    const size_t count = 1000;
    struct tls_keys keys = make_keys(kind);
    double rounds[ROUNDS];
    union state state;

    tls_state_init(&state.head, &keys);
    for (int i = 0; i < ROUNDS; i++) {
        double start = now_ns();
        for (size_t j = 0; j < count; j++) {
            require(tls_seal_update(&state.head, buffer) > 0);
        }
        rounds[i] = (now_ns() - start) / (double)count;
    }
    report(kind->name, "KeyUpdate", 5, rounds);
}

int main(void)
{
    printf("%-22s %-14s %8s  %8s %8s %8s\n", "", "", "data", "min", "median", "max");
    for (size_t i = 0; i < KINDS; i++) {
        for (size_t j = 0; j < SIZES; j++) {
            measure_hot(&kinds[i], false, sizes[j]);
            measure_hot(&kinds[i], true, sizes[j]);
        }
        struct crowd crowd = make_crowd(&kinds[i]);
        for (int open = 0; open < 2; open++) {
            measure_cold(&kinds[i], &crowd, open == 1, false);
            measure_cold(&kinds[i], &crowd, open == 1, true);
        }
        free_crowd(&crowd);
        if (kinds[i].version == TLS_1_3) {
            measure_update(&kinds[i]);
        }
    }
    return 0;
}
