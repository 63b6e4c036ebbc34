/*
 * Goal: a small echo server in the shape of a shard, on the simulated kernel: whatever the faults,
 * no byte is lost, doubled or out of place, nothing stays in flight, and the same seed gives the
 * same run. So the simulator's faults are such as a correct server survives.
 */
#include "tests/sim/ring_sim.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <cmocka.h>

#define LISTENER    3u
#define GENERATION  0x1234u
#define NS_PER_MS   1000000ull
#define SOCKETS_FEW 8u
#define CLIENTS     40u
#define STORMS      100u
#define STREAM_SIZE 3000u
#define TICKS_MAX   200000u

/* An echo server in the shape of a shard: what is in flight, what waits to go. */
struct echo {
    bool used;
    bool waiting; /* a poll or receive is in flight */
    bool sending;
    bool ended;
    bool closing;
    uint32_t size;
    uint8_t bytes[STREAM_SIZE];
    uint32_t in_flight_size;
    uint8_t in_flight[STREAM_SIZE];
};

struct storm {
    struct ring *ring;
    int listener_fd;
    bool accepting;
    uint32_t sockets_max;
    struct echo echoes[CLIENTS];
    uint64_t trace; /* a hash over every event */
    uint32_t ends;  /* of connections, complete or not */
    struct {
        uint32_t number;
        uint32_t sent;
        uint32_t received;
        bool connected;
        bool done; /* its stream came back complete */
    } clients[CLIENTS];
};

static void trace(struct storm *storm, uint64_t value)
{
    storm->trace = (storm->trace ^ value) * 0x100000001b3u;
}

static void echo_event(struct storm *storm, const struct ring_event *event)
{
    struct echo *echo = &storm->echoes[event->number];

    switch (event->operation) {
    case RING_POLL:
        ring_receive(storm->ring, event->number, GENERATION);
        return;
    case RING_RECEIVE:
        echo->waiting = false;
        echo->ended |= event->result == 0 || event->result == -ECONNRESET;
        if (event->result > 0) {
            memcpy(echo->bytes + echo->size, ring_buffer_at(storm->ring, event->buffer),
                   (size_t)event->result);
            echo->size += (uint32_t)event->result;
            ring_buffer_give(storm->ring, event->buffer);
        }
        return;
    case RING_SEND:
        echo->sending = false;
        if (event->result < 0) {
            echo->ended = true;
            echo->size = 0;
        } else if ((uint32_t)event->result < echo->in_flight_size) { /* the rest goes first */
            uint32_t rest = echo->in_flight_size - (uint32_t)event->result;
            memmove(echo->bytes + rest, echo->bytes, echo->size);
            memcpy(echo->bytes, echo->in_flight + event->result, rest);
            echo->size += rest;
        }
        return;
    case RING_CLOSE:
        *echo = (struct echo){0};
        return;
    case RING_ACCEPT:
    case RING_NAME:
    case RING_UNSENT:
    case RING_CANCEL:
    case RING_WAKE:
    case RING_CONNECT:
    case RING_OPERATIONS:
        ASSERT(false); /* not of a number */
    }
}

static void flush_echo(struct storm *storm, uint32_t number)
{
    struct echo *echo = &storm->echoes[number];

    if (!echo->used || echo->closing) {
        return;
    }
    if (!echo->sending && echo->size > 0) {
        memcpy(echo->in_flight, echo->bytes, echo->size);
        echo->in_flight_size = echo->size;
        echo->size = 0;
        echo->sending = true;
        ring_send(storm->ring, number, GENERATION, echo->in_flight, echo->in_flight_size);
    }
    if (!echo->waiting && !echo->ended) {
        echo->waiting = true;
        ring_poll(storm->ring, number, GENERATION);
    }
    if (echo->ended && !echo->waiting && !echo->sending && echo->size == 0) {
        echo->closing = true;
        ring_close_socket(storm->ring, number, GENERATION);
    }
}

static void server_tick(struct storm *storm)
{
    struct ring_event events[4];
    uint64_t now_ns = 0;
    uint32_t count = ring_wait(storm->ring, 5 * NS_PER_MS, events, 4, &now_ns);

    for (uint32_t i = 0; i < count; i++) {
        trace(storm, (uint64_t)events[i].operation << 40 | (uint64_t)events[i].number << 32 |
                         (uint32_t)events[i].result);
        if (events[i].operation == RING_ACCEPT) {
            storm->accepting = events[i].more;
            if (events[i].result >= 0) {
                assert_false(storm->echoes[events[i].result].used);
                storm->echoes[events[i].result].used = true;
            }
        } else {
            echo_event(storm, &events[i]);
        }
    }
    trace(storm, now_ns);
    for (uint32_t i = 0; i < storm->sockets_max; i++) {
        flush_echo(storm, i);
    }
    if (!storm->accepting) {
        storm->accepting = true;
        ring_accept(storm->ring, storm->listener_fd, LISTENER);
    }
}

static uint8_t stream_byte(uint32_t client, uint32_t offset)
{
    return (uint8_t)(client * 31 + offset * 7 + offset / 256);
}

/* Reads what came and compares it. */
static void client_reads(struct storm *storm, uint32_t client)
{
    uint8_t bytes[200];
    uint32_t size = ring_sim_client_receive(storm->clients[client].number, bytes,
                                            1 + (uint32_t)ring_sim_random(sizeof(bytes)));

    for (uint32_t i = 0; i < size; i++) {
        assert_int_equal(bytes[i], stream_byte(client, storm->clients[client].received + i));
    }
    storm->clients[client].received += size;
}

static void client_step(struct storm *storm, uint32_t client)
{
    struct sockaddr_in6 peer = {.sin6_family = AF_INET};
    uint32_t number = storm->clients[client].number;
    uint32_t sent = storm->clients[client].sent;

    if (!storm->clients[client].connected) {
        storm->clients[client].number = ring_sim_connect(storm->listener_fd, &peer);
        storm->clients[client].connected = storm->clients[client].number != NONE;
        return;
    }
    client_reads(storm, client);
    enum ring_sim_end end = ring_sim_client_end(number);
    if (end != SIM_OPEN) {
        bool whole = storm->clients[client].received == STREAM_SIZE;
        /* Only a server that turned it away ends a stream early without a reset. */
        assert_true(whole || end == SIM_WAS_RESET || storm->clients[client].received == 0);
        ring_sim_client_close(number);
        storm->clients[client].connected = false; /* once more from the start */
        storm->clients[client].sent = 0;
        storm->clients[client].received = 0;
        storm->clients[client].done = whole;
        storm->ends++;
    } else if (sent < STREAM_SIZE) {
        uint8_t bytes[300];
        uint32_t size = 1 + (uint32_t)ring_sim_random(sizeof(bytes));
        size = size < STREAM_SIZE - sent ? size : STREAM_SIZE - sent;
        for (uint32_t i = 0; i < size; i++) {
            bytes[i] = stream_byte(client, sent + i);
        }
        storm->clients[client].sent += ring_sim_client_send(number, bytes, size);
        if (storm->clients[client].sent == STREAM_SIZE) {
            ring_sim_client_finish(number);
        }
    }
}

/* Until every client's stream came back complete. Returns the trace; *ends: connections it took. */
static uint64_t run_storm(uint64_t seed, bool calm, uint32_t *ends)
{
    struct storm *storm = calloc(1, sizeof(*storm));
    char message[256] = "";
    int error = 0;
    uint32_t done = 0;
    uint32_t ticks = 0;

    assert_non_null(storm);
    ring_sim_seed(seed);
    if (!calm) {
        ring_sim_storm();
    }
    /* Calm: a place for everyone. Else clients are turned away when the table is full. */
    storm->sockets_max = calm ? CLIENTS : SOCKETS_FEW;
    const struct ring_options options = {
        .sockets_max = storm->sockets_max,
        .buffer_count = 4,
        .buffer_size = 64,
    };
    storm->ring = ring_open(&options, &error, message, sizeof(message));
    assert_non_null(storm->ring);
    storm->listener_fd = ring_sim_listen(4);
    for (; done < CLIENTS && ticks < TICKS_MAX; ticks++) {
        uint32_t client = (uint32_t)ring_sim_random(CLIENTS);
        if (!storm->clients[client].done) {
            client_step(storm, client);
            done += storm->clients[client].done ? 1 : 0;
        }
        if (ring_sim_random(3) == 0) {
            server_tick(storm);
            ring_sim_check();
        }
    }
    if (done < CLIENTS) {
        fail_msg("seed %llu: %u clients of %u came to an end", (unsigned long long)seed, done,
                 CLIENTS);
    }
    for (; ring_sim_sockets(storm->ring) > 0 && ticks < TICKS_MAX; ticks++) {
        server_tick(storm);
    }
    assert_int_equal(ring_sim_sockets(storm->ring), 0);
    *ends = storm->ends;
    uint64_t result = storm->trace;
    ring_close(storm->ring);
    free(storm);
    return result;
}

static void test_without_faults_every_stream_comes_back_at_once(void **state)
{
    uint32_t ends = 0;

    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        (void)run_storm(seed, true, &ends);
        assert_int_equal(ends, CLIENTS);
    }
}

static void test_storms_lose_no_byte_and_repeat(void **state)
{
    uint64_t last = 0;
    uint32_t ends = 0;
    uint32_t sum = 0;

    (void)state;
    for (uint64_t seed = 0; seed < STORMS; seed++) {
        uint64_t first = run_storm(seed, false, &ends);
        sum += ends;
        assert_int_not_equal(first, last);
        last = first;
        assert_int_equal(run_storm(seed, false, &ends), first);
    }
    assert_true(sum > 2 * STORMS * CLIENTS); /* many were turned away or reset, and came again */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_faults_every_stream_comes_back_at_once),
        cmocka_unit_test(test_storms_lose_no_byte_and_repeat),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
