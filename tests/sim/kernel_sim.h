/*
 * kernel_sim.h - what the parts of the simulated kernel share: the state of a ring, chance and
 * time.
 *
 *   ring_sim.c    io/ring.h: takes submissions, hands out events
 *   kernel_sim.c  what the kernel does with a submission, and what happens by itself
 *   driver_sim.c  ring_sim.h: seed, clock, clients
 *   net_sim.c     the network below
 */
#pragma once

#include "tests/sim/net_sim.h"
#include "tests/sim/ring_sim.h"

#define NS_PER_MS     1000000ull
#define NS_PER_SECOND 1000000000ull
#define RINGS_MAX     64
#define ACCEPTS_MAX   8
#define RING_FD       (1 << 28) /* no descriptor that a process has: closing one by mistake fails */
#define LISTENER_FD   (1 << 29)

/* What one number is doing. */
struct sim_socket {
    uint32_t connection; /* NONE: free */
    bool delivered;      /* the caller knows of it */
    bool closed;         /* the network knows that it is closed; the caller not yet */
    bool in_flight[RING_OPERATIONS];
    bool poll_armed; /* the poll has not fired yet */
    uint32_t poll_generation;
    bool sending; /* the send waits for room */
    uint32_t send_generation;
    const uint8_t *send_data;
    uint8_t *send_copy; /* the caller must not touch the data before the event */
    uint32_t send_size;
    uint32_t send_done;
};

/* An operation between the caller's call and the next wait. */
struct submission {
    enum ring_operation operation;
    enum ring_operation cancelled; /* RING_CANCEL: what is to be cancelled */
    uint32_t generation;
    uint32_t number;
    int fd;
    struct sockaddr_in6 *address;
    bool is_ipv6;
    bool is_single; /* an accept that ends with the first */
};

struct completion {
    struct ring_event event;
    uint64_t due_ns;
    struct sockaddr_in6 *address; /* RING_NAME: where to */
    struct sockaddr_in6 peer;
};

struct accept {
    bool armed;
    bool is_single;
    uint32_t listener; /* of the network */
    uint32_t number;
};

struct ring {
    uint32_t index;
    struct ring_options options;
    struct sim_socket *sockets;
    uint8_t *buffers;
    bool *buffer_taken;
    uint32_t *buffer_queue; /* free ones, in the order in which they are taken */
    uint32_t buffers_free;
    struct accept accepts[ACCEPTS_MAX];
    struct submission *submissions;
    uint32_t submission_count;
    uint32_t submission_room;
    struct completion *completions;
    uint32_t completion_count;
    uint32_t completion_room;
    uint64_t enters;
    uint64_t overflows;
};

/* The rings that are open. */
extern struct ring *sim_rings[RINGS_MAX];

/* driver_sim.c */
MUST_CHECK bool sim_strikes(enum ring_sim_fault fault);
MUST_CHECK uint64_t sim_delay_ns(void);
/* Time that a wait takes: sleep_ns at most, no longer than the clock's owner allows. */
void sim_sleep(uint64_t sleep_ns);

/* kernel_sim.c */
MUST_CHECK struct sim_socket *sim_socket_at(struct ring *ring, uint32_t number);
void sim_issue(struct ring *ring, const struct submission *submission);
void sim_step(struct ring *ring);
