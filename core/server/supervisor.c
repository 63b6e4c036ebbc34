#include "server/supervisor.h"

#include "base/clock.h"

#include <systemd/sd-daemon.h>

#define KERNEL_MS 300000 /* to tear down millions of sockets */

/* What goes wrong here is systemd's to notice: it waits for the message, and says so. */

void supervisor_ready(const char *status)
{
    (void)sd_notifyf(0, "READY=1\nSTATUS=%s", status);
}

void supervisor_reloading(void)
{
    (void)sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu",
                     (unsigned long long)(clock_now_ns() / 1000));
}

void supervisor_status(const char *status)
{
    (void)sd_notifyf(0, "STATUS=%s", status);
}

void supervisor_stopping(uint32_t within_ms)
{
    (void)sd_notifyf(0, "STOPPING=1\nEXTEND_TIMEOUT_USEC=%llu",
                     ((unsigned long long)within_ms + KERNEL_MS) * 1000);
}

bool supervisor_watches(void)
{
    return sd_watchdog_enabled(0, NULL) > 0;
}

void supervisor_alive(void)
{
    (void)sd_notify(0, "WATCHDOG=1");
}
