/*
 * ring_sim.h - a simulated kernel: another io/ring.h, with clients that the test holds in its hand.
 *
 * Everything runs in one thread and in memory. A seed decides what a kernel and a network decide
 * otherwise: in which order operations complete and how late, how much a receive brings, when
 * buffers run out, a connection is reset, an accept ends, the clock jumps. The same seed and the
 * same calls give the same run. What the real kernel punishes silently (closing with an operation
 * in flight, two sends at once, memory changed before the event) stops the process here.
 *
 * What differs from a kernel: a number is free for the next connection only when the event of its
 * close was taken, and a wait for ever ends early, so that the test can go on.
 */
#pragma once

#include "io/ring.h"

enum ring_sim_fault {
    SIM_SHORT_RECEIVE, /* a receive brings less than there is */
    SIM_NO_BUFFER,     /* -ENOBUFS though buffers are free */
    SIM_STALE_POLL,    /* a poll fires with nothing to read */
    SIM_RESET,         /* the network resets some connection (a wait) */
    SIM_ACCEPT_ENDS,   /* an accept comes back without more, as after an overflow */
    SIM_ACCEPT_FAILS,  /* -ECONNABORTED, which ends the accept */
    SIM_NAME_FAILS,    /* -ENOTCONN */
    SIM_NOT_SAID,      /* what the kernel holds: -EOPNOTSUPP */
    SIM_HOLD_BACK,     /* an event that is due stays for the next wait */
    SIM_SHORT_SEND,    /* a send ends with a part taken */
    SIM_CLOCK_JUMP,    /* both clocks jump, the wall clock also backwards (a wait) */
    SIM_FAULTS
};

/* Forgets everything and starts over, without faults or delays. No ring may be open. */
void ring_sim_seed(uint64_t seed);

/* per_mille: how often a fault happens where it can. */
void ring_sim_set_fault(enum ring_sim_fault fault, uint32_t per_mille);

/* An event comes up to this much later than its operation. */
void ring_sim_set_delay(uint64_t delay_ns_max);

/* A wait ends at the latest after this, as by a signal. Default: 10 ms. Every wait takes up to 2
 * us. */
void ring_sim_set_sleep(uint64_t sleep_ns_max);

/* Switches a choice of faults and delays on that the seed makes: each run looks elsewhere. */
void ring_sim_storm(void);

/* In [0, bound): for the choices of the test itself. */
MUST_CHECK uint64_t ring_sim_random(uint64_t bound);

void ring_sim_advance(uint64_t ns);
MUST_CHECK uint64_t ring_sim_now_ns(void);

/* A listening descriptor for ring_accept. */
MUST_CHECK int ring_sim_listen(uint32_t backlog_max);

/* A client connects. Returns its number, or NONE when the backlog is full, or the listener paused.
 */
MUST_CHECK uint32_t ring_sim_connect(int listener_fd, const struct sockaddr_in6 *peer);

/* Returns the bytes taken: fewer than size when the server does not read. */
MUST_CHECK uint32_t ring_sim_client_send(uint32_t client, const void *data, uint32_t size);

/* Returns the bytes that were there. */
MUST_CHECK uint32_t ring_sim_client_receive(uint32_t client, void *out, uint32_t size);

enum ring_sim_end {
    SIM_OPEN,
    SIM_FIN, /* everything was read and the server's FIN came */
    SIM_WAS_RESET
};
MUST_CHECK enum ring_sim_end ring_sim_client_end(uint32_t client);

void ring_sim_client_finish(uint32_t client); /* FIN after what was sent */
void ring_sim_client_reset(uint32_t client);  /* RST */
void ring_sim_client_close(uint32_t client);  /* FIN, or RST with unread bytes; frees the number */

/* Operations that the ring has in flight, armed accepts not counted. */
MUST_CHECK uint32_t ring_sim_in_flight(const struct ring *ring);

/* Wake-ups that are on their way to the ring. */
MUST_CHECK uint32_t ring_sim_wakes(const struct ring *ring);

/* Sockets that the ring has accepted and not closed. */
MUST_CHECK uint32_t ring_sim_sockets(const struct ring *ring);

/* Asserts the invariants of everything. */
void ring_sim_check(void);

/* random_source_sim.c: stands for base/random_source.c. base/random.c keeps what it has drawn: one
 * seed a process (fork) gives the same bytes each time. */
void random_source_seed(uint64_t seed);
