/*
 * redis.h - Redis 6 and later, and Valkey: the only user of hiredis.
 *
 * Plain `PUBLISH <prefix><channel> <payload>` from any tool is delivered live. Publications with
 * history go through scripts/publish.lua (XADD and PUBLISH in one step), which any backend may
 * call.
 */
#pragma once

#include "broker/broker.h"

#define REDIS_NODES_MAX       64
#define REDIS_PREFIX_SIZE_MAX 64

enum redis_topology {
    REDIS_SINGLE,
    REDIS_SENTINEL, /* nodes are sentinels, which name the master */
    REDIS_CLUSTER,  /* nodes are some of the cluster's; sharded pub/sub (Redis 7) */
};

enum redis_forward {
    REDIS_FORWARD_STREAM,
    REDIS_FORWARD_CHANNEL,
};

struct redis_options {
    enum redis_topology topology;
    const char *nodes[REDIS_NODES_MAX]; /* "host:port", "[v6]:port" or "/path/of.sock" */
    uint32_t node_count;
    const char *master_name; /* of REDIS_SENTINEL */
    const char *user;        /* ACL; NULL: default */
    const char *password;    /* NULL: none */
    bool tls;
    const char *tls_ca_file; /* NULL: the system's */
    const char *tls_certificate_file;
    const char *tls_key_file;
    const char *prefix; /* "limpet:" */
    bool one_pattern;   /* PSUBSCRIBE <prefix>* instead of a subscription for each channel */
    bool forwards;
    enum redis_forward forward;
    const char *forward_name;    /* key of the stream, or channel */
    uint32_t forward_length_max; /* of the stream */
    uint32_t requests_max;       /* in flight */
    uint32_t timeout_ms;         /* connect, and silence after a request */
    uint32_t canary_interval_ms;
    uint32_t presence_expiry_s;
    uint32_t subscribes_per_s; /* pace of resubscribing after a reconnect */
    const char *host_id;       /* of this process, unique: names its canary */
};

/* Starts to connect. options live as long as the broker. NULL with a message for options that can
 * never work. */
MUST_CHECK struct broker *redis_open(const struct redis_options *options, uint64_t now_ms,
                                     char *message, size_t message_size);
