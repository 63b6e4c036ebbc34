/*
 * undo.h - takes back what a journal describes, in reverse: files, folders, live values.
 *
 * Each step is compare-and-swap: what is there must be what apply made, and goes back to what was;
 * what is so already is passed over, so a run that was killed can be run again; anything else was
 * changed by somebody since, and is left alone and told.
 */
#pragma once

#include "tuning/journal.h"

struct undo {
    const struct tree *tree;
    const struct journal *journal;
    enum journal_goal goal;
    bool dry_run;
    bool is_quiet; /* tells only what was left alone and what failed */
    FILE *out;
    FILE *errors;
    unsigned restored; /* results; zero to begin with */
    unsigned left;
    unsigned failed;
};

void undo_run(struct undo *undo);

/* Live values that must not go down now, because the host uses more: tells each. Their number. */
MUST_CHECK unsigned undo_forbidden(struct undo *undo);

/* Removes the names under which apply kept what an earlier apply had written. */
void undo_forget_earlier(const struct tree *tree, const struct journal *journal);

/* The boot id and the version of the kernel that runs below the root; "" where it is not known. */
void undo_read_boot(const struct tree *tree, char boot[JOURNAL_WORD_SIZE],
                    char kernel[JOURNAL_WORD_SIZE]);
