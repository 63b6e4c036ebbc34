/*
 * cgroup.h - where a process stands among the control groups, and the memory that they leave it.
 */
#pragma once

#include "tuning/host.h"

#include <sys/types.h>

struct cgroup_memory {
    uint64_t bytes;   /* 0: no limit is known */
    const char *name; /* the file that sets it: "the cgroup's memory.max" */
};

/* The process's group below /sys/fs/cgroup, "/" or "/system.slice/limpet.service"; pid 0: our own.
 * False: there is none of version 2, or its path is too long. */
MUST_CHECK bool cgroup_path(const char *root, pid_t pid, char out[HOST_PATH_MAX]);

/* The lowest limit of the process's group and of all that it is in, of either version; pid 0: our
 * own. What is missing or is no number limits nothing. */
MUST_CHECK struct cgroup_memory cgroup_memory(const char *root, pid_t pid);
