/*
 * listener.h - listening sockets, with every option set here, since accepted sockets inherit them
 * (facts: NODELAY, USER_TIMEOUT, NOTSENT_LOWAT, buffers). Of an address each shard has one of its
 * own (SO_REUSEPORT); a Unix socket is one, which all shards accept from.
 */
#pragma once

#include "io/endpoint.h"

struct listener_options {
    struct sockaddr_in6 address; /* family AF_INET or AF_INET6; AF_UNIX: the path */
    bool ipv6_only;              /* the wildcard of IPv6 leaves IPv4 to others */
    const char *path;            /* begins with a slash; fits ENDPOINT_PATH_SIZE */
    uint32_t mode;               /* of the path's file */
    uint32_t backlog;
    uint32_t user_timeout_ms;     /* TCP_USER_TIMEOUT; 0: leave */
    uint32_t receive_buffer_size; /* SO_RCVBUF; 0: the kernel's */
    uint32_t send_buffer_size;    /* SO_SNDBUF; 0: the kernel's */
};

/* The descriptor, or -errno with a text in message that names what failed and what to do. The file
 * of a Unix socket that nobody listens on any more is replaced; no other file ever is. */
MUST_CHECK int listener_open(const struct listener_options *options, char *message,
                             size_t message_size);

/* Whether the address (no Unix socket) is free: SO_REUSEPORT would let a second server of the same
 * user in without a word, and the kernel would deal clients out to both. Returns 0, or -errno with
 * such a message. */
MUST_CHECK int listener_probe(const struct listener_options *options, char *message,
                              size_t message_size);

/* The port that the kernel chose (address with port 0). */
MUST_CHECK uint16_t listener_port(int fd);

struct listener_queue {
    uint32_t count; /* connections that wait to be accepted */
    uint32_t size;  /* how many may */
};

/* False when it does not listen on TCP (any more). Any thread: nothing is asked of its owner. */
MUST_CHECK bool listener_read_queue(int fd, struct listener_queue *queue);

/* The file of a Unix socket: which it is, so that the end of this server does not take away the
 * one that its successor has made in the meantime. */
struct listener_file {
    char path[ENDPOINT_PATH_SIZE]; /* "": none */
    uint64_t device;
    uint64_t number;
};
void listener_file_note(struct listener_file *file, const char *path);
void listener_file_remove(const struct listener_file *file);

/* Logs a warning when net.core.somaxconn is below the backlog. */
void listener_warn_of_backlog(uint32_t backlog);
