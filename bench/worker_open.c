#include "bench/worker_state.h"
#include "io/connector.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#define BUFFERS_PER_RING 64
#define WORKS_SPARE      2048 /* for pongs and partial records, besides handshakes */

/* Address space now, memory as clients come. */
static void *reserve(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

static bool open_group(struct worker *worker, struct group *group, uint32_t client_count)
{
    int error = 0;
    const struct ring_options options = {.sockets_max = client_count,
                                         .buffer_count = BUFFERS_PER_RING,
                                         .buffer_size = CLIENT_BUFFER_SIZE};

    group->client_count = client_count;
    group->ring = ring_open(&options, &error, worker->message, worker->message_size);
    if (!group->ring || connector_check(group->ring, worker->message, worker->message_size) != 0) {
        return false;
    }
    group->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (group->event_fd < 0) {
        (void)snprintf(worker->message, worker->message_size, "no eventfd (errno %d)", errno);
        return false;
    }
    if (connector_notify(group->ring, group->event_fd, worker->message, worker->message_size) !=
        0) {
        return false;
    }
    group->clients = reserve(client_count * sizeof(struct client));
    group->states = reserve((size_t)client_count * worker->clients.state_size);
    if (!group->clients || !group->states) {
        (void)snprintf(worker->message, worker->message_size, "no address space for clients");
        return false;
    }
    return true;
}

static bool open_groups(struct worker *worker)
{
    struct clients *clients = &worker->clients;
    const struct plan *plan = worker->load->plan;
    uint32_t left = worker->quota;

    clients->group_count = plan->rings / worker->load->options->threads;
    clients->groups = calloc(clients->group_count, sizeof(struct group));
    worker->waits = calloc(2 * (size_t)clients->group_count, sizeof(struct pollfd));
    if (!clients->groups || !worker->waits) {
        (void)snprintf(worker->message, worker->message_size, "out of memory");
        return false;
    }
    uint32_t first = worker->first;
    for (uint32_t i = 0; i < clients->group_count; i++) {
        uint32_t rest = clients->group_count - i;
        uint32_t count = (left + rest - 1) / rest;
        if (!open_group(worker, &clients->groups[i], count == 0 ? 1 : count)) {
            return false;
        }
        clients->groups[i].first = first;
        first += count;
        left -= count;
        const struct group *group = &clients->groups[i];
        struct pollfd *waits = &worker->waits[2 * (size_t)i];
        waits[0] = (struct pollfd){.fd = ring_fd(group->ring), .events = POLLIN};
        waits[1] = (struct pollfd){.fd = group->event_fd, .events = POLLIN};
    }
    return true;
}

/* What is needed to take messages, if any are. */
static bool open_deliveries(struct worker *worker)
{
    const struct load *load = worker->load;
    struct clients *clients = &worker->clients;

    if (!load->audience) {
        return true;
    }
    if (load->is_echo && load->options->messages.rate == 0) {
        clients->ready_max = worker->quota;
        clients->ready_count = worker->quota;
        clients->ready = malloc((worker->quota + 1) * sizeof(uint32_t));
        for (uint32_t i = 0; clients->ready && i < worker->quota; i++) {
            clients->ready[i] = worker->first + i;
        }
    }
    if (deliveries_open(&clients->deliveries, load->audience, load->publishers, worker->first,
                        worker->quota) != 0 ||
        (clients->ready_max > 0 && !clients->ready)) {
        (void)snprintf(worker->message, worker->message_size, "no memory for deliveries");
        return false;
    }
    return true;
}

/* Handshakes at a time: in a storm all of them. */
static uint32_t at_once_max(const struct worker *worker)
{
    bool is_storm = worker->load->options->scenario == SCENARIO_STORM;

    return is_storm && worker->quota > worker->in_flight_max ? worker->quota
                                                             : worker->in_flight_max;
}

static bool open_returns(struct worker *worker)
{
    const struct bench_options *options = worker->load->options;

    if (options->scenario != SCENARIO_STORM) {
        return true;
    }
    if (returns_open(&worker->returns, worker->quota, client_clock()) != 0) {
        (void)snprintf(worker->message, worker->message_size, "no memory for tickets");
        return false;
    }
    worker->returns.keeps_tickets = options->storm.with_tickets;
    worker->clients.returns = &worker->returns;
    worker->clients.first = worker->first;
    return true;
}

bool worker_open(struct worker *worker)
{
    struct clients *clients = &worker->clients;
    const struct bench_options *options = worker->load->options;
    const struct tls_client_options tls = {
        .host_name = clients->target->is_name ? clients->target->host : NULL,
        .handshakes_max = at_once_max(worker),
        .version = options->version,
        .suite = options->suite,
    };

    if (pool_open(&clients->works, POOL_SECRET, sizeof(struct work),
                  at_once_max(worker) + WORKS_SPARE) != 0) {
        (void)snprintf(worker->message, worker->message_size, "no memory for handshakes");
        return false;
    }
    clients->tls = tls_client_open(&tls, worker->message, worker->message_size);
    return clients->tls && open_groups(worker) && open_deliveries(worker) && open_returns(worker);
}

void worker_close(struct worker *worker)
{
    struct clients *clients = &worker->clients;

    for (uint32_t i = 0; clients->groups && i < clients->group_count; i++) {
        struct group *group = &clients->groups[i];
        if (group->ring) {
            ring_close(group->ring);
        }
        if (group->event_fd > 0) {
            (void)close(group->event_fd);
        }
        if (group->clients) {
            (void)munmap(group->clients, group->client_count * sizeof(struct client));
        }
        if (group->states) {
            (void)munmap(group->states, (size_t)group->client_count * clients->state_size);
        }
    }
    if (clients->tls) {
        tls_client_close(clients->tls);
    }
    if (clients->works.slab) {
        pool_close(&clients->works);
    }
    deliveries_close(&clients->deliveries);
    free(clients->ready);
    free(clients->groups);
    free(worker->waits);
}
