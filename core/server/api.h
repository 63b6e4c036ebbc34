/*
 * api.h - publishing over HTTP: the admin thread, between admin/http.h and the relay.
 *
 * One thread reads requests, asks the relay, and answers. A request that waits holds no thread and
 * no lock; after admin.answer_timeout it is answered with an error, and what the relay says later
 * is thrown away.
 */
#pragma once

#include "admin/http.h"
#include "server/options.h"
#include "session/namespace.h"

struct relay;
struct settings_desk;
struct api;

/* All of it stays until api_close. */
struct api_sources {
    const struct options *options; /* admin.listen is an address */
    struct settings_desk *desk;    /* newer ones of both; NULL: there will be none */
    struct relay *relay;
    const struct tally *users;     /* NULL: they are not counted, for they have no limit */
    struct api_keys *keys;         /* NULL: metrics and health alone */
    const struct metrics *metrics; /* of the shards, and whatever hangs on them */
    const struct admin_state *state;
    const struct kernel_listener *listeners;
    size_t listener_count;
    uint64_t capacity; /* connections that the host can hold */
};

/* Opens the admin port and starts its thread. NULL with a message. */
MUST_CHECK struct api *api_open(const struct api_sources *sources, char *message,
                                size_t message_size);
MUST_CHECK uint16_t api_port(const struct api *api);

/* Any thread: there are newer settings to take. NULL: no-op. */
void api_wake(struct api *api);

/*
 * The end, in two steps around the relay's: api_stop answers what still waits with 503, closes the
 * port, and asks nothing more; then the relay closes; api_close frees what it may have answered
 * until then.
 */
void api_stop(struct api *api);
void api_close(struct api *api); /* NULL: no-op */
