/*
 * address.h - addresses of IPv4 and IPv6 in one structure: text, and a key to count by.
 *
 * A struct sockaddr_in6 holds either: with family AF_INET its first 16 bytes are a struct
 * sockaddr_in.
 */
#pragma once

#include "base/bytes.h"

#include <netinet/in.h>

/* "127.0.0.1:8443", "[::1]:8443", "8443" (both families). Returns 0, or -EINVAL. */
MUST_CHECK int address_parse(struct slice text, struct sockaddr_in6 *address);

/* Writes "1.2.3.4:5" or "[::1]:5"; an IPv4-mapped address as IPv4; "unix" of
 * family AF_UNIX. */
#define ADDRESS_TEXT_SIZE 56
void address_format(const struct sockaddr_in6 *address, char out[ADDRESS_TEXT_SIZE]);

/* The address without its port, in one form for both spellings of IPv4: 16 bytes. For counting. */
void address_key(const struct sockaddr_in6 *address, uint8_t out[16]);

/* Bytes of it that the kernel reads and writes: 16 for IPv4, 28 for IPv6. */
MUST_CHECK uint32_t address_size(const struct sockaddr_in6 *address);
