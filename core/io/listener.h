/*
 * listener.h - a shard's listening socket: SO_REUSEPORT, every option set here, since accepted
 * sockets inherit them (facts: NODELAY, USER_TIMEOUT, NOTSENT_LOWAT, buffers).
 */
#pragma once

#include "base/bytes.h"

#include <netinet/in.h>

struct listener_options {
    struct sockaddr_in6 address; /* family AF_INET or AF_INET6 */
    uint32_t backlog;
    uint32_t user_timeout_ms;     /* TCP_USER_TIMEOUT; 0: leave */
    uint32_t receive_buffer_size; /* SO_RCVBUF; 0: the kernel's */
    uint32_t send_buffer_size;    /* SO_SNDBUF; 0: the kernel's */
};

/* The descriptor, or -errno with a text in message that names what failed and what to do. */
MUST_CHECK int listener_open(const struct listener_options *options, char *message,
                             size_t message_size);

/* The port that the kernel chose (address with port 0). */
MUST_CHECK uint16_t listener_port(int fd);

/* "127.0.0.1:8443", "[::1]:8443", "8443" (both families). Returns 0, or -EINVAL. */
MUST_CHECK int address_parse(struct slice text, struct sockaddr_in6 *address);

/* Writes "1.2.3.4:5" or "[::1]:5"; an IPv4-mapped address as IPv4. */
#define ADDRESS_TEXT_SIZE 56
void address_format(const struct sockaddr_in6 *address, char out[ADDRESS_TEXT_SIZE]);

/* The address without its port, in one form for both spellings of IPv4: 16 bytes. For counting. */
void address_key(const struct sockaddr_in6 *address, uint8_t out[16]);
