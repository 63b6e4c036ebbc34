/*
 * random.h - random bytes of the kernel, from a buffer per thread that is wiped as it is used.
 *
 * One getrandom(2) of RANDOM_BUFFER_SIZE serves about 36 TLS handshakes. A forked child never
 * reuses its parent's bytes. random_source is the only place that asks the kernel; the simulator
 * links another one.
 */
#pragma once

#include "base/bytes.h"

#define RANDOM_BUFFER_SIZE 4096

void random_bytes(void *out, size_t size);

/* Uniform in [0, bound), bound > 0. */
MUST_CHECK uint64_t random_below(uint64_t bound);

/* random_source.c: fills out from getrandom(2); stops the process if the kernel has no bytes. */
void random_source(void *out, size_t size);
