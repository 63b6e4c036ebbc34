/*
 * redis_scripts.h - the shipped scripts (scripts/NAME.lua), as part of the program.
 */
#pragma once

#include "broker/redis_bytes.h"

enum redis_script {
    REDIS_PUBLISH,
    REDIS_HISTORY,
    REDIS_PRESENCE,
    REDIS_SCRIPTS,
    REDIS_NO_SCRIPT,
};

MUST_CHECK struct slice redis_script_text(enum redis_script script);

/* The head of a command: EVALSHA, or EVAL with the text. argument_count: those that follow, of
 * which the first is the number of keys. */
void redis_script_call(struct redis_bytes *bytes, enum redis_script script, bool with_text,
                       uint32_t argument_count);
