/*
 * supervisor.h - what systemd is told (sd_notify(3)): nothing when it did not start us, or when the
 * unit does not ask for it.
 */
#pragma once

#include "base/assert.h"

#include <stdbool.h>
#include <stdint.h>

/* Every shard accepts: at the start, and when a reload is done. status is one line for `systemctl
 * status`. */
void supervisor_ready(const char *status);

/* A reload begins; it ends with supervisor_ready. */
void supervisor_reloading(void);

/* One line for `systemctl status`. */
void supervisor_status(const char *status);

/* It takes so long, and then the kernel's share: systemd waits no shorter. */
void supervisor_stopping(uint32_t within_ms);

/* True when the unit has a watchdog, which wants supervisor_alive within its time. */
MUST_CHECK bool supervisor_watches(void);

/* Feeds the watchdog; to be called once a second, and not when a shard hangs. */
void supervisor_alive(void);
