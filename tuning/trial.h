/*
 * trial.h - one ring of the size that a shard's will have, with its table of sockets, opened and
 * closed again: proves limits, seccomp filter and sysctls at once, for this user, as they hold
 * here.
 */
#pragma once

#include "tuning/target.h"

#define TRIAL_MESSAGE_SIZE 512

struct trial {
    bool was_run;
    bool works;
    uint32_t sockets;                 /* of the table that was tried */
    char message[TRIAL_MESSAGE_SIZE]; /* when it does not work: cause and fix */
};

/* Raises the soft RLIMIT_NOFILE to the hard one, as the server does at its start. */
void trial_run(struct trial *trial, const struct target *target);
