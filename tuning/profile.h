/*
 * profile.h - the profiles that are shipped in sysctl.d/: the same table for hosts that we imagine.
 */
#pragma once

#include "tuning/settings.h"

#include <stdio.h>

struct profile {
    const char *name; /* "limpet-1m" */
    const char *host; /* "16 cores, 16 GB of memory" */
    struct target target;
};

/* NULL past the last. */
MUST_CHECK const struct profile *profile_at(size_t index);

/* With or without "limpet-" in front; NULL: there is none of that name. */
MUST_CHECK const struct profile *profile_find(const char *name);

/* The whole file, every line with its arithmetic. */
void profile_write(const struct profile *profile, FILE *out);
