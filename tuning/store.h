/*
 * store.h - /var/lib/limpet-tune below a root: the journal of an apply under way, and the state
 * that the last complete one left.
 *
 *   state              what revert goes by
 *   journal            an apply that is under way, or was killed; becomes the state in one step
 *
 * Every change is one rename, on disk before the next thing is done. Where the folder was not
 * there, it comes and goes together with what is in it, by a rename from and to a name of its own,
 * so that a kill never leaves an empty one. One process at a time, by a lock on /var/lib, which
 * leaves no file.
 */
#pragma once

#include "tuning/journal.h"

#define STORE_FOLDER  "/var/lib/limpet-tune"
#define STORE_STATE   STORE_FOLDER "/state"
#define STORE_JOURNAL STORE_FOLDER "/journal"

enum store_reading {
    STORE_NOTHING,
    STORE_READ,
    STORE_BAD /* message says why, and what to do */
};

#define STORE_MESSAGE_SIZE 512

/* Waits for nobody: -EWOULDBLOCK with the holder's number and name in who, or another -errno. 0:
 * the lock is held until its descriptor *lock is closed. */
MUST_CHECK int store_lock(const struct tree *tree, int *lock, char who[STORE_MESSAGE_SIZE]);

/* Removes what a killed run left besides a journal and a state. With the lock. */
void store_tidy(const struct tree *tree);

/* path: STORE_JOURNAL or STORE_STATE. */
MUST_CHECK enum store_reading store_load(const struct tree *tree, const char *path,
                                         struct journal *journal, char message[STORE_MESSAGE_SIZE]);

/* Writes the journal; sets made_store when the folder was not there. 0 or -errno. */
MUST_CHECK int store_begin(const struct tree *tree, struct journal *journal);

/* The journal becomes the state. 0 or -errno. */
MUST_CHECK int store_commit(const struct tree *tree);

/* What journal describes is taken back: path, STORE_JOURNAL or STORE_STATE, goes, and the folder
 * with it if it was made and holds nothing more. 0 or -errno. */
MUST_CHECK int store_drop(const struct tree *tree, const char *path, const struct journal *journal);
