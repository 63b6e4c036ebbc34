/*
 * http.h - the admin port: metrics, health, and the requests of the HTTP API (libmicrohttpd).
 *
 *   GET /metrics        Prometheus text
 *   GET /health/live    200 while the process does its work, else 503 and what hangs
 *   GET /health/ready   200 while connections are accepted, else 503 and every reason why not
 *   POST /api/<method>  when there are keys: a call, to be taken and answered
 *
 * Anything else: 404, 405. Connections, request size and time are bounded. One thread calls all of
 * this, but for admin_wake:
 *
 *   open -> { admin_wait -> admin_turn -> admin_next until NULL -> answers that are ready } ->
 * close
 */
#pragma once

#include "admin/api_counts.h"
#include "admin/api_key.h"
#include "admin/json_out.h"
#include "admin/metrics.h"

#include <netinet/in.h>

struct admin;

/* Set by the server, read by the admin thread. */
struct admin_state {
    struct counter ready;    /* 1: accepting, unless it drains */
    struct counter draining; /* 1: on its owner's order */
};

/* What is wrong, as lines of text, each with its end; "": nothing is. */
struct admin_health {
    char not_live[128];
    char not_ready[768]; /* although connections are accepted */
};

/* All of it stays until admin_close. */
struct admin_options {
    const struct sockaddr_in6 *address;
    const struct metrics *metrics;
    const struct admin_state *state;
    const struct kernel_listener *listeners; /* whose queues are shown */
    size_t listener_count;
    struct api_keys *keys;     /* NULL: no API */
    bool key_in_query;         /* also take the key from ?api_key= */
    size_t body_size_max;      /* of a call */
    struct api_counts *counts; /* with keys */
};

/* A request of the API: whole, with a good key, and without an answer yet. The admin's; whoever
 * took it may write to the body and to owner, until it is answered. */
struct admin_call {
    enum api_method method;
    bool is_bare; /* errors as a status (X-Centrifugo-Error-Mode: transport) */
    uint8_t *body;
    size_t body_size;
    void *owner;
};

/* NULL with a message that names the address and what to do. */
MUST_CHECK struct admin *admin_open(const struct admin_options *options, char *message,
                                    size_t message_size);

/* Calls that are still waiting are answered with 503. */
void admin_close(struct admin *admin);
MUST_CHECK uint16_t admin_port(const struct admin *admin);

/* What the probes are told until the next call. */
void admin_set_health(struct admin *admin, const struct admin_health *health);

/* Waits for at most wait_ms. What is told in admin_turn can be looked up in between. */
void admin_wait(struct admin *admin, uint32_t wait_ms);

/* Reads, answers and sweeps. */
void admin_turn(struct admin *admin);

/* Ends this wait or the next. Any thread. */
void admin_wake(struct admin *admin);

/* The next call; NULL: none. */
MUST_CHECK struct admin_call *admin_next(struct admin *admin);

/* The call is gone. out: JSON (its block is taken), or with failed set: 503. */
void admin_answer(struct admin *admin, struct admin_call *call, unsigned status,
                  struct json_out *out);

/* 400 with a line of text. */
void admin_refuse(struct admin *admin, struct admin_call *call, const char *reason);
