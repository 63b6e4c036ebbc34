#include "io/listener_pause.h"
#include "tests/sim/kernel_sim.h"

#define SLEEP_DEFAULT (10 * NS_PER_MS)
#define UNIX_START_MS 1700000000000ull
#define JUMP_NS_MAX   (30 * NS_PER_SECOND)
#define JUMP_WALL_MS  3600000ull
#define CALL_NS_MAX   2000ull

static uint64_t random_state;
static uint64_t now_ns;
static uint64_t unix_start_ms;
static uint64_t delay_max;
static uint64_t sleep_max;
static uint32_t faults[SIM_FAULTS];

/* --- chance and time ----------------------------------------------------------------------------
 */

uint64_t ring_sim_random(uint64_t bound)
{
    ASSERT(bound > 0);
    random_state ^= random_state << 13; /* xorshift64 */
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (random_state >> 16) % bound;
}

bool sim_strikes(enum ring_sim_fault fault)
{
    return faults[fault] > 0 && ring_sim_random(1000) < faults[fault];
}

void ring_sim_seed(uint64_t seed)
{
    for (uint32_t i = 0; i < RINGS_MAX; i++) {
        ASSERT(sim_rings[i] == NULL);
    }
    net_reset();
    random_state = (seed + 1) * 0x9e3779b97f4a7c15u;
    if (random_state == 0) {
        random_state = 1; /* the one state that xorshift never leaves */
    }
    now_ns = NS_PER_SECOND;
    unix_start_ms = UNIX_START_MS;
    delay_max = 0;
    sleep_max = SLEEP_DEFAULT;
    memset(faults, 0, sizeof(faults));
}

void ring_sim_set_fault(enum ring_sim_fault fault, uint32_t per_mille)
{
    ASSERT(fault < SIM_FAULTS);
    faults[fault] = per_mille;
}

void ring_sim_set_delay(uint64_t delay_ns_max)
{
    delay_max = delay_ns_max;
}

void ring_sim_set_sleep(uint64_t sleep_ns_max)
{
    sleep_max = sleep_ns_max;
}

void ring_sim_storm(void)
{
    /* Rates differ by what a fault costs: a reset ends a connection, a short receive nothing. */
    static const uint32_t worst[SIM_FAULTS] = {
        [SIM_SHORT_RECEIVE] = 900, [SIM_NO_BUFFER] = 200,   [SIM_STALE_POLL] = 50,
        [SIM_RESET] = 5,           [SIM_ACCEPT_ENDS] = 300, [SIM_ACCEPT_FAILS] = 50,
        [SIM_NAME_FAILS] = 20,     [SIM_HOLD_BACK] = 500,   [SIM_SHORT_SEND] = 100,
        [SIM_CLOCK_JUMP] = 2,      [SIM_NOT_SAID] = 500,
    };

    for (uint32_t i = 0; i < SIM_FAULTS; i++) {
        faults[i] = ring_sim_random(2) == 0 ? 0 : (uint32_t)ring_sim_random(worst[i] + 1);
    }
    delay_max = ring_sim_random(2) == 0 ? 0 : ring_sim_random(20 * NS_PER_MS);
    sleep_max = NS_PER_MS + ring_sim_random(100 * NS_PER_MS);
}

void ring_sim_advance(uint64_t ns)
{
    now_ns += ns;
}

uint64_t ring_sim_now_ns(void)
{
    return now_ns;
}

uint64_t ring_clock_ns(const struct ring *ring)
{
    (void)ring;
    return now_ns;
}

uint64_t ring_unix_ms(const struct ring *ring)
{
    (void)ring;
    return unix_start_ms + now_ns / NS_PER_MS;
}

uint64_t sim_delay_ns(void)
{
    return delay_max == 0 ? 0 : ring_sim_random(delay_max + 1);
}

void sim_sleep(uint64_t sleep_ns)
{
    now_ns += ring_sim_random(CALL_NS_MAX); /* a system call takes time, waiting or not */
    now_ns += sleep_ns < sleep_max ? sleep_ns : sleep_max;
    if (sim_strikes(SIM_CLOCK_JUMP)) {
        now_ns += ring_sim_random(JUMP_NS_MAX);
        unix_start_ms += ring_sim_random(2 * JUMP_WALL_MS) - JUMP_WALL_MS;
    }
}

/* --- clients ------------------------------------------------------------------------------------
 */

int ring_sim_listen(uint32_t backlog_max)
{
    return LISTENER_FD + (int)net_listen(backlog_max);
}

/* The simulator's own of io/listener_pause.c. */
void listener_pause(int fd)
{
    net_pause((uint32_t)(fd - LISTENER_FD));
}

int listener_resume(int fd, uint32_t backlog)
{
    (void)backlog;
    net_resume((uint32_t)(fd - LISTENER_FD));
    return 0;
}

uint32_t ring_sim_connect(int listener_fd, const struct sockaddr_in6 *peer)
{
    return net_connect((uint32_t)(listener_fd - LISTENER_FD), peer);
}

uint32_t ring_sim_client_send(uint32_t client, const void *data, uint32_t size)
{
    struct net_connection *connection = net_at(client);

    ASSERT(!connection->client_closed);
    ASSERT(!connection->client_fin);
    if (connection->server_closed || connection->reset) {
        connection->client_reset = true; /* nobody is there any more */
        return size;
    }
    return net_write(&connection->to_server, data, size);
}

uint32_t ring_sim_client_receive(uint32_t client, void *out, uint32_t size)
{
    struct net_connection *connection = net_at(client);

    ASSERT(!connection->client_closed);
    return net_read(&connection->to_client, out, size);
}

enum ring_sim_end ring_sim_client_end(uint32_t client)
{
    const struct net_connection *connection = net_at(client);

    if (connection->client_reset) {
        return SIM_WAS_RESET;
    }
    return connection->server_fin && connection->to_client.size == 0 ? SIM_FIN : SIM_OPEN;
}

void ring_sim_client_finish(uint32_t client)
{
    net_at(client)->client_fin = true;
}

void ring_sim_client_reset(uint32_t client)
{
    net_reset_by_client(client);
}

void ring_sim_client_close(uint32_t client)
{
    net_close_client(client);
}

/* --- invariants ---------------------------------------------------------------------------------
 */

uint32_t ring_sim_in_flight(const struct ring *ring)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < ring->options.sockets_max; i++) {
        for (uint32_t operation = 0; operation < RING_OPERATIONS; operation++) {
            count += ring->sockets[i].in_flight[operation] ? 1 : 0;
        }
    }
    return count;
}

static uint32_t wakes_of(const struct ring *from, const struct ring *to)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < from->submission_count; i++) {
        const struct submission *submission = &from->submissions[i];
        if (submission->operation == RING_WAKE && submission->fd == ring_fd(to)) {
            count++;
        }
    }
    return count;
}

uint32_t ring_sim_wakes(const struct ring *ring)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < ring->completion_count; i++) {
        count += ring->completions[i].event.operation == RING_WAKE ? 1 : 0;
    }
    for (uint32_t i = 0; i < RINGS_MAX; i++) {
        count += sim_rings[i] != NULL ? wakes_of(sim_rings[i], ring) : 0;
    }
    return count;
}

uint32_t ring_sim_sockets(const struct ring *ring)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < ring->options.sockets_max; i++) {
        count += ring->sockets[i].connection != NONE ? 1 : 0;
    }
    return count;
}

static void check_ring(const struct ring *ring)
{
    uint32_t taken = 0;

    for (uint32_t i = 0; i < ring->options.buffer_count; i++) {
        taken += ring->buffer_taken[i] ? 1 : 0;
    }
    ASSERT(taken + ring->buffers_free == ring->options.buffer_count);
    for (uint32_t i = 0; i < ring->options.sockets_max; i++) {
        const struct sim_socket *socket = &ring->sockets[i];
        ASSERT(!socket->poll_armed || socket->in_flight[RING_POLL]);
        ASSERT(!socket->sending || socket->in_flight[RING_SEND]);
        ASSERT((socket->send_copy != NULL) == socket->in_flight[RING_SEND]);
        ASSERT(socket->connection != NONE || !socket->delivered);
    }
}

void ring_sim_check(void)
{
    net_check();
    for (uint32_t i = 0; i < RINGS_MAX; i++) {
        if (sim_rings[i] != NULL) {
            check_ring(sim_rings[i]);
        }
    }
}
