/*
 * control.h - the control socket: an owner's requests to the running server, by HTTP over a Unix
 * socket (libmicrohttpd). A thread of its own reads requests; another one, the server's main
 * thread, takes them one at a time and answers:
 *
 *   poll control_fd -> control_next -> control_answer
 *
 * The socket is its owner's and root's alone (mode 0600): there is no other check, and no secret.
 */
#pragma once

#include "admin/json_out.h"

#define CONTROL_ARGUMENTS_MAX   8
#define CONTROL_TEXT_SIZE_MAX   256 /* bytes of a path, or of an argument's name or value */
#define CONTROL_BODY_SIZE_MAX   4096
#define CONTROL_ANSWER_SIZE_MAX 65536
#define CONTROL_WAIT_MS_MAX     120000 /* for an answer; then 504 */

struct control;

enum control_method {
    CONTROL_GET,
    CONTROL_POST,
    CONTROL_DELETE,
    CONTROL_METHODS /* any other */
};

struct control_argument {
    char name[CONTROL_TEXT_SIZE_MAX];
    char value[CONTROL_TEXT_SIZE_MAX];
};

/* Whole, with its query taken apart. */
struct control_request {
    enum control_method method;
    char path[CONTROL_TEXT_SIZE_MAX]; /* "/reload" */
    struct control_argument arguments[CONTROL_ARGUMENTS_MAX];
    uint32_t argument_count;
    char body[CONTROL_BODY_SIZE_MAX + 1]; /* ends with a zero byte */
    size_t body_size;
};

struct control_answer {
    unsigned status;     /* of HTTP */
    bool is_text;        /* lines instead of JSON */
    struct json_out out; /* its block is taken; size_max is set */
};

/*
 * Makes the socket and starts its thread. The file of a server that has died is replaced; one that
 * a server answers on, and a file that is no socket, are errors. NULL with a message.
 */
MUST_CHECK struct control *control_open(const char *path, char *message, size_t message_size);

/* From here on every request is answered with 503: the server is ending. */
void control_stop(struct control *control);

/* Removes the socket, if it is still ours. NULL: no-op. */
void control_close(struct control *control);

/* Readable while a request waits. */
MUST_CHECK int control_fd(const struct control *control);

/* The request that waits; NULL: none. It is the control's, until it is answered. */
MUST_CHECK const struct control_request *control_next(struct control *control);
void control_answer(struct control *control, struct control_answer *answer);

/* The value of an argument; NULL: it is not there. */
MUST_CHECK const char *control_argument(const struct control_request *request, const char *name);

/* An answer that is {"error": text}, or text as a line. */
void control_refuse(struct control_answer *answer, unsigned status, const char *text);
