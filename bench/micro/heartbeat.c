/*
 * What the kernel asks for a heartbeat: the ring operations of one (send 24 bytes, poll, receive 28
 * bytes, poll again) over plain TCP on loopback, with nothing of ours around them: no TLS, no
 * frames, no timers. Server CPU of a heartbeat, as minimum, median and maximum of ROUNDS rounds, at
 * several rates: the floor beneath limpet-bench's server_cpu_us_per_heartbeat.
 *
 *   heartbeat [CONNECTIONS [SECONDS]]      one thread with a ring; the clients are another process
 */
#include "io/listener.h"
#include "io/ring.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS      5
#define PING_SIZE   24           /* a ping in a TLS 1.3 record of AES-128-GCM */
#define PONG_SIZE   28           /* a masked pong in one */
#define GRID_NS     100000000ULL /* the server's pings share wake-ups on such a grid */
#define GENERATION  1U
#define EVENTS_MAX  1024U
#define PER_ADDRESS 4000U

static const uint32_t rates[] = {800, 2500, 5000, 20000};

struct holder {
    struct ring *ring;
    uint32_t count; /* connections; numbers 0 .. count - 1 */
    uint32_t next;  /* to ping */
    uint64_t pongs;
    uint64_t now_ns;
};

static const uint8_t ping[PING_SIZE];

static void require(bool holds, const char *what)
{
    if (!holds) {
        (void)fprintf(stderr, "heartbeat: %s\n", what);
        exit(1);
    }
}

static double cpu_ns(void)
{
    struct timespec now;

    require(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now) == 0, "no clock");
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static void answer(int fd)
{
    uint8_t bytes[4096];
    ssize_t size = read(fd, bytes, sizeof(bytes));

    if (size <= 0) {
        exit(0); /* the server has finished */
    }
    for (ssize_t at = 0; at + PING_SIZE <= size; at += PING_SIZE) {
        require(write(fd, bytes, PONG_SIZE) == PONG_SIZE, "a pong did not fit");
    }
}

static int connect_one(uint16_t port, uint32_t number)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in from = {.sin_family = AF_INET};
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    from.sin_addr.s_addr = htonl(0x7f000100U + 1 + number / PER_ADDRESS);
    require(fd >= 0, "no descriptor: raise RLIMIT_NOFILE or hold fewer");
    require(setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one)) == 0 &&
                bind(fd, (struct sockaddr *)&from, sizeof(from)) == 0 &&
                connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0,
            "a client cannot connect");
    return fd;
}

static void run_clients(uint16_t port, uint32_t count)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event events[256];

    for (uint32_t i = 0; i < count; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.fd = connect_one(port, i)};
        require(epoll_ctl(epoll, EPOLL_CTL_ADD, event.data.fd, &event) == 0, "no epoll");
    }
    for (;;) {
        int ready = epoll_wait(epoll, events, 256, -1);
        for (int i = 0; i < ready; i++) {
            answer(events[i].data.fd);
        }
    }
}

static void take(struct holder *holder, const struct ring_event *event)
{
    if (event->operation == RING_ACCEPT) {
        require(event->result >= 0, "an accept failed");
        ring_poll(holder->ring, (uint32_t)event->result, GENERATION);
        holder->count++;
    } else if (event->operation == RING_POLL) {
        ring_receive(holder->ring, event->number, GENERATION);
    } else if (event->operation == RING_RECEIVE) {
        require(event->result == PONG_SIZE, "a pong was cut");
        ring_buffer_give(holder->ring, event->buffer);
        ring_poll(holder->ring, event->number, GENERATION);
        holder->pongs++;
    } else {
        require(event->operation == RING_SEND && event->result == PING_SIZE, "a ping was cut");
    }
}

static void turn(struct holder *holder, uint64_t until_ns)
{
    struct ring_event events[EVENTS_MAX];
    uint64_t wait_ns = until_ns > holder->now_ns ? until_ns - holder->now_ns : 0;
    uint32_t count = ring_wait(holder->ring, wait_ns, events, EVENTS_MAX, &holder->now_ns);

    for (uint32_t i = 0; i < count; i++) {
        take(holder, &events[i]);
    }
}

/* Microseconds of CPU a heartbeat, at rate a second. */
static double measure(struct holder *holder, uint32_t rate, uint32_t seconds)
{
    uint32_t batch = (uint32_t)(rate * GRID_NS / 1000000000ULL);
    uint64_t pongs = holder->pongs;
    double start = cpu_ns();
    uint64_t at_ns = holder->now_ns;

    for (uint32_t step = 0; step < seconds * 1000000000ULL / GRID_NS; step++) {
        for (uint32_t i = 0; i < batch; i++) {
            ring_send(holder->ring, holder->next, GENERATION, ping, PING_SIZE);
            holder->next = (holder->next + 1) % holder->count;
        }
        at_ns += GRID_NS;
        while (holder->now_ns < at_ns) {
            turn(holder, at_ns);
        }
    }
    return (cpu_ns() - start) / 1000 / (double)(holder->pongs - pongs);
}

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a;
    double right = *(const double *)b;

    return (left > right) - (left < right);
}

static void report(struct holder *holder, uint32_t seconds)
{
    (void)printf("%u connections, one ring, plain TCP\n\n%12s %10s %10s %10s  us of server CPU a "
                 "heartbeat\n",
                 holder->count, "a second", "minimum", "median", "maximum");
    for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
        double rounds[ROUNDS];
        for (size_t round = 0; round < ROUNDS; round++) {
            rounds[round] = measure(holder, rates[i], seconds);
        }
        qsort(rounds, ROUNDS, sizeof(rounds[0]), compare);
        (void)printf("%12u %10.2f %10.2f %10.2f\n", rates[i], rounds[0], rounds[ROUNDS / 2],
                     rounds[ROUNDS - 1]);
        (void)fflush(stdout);
    }
}

static uint32_t number_of(const char *text)
{
    unsigned long value = strtoul(text, NULL, 10);

    require(value > 0 && value <= 1000000, "usage: heartbeat [CONNECTIONS [SECONDS]]");
    return (uint32_t)value;
}

int main(int argc, char **argv)
{
    uint32_t wanted = argc > 1 ? number_of(argv[1]) : 10000;
    uint32_t seconds = argc > 2 ? number_of(argv[2]) : 4;
    struct rlimit files;
    char message[256];
    int error = 0;

    require(getrlimit(RLIMIT_NOFILE, &files) == 0, "no limits");
    files.rlim_cur = files.rlim_max;
    require(setrlimit(RLIMIT_NOFILE, &files) == 0, "RLIMIT_NOFILE cannot be raised");

    struct listener_options options = {.backlog = 4096};
    require(address_parse(slice_text("127.0.0.1:0"), &options.address) == 0, "no address");
    int listener = listener_open(&options, message, sizeof(message));
    require(listener >= 0, message);
    pid_t clients = fork();
    require(clients >= 0, "no process");
    if (clients == 0) {
        run_clients(listener_port(listener), wanted);
    }
    struct ring_options ring_options = {
        .sockets_max = wanted, .buffer_count = 256, .buffer_size = 4096};
    struct holder holder = {.ring = ring_open(&ring_options, &error, message, sizeof(message))};
    require(holder.ring != NULL, message);
    ring_accept(holder.ring, listener, 0);
    while (holder.count < wanted) {
        turn(&holder, UINT64_MAX);
    }
    report(&holder, seconds);
    require(kill(clients, SIGKILL) == 0 && waitpid(clients, NULL, 0) == clients, "clients remain");
    ring_close(holder.ring);
    close(listener);
    return 0;
}
