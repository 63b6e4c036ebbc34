/*
 * scratch.h - a folder that stands for "/": what a host would have in /proc, /sys and /etc is
 * written there by hand.
 */
#pragma once

#define SCRATCH_MAX 64

struct scratch {
    char root[SCRATCH_MAX];
};

void scratch_open(struct scratch *scratch);

/* Also makes the folders on the way: scratch_write(&s, "/proc/sys/net/core/somaxconn", "128\n"). */
void scratch_write(const struct scratch *scratch, const char *path, const char *text);
void scratch_sysctl(const struct scratch *scratch, const char *key, const char *value);
void scratch_remove(const struct scratch *scratch, const char *path);

/* A host that the plan can be made for: 4 cores, 16 GB, eth0 with 4 queues, kernel's defaults. */
void scratch_host(const struct scratch *scratch);

void scratch_close(const struct scratch *scratch);
