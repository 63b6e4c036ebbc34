/*
 * ring.h - a shard's io_uring: the one place that makes submissions and takes completions.
 *
 * Sockets are direct descriptors, named by their slot, which is also the connection's number. Every
 * operation carries (operation, generation, number) in its user_data and comes back as a
 * ring_event. Single issuer: every call from the thread that opened the ring. Submissions are
 * batched and go out with ring_wait. The simulator links another implementation of this header.
 *
 * Kernel: 6.7 (socket commands). Flags: each in ring_setup.c; traps: each at its use in ring.c.
 */
#pragma once

#include "base/bytes.h"

#include <netinet/in.h>

enum ring_operation {
    RING_ACCEPT,  /* number: the listener's, result: the new socket's number, or -errno */
    RING_POLL,    /* result: poll mask, -ECANCELED after ring_cancel_poll, or -errno */
    RING_RECEIVE, /* result: bytes in buffer (0: end of stream), or -errno */
    RING_SEND,    /* result: bytes taken, or -errno */
    RING_NAME,    /* result: bytes of address written, or -errno */
    RING_UNSENT,  /* result: bytes, or -errno */
    RING_CLOSE,   /* result: 0 or -errno; the number is free from here on */
    RING_CANCEL,  /* only when nothing was cancelled: -ENOENT (it had completed) or -EALREADY */
    RING_WAKE,    /* another thread called ring_wake on this ring */
    RING_CONNECT, /* load tool: result 0 or -errno */
    RING_OPERATIONS
};

struct ring_event {
    enum ring_operation operation;
    uint32_t generation; /* 24 bits */
    uint32_t number;
    int32_t result;
    uint32_t buffer; /* RING_RECEIVE with result > 0: the buffer taken, else NONE */
    bool more;       /* the operation stays armed (multishot) */
    bool nonempty;   /* RING_RECEIVE: more bytes wait in the socket */
};

#define RING_GENERATION_MAX 0xffffffu

struct ring_options {
    uint32_t sockets_max;  /* size of the descriptor table; the kernel caps it by RLIMIT_NOFILE */
    uint32_t buffer_count; /* shared receive buffers, a power of two up to 32,768 */
    uint32_t buffer_size;  /* bytes each */
    uint32_t submit_max;   /* submission queue entries, a power of two; 0: 512 */
    uint32_t complete_max; /* completion queue entries, a power of two; 0: 8,192 */
};

struct ring;

/* Returns the ring, or NULL with *error = -errno and a text in message that names cause and fix. */
MUST_CHECK struct ring *ring_open(const struct ring_options *options, int *error, char *message,
                                  size_t message_size);
void ring_close(struct ring *ring);

/*
 * Submits what is queued and waits until at least one completion is there or timeout_ns passed (0:
 * do not wait; UINT64_MAX: no timeout). Fills at most events_max events, in order; returns their
 * count, also 0 after a signal. *now_ns: CLOCK_MONOTONIC after the wait.
 */
MUST_CHECK uint32_t ring_wait(struct ring *ring, uint64_t timeout_ns, struct ring_event *events,
                              uint32_t events_max, uint64_t *now_ns);

/* Multishot accept on a listening descriptor. Stays armed while events have .more. */
void ring_accept(struct ring *ring, int listener_fd, uint32_t listener_number);

/* One accept. Rings that share a listening descriptor take turns with it: of several that wait the
 * first is woken, which a multishot accept would be for ever. */
void ring_accept_one(struct ring *ring, int listener_fd, uint32_t listener_number);

void ring_cancel_accept(struct ring *ring, uint32_t listener_number);

/* One single-shot poll for input, at most one per number: the cheap wait of an idle connection
 * (262 bytes of kernel memory against 855 of an armed receive). */
void ring_poll(struct ring *ring, uint32_t number, uint32_t generation);
void ring_cancel_poll(struct ring *ring, uint32_t number, uint32_t generation);

/* One receive into a shared buffer, without waiting: -EAGAIN when nothing is there, -ENOBUFS when
 * no buffer is. The event's buffer belongs to the caller until ring_buffer_give. */
void ring_receive(struct ring *ring, uint32_t number, uint32_t generation);
MUST_CHECK uint8_t *ring_buffer_at(struct ring *ring, uint32_t buffer);
void ring_buffer_give(struct ring *ring, uint32_t buffer);

/* Sends all of data, which stays untouched until the event. At most one in flight per number. */
void ring_send(struct ring *ring, uint32_t number, uint32_t generation, const uint8_t *data,
               uint32_t size);

/* Ends a send that waits for room; its event comes with -ECANCELED or with the bytes that were
 * taken. For connections that are given up only: a part of a record may have gone out. */
void ring_cancel_send(struct ring *ring, uint32_t number, uint32_t generation);

/* How many bytes the kernel holds that the peer has not acknowledged. */
void ring_unsent(struct ring *ring, uint32_t number, uint32_t generation);

/* The peer's address into *address, which stays valid until the event. */
void ring_peer_name(struct ring *ring, uint32_t number, uint32_t generation, bool is_ipv6,
                    struct sockaddr_in6 *address);

/* Frees the number. No other operation of the number may be in flight (cancel and await first:
 * closing does not end an armed poll, the socket would stay open without a FIN). */
void ring_close_socket(struct ring *ring, uint32_t number, uint32_t generation);

/* Wakes the target ring's ring_wait by IORING_OP_MSG_RING with an event RING_WAKE. */
void ring_wake(struct ring *ring, int target_fd);
MUST_CHECK int ring_fd(const struct ring *ring);

/* CLOCK_MONOTONIC now, for measuring; decisions take the time of ring_wait. */
MUST_CHECK uint64_t ring_clock_ns(const struct ring *ring);

/* Wall clock, Unix time in milliseconds: for tokens. Here because the simulator owns time. */
MUST_CHECK uint64_t ring_unix_ms(const struct ring *ring);

/* Counted for the metrics. */
struct ring_counts {
    uint64_t completion_overflows; /* times the completion queue was full */
    uint64_t completions_lost;     /* times the kernel had no memory to keep completions in */
    uint64_t enters;               /* io_uring_enter calls */
    uint32_t buffers_free;
};
void ring_read_counts(const struct ring *ring, struct ring_counts *counts);
