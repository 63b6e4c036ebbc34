/*
 * redis.h - Redis 6 and later, and Valkey: the only user of hiredis.
 *
 * Plain `PUBLISH <prefix><channel> <payload>` from any tool is delivered live. Publications with
 * history go through scripts/publish.lua (XADD and PUBLISH in one step), which any backend may
 * call. In a cluster (Redis 7) channels are sharded: `SPUBLISH <prefix>{<channel>} <payload>`;
 * patterns cannot be followed there.
 */
#pragma once

#include "broker/broker.h"

#define REDIS_NODES_MAX       64 /* that are named */
#define REDIS_MASTERS_MAX     16 /* of a cluster */
#define REDIS_PREFIX_SIZE_MAX 64

enum redis_topology {
    REDIS_SINGLE,
    REDIS_SENTINEL, /* nodes are sentinels, which name the master */
    REDIS_CLUSTER,  /* nodes are some of the cluster's, whose masters are at most REDIS_MASTERS_MAX
                     */
};

enum redis_forward {
    REDIS_FORWARD_STREAM,
    REDIS_FORWARD_CHANNEL,
};

/* Texts are lent for the broker's life. */
struct redis_options {
    enum redis_topology topology;
    const char *nodes[REDIS_NODES_MAX]; /* "host:port", "[v6]:port" or "/path/of.sock" */
    uint32_t node_count;
    const char *master_name; /* of REDIS_SENTINEL */
    const char *user;        /* ACL; NULL: default */
    /* Its first line is the password. Read for each connection: a new password needs no restart. */
    const char *password_file; /* NULL: none */
    const char *sentinel_user;
    const char *sentinel_password_file;
    bool tls;
    const char *tls_ca_file; /* NULL: the system's */
    const char *tls_certificate_file;
    const char *tls_key_file;
    const char *tls_name; /* what certificates are for; NULL: the host of the address */
    const char *prefix;   /* "limpet:" */
    bool one_pattern;     /* PSUBSCRIBE <prefix>* instead of a subscription for each channel */
    enum redis_forward forward;
    const char *forward_name;    /* key of the stream, or channel */
    uint32_t forward_length_max; /* of the stream */
    uint32_t requests_max;       /* in flight */
    uint32_t members_max;        /* present, of this host */
    uint32_t timeout_ms;         /* connect, and silence after a request */
    uint32_t canary_interval_ms;
    uint32_t presence_expiry_s;
    uint32_t subscribes_per_s; /* pace of resubscribing after a reconnect */
};

/* Starts to connect. NULL with a message for options that can never work. */
MUST_CHECK struct broker *redis_open(const struct redis_options *options, uint64_t now_ms,
                                     char *message, size_t message_size);

/* Whether the options can work at all, without a connection; else a message. */
MUST_CHECK bool redis_check(const struct redis_options *options, char *message,
                            size_t message_size);
