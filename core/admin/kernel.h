/*
 * kernel.h - what the kernel knows of this host's TCP, and of the accept queues of our listeners:
 * the limits that bite while the process looks idle.
 *
 * Read when somebody asks, on the admin thread, from /proc at most once a second. What a kernel
 * does not have is left out.
 */
#pragma once

#include "base/bytes.h"

#include <stdio.h>

enum kernel_value {
    KERNEL_LISTEN_OVERFLOWS,
    KERNEL_LISTEN_DROPS,
    KERNEL_SYN_COOKIES,
    KERNEL_SYN_DROPS,
    KERNEL_MEMORY_PRESSURES,
    KERNEL_ABORTS_ON_MEMORY,
    KERNEL_ABORTS_ON_TIMEOUT,
    KERNEL_TIME_WAIT_OVERFLOWS,
    KERNEL_BACKLOG_DROPS,
    KERNEL_TCP_SOCKETS,
    KERNEL_TIME_WAIT,
    KERNEL_ORPHANS,
    KERNEL_ORPHANS_MAX,
    KERNEL_TCP_PAGES,
    KERNEL_TCP_PAGES_MIN,
    KERNEL_TCP_PAGES_PRESSURE,
    KERNEL_TCP_PAGES_MAX,
    KERNEL_SOCKET_BYTES,
    KERNEL_FILES,
    KERNEL_FILES_MAX,
    KERNEL_TRACKED,
    KERNEL_TRACKED_MAX,
    KERNEL_VALUES
};

/* A listening socket. It may be closed, and its number be given out again, while it is in the list:
 * then it is passed over. */
struct kernel_listener {
    int fd;
    uint32_t shard;
    uint32_t number; /* of the shard's listeners */
};

struct kernel {
    const struct kernel_listener *listeners;
    size_t listener_count;
    uint64_t read_ms; /* 0: not yet */
    bool has[KERNEL_VALUES];
    uint64_t values[KERNEL_VALUES];
};

/* now_ms: the monotonic clock. */
void kernel_read(struct kernel *kernel, uint64_t now_ms);

/* As Prometheus text. */
void kernel_write(const struct kernel *kernel, FILE *out);
