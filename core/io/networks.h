/*
 * networks.h - a set of networks of IPv4 and IPv6, and whether an address is in it.
 *
 * Written as 192.0.2.0/24, 192.0.2.7, 2001:db8::/32 or ::1. Kept as sorted ranges of address keys
 * (address.h), so that a look-up is a binary search: 17 steps of 100,000. A network of IPv6 never
 * covers addresses of IPv4, which lie within ::/0 as keys do.
 */
#pragma once

#include "base/bytes.h"

#define NETWORKS_MAX 1000000u /* ranges: 32 MB */

struct network_range {
    uint8_t first[16];
    uint8_t last[16];
};

/* Zero-initialise. Nothing is in it before networks_sort. */
struct networks {
    struct network_range *ranges;
    uint32_t count;
    uint32_t room;
};

/* Returns 0, -EINVAL (not written as above), -ENOSPC or -ENOMEM. */
MUST_CHECK int networks_add(struct networks *networks, struct slice text);

/* Adds one a line; what follows a # is a comment. Returns 0, or -1 with a message that names the
 * file, and the line. */
MUST_CHECK int networks_add_file(struct networks *networks, const char *path, char *message,
                                 size_t message_size);

/* After the last was added: puts them in order, and joins those that touch. */
void networks_sort(struct networks *networks);

MUST_CHECK bool networks_have(const struct networks *networks, const uint8_t key[16]);

void networks_close(struct networks *networks);
