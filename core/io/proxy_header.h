/*
 * proxy_header.h - the PROXY protocol, versions 1 and 2: what a proxy says of its client before the
 * client's own bytes. (HAProxy's proxy-protocol.txt, 2020/03/05.)
 */
#pragma once

#include "io/endpoint.h"

#define PROXY_V1_SIZE_MAX 107u  /* section 2.1, its CR LF counted */
#define PROXY_V2_SIZE_MAX 4112u /* 16, and 4,096 of addresses and what else is told (TLV) */

enum proxy_outcome {
    PROXY_MORE, /* it may become one */
    PROXY_DONE,
    PROXY_BAD,
};

struct proxy_header {
    size_t size;                /* the client's own bytes begin behind it */
    bool has_source;            /* false: see is_local */
    bool is_local;              /* the proxy speaks for itself; else it does not know its client */
    struct sockaddr_in6 source; /* the client: AF_INET or AF_INET6 */
};

/* versions: PROXY_V1, PROXY_V2 or both. Reads no byte behind the header. */
MUST_CHECK enum proxy_outcome proxy_header_read(struct slice input, uint8_t versions,
                                                struct proxy_header *header);
