/*
 * file.h - files that an operator names, opened so that whatever stands there makes no thread wait.
 */
#pragma once

#include "base/bytes.h"

/* A regular file, for reading: the descriptor, or -1 with *reason, a constant text. Pipes, devices
 * and folders are refused: to open or read them can take for ever. */
MUST_CHECK int file_open(const char *path, const char **reason);
