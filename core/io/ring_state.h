/*
 * ring_state.h - what a ring is made of. For the files of this folder only.
 */
#pragma once

#include "io/ring.h"

#include <liburing.h>

/* Completions that the caller never sees carry this operation: a wake whose target is gone. */
#define RING_SILENT ((uint32_t)RING_OPERATIONS)

#define RING_BUFFER_GROUP 0

/* What is known of a socket number: one byte each, to catch our own bugs where they are made and
 * not where the kernel punishes them (facts: a closed socket that never sends its FIN, mixed
 * sends). */
enum ring_socket {
    SOCKET_TAKEN = 1, /* accepted or connected, not closed yet */
    SOCKET_POLL = 2,  /* this and the next: in flight */
    SOCKET_RECEIVE = 4,
    SOCKET_SEND = 8,
    SOCKET_NAME = 16,
    SOCKET_CONNECT = 32,
    SOCKET_CLOSE = 64,
    SOCKET_UNSENT = 128,
};
#define SOCKET_IN_FLIGHT                                                                           \
    (SOCKET_POLL | SOCKET_RECEIVE | SOCKET_SEND | SOCKET_NAME | SOCKET_CONNECT | SOCKET_CLOSE |    \
     SOCKET_UNSENT)

struct ring {
    struct io_uring uring;
    int enter_fd;         /* index of the registered ring descriptor, or the descriptor itself */
    uint32_t enter_flags; /* IORING_ENTER_REGISTERED_RING in the first case */
    struct io_uring_buf_ring *buffer_ring; /* shared with the kernel, which takes from it */
    uint8_t *buffers;
    uint64_t *buffers_taken; /* a bit for each buffer that the caller holds */
    uint8_t *sockets;        /* enum ring_socket, by number */
    uint32_t sockets_max;
    uint32_t buffer_count;
    uint32_t buffer_size;
    uint32_t buffers_free;
    uint64_t enters;
    uint64_t completion_overflows;
    uint64_t completions_lost;
};

/* operation 8 bits, generation 24, number 32: decoding a completion touches no other memory. */
static inline uint64_t ring_user_data(uint32_t operation, uint32_t generation, uint32_t number)
{
    return (uint64_t)operation << 56 | (uint64_t)(generation & RING_GENERATION_MAX) << 32 | number;
}

/* A free submission entry; sends what is queued when there is none. count: entries that will be
 * asked for one after the other and must go to the kernel together (a chain). */
MUST_CHECK struct io_uring_sqe *ring_entry(struct ring *ring, uint32_t count);

/* Marks an operation of a taken number as in flight; asserts that there was none of its kind. */
void ring_mark(struct ring *ring, uint32_t number, enum ring_socket operation);
