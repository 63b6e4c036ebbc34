#include "tests/sim/kernel_sim.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define BUFFER_POISON 0xdd /* bytes of buffers that the caller does not hold */

struct ring *sim_rings[RINGS_MAX];

/* --- open and close -----------------------------------------------------------------------------
 */

static void *take_memory(size_t count, size_t size)
{
    void *memory = calloc(count, size);

    ASSERT(memory != NULL);
    return memory;
}

struct ring *ring_open(const struct ring_options *options, int *error, char *message,
                       size_t message_size)
{
    uint32_t index = 0;

    ASSERT(options->sockets_max > 0);
    ASSERT((options->buffer_count & (options->buffer_count - 1)) == 0);
    while (index < RINGS_MAX && sim_rings[index] != NULL) {
        index++;
    }
    if (index == RINGS_MAX) {
        *error = -EMFILE;
        (void)snprintf(message, message_size, "the simulator has %d rings", RINGS_MAX);
        return NULL;
    }
    struct ring *ring = take_memory(1, sizeof(*ring));
    ring->index = index;
    ring->options = *options;
    ring->sockets = take_memory(options->sockets_max, sizeof(*ring->sockets));
    ring->buffers = take_memory(options->buffer_count, options->buffer_size);
    ring->buffer_taken = take_memory(options->buffer_count, sizeof(*ring->buffer_taken));
    ring->buffer_queue = take_memory(options->buffer_count, sizeof(*ring->buffer_queue));
    for (uint32_t i = 0; i < options->sockets_max; i++) {
        ring->sockets[i].connection = NONE;
    }
    for (uint32_t i = 0; i < options->buffer_count; i++) {
        ring->buffer_queue[ring->buffers_free++] = i;
    }
    sim_rings[index] = ring;
    *error = 0;
    return ring;
}

void ring_close(struct ring *ring)
{
    if (ring == NULL) {
        return;
    }
    for (uint32_t i = 0; i < ring->options.sockets_max; i++) {
        if (ring->sockets[i].connection != NONE && !ring->sockets[i].closed) {
            net_close_server(ring->sockets[i].connection);
        }
        free(ring->sockets[i].send_copy);
    }
    sim_rings[ring->index] = NULL;
    free(ring->sockets);
    free(ring->buffers);
    free(ring->buffer_taken);
    free(ring->buffer_queue);
    free(ring->submissions);
    free(ring->completions);
    free(ring);
}

int ring_fd(const struct ring *ring)
{
    return RING_FD + (int)ring->index;
}

void ring_read_counts(const struct ring *ring, struct ring_counts *counts)
{
    *counts = (struct ring_counts){
        .completion_overflows = ring->overflows,
        .enters = ring->enters,
        .buffers_free = ring->buffers_free,
    };
}

/* --- what the caller asks for: kept until the next wait -----------------------------------------
 */

static struct sim_socket *start(struct ring *ring, enum ring_operation operation, uint32_t number)
{
    struct sim_socket *socket = sim_socket_at(ring, number);

    ASSERT(!socket->in_flight[operation]);
    ASSERT(!socket->in_flight[RING_CLOSE]);
    socket->in_flight[operation] = true;
    return socket;
}

static void submit(struct ring *ring, struct submission submission)
{
    if (ring->submission_count == ring->submission_room) {
        ring->submission_room = ring->submission_room * 2 + 64;
        ring->submissions =
            realloc(ring->submissions, ring->submission_room * sizeof(*ring->submissions));
        ASSERT(ring->submissions != NULL);
    }
    ring->submissions[ring->submission_count++] = submission;
}

void ring_accept(struct ring *ring, int listener_fd, uint32_t listener_number)
{
    submit(ring, (struct submission){
                     .operation = RING_ACCEPT, .fd = listener_fd, .number = listener_number});
}

void ring_accept_one(struct ring *ring, int listener_fd, uint32_t listener_number)
{
    submit(ring, (struct submission){.operation = RING_ACCEPT,
                                     .fd = listener_fd,
                                     .number = listener_number,
                                     .is_single = true});
}

void ring_cancel_accept(struct ring *ring, uint32_t listener_number)
{
    submit(ring, (struct submission){.operation = RING_CANCEL,
                                     .cancelled = RING_ACCEPT,
                                     .number = listener_number});
}

void ring_poll(struct ring *ring, uint32_t number, uint32_t generation)
{
    (void)start(ring, RING_POLL, number);
    submit(ring,
           (struct submission){.operation = RING_POLL, .number = number, .generation = generation});
}

void ring_cancel_poll(struct ring *ring, uint32_t number, uint32_t generation)
{
    submit(ring, (struct submission){.operation = RING_CANCEL,
                                     .cancelled = RING_POLL,
                                     .number = number,
                                     .generation = generation});
}

void ring_receive(struct ring *ring, uint32_t number, uint32_t generation)
{
    (void)start(ring, RING_RECEIVE, number);
    submit(ring, (struct submission){
                     .operation = RING_RECEIVE, .number = number, .generation = generation});
}

void ring_send(struct ring *ring, uint32_t number, uint32_t generation, const uint8_t *data,
               uint32_t size)
{
    struct sim_socket *socket = start(ring, RING_SEND, number);

    ASSERT(size > 0);
    socket->send_data = data;
    socket->send_size = size;
    socket->send_done = 0;
    socket->send_generation = generation;
    socket->send_copy = take_memory(size, 1);
    memcpy(socket->send_copy, data, size);
    submit(ring,
           (struct submission){.operation = RING_SEND, .number = number, .generation = generation});
}

void ring_cancel_send(struct ring *ring, uint32_t number, uint32_t generation)
{
    submit(ring, (struct submission){.operation = RING_CANCEL,
                                     .cancelled = RING_SEND,
                                     .number = number,
                                     .generation = generation});
}

void ring_peer_name(struct ring *ring, uint32_t number, uint32_t generation, bool is_ipv6,
                    struct sockaddr_in6 *address)
{
    (void)start(ring, RING_NAME, number);
    submit(ring, (struct submission){.operation = RING_NAME,
                                     .number = number,
                                     .generation = generation,
                                     .is_ipv6 = is_ipv6,
                                     .address = address});
}

void ring_unsent(struct ring *ring, uint32_t number, uint32_t generation)
{
    (void)start(ring, RING_UNSENT, number);
    submit(ring, (struct submission){
                     .operation = RING_UNSENT, .number = number, .generation = generation});
}

void ring_close_socket(struct ring *ring, uint32_t number, uint32_t generation)
{
    const struct sim_socket *socket = start(ring, RING_CLOSE, number);

    for (uint32_t i = 0; i < RING_OPERATIONS; i++) {
        if (i != RING_CLOSE) {
            ASSERT(!socket->in_flight[i]);
        }
    }
    submit(ring, (struct submission){
                     .operation = RING_CLOSE, .number = number, .generation = generation});
}

void ring_wake(struct ring *ring, int target_fd)
{
    submit(ring, (struct submission){.operation = RING_WAKE, .fd = target_fd});
}

uint8_t *ring_buffer_at(struct ring *ring, uint32_t buffer)
{
    ASSERT(buffer < ring->options.buffer_count);
    ASSERT(ring->buffer_taken[buffer]);
    return ring->buffers + (size_t)buffer * ring->options.buffer_size;
}

void ring_buffer_give(struct ring *ring, uint32_t buffer)
{
    memset(ring_buffer_at(ring, buffer), BUFFER_POISON, ring->options.buffer_size);
    ring->buffer_taken[buffer] = false;
    ring->buffer_queue[ring->buffers_free++] = buffer;
}

/* --- the wait -----------------------------------------------------------------------------------
 */

static uint64_t first_due_ns(const struct ring *ring)
{
    uint64_t first = UINT64_MAX;

    for (uint32_t i = 0; i < ring->completion_count; i++) {
        if (ring->completions[i].due_ns < first) {
            first = ring->completions[i].due_ns;
        }
    }
    return first;
}

/* The accepts of one listener come in their order, everything else in any: no two operations of one
 * kind are in flight on one number. */
static uint32_t choose(const struct ring *ring)
{
    uint32_t chosen = NONE;
    uint64_t seen = 0;

    for (uint32_t i = 0; i < ring->completion_count; i++) {
        if (ring->completions[i].due_ns <= ring_sim_now_ns() && ring_sim_random(++seen) == 0) {
            chosen = i;
        }
    }
    for (uint32_t i = 0; chosen != NONE && i < chosen; i++) {
        const struct ring_event *earlier = &ring->completions[i].event;
        const struct ring_event *event = &ring->completions[chosen].event;
        if (event->operation == RING_ACCEPT && earlier->operation == RING_ACCEPT &&
            earlier->number == event->number) {
            chosen = i;
        }
    }
    return chosen;
}

static void deliver(struct ring *ring, const struct completion *completion)
{
    const struct ring_event *event = &completion->event;

    if (event->operation == RING_WAKE || event->operation == RING_CANCEL) {
        return;
    }
    if (event->operation == RING_ACCEPT) {
        if (event->result >= 0) {
            ring->sockets[event->result].delivered = true;
        }
        return;
    }
    struct sim_socket *socket = sim_socket_at(ring, event->number);
    ASSERT(socket->in_flight[event->operation]);
    socket->in_flight[event->operation] = false;
    if (event->operation == RING_NAME && event->result > 0) {
        memcpy(completion->address, &completion->peer, (size_t)event->result);
    }
    if (event->operation == RING_SEND) {
        ASSERT(memcmp(socket->send_data, socket->send_copy, socket->send_size) == 0);
        free(socket->send_copy);
        socket->send_copy = NULL;
    }
    if (event->operation == RING_CLOSE) {
        *socket = (struct sim_socket){.connection = NONE};
    }
}

uint32_t ring_wait(struct ring *ring, uint64_t timeout_ns, struct ring_event *events,
                   uint32_t events_max, uint64_t *now)
{
    uint32_t count = 0;

    ring->enters++;
    for (uint32_t i = 0; i < ring->submission_count; i++) {
        sim_issue(ring, &ring->submissions[i]);
    }
    ring->submission_count = 0;
    sim_step(ring);
    uint64_t due_ns = first_due_ns(ring);
    uint64_t left_ns = due_ns > ring_sim_now_ns() ? due_ns - ring_sim_now_ns() : 0;
    sim_sleep(left_ns < timeout_ns ? left_ns : timeout_ns);
    while (count < events_max && !(count > 0 && sim_strikes(SIM_HOLD_BACK))) {
        uint32_t chosen = choose(ring);
        if (chosen == NONE) {
            break;
        }
        deliver(ring, &ring->completions[chosen]);
        events[count++] = ring->completions[chosen].event;
        ring->completion_count--;
        memmove(ring->completions + chosen, ring->completions + chosen + 1,
                (ring->completion_count - chosen) * sizeof(*ring->completions));
    }
    *now = ring_sim_now_ns();
    return count;
}
