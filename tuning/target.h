/*
 * target.h - what a host is to carry, and the numbers of the host that the arithmetic needs. Plain
 * values: made from a host (host.h) and the server's options, or for a profile from a host that we
 * imagine.
 */
#pragma once

#include "base/bytes.h"

#define TARGET_CONNECTIONS_DEFAULT 100000u
#define TARGET_BACK_WITHIN_S       20u /* all clients back after a restart: the default rate */

/* What one connection takes: 3.81 KB of socket, 0.5 KB of waiting, ours. Ten percent of a KB. */
#define CONNECTION_BYTES 4813u           /* 4.7 KB */
#define BASE_BYTES       (2048ull << 20) /* system, page cache, our own arenas */
#define RING_TABLE_MAX   (1u << 20)      /* descriptors of a ring, whatever the limits */
#define ACCEPTS_PER_S    6600u           /* that a thread takes, with their full handshakes */
#define PAGE_BYTES       4096u
#define CHARGED_BYTES    (CONNECTION_BYTES * 13 + PAGE_BYTES) /* to a cgroup, at most, by ten */

enum provider {
    PROVIDER_NONE, /* bare metal, or one that is not known */
    PROVIDER_AWS,
    PROVIDER_AZURE,
    PROVIDER_GOOGLE,
};

/* The part of the server's options that matters here; zero: its default. */
struct target_options {
    uint32_t shards;
    uint32_t listen_backlog;
    uint32_t user_timeout_ms;
    uint32_t ping_interval_ms;
    uint32_t connections_max;
    uint32_t handshakes_max;
    uint32_t receive_buffer_count;
    uint32_t receive_buffer_size;
};

struct target {
    uint64_t connections;
    uint64_t connect_rate; /* new connections a second */
    bool is_load_host;
    bool is_in_lab;   /* the clients' addresses are neighbours: no router in between */
    uint32_t threads; /* of the server: as many shards, rings and listeners */
    struct target_options options;

    uint64_t memory_bytes;
    uint32_t cores;
    uint32_t link_mbit; /* 0: not known */
    uint32_t rx_queues; /* 0: not known */
    enum provider provider;
    bool is_tracked; /* the kernel tracks connections */
    bool is_steered; /* packets are spread over the cores by software */
};

/* New connections a second that the threads really take. */
MUST_CHECK uint64_t target_accept_rate(const struct target *target);

/* Slots of one ring's table of sockets, as the server makes it. May be above RING_TABLE_MAX. */
MUST_CHECK uint64_t target_sockets_per_ring(const struct target *target);

/* Memory for the target, with room for queued data and what the rest of the host does. */
MUST_CHECK uint64_t target_memory_bytes(const struct target *target);

/* What is charged to the server's cgroup: newer kernels charge accepted sockets to it. */
MUST_CHECK uint64_t target_charged_bytes(const struct target *target);

/* What the kernel chooses by itself on a host with this memory. */
MUST_CHECK uint64_t target_tcp_mem_default(const struct target *target); /* max, pages */
MUST_CHECK uint64_t target_hash_default(const struct target *target);    /* buckets */

MUST_CHECK uint64_t power_of_two_above(uint64_t value); /* the least that is not below value */
