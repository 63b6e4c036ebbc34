/*
 * survey.h - what an apply would do, worked out before anything is touched: a journal in which
 * everything that was before stands beside what is wanted.
 */
#pragma once

#include "tuning/journal.h"

#include <stdio.h>

struct survey {
    const struct tree *tree;
    const struct journal *earlier; /* the state of an apply before; NULL: none */
    const struct change *changes;
    size_t change_count;
    FILE *errors;
};

/* Fills the journal. false after a message: something is in the way. */
MUST_CHECK bool survey_run(const struct survey *survey, const char *inputs,
                           struct journal *journal);

/* A value or a file that apply has to touch. */
MUST_CHECK bool survey_changes_value(const struct journal_value *value);
MUST_CHECK bool survey_changes_file(const struct journal_file *file);
