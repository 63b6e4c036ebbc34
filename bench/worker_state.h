/*
 * worker_state.h - the inside of a worker, for worker.c and worker_open.c.
 */
#pragma once

#include "bench/worker.h"

#include <poll.h>
#include <pthread.h>
#include <semaphore.h>

struct worker {
    struct load *load;
    uint32_t index;
    uint32_t first; /* index of its first connection */
    uint32_t quota;
    uint32_t in_flight_max;
    double rate; /* per second; 0: no bound */
    struct clients clients;
    struct returns returns;
    struct pollfd *waits; /* two a group: its ring, its eventfd */
    uint64_t start_ns;
    uint64_t expired_ns;
    uint64_t leave_ns;
    uint32_t started;
    uint32_t group_next;
    uint32_t leave_group;
    uint32_t leave_number;
    uint32_t send_next; /* client whose turn it is */
    bool is_behind;     /* more has happened than the last turn could answer */
    char *message;      /* the starter's, until ready is posted */
    size_t message_size;
    bool failed;
    sem_t ready;
    pthread_t thread;
};

/* On its own thread. False with the worker's message; worker_close in any case. */
MUST_CHECK bool worker_open(struct worker *worker);
void worker_close(struct worker *worker);
