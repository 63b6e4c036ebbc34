#include "bench/reference.h"

#include "bench/plan.h"
#include "io/connector.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <signal.h>

#define EVENTS_MAX        256
#define IN_FLIGHT_MAX     256
#define TURN_NS           20000000u
#define TURNS_IDLE_MAX    500 /* 10 s without an event: give up */
#define BACKLOG           4096
#define PORTS_PER_ADDRESS 7000

struct reference {
    pid_t child;
    int channel; /* to the child: a count to accept; from it: the count accepted */
    struct sockaddr_in6 address;
};

/* --- the child -------------------------------------------------------------------------------- */

static _Noreturn void serve(int listener, int channel)
{
    uint32_t count;

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)signal(SIGINT, SIG_IGN); /* the parent ends, and with it the channel */
    while (read(channel, &count, sizeof(count)) == sizeof(count)) {
        uint32_t accepted = 0;
        while (accepted < count && accept4(listener, NULL, NULL, SOCK_CLOEXEC) >= 0) {
            accepted++;
        }
        if (write(channel, &accepted, sizeof(accepted)) != sizeof(accepted)) {
            break;
        }
    }
    _exit(0); /* closes them all */
}

struct reference *reference_open(char *message, size_t message_size)
{
    int channel[2] = {-1, -1};
    const struct sockaddr_in any = {.sin_family = AF_INET,
                                    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct reference *reference = calloc(1, sizeof(*reference));
    socklen_t size = sizeof(reference->address);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (!reference || listener < 0 ||
        bind(listener, (const struct sockaddr *)&any, sizeof(any)) != 0 ||
        listen(listener, BACKLOG) != 0 ||
        getsockname(listener, (struct sockaddr *)&reference->address, &size) != 0 ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, channel) != 0) {
        (void)snprintf(message, message_size, "no socket for the reference: errno %d", errno);
        free(reference);
        return NULL;
    }
    reference->child = fork();
    if (reference->child == 0) {
        (void)close(channel[0]);
        serve(listener, channel[1]);
    }
    (void)close(channel[1]);
    (void)close(listener);
    reference->channel = channel[0];
    if (reference->child < 0) {
        (void)snprintf(message, message_size, "no process for the reference: errno %d", errno);
        (void)close(channel[0]);
        free(reference);
        return NULL;
    }
    return reference;
}

void reference_close(struct reference *reference)
{
    if (reference) {
        (void)close(reference->channel);
        (void)kill(reference->child, SIGKILL);
        (void)waitpid(reference->child, NULL, 0);
        free(reference);
    }
}

/* --- this end --------------------------------------------------------------------------------- */

struct opening {
    struct ring *ring;
    uint32_t count;
    uint32_t started;
    uint32_t connected;
    uint32_t failed;
    uint32_t closed;
    struct sockaddr_in6 *sources;
    const struct sockaddr_in6 *target;
};

static void handle(struct opening *opening, const struct ring_event *event)
{
    if (event->operation == RING_CONNECT && event->result == 0) {
        opening->connected++;
        ring_poll(opening->ring, event->number, 0);
    } else if (event->operation == RING_CONNECT) {
        opening->failed++;
    } else if (event->operation == RING_POLL) {
        ring_close_socket(opening->ring, event->number, 0);
    } else if (event->operation == RING_CLOSE) {
        opening->closed++;
    }
}

/* One turn; true when something happened. */
static bool turn(struct opening *opening)
{
    static struct ring_event events[EVENTS_MAX];
    uint64_t now;
    uint32_t count = ring_wait(opening->ring, TURN_NS, events, EVENTS_MAX, &now);

    for (uint32_t i = 0; i < count; i++) {
        handle(opening, &events[i]);
    }
    return count > 0;
}

uint32_t reference_sources(uint32_t count)
{
    return (count + PORTS_PER_ADDRESS - 1) / PORTS_PER_ADDRESS;
}

static bool connect_all(struct opening *opening)
{
    uint32_t idle = 0;

    while (opening->connected + opening->failed < opening->count && idle < TURNS_IDLE_MAX) {
        while (opening->started < opening->count &&
               opening->started - opening->connected - opening->failed < IN_FLIGHT_MAX) {
            struct sockaddr_in6 *source = &opening->sources[opening->started];
            plan_loopback_source(opening->started % reference_sources(opening->count), source);
            connector_open(opening->ring, opening->started, 0, source, opening->target, true);
            opening->started++;
        }
        idle = turn(opening) ? 0 : idle + 1;
    }
    return opening->connected == opening->count;
}

static bool close_all(struct opening *opening)
{
    uint32_t idle = 0;
    uint32_t cancelled = 0;

    while (opening->closed < opening->count && idle < TURNS_IDLE_MAX) {
        for (uint32_t i = 0; i < IN_FLIGHT_MAX && cancelled < opening->count; i++) {
            ring_cancel_poll(opening->ring, cancelled++, 0);
        }
        idle = turn(opening) ? 0 : idle + 1;
    }
    return opening->closed == opening->count;
}

/* --- sharing ---------------------------------------------------------------------------------- */

static const struct slab *find(const struct slabs *slabs, const char *name)
{
    for (uint32_t i = 0; i < slabs->count; i++) {
        if (strcmp(slabs->items[i].name, name) == 0) {
            return &slabs->items[i];
        }
    }
    return NULL;
}

/* What each end has, it has once or twice. The kernel counts the free objects of slabs that a CPU
 * holds as used, which blurs a count by some per cent. */
static double whole(double objects)
{
    double nearest = round(objects);

    return fabs(objects - nearest) <= 0.1 ? nearest : objects;
}

void reference_share(struct reference_result *result, const struct slabs *before,
                     const struct slabs *open, const struct slabs *client_closed, uint32_t count)
{
    slabs_compare(&result->growths, before, open, count);
    result->count = count;
    result->client_bytes = 0;
    for (uint32_t i = 0; i < result->growths.count; i++) {
        const struct slab_growth *growth = &result->growths.items[i];
        const struct slab *held = find(open, growth->name);
        const struct slab *left = find(client_closed, growth->name);
        double given_back = held && left ? (double)held->objects - (double)left->objects : 0;
        double share = whole(given_back / count) / growth->objects;
        /* A ring keeps its requests' memory until it is closed; the other end has no ring. */
        if (strcmp(growth->name, "io_kiocb") == 0) {
            share = 1;
        }
        share = share < 0 ? 0 : share > 1 ? 1 : share;
        result->client_bytes += growth->bytes * share;
    }
    result->server_bytes = result->growths.bytes - result->client_bytes;
}

/* --- measuring -------------------------------------------------------------------------------- */

struct readings {
    struct slabs before;
    struct slabs open;
    struct slabs client_closed;
};

static const char *measure_with(struct reference *reference, struct opening *opening,
                                struct readings *readings)
{
    uint32_t accepted = 0;

    if (slabs_read_settled(&readings->before) != 0) {
        return "/proc/slabinfo cannot be read: run as root";
    }
    if (write(reference->channel, &opening->count, sizeof(opening->count)) !=
        sizeof(opening->count)) {
        return "the reference's child is gone";
    }
    if (!connect_all(opening) ||
        read(reference->channel, &accepted, sizeof(accepted)) != sizeof(accepted) ||
        accepted != opening->count) {
        return "not every reference connection could be made";
    }
    if (slabs_read_settled(&readings->open) != 0 || !close_all(opening) ||
        slabs_read_settled(&readings->client_closed) != 0) {
        return "the reference connections could not be closed";
    }
    return NULL;
}

int reference_measure(struct reference *reference, uint32_t count, struct reference_result *result,
                      char *message, size_t message_size)
{
    int error = 0;
    const struct ring_options options = {
        .sockets_max = count, .buffer_count = 1, .buffer_size = 4096};
    struct opening opening = {.count = count, .target = &reference->address};
    struct slab_growths left;
    struct readings *readings = malloc(sizeof(*readings));

    *result = (struct reference_result){0};
    opening.sources = calloc(count, sizeof(struct sockaddr_in6));
    opening.ring = ring_open(&options, &error, message, message_size);
    if (!readings || !opening.sources || !opening.ring) {
        free(readings);
        free(opening.sources);
        if (opening.ring) {
            ring_close(opening.ring);
        }
        return -1;
    }
    const char *problem = measure_with(reference, &opening, readings);
    if (!problem) {
        reference_share(result, &readings->before, &readings->open, &readings->client_closed,
                        count);
        slabs_compare(&left, &readings->before, &readings->client_closed, count);
        if (slabs_are_disturbed(&result->growths, 2) || slabs_are_disturbed(&left, 1)) {
            *result = (struct reference_result){0};
            problem = "other programs opened or closed sockets meanwhile";
        }
    }
    if (problem) {
        (void)snprintf(message, message_size, "%s", problem);
    }
    ring_close(opening.ring);
    free(opening.sources);
    free(readings);
    return problem ? -1 : 0;
}
