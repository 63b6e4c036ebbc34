/*
 * reload.h - SIGHUP and `limpet reload`: files of keys that were written anew.
 */
#pragma once

#include "admin/control.h"

struct run;

/* SIGHUP: what came of it is logged. */
void reload_signal(struct run *run);

/* POST /reload: what came of it is the answer, and logged. */
void reload_control(struct run *run, const struct control_request *request,
                    struct control_answer *answer);
