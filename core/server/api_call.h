/*
 * api_call.h - one request of the HTTP API, from its body to its answer.
 *
 * Its commands become steps: a broadcast has one for each channel, every other command one. A step
 * that is an error at once never reaches the relay; the others are asked, a bounded number at a
 * time. A batch's commands follow each other, unless it asked for them to be parallel.
 */
#pragma once

#include "admin/api_response.h"
#include "server/api_ask.h"
#include "server/options.h"

struct admin_call;

#define API_ASKED_MAX 256 /* of one call at a time: a full broadcast leaves room for others */

struct api_step {
    const struct api_command *command;
    struct slice channel;
    struct api_ask *ask; /* NULL: not asked */
};

struct api_call {
    struct api_call *previous; /* of those that wait, in the order in which they came */
    struct api_call *following;
    struct admin_call *http;
    uint64_t start_ns;
    struct api_request request;
    struct api_step *steps;
    struct api_part *parts;
    uint32_t step_count;
    uint32_t started;
    uint32_t asked;     /* and not answered */
    size_t answer_size; /* bytes of what was answered, API_ANSWER_SIZE_MAX at most */
    bool is_stalled;    /* the relay had no room: to be tried again soon */
    bool has_timed_out;
};

/* NULL: no memory. Takes what the request owns. */
MUST_CHECK struct api_call *api_call_open(struct api_request *request, struct admin_call *http,
                                          uint64_t now_ns);

/* What is still asked for is let go. */
void api_call_close(struct api_call *call);

/* Starts what may start. True when every step has its result. */
MUST_CHECK bool api_call_go_on(struct api_call *call, struct api_inbox *inbox,
                               const struct options *options);

/* The call's ask was answered. */
void api_call_answered(struct api_call *call, struct api_ask *ask);

/* Every step that has no result is answered with a timeout. */
void api_call_expire(struct api_call *call);
