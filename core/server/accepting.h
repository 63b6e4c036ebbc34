/*
 * accepting.h - a shard's listeners, and the way from them to a connection whose peer is known:
 * accept, place, address, limit per address.
 */
#pragma once

#include "io/ring.h"
#include "server/counts.h"
#include "server/options.h"

struct shard;

struct listener {
    int fd;
    enum {
        LISTENER_IPV4,
        LISTENER_IPV6, /* its peers have addresses of IPv6, also those that come by IPv4 */
        LISTENER_UNIX, /* they have none; the shards share the socket, and take turns */
    } kind;
    uint8_t proxy;  /* PROXY_V1, PROXY_V2: the header that each connection begins with; 0: none */
    bool is_plain;  /* no TLS */
    bool is_armed;  /* its accept */
    bool is_paused; /* for a drain: the kernel refuses whoever comes */
};

struct accepting {
    struct listener listeners[OPTIONS_LISTEN_MAX];
    uint32_t count;
    uint64_t again_at_ms; /* an accept or a listen failed: none is armed before */
};

/* Starts to accept on a listening descriptor, which becomes the shard's. */
void accepting_listen(struct shard *shard, const struct listener *listener);

/* RING_ACCEPT and RING_NAME completed. */
void accepting_accepted(struct shard *shard, const struct ring_event *event);
void accepting_named(struct shard *shard, const struct ring_event *event);

/* More has come of a connection that begins with a header of the PROXY protocol: when that is
 * whole, the client it names takes the place of the peer, and speaks. */
void accepting_header(struct shard *shard, uint32_t number);

/* A socket for which there is no place, or whose peer may not come in: counted, and closed without
 * a word. */
void accepting_refuse(struct shard *shard, uint32_t number, enum refusal refusal);

/* The step of the tick: arms accepts that have ended, or that a drain had ended. */
void accepting_rearm(struct shard *shard);

/* How long the shard may sleep before an accept is to be armed again; UINT64_MAX: any time. */
MUST_CHECK uint64_t accepting_wait_ms(const struct shard *shard);

/* A drain begins: cancels the accepts; then, in each of its ticks, pauses the listeners whose
 * accept has ended, so that whoever comes is refused by the kernel at once, and may try another
 * host. True when none listens. A Unix socket cannot be paused and taken up again: from it
 * connections are accepted and closed, which its proxy sees as soon. */
void accepting_cancel(struct shard *shard);
MUST_CHECK bool accepting_end(struct shard *shard);

/* Closes what is left, with the shard. */
void accepting_close(struct shard *shard);
