/*
 * request.h - the command line of limpet-tune.
 */
#pragma once

#include "base/bytes.h"

#include <sys/types.h>

enum request_verb {
    VERB_PLAN,
    VERB_CHECK,
    VERB_APPLY,
    VERB_REVERT,
    VERB_PROFILE,
};

struct request {
    enum request_verb verb;
    uint64_t connections;     /* 0: not given */
    uint64_t connect_rate;    /* new connections a second; 0: not given */
    bool is_load_host;        /* the host opens connections instead of taking them */
    const char *nic;          /* NULL: the one of the default route */
    const char *options_path; /* of the server; NULL: its defaults */
    const char *root;         /* "" for the host itself, else a folder that stands for "/" */
    const char *profile;      /* NULL: list them */
    pid_t pid;                /* of the server; 0: find it */
    uint32_t interval_ms;     /* between two readings of the counters */
    uint32_t count;           /* of readings; 0: until interrupted */
    bool watch;
    bool json;
    bool yes;
    bool dry_run;
};

/* Fills the request. Ends the program with 2 after a message when the line is not right, with 0
 * after --help or --version. */
void request_read(struct request *request, int argc, char **argv);
