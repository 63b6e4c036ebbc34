/*
 * api_ask.h - one question of the HTTP API to the relay, and its answer.
 *
 * The answer is lent on the relay's thread for a moment: there it is copied into one block, put
 * into the inbox, and the admin thread is woken. Everything else happens on the admin thread: whose
 * call has been answered meanwhile lets go of the ask, and what still comes for it is thrown away.
 */
#pragma once

#include "admin/api_response.h"
#include "server/relay.h"

#include <pthread.h>

struct admin;
struct api_call;
struct api_ask;

/* What the relay may hold of ours: it copies each publication, and a broadcast has many. */
#define API_ASKED_BYTES_MAX ((size_t)32 * 1024 * 1024)

struct api_inbox {
    struct relay *relay;
    struct api_ask *all; /* that were asked and not freed; the admin thread's */
    size_t asked_bytes;  /* of those that were not answered */
    pthread_mutex_t mutex;
    struct admin *admin;   /* to be woken; under the mutex, as the next two; NULL: it is gone */
    struct api_ask *first; /* answered, in their order */
    struct api_ask *last;
};

struct api_ask {
    struct api_inbox *inbox;
    struct api_ask *previous; /* in inbox->all */
    struct api_ask *following;
    struct api_call *call; /* NULL: nobody waits for it any more */
    size_t bytes;
    uint32_t step; /* of the call */
    bool is_answered;
    enum relay_question question;
    bool counts_only; /* RELAY_CHANNELS: how many, not which */

    /* The relay's thread writes these before the ask is in the inbox. */
    struct api_ask *next;
    struct api_part part; /* lends from block */
    void *block;
    size_t block_size;
};

void api_inbox_init(struct api_inbox *inbox, struct relay *relay, struct admin *admin);

/* Before the admin port closes: what is answered from now on wakes nobody. */
void api_inbox_stop(struct api_inbox *inbox);

/* When the relay has closed and the admin thread has ended: frees what was never answered, too. */
void api_inbox_close(struct api_inbox *inbox);

/* BROKER_DONE with *started, or why not: FULL (nothing was asked: try again when there is room),
 * REFUSED. */
MUST_CHECK enum broker_outcome api_ask_start(struct api_inbox *inbox,
                                             const struct relay_request *request, bool counts_only,
                                             struct api_ask **started);
void api_ask_free(struct api_ask *ask);

/* The answer takes more room than there is: an error takes its place. */
void api_ask_drop_answer(struct api_ask *ask);

/* The next one that was answered, whether its call still waits or not; NULL: none. */
MUST_CHECK struct api_ask *api_inbox_next(struct api_inbox *inbox);

/* What the API says of an outcome. */
MUST_CHECK struct api_error api_error_of(enum broker_outcome outcome);
