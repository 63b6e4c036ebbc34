/*
 * session.h - what apply and revert begin with: the root, the right to change it, the lock, and
 * what a killed apply left.
 */
#pragma once

#include "tuning/apply.h"
#include "tuning/journal.h"

struct session {
    const struct apply_options *options; /* borrowed */
    struct tree tree;
    int lock; /* -1: a dry run takes none */
};

/* Opens the root, takes the lock and takes back an apply that was killed (a dry run only tells of
 * it). -1 after a message: nothing is open then. *was_killed, which may be NULL: whether there was
 * one; what of it was left alone is 1 in *left. */
MUST_CHECK int session_open(struct session *session, const struct apply_options *options,
                            bool *was_killed, unsigned *left);
void session_close(struct session *session);

/* The state of the last complete apply, to be freed. NULL with *failed false when there is none,
 * with true after a message. */
MUST_CHECK struct journal *session_load_state(const struct session *session, bool *failed);

/* Asks, where there is a terminal, whether to go on; --yes is yes. False after a message. */
MUST_CHECK bool session_ask(const struct session *session, const char *question);

/* While files change: a signal that would end the program waits, a broken pipe is an error of the
 * stream. */
void session_hold_signals(bool hold);
