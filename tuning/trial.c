#include "tuning/trial.h"

#include "io/ring.h"

#include <sys/resource.h>

static void raise_descriptors(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max < RING_TABLE_MAX ? limit.rlim_max : RING_TABLE_MAX;
        /* Where it fails the trial shows what comes of it. */
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

void trial_run(struct trial *trial, const struct target *target)
{
    const uint64_t sockets = target_sockets_per_ring(target);
    int error = 0;

    *trial = (struct trial){.was_run = true};
    trial->sockets = sockets < RING_TABLE_MAX ? (uint32_t)sockets : RING_TABLE_MAX;
    raise_descriptors();
    const struct ring_options options = {
        .sockets_max = trial->sockets,
        .buffer_count = target->options.receive_buffer_count,
        .buffer_size = target->options.receive_buffer_size,
    };
    struct ring *ring = ring_open(&options, &error, trial->message, sizeof(trial->message));
    if (ring) {
        trial->works = true;
        trial->message[0] = '\0';
        ring_close(ring);
    }
}
