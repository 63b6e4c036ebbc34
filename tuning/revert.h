/*
 * revert.h - `limpet-tune revert`: takes back what apply did, and an apply that was killed.
 *
 * A file or a live value goes back to what it was only while it is still what apply made of it;
 * what somebody has changed since is left alone, and told. After a reboot a live value goes to what
 * the remaining files give.
 */
#pragma once

#include "base/assert.h"

#include <stddef.h>
#include <stdio.h>

struct apply_options;

/* inputs is not used. Returns 0 when everything is as before apply, also when there was nothing to
 * take back; 1 when something was left alone; -1 after a message when something failed (run it
 * again) or nothing was changed. */
int revert_run(const struct apply_options *options);

/* What check says: 0 nothing was applied, 1 applied, 2 an apply was killed (message: what to do),
 * -1 the folder of what was before cannot be read (message: why). Changes nothing. */
MUST_CHECK int revert_pending(const char *root, char *message, size_t size);
