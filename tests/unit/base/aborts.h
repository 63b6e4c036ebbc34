/*
 * aborts.h - for tests of assertions: does this stop the process, as it should?
 */
#pragma once

#include <stdbool.h>

/* Runs act(context) in a forked child. True when the child was stopped by abort(). */
bool aborts(void (*act)(void *context), void *context);
