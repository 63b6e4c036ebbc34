/*
 * child.h - runs something that may end its process, and keeps what it says.
 */
#pragma once

#include "base/bytes.h"

#define CHILD_TEXT_MAX 32768

struct child {
    int status; /* of its exit; -1: it was stopped by a signal */
    char out[CHILD_TEXT_MAX];
    char err[CHILD_TEXT_MAX];
};

/* Forks, calls act(context) and exits with what it returns. */
void child_run(struct child *child, int (*act)(const void *context), const void *context);

/* The number of lines of a text. */
MUST_CHECK size_t child_lines(const char *text);

/* A folder of the test's own; removed by child_folder_close with everything in it. */
struct child_folder {
    char path[64];
};
void child_folder_open(struct child_folder *folder);
void child_folder_close(struct child_folder *folder);

/* Writes a file of the folder, and gives its path: good until the eighth next call. */
const char *child_folder_write(const struct child_folder *folder, const char *name,
                               const char *text);
