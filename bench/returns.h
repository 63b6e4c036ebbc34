/*
 * returns.h - clients of one thread that come back after they were cut off: when each tries again,
 * with which ticket, and how long it took.
 *
 * They behave as good SDKs do: the first try comes at once (or within the spread), each further one
 * after a random time between 0 and a bound that doubles (full jitter). Numbers are those of the
 * worker's clients, from 0 on. All calls from the worker's thread; counters are read by everyone.
 */
#pragma once

#include "base/counter.h"
#include "base/wheel.h"
#include "bench/histogram.h"
#include "tls/client.h"

#define STORMS_MAX 2

#define RETURN_BACKOFF_MS     1000 /* the first bound */
#define RETURN_BACKOFF_MS_MAX 20000

/* Of one storm. */
struct return_counts {
    struct counter begun;    /* 1: it is known who is wanted */
    struct counter wanted;   /* clients that were cut off */
    struct counter tried_ns; /* from the cut to the last one's first try */
    struct counter returned; /* each once */
    struct counter resumed;  /* of them, by ticket */
    struct histogram back;   /* ns from the cut to being open */
    struct histogram tls;    /* ns of the handshakes that succeeded, from the connect on */
    struct histogram total;  /* ns of the tries that succeeded, from the SYN on */
};

struct returns {
    uint32_t count;
    uint32_t storm;     /* how many there were, this one included */
    uint32_t spread_ms; /* of the first tries */
    bool with_tickets;  /* they are used in this storm */
    bool keeps_tickets; /* they are kept when they come */
    struct wheel wheel; /* numbers that try again */
    uint8_t *tries;     /* since the cut; TRIES_DONE: it is back; TRIES_AWAY: it never was open */
    struct client_ticket **tickets; /* NULL: none came */
    struct return_counts counts[STORMS_MAX];
};

/* Returns 0 or -errno. */
MUST_CHECK int returns_open(struct returns *returns, uint32_t count, uint64_t now_ns);
void returns_close(struct returns *returns);

/* A storm begins: nobody is expected back yet. */
void returns_begin(struct returns *returns, bool with_tickets, uint32_t spread_ms);

/* The client was open, and will be cut off. */
void returns_expect(struct returns *returns, uint32_t number);

/* A client's socket is closed: it will try again. */
void returns_gone(struct returns *returns, uint32_t number, uint64_t now_ns);

/* Who tries again now, or NONE. When it finds no place, returns_later. */
MUST_CHECK uint32_t returns_next(struct returns *returns, uint64_t now_ns);
void returns_later(struct returns *returns, uint32_t number, uint64_t now_ns);

/* It tries now, so long after the cut. */
void returns_tried(struct returns *returns, uint32_t number, uint64_t since_cut_ns);

/* The ticket to come with; NULL: none. */
MUST_CHECK const struct client_ticket *returns_ticket(const struct returns *returns,
                                                      uint32_t number);

/* Keeps a ticket, its own from now on. */
void returns_keep(struct returns *returns, uint32_t number, struct client_ticket *ticket);

struct return_times {
    uint64_t back_ns; /* since the cut */
    uint64_t tls_ns;
    uint64_t total_ns;
};

/* It is open. */
void returns_opened(struct returns *returns, uint32_t number, const struct return_times *times,
                    bool resumed);
