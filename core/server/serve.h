/*
 * serve.h - `limpet serve`: opens all that the shards share, runs them, and stops them on a signal.
 */
#pragma once

#include "server/arguments.h"

/* Returns the process's exit status. */
int serve(const struct arguments *arguments);

/* `limpet check`: opens what a server needs, prints the budget, listens on nothing. */
int serve_check(const struct arguments *arguments);
