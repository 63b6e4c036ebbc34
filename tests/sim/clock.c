/*
 * clock.c - the time of libraries: wolfSSL asks these for certificates and tickets. The simulator
 * owns time, so they tell its wall clock, and a seed gives the same bytes in every run.
 */
#include "tests/sim/ring_sim.h"

#include <sys/time.h>
#include <time.h>

time_t time(time_t *out)
{
    const time_t now = (time_t)(ring_unix_ms(NULL) / 1000);

    if (out != NULL) {
        *out = now;
    }
    return now;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    const uint64_t now_ms = ring_unix_ms(NULL);

    (void)zone;
    now->tv_sec = (time_t)(now_ms / 1000);
    now->tv_usec = (suseconds_t)(now_ms % 1000 * 1000);
    return 0;
}
