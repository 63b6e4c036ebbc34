/*
 * killer.h - ends what apply and revert do at any step, from outside, by ptrace: a step is a system
 * call that changes files or says something about them.
 */
#pragma once

#include "tests/unit/tuning/replica.h"

#define KILLER_STEPS_MAX 2000

typedef int killer_action(struct replica *replica);

/* Lets a child do it and kills it just before its step number step, from 1. False when it came to
 * its end before that, which must be a good one. */
bool killer_run(struct replica *replica, killer_action *act, unsigned step);
