/*
 * endpoint.h - where clients are awaited, and how: one entry of the option `listen`.
 *
 *   8443, 0.0.0.0:8443, [::]:8443    TLS, as with wss://
 *   wss://[::]:8443                  TLS
 *   ws://127.0.0.1:8080              no TLS: for a proxy in front
 *   wss+unix:/run/limpet/tls.sock    the same two on a Unix socket
 *   ws+unix:/run/limpet/ws.sock
 *
 * Behind it, after '?' and with '&' between: proxy=v1, v2 or any (each connection begins with a
 * header of the PROXY protocol), and of a Unix socket mode=0660, its file's mode.
 */
#pragma once

#include "io/address.h"

#define ENDPOINT_PATH_SIZE 108 /* of struct sockaddr_un, its NUL counted */
#define ENDPOINT_MODE      0660u

/* Versions of the PROXY protocol, as bits. */
enum {
    PROXY_V1 = 1,
    PROXY_V2 = 2,
};

struct endpoint {
    struct sockaddr_in6 address;   /* family AF_INET, AF_INET6, or AF_UNIX: see path */
    char path[ENDPOINT_PATH_SIZE]; /* of a Unix socket, else "" */
    uint32_t mode;
    uint8_t proxy;  /* the versions that may come, 0: no header */
    bool is_plain;  /* no TLS */
    bool ipv6_only; /* written as [::]: leaves IPv4 to others, as a port alone does not */
};

#define ENDPOINT_ALLOWED                                                                           \
    "PORT, A.B.C.D:PORT or [IPv6]:PORT, with wss:// or ws:// before it; wss+unix:/PATH or "        \
    "ws+unix:/PATH; then ?proxy=v1, v2 or any, and &mode=0660 of a Unix socket"

/* Returns 0, or -EINVAL. */
MUST_CHECK int endpoint_parse(struct slice text, struct endpoint *endpoint);

/* The same place, however it was spelled. A port of 0 is chosen by the kernel: never the same. */
MUST_CHECK bool endpoint_same(const struct endpoint *a, const struct endpoint *b);

/* Only programs of this host get there. */
MUST_CHECK bool endpoint_is_local(const struct endpoint *endpoint);

/* Writes "unix:/PATH", or as address_format. */
#define ENDPOINT_TEXT_SIZE (ENDPOINT_PATH_SIZE + 8)
void endpoint_format(const struct endpoint *endpoint, char out[ENDPOINT_TEXT_SIZE]);
