/*
 * host.h - what this host has and is: every reading of limpet-tune goes through here.
 *
 * A reading names its file as on the host ("/proc/sys/net/core/somaxconn"); root is put in front,
 * "" for the host itself, a scratch folder in tests. Nothing here writes.
 */
#pragma once

#include "base/bytes.h"

#define HOST_PATH_MAX 4096
#define HOST_TEXT_MAX 128 /* of one value, with its zero */

enum host_reading {
    HOST_READ,
    HOST_ABSENT,     /* there is no such file: another kernel, a module that is not loaded */
    HOST_UNREADABLE, /* no permission, an error, or not what it should be */
};

/* The path below root. False when it is too long. */
MUST_CHECK bool host_path(const char *root, const char *path, char out[HOST_PATH_MAX]);

/* The first line of a file, runs of blanks as one space, none at the ends. */
MUST_CHECK enum host_reading host_read_text(const char *root, const char *path,
                                            char out[HOST_TEXT_MAX]);

/* A sysctl by its name with dots: "net.core.somaxconn". */
MUST_CHECK enum host_reading host_read_sysctl(const char *root, const char *key,
                                              char out[HOST_TEXT_MAX]);
