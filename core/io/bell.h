/*
 * bell.h - wakes a thread that waits in poll(2): an eventfd.
 *
 * Whoever posts to a mailbox and is told to wake its reader rings; the reader waits on bell_fd and
 * silences the bell before it looks.
 */
#pragma once

#include "base/bytes.h"

struct bell {
    int fd; /* -1: closed */
};

/* Returns 0 or -errno. */
MUST_CHECK int bell_open(struct bell *bell);
void bell_close(struct bell *bell); /* no-op when it is closed */

/* Any thread. */
void bell_ring(const struct bell *bell);
void bell_silence(const struct bell *bell);
