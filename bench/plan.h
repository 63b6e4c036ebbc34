/*
 * plan.h - how a number of connections is spread over rings, threads and source addresses, and
 * which limit of this machine would be hit first. Found before the first connection is made.
 */
#pragma once

#include "base/bytes.h"

#include <netinet/in.h>
#include <stdio.h>

/* What this machine allows. */
struct plan_limits {
    uint32_t descriptors_max; /* RLIMIT_NOFILE: sockets per ring table, too */
    uint32_t port_first;      /* net.ipv4.ip_local_port_range */
    uint32_t port_last;
    uint64_t files_max; /* fs.file-max; 0: no bound (CAP_SYS_ADMIN) */
    uint64_t files_used;
    uint64_t memory_available; /* bytes */
    uint64_t conntrack_max;    /* 0: connections are not tracked */
    uint64_t conntrack_used;
};

struct plan_wish {
    uint32_t connections;
    uint32_t threads;
    uint32_t in_flight_max;
    uint32_t own_bytes;     /* user memory of one client */
    uint32_t work_bytes;    /* of one handshake under way */
    bool server_here;       /* its end of each connection counts, too */
    bool target_loopback_4; /* any of 127.0.0.0/8 may be a source */
    uint32_t source_count;  /* addresses given, 0: none */
};

enum plan_bound {
    BOUND_PORTS,
    BOUND_FILES,
    BOUND_MEMORY,
    BOUND_CONNTRACK,
    BOUNDS,
};

struct plan {
    uint32_t rings; /* all threads together */
    uint32_t sockets_per_ring;
    uint32_t source_count;   /* addresses in use; 0: the kernel's choice */
    uint64_t bounds[BOUNDS]; /* connections that each allows; UINT64_MAX: no bound */
    enum plan_bound tightest;
    uint64_t connections_max; /* what the tightest allows */
    uint64_t kernel_bytes;    /* expected */
    uint64_t user_bytes;
};

/* Kernel memory of one end of an idle connection with an armed poll, as measured on Linux 6.18;
 * what the report says is measured again. */
#define PLAN_KERNEL_BYTES_EACH_END 4200
#define PLAN_SERVER_USER_BYTES     512 /* what the plan allows a server; ours needs half */

/* Pure. */
void plan_make(struct plan *plan, const struct plan_limits *limits, const struct plan_wish *wish);

/* Reads /proc, and raises the soft limit of descriptors to the hard one. */
void plan_read_limits(struct plan_limits *limits);

/* The source of a connection: one of 127.0.0.0/8 without 127.0.0.x, by index. */
void plan_loopback_source(uint32_t index, struct sockaddr_in6 *source);

/*
 * Local ports that so many connections use, spread evenly over source addresses (0: the kernel's
 * one), as expected from chance: each has a bind bucket of PLAN_BIND_BUCKET_BYTES in the kernel,
 * shared by the addresses, so that a client's end costs less the more there are.
 */
#define PLAN_BIND_BUCKET_BYTES 128
MUST_CHECK double plan_ports_used(uint32_t connections, uint32_t source_count,
                                  const struct plan_limits *limits);

/* Shards that a server needs for its sockets: none may fill its ring's table, though SO_REUSEPORT
 * spreads by chance. At least cores. */
MUST_CHECK uint32_t plan_server_shards(uint32_t connections, uint32_t descriptors_max,
                                       uint32_t cores);

/* What was found, as lines; and, when the wish does not fit, what bounds it and what to do. */
void plan_print(const struct plan *plan, const struct plan_limits *limits,
                const struct plan_wish *wish, FILE *out);
