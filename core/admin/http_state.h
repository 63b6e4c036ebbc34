/*
 * http_state.h - what http.c (connections, metrics, health) and http_call.c (the API's requests)
 * share. Only for these two.
 */
#pragma once

#include "admin/http.h"
#include "base/clock.h"

#include <microhttpd.h>

#define CONNECTIONS_MAX        160
#define CONNECTION_MEMORY_SIZE 8192 /* request line and headers, and the answer's headers */

/* The library's own thread has an idle limit but no limit in all, so the loop is ours: it also
 * sweeps the connections. They hang in the library's per-connection context, on this thread alone.
 */
struct admin_connection {
    uint64_t deadline_ms; /* 0: free; UINT64_MAX: a call waits for its answer */
    int fd;
    bool is_kept;
    struct call *waiting; /* its connection is suspended */
};

/* A call with what only this file knows of it; the first member is what is lent. */
struct call {
    struct admin_call lent;
    struct MHD_Connection *connection;
    struct admin_connection *entry;
    struct call *next; /* in the queue of those that nobody has taken yet */
    enum api_refusal refusal;
    size_t body_room;
    uint64_t discarded;
    uint64_t discard_max;
    bool is_answered;
    unsigned status; /* the answer's */
    const char *type;
    struct json_out out;
};

struct admin {
    struct MHD_Daemon *daemon;
    struct admin_options options;
    int daemon_fd; /* the library's epoll descriptor */
    int wake_fd;
    uint16_t port;
    uint32_t kept_count;
    struct admin_health health;
    struct kernel kernel;
    bool is_stopping;
    bool has_resumed;   /* since the last turn */
    struct call *first; /* whole calls, in the order in which they came */
    struct call *last;
    struct admin_connection connections[CONNECTIONS_MAX];
};

/* After the headers of a request of the API. */
MUST_CHECK enum MHD_Result call_begin(struct admin *admin, struct MHD_Connection *connection,
                                      const char *method, const char *verb, void **request);

/* A piece of its body (*body_size 0: it is whole, or its answer is ready). */
MUST_CHECK enum MHD_Result call_go_on(struct admin *admin, struct call *call, const char *body,
                                      size_t *body_size);

/* It was answered, or its connection is gone. */
void call_end(struct call *call);

/* Every call that waits gets 503, and each that comes from now on. */
void call_refuse_waiting(struct admin *admin);
