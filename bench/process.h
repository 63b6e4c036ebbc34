/*
 * process.h - a server's process and its children, seen from outside by /proc.
 *
 * Descriptors are looked at once, to find the server, and never while connections are open: listing
 * them makes the kernel keep an inode and a dentry for each.
 */
#pragma once

#include "base/bytes.h"

#include <netinet/in.h>

#define PROCESS_PIDS_MAX 256

struct process {
    int pids[PROCESS_PIDS_MAX]; /* the first is the one asked for */
    uint32_t count;
};

/* The process and all below it. Returns 0, or -1 when it does not exist. */
MUST_CHECK int process_tree(struct process *process, int pid);

/* The process that listens on this machine at the address, or 0. Needs root for other users'. */
MUST_CHECK int process_of_listener(const struct sockaddr_in6 *address);

/* CPU time of all threads, in ns: of those that live. */
MUST_CHECK uint64_t process_cpu_ns(const struct process *process);

struct process_memory {
    uint64_t rss; /* bytes, all processes together */
    uint64_t pss;
    uint64_t rss_anon;    /* of it: anonymous */
    uint64_t page_tables; /* kernel memory that maps it */
};

/* Returns 0, or -1 when it may not be read. */
MUST_CHECK int process_memory_read(const struct process *process, struct process_memory *memory);
