/*
 * procfs.h - numbers out of the kernel's text files. What is not there, or is no number, is not
 * found: nothing is made up.
 */
#pragma once

#include "base/bytes.h"

#define PROCFS_SIZE_MAX 16384 /* of a file; the rest is not read */

/* Reads the file; empty when it cannot be read. */
MUST_CHECK struct slice procfs_read(const char *path, char bytes[PROCFS_SIZE_MAX]);

/* Pairs of lines, names and values in the same columns, that begin with the same word:
 * "TcpExt: A B\nTcpExt: 1 2\n" (netstat). */
MUST_CHECK bool procfs_column(struct slice text, const char *group, const char *name,
                              uint64_t *value);

/* A line of names, each with its value behind it: "TCP: inuse 5 orphan 0\n" (sockstat). */
MUST_CHECK bool procfs_field(struct slice text, const char *line, const char *name,
                             uint64_t *value);

/* The number at that place of the text, from 0: "4096 131072 6291456\n" (sysctl). */
MUST_CHECK bool procfs_number(struct slice text, uint32_t place, uint64_t *value);
