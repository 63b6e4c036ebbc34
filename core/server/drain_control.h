/*
 * drain_control.h - /drain of the control socket: begins a drain, tells how far it is, takes it
 * back. The main thread's.
 *
 * Each answers with how it stands:
 *
 *   {"state": "none" | "draining" | "drained", "open": N, "remaining": N, "closed": N,
 *    "over_ms": N, "elapsed_ms": N}
 *
 * remaining: open connections that are still to be told; open: those whose answer is awaited, too.
 */
#pragma once

#include "admin/control.h"

struct run;

/* What the main thread remembers of it, beside what the shards count. */
struct drain_record {
    bool is_on;
    uint32_t over_ms;
    uint64_t began_ms;
    uint64_t ended_ms;      /* 0: not yet */
    uint64_t closed_before; /* the counters' sum when it began */
};

/* POST, with over_ms in the query: begins, or goes on at another pace. */
void drain_control_begin(struct run *run, const struct control_request *request,
                         struct control_answer *answer);

/* GET */
void drain_control_status(struct run *run, const struct control_request *request,
                          struct control_answer *answer);

/* DELETE: listens again; 409 when there is none. */
void drain_control_undo(struct run *run, const struct control_request *request,
                        struct control_answer *answer);

/* Once a second: notes, and says in the log, when the last was told. */
void drain_control_look(struct run *run);
