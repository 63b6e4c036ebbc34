/*
 * net_sim.h - the simulated network under ring_sim.c: listeners, connections, bytes both ways.
 */
#pragma once

#include "base/bytes.h"

#include <netinet/in.h>

#define NET_PIPE_SIZE       16384u
#define NET_LISTENERS_MAX   64u
#define NET_CONNECTIONS_MAX 65536u

struct net_pipe {
    uint32_t size;
    uint8_t bytes[NET_PIPE_SIZE];
};

/* Both ends of a connection. Freed when both have let go. */
struct net_connection {
    struct sockaddr_in6 peer;
    struct net_pipe to_server;
    struct net_pipe to_client;
    bool client_fin; /* comes after the bytes of to_server */
    bool server_fin;
    bool reset;          /* a RST reached the server */
    bool reset_reported; /* the server was told -ECONNRESET once: from then on end or -EPIPE */
    bool client_reset;   /* a RST reached the client */
    bool client_closed;  /* the client let go */
    bool server_closed;  /* the server let go */
};

struct net_listener {
    bool paused; /* refuses whoever comes */
    uint32_t backlog_max;
    uint32_t backlog_count;
    uint32_t *backlog; /* connections, oldest first */
};

/* Frees everything. */
void net_reset(void);

/* A new listener's number. */
MUST_CHECK uint32_t net_listen(uint32_t backlog_max);
MUST_CHECK struct net_listener *net_listener_at(uint32_t listener);

/* From here on it refuses, and resets those who wait; until the resume. */
void net_pause(uint32_t listener);
void net_resume(uint32_t listener);

/* NONE when the backlog is full, or the listener paused. */
MUST_CHECK uint32_t net_connect(uint32_t listener, const struct sockaddr_in6 *peer);
MUST_CHECK struct net_connection *net_at(uint32_t connection);

/* The oldest connection that waits, or NONE. */
MUST_CHECK uint32_t net_accept(uint32_t listener);

/* Moves bytes into or out of a pipe; returns how many. */
MUST_CHECK uint32_t net_write(struct net_pipe *pipe, const uint8_t *data, uint32_t size);
MUST_CHECK uint32_t net_read(struct net_pipe *pipe, uint8_t *out, uint32_t size);

void net_reset_by_client(uint32_t connection);
void net_close_server(uint32_t connection);
void net_close_client(uint32_t connection);

void net_check(void);
