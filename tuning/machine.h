/*
 * machine.h - what the host is: memory, cores, interface, provider, and the server that runs on it.
 * Read once, through host.h.
 */
#pragma once

#include "tuning/cgroup.h"
#include "tuning/target.h"

#include <sys/types.h>

#define MACHINE_NAME_MAX 64

struct machine {
    const char *root;
    char kernel[HOST_TEXT_MAX];
    uint32_t cores;
    uint64_t memory_bytes;           /* of the host: what the kernel's own limits follow from */
    struct cgroup_memory memory_max; /* of the server's groups, else of ours; bytes 0: no less */
    char nic[MACHINE_NAME_MAX];      /* "": none is known */
    uint32_t link_mbit;              /* 0: not known */
    uint32_t rx_queues;              /* 0: not known */
    enum provider provider;
    bool is_tracked;            /* connections are tracked: the module is there, and has entries */
    bool is_steered;            /* receive packet steering is on, on the interface's first queue */
    pid_t pid;                  /* of the server; 0: none runs */
    char cgroup[HOST_PATH_MAX]; /* of the server, below /sys/fs/cgroup: "/system.slice/..."; "" */
};

/*
 * nic NULL: the interface of the default route, if there is one. pid 0: a process named limpet, if
 * there is one. Returns 0, or -1 with a message: no such interface, no such process, no
 * /proc/meminfo.
 */
MUST_CHECK int machine_read(struct machine *machine, const char *root, const char *nic, pid_t pid,
                            char *message, size_t message_size);

/* The lowest process of that name; 0: none. */
MUST_CHECK pid_t machine_find_process(const char *root, const char *name);

/* "2 cores, 23.4 GB, Linux 6.18, eth0 with 25,000 Mbit/s and 2 queues". */
void machine_describe(const struct machine *machine, char *out, size_t size);

/* The host's numbers and the server's options (zero: defaults) as a target; 0 connections: those of
 * the options, else TARGET_CONNECTIONS_DEFAULT; 0 rate: all within TARGET_BACK_WITHIN_S. */
void machine_target(const struct machine *machine, const struct target_options *options,
                    uint64_t connections, uint64_t connect_rate, struct target *target);
