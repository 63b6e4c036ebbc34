/*
 * nic_stats.h - one figure of the interface's driver, as `ethtool -S` shows it: what the provider
 * dropped is counted nowhere else.
 */
#pragma once

#include "tuning/host.h"

/* Of this network namespace. HOST_ABSENT: the driver has no figure of that name. */
MUST_CHECK enum host_reading nic_stats_read(const char *nic, const char *name, uint64_t *value);
