#include "tests/sim/kernel_sim.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

struct sim_socket *sim_socket_at(struct ring *ring, uint32_t number)
{
    ASSERT(number < ring->options.sockets_max);
    ASSERT(ring->sockets[number].connection != NONE);
    ASSERT(ring->sockets[number].delivered);
    return &ring->sockets[number];
}

/* --- what the kernel does with it ---------------------------------------------------------------
 */

static struct completion *complete(struct ring *ring, struct ring_event event)
{
    if (ring->completion_count == ring->completion_room) {
        ring->completion_room = ring->completion_room * 2 + 64;
        ring->completions =
            realloc(ring->completions, ring->completion_room * sizeof(*ring->completions));
        ASSERT(ring->completions != NULL);
    }
    struct completion *completion = &ring->completions[ring->completion_count++];
    *completion = (struct completion){
        .event = event,
        .due_ns = ring_sim_now_ns() + sim_delay_ns(),
    };
    return completion;
}

static struct ring_event event_of(enum ring_operation operation, uint32_t generation,
                                  uint32_t number, int32_t result)
{
    return (struct ring_event){.operation = operation,
                               .generation = generation & RING_GENERATION_MAX,
                               .number = number,
                               .result = result,
                               .buffer = NONE};
}

static void issue_accept(struct ring *ring, const struct submission *submission)
{
    for (uint32_t i = 0; i < ACCEPTS_MAX; i++) {
        struct accept *accept = &ring->accepts[i];
        ASSERT(!accept->armed || accept->number != submission->number);
        if (!accept->armed) {
            *accept = (struct accept){.armed = true,
                                      .is_single = submission->is_single,
                                      .listener = (uint32_t)(submission->fd - LISTENER_FD),
                                      .number = submission->number};
            return;
        }
    }
    ASSERT(false); /* more accepts than there is room for */
}

static int32_t receive(struct ring *ring, const struct submission *submission,
                       struct ring_event *event)
{
    struct net_connection *connection = net_at(ring->sockets[submission->number].connection);
    struct net_pipe *pipe = &connection->to_server;

    if (pipe->size == 0 && connection->reset && !connection->reset_reported) {
        connection->reset_reported = true;
        return -ECONNRESET;
    }
    if (ring->buffers_free == 0 || sim_strikes(SIM_NO_BUFFER)) {
        return -ENOBUFS; /* data or not */
    }
    if (pipe->size == 0) {
        return connection->client_fin || connection->reset ? 0 : -EAGAIN;
    }
    uint32_t size = pipe->size;
    if (size > ring->options.buffer_size) {
        size = ring->options.buffer_size;
    }
    if (sim_strikes(SIM_SHORT_RECEIVE)) {
        size = 1 + (uint32_t)ring_sim_random(size);
    }
    uint32_t buffer = ring->buffer_queue[0];
    ring->buffers_free--;
    memmove(ring->buffer_queue, ring->buffer_queue + 1,
            ring->buffers_free * sizeof(*ring->buffer_queue));
    ring->buffer_taken[buffer] = true;
    event->buffer = buffer;
    uint32_t taken = net_read(pipe, ring_buffer_at(ring, buffer), size);
    event->nonempty = pipe->size > 0 || connection->client_fin; /* Linux counts a FIN as one byte */
    return (int32_t)taken;
}

static int32_t send_result(struct sim_socket *socket, int32_t error)
{
    socket->sending = false;
    return socket->send_done > 0 ? (int32_t)socket->send_done : error;
}

/* Takes what there is room for. Returns true when the send has come to its end. */
static bool send_some(struct sim_socket *socket, int32_t *result)
{
    struct net_connection *connection = net_at(socket->connection);

    ASSERT(memcmp(socket->send_data, socket->send_copy, socket->send_size) == 0);
    if (connection->reset) {
        *result = send_result(socket, connection->reset_reported ? -EPIPE : -ECONNRESET);
        connection->reset_reported = true;
        return true;
    }
    if (connection->client_closed) { /* the client's host answers with a RST, the bytes are lost */
        connection->reset = true;
        socket->send_done = socket->send_size;
    } else {
        socket->send_done +=
            net_write(&connection->to_client, socket->send_data + socket->send_done,
                      socket->send_size - socket->send_done);
    }
    if (socket->send_done == socket->send_size ||
        (socket->send_done > 0 && sim_strikes(SIM_SHORT_SEND))) {
        *result = send_result(socket, 0);
        return true;
    }
    return false;
}

static void issue_name(struct ring *ring, const struct submission *submission)
{
    const struct net_connection *connection = net_at(ring->sockets[submission->number].connection);
    int32_t result = submission->is_ipv6 ? (int32_t)sizeof(struct sockaddr_in6)
                                         : (int32_t)sizeof(struct sockaddr_in);

    if (submission->is_ipv6 && connection->peer.sin6_family != AF_INET6) {
        result = -EINVAL; /* more bytes asked for than the address has */
    } else if (sim_strikes(SIM_NAME_FAILS)) {
        result = -ENOTCONN;
    }
    struct completion *completion =
        complete(ring, event_of(RING_NAME, submission->generation, submission->number, result));
    completion->address = submission->address;
    completion->peer = connection->peer;
}

/* Ends the operation and returns true, or returns false when there is none like that in flight. */
static bool cancel(struct ring *ring, const struct submission *submission)
{
    if (submission->cancelled == RING_ACCEPT) {
        for (uint32_t i = 0; i < ACCEPTS_MAX; i++) {
            if (ring->accepts[i].armed && ring->accepts[i].number == submission->number) {
                ring->accepts[i].armed = false;
                (void)complete(ring, event_of(RING_ACCEPT, 0, submission->number, -ECANCELED));
                return true;
            }
        }
        return false;
    }
    ASSERT(submission->number < ring->options.sockets_max);
    struct sim_socket *socket = &ring->sockets[submission->number];
    if (submission->cancelled == RING_POLL && socket->poll_armed &&
        socket->poll_generation == submission->generation) {
        socket->poll_armed = false;
        (void)complete(ring,
                       event_of(RING_POLL, submission->generation, submission->number, -ECANCELED));
        return true;
    }
    if (submission->cancelled == RING_SEND && socket->sending &&
        socket->send_generation == submission->generation) {
        (void)complete(ring, event_of(RING_SEND, submission->generation, submission->number,
                                      send_result(socket, -ECANCELED)));
        return true;
    }
    return false;
}

void sim_issue(struct ring *ring, const struct submission *submission)
{
    struct ring_event event =
        event_of(submission->operation, submission->generation, submission->number, 0);

    switch (submission->operation) {
    case RING_ACCEPT:
        issue_accept(ring, submission);
        return;
    case RING_POLL:
        sim_socket_at(ring, submission->number)->poll_armed = true;
        sim_socket_at(ring, submission->number)->poll_generation = submission->generation;
        return;
    case RING_SEND:
        sim_socket_at(ring, submission->number)->sending = true; /* moves in sim_step */
        return;
    case RING_NAME:
        issue_name(ring, submission);
        return;
    case RING_UNSENT:
        event.result = sim_strikes(SIM_NOT_SAID)
                           ? -EOPNOTSUPP
                           : (int32_t)net_at(sim_socket_at(ring, submission->number)->connection)
                                 ->to_client.size;
        break;
    case RING_RECEIVE:
        event.result = receive(ring, submission, &event);
        break;
    case RING_CLOSE:
        net_close_server(sim_socket_at(ring, submission->number)->connection);
        sim_socket_at(ring, submission->number)->closed = true;
        break;
    case RING_CANCEL:
        if (cancel(ring, submission)) {
            return;
        }
        event.result = -ENOENT;
        break;
    case RING_WAKE:
        ASSERT(submission->fd >= RING_FD);
        ASSERT(submission->fd < RING_FD + RINGS_MAX);
        ring = sim_rings[submission->fd - RING_FD];
        if (ring == NULL) {
            return; /* its thread has ended: nobody is told */
        }
        break;
    case RING_CONNECT:
    case RING_OPERATIONS:
        ASSERT(false); /* not of a server */
    }
    (void)complete(ring, event);
}

/* --- what happens by itself ---------------------------------------------------------------------
 */

static uint32_t free_number(const struct ring *ring)
{
    const uint32_t count = ring->options.sockets_max;
    const uint32_t first = (uint32_t)ring_sim_random(count);

    for (uint32_t i = 0; i < count; i++) {
        if (ring->sockets[(first + i) % count].connection == NONE) {
            return (first + i) % count;
        }
    }
    return NONE;
}

static void step_accept(struct ring *ring, struct accept *accept)
{
    uint32_t connection = NONE;

    while (accept->armed && (connection = net_accept(accept->listener)) != NONE) {
        struct ring_event event = event_of(RING_ACCEPT, 0, accept->number, 0);
        uint32_t number = free_number(ring);
        if (number == NONE || sim_strikes(SIM_ACCEPT_FAILS)) {
            net_close_server(connection); /* the surplus one is lost, later ones wait */
            event.result = number == NONE ? -ENFILE : -ECONNABORTED;
        } else {
            ring->sockets[number] = (struct sim_socket){.connection = connection};
            event.result = (int32_t)number;
            event.more = !accept->is_single && !sim_strikes(SIM_ACCEPT_ENDS);
            ring->overflows += event.more || accept->is_single ? 0 : 1;
        }
        accept->armed = event.more;
        (void)complete(ring, event);
    }
}

/* What a poll sees; 0: nothing yet. */
static int32_t poll_mask(const struct net_connection *connection)
{
    int32_t mask = connection->to_server.size > 0 ? POLLIN : 0;

    if (connection->client_fin) {
        mask |= POLLIN | POLLRDHUP;
    }
    if (connection->reset) {
        mask |= POLLIN | POLLRDHUP | POLLERR | POLLHUP;
    }
    if (connection->to_server.size > 0 && ring_sim_random(2) == 0) {
        mask = POLLIN; /* woken by the bytes, before the end came */
    }
    return mask;
}

static void step_socket(struct ring *ring, uint32_t number)
{
    struct sim_socket *socket = &ring->sockets[number];
    int32_t result = 0;

    if (socket->poll_armed) {
        result = poll_mask(net_at(socket->connection));
        if (result == 0 && sim_strikes(SIM_STALE_POLL)) {
            result = POLLIN;
        }
        if (result != 0) {
            socket->poll_armed = false;
            (void)complete(ring, event_of(RING_POLL, socket->poll_generation, number, result));
        }
    }
    if (socket->sending && send_some(socket, &result)) {
        (void)complete(ring, event_of(RING_SEND, socket->send_generation, number, result));
    }
}

void sim_step(struct ring *ring)
{
    const bool resets = sim_strikes(SIM_RESET);
    const uint32_t victim = resets ? (uint32_t)ring_sim_random(ring->options.sockets_max) : NONE;

    for (uint32_t i = 0; i < ACCEPTS_MAX; i++) {
        step_accept(ring, &ring->accepts[i]);
    }
    for (uint32_t i = 0; i < ring->options.sockets_max; i++) {
        struct sim_socket *socket = &ring->sockets[i];
        if (socket->connection == NONE || socket->closed) {
            continue;
        }
        if (i == victim && !net_at(socket->connection)->client_closed) {
            net_reset_by_client(socket->connection);
        }
        step_socket(ring, i);
    }
}
