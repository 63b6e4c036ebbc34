/*
 * apply.h - `limpet-tune apply`: makes changes, all of them or none.
 *
 * Order: what was before goes to the journal (journal.h, store.h), then the live values, each read
 * back, then the drop-ins. What fails is told, and what was done is taken back in reverse. A run
 * that was killed is found by the next one, or by revert, and taken back first.
 *
 * An apply over an earlier one keeps what was before the first: revert goes back to that.
 */
#pragma once

#include "tuning/change.h"

#include <stddef.h>
#include <stdio.h>

#define APPLY_CHANGES_MAX 96

struct apply_options {
    const char *root;   /* "" for the host itself, else a folder that stands for "/" */
    const char *inputs; /* one line for the comments: what the changes were computed from */
    bool yes;           /* do not ask */
    bool dry_run;       /* show, and write nothing */
    FILE *in;           /* where the answer comes from; asks only when it is a terminal */
    FILE *out;
    FILE *errors;
};

/* Takes back an apply that was killed, and says so. To be called before the plan is made, which
 * reads live values. Returns 0, also when there was none (dry_run: always), or -1 after a message.
 */
int apply_recover(const struct apply_options *options);

/* changes: what is wanted, each key once, at most APPLY_CHANGES_MAX. What is so already without us
 * is left out, unless other files would lower it at the next boot; what an earlier apply set and is
 * not named now stays. Returns 0 when they are made, or there is nothing to do, or it is a dry run;
 * -1 after a message when nothing was changed. */
int apply_run(const struct apply_options *options, const struct change *changes, size_t count);
