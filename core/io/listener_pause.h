/*
 * listener_pause.h - a listening socket that takes nobody for a while, and then listens again.
 */
#pragma once

#include "base/assert.h"

#include <stdint.h>

/* The kernel refuses whoever comes, resets whoever waits to be accepted, and keeps the address for
 * the socket. No accept may be armed. */
void listener_pause(int fd);

/* Listens again. Returns 0 or -errno. */
MUST_CHECK int listener_resume(int fd, uint32_t backlog);
