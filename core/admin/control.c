#include "admin/control.h"

#include "base/log.h"
#include "io/bell.h"

#include <errno.h>
#include <microhttpd.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS_MAX  8
#define IDLE_S_MAX       10
#define BACKLOG          8
#define REQUEST_MEMORY   8192
#define REFUSAL_SIZE_MAX 1024
#define SOCKET_MODE      0600

/* Where the one request is that can be under way. */
enum slot {
    SLOT_FREE,
    SLOT_WAITING,  /* for the main thread */
    SLOT_TAKEN,    /* the main thread reads it */
    SLOT_ANSWERED, /* its answer waits for the socket's thread */
    SLOT_LEFT      /* taken, but nobody waits for the answer any more */
};

struct control {
    struct MHD_Daemon *daemon;
    char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
    dev_t device; /* of the socket's file, to know it again */
    ino_t inode;
    struct bell bell;

    pthread_mutex_t mutex; /* of what follows */
    pthread_cond_t changed;
    enum slot slot;
    bool is_stopping;
    struct control_request request; /* read without the mutex by whoever has it */
    struct control_answer answer;
};

/* --- one request at a time -------------------------------------------------------------------- */

void control_refuse(struct control_answer *answer, unsigned status, const char *text)
{
    free(answer->out.data);
    answer->status = status;
    answer->out = (struct json_out){.size_max = CONTROL_ANSWER_SIZE_MAX};
    if (answer->is_text) {
        json_out_text(&answer->out, text);
        json_out_text(&answer->out, "\n");
        return;
    }
    json_out_text(&answer->out, "{\"error\":");
    json_out_string(&answer->out, slice_text(text));
    json_out_text(&answer->out, "}");
}

const char *control_argument(const struct control_request *request, const char *name)
{
    for (uint32_t i = 0; i < request->argument_count; i++) {
        if (strcmp(request->arguments[i].name, name) == 0) {
            return request->arguments[i].value;
        }
    }
    return NULL;
}

static struct timespec wait_end(void)
{
    struct timespec end;

    ASSERT(clock_gettime(CLOCK_MONOTONIC, &end) == 0);
    end.tv_sec += CONTROL_WAIT_MS_MAX / 1000;
    return end;
}

/* Waits for the answer to what stands in the slot. With the mutex. */
static void await_answer(struct control *control, struct control_answer *answer)
{
    const struct timespec end = wait_end();
    int error = 0;

    while (control->slot != SLOT_ANSWERED && !control->is_stopping && error == 0) {
        error = pthread_cond_clockwait(&control->changed, &control->mutex, CLOCK_MONOTONIC, &end);
    }
    if (control->slot == SLOT_ANSWERED) {
        *answer = control->answer;
        control->answer = (struct control_answer){.status = 0};
        control->slot = SLOT_FREE;
        return;
    }
    /* What was taken is still being read: its place is free when it is answered. */
    control->slot = control->slot == SLOT_TAKEN ? SLOT_LEFT : SLOT_FREE;
    if (control->is_stopping) {
        control_refuse(answer, MHD_HTTP_SERVICE_UNAVAILABLE, "the server is stopping");
    } else {
        control_refuse(answer, MHD_HTTP_GATEWAY_TIMEOUT,
                       "the server is busy: nothing is known about what was asked for");
    }
}

/* Hands the request over, and waits. */
static void ask(struct control *control, const struct control_request *request,
                struct control_answer *answer)
{
    pthread_mutex_lock(&control->mutex);
    if (control->is_stopping) {
        control_refuse(answer, MHD_HTTP_SERVICE_UNAVAILABLE, "the server is stopping");
    } else if (control->slot != SLOT_FREE) {
        control_refuse(answer, MHD_HTTP_SERVICE_UNAVAILABLE,
                       "the server is busy with an earlier request: try again");
    } else {
        control->request = *request;
        control->slot = SLOT_WAITING;
        bell_ring(&control->bell);
        await_answer(control, answer);
    }
    pthread_mutex_unlock(&control->mutex);
}

const struct control_request *control_next(struct control *control)
{
    const struct control_request *request = NULL;

    pthread_mutex_lock(&control->mutex);
    bell_silence(&control->bell);
    if (control->slot == SLOT_WAITING) {
        control->slot = SLOT_TAKEN;
        request = &control->request;
    }
    pthread_mutex_unlock(&control->mutex);
    return request;
}

void control_answer(struct control *control, struct control_answer *answer)
{
    pthread_mutex_lock(&control->mutex);
    ASSERT(control->slot == SLOT_TAKEN || control->slot == SLOT_LEFT);
    if (control->slot == SLOT_TAKEN) {
        control->answer = *answer;
        control->slot = SLOT_ANSWERED;
        pthread_cond_broadcast(&control->changed);
    } else {
        free(answer->out.data);
        control->slot = SLOT_FREE;
    }
    pthread_mutex_unlock(&control->mutex);
    *answer = (struct control_answer){.status = 0};
}

/* --- HTTP ------------------------------------------------------------------------------------- */

/* A request while it comes in; hangs in the library's per-request context. */
struct incoming {
    struct control_request request;
    bool is_too_long;
};

static enum control_method method_of(const char *verb)
{
    static const char *const verbs[CONTROL_METHODS] = {"GET", "POST", "DELETE"};
    uint32_t method = 0;

    while (method < CONTROL_METHODS && strcmp(verbs[method], verb) != 0) {
        method++;
    }
    return (enum control_method)method;
}

static bool copy_text(char out[CONTROL_TEXT_SIZE_MAX], const char *text)
{
    const size_t size = strlen(text);

    if (size >= CONTROL_TEXT_SIZE_MAX) {
        return false;
    }
    memcpy(out, text, size + 1);
    return true;
}

static enum MHD_Result take_argument(void *context, enum MHD_ValueKind kind, const char *name,
                                     const char *value)
{
    struct incoming *incoming = context;
    struct control_request *request = &incoming->request;

    (void)kind;
    if (request->argument_count == CONTROL_ARGUMENTS_MAX) {
        incoming->is_too_long = true;
        return MHD_NO;
    }
    struct control_argument *argument = &request->arguments[request->argument_count++];
    incoming->is_too_long = incoming->is_too_long || !copy_text(argument->name, name) ||
                            !copy_text(argument->value, value ? value : "");
    return MHD_YES;
}

static enum MHD_Result begin(struct MHD_Connection *connection, const char *path, const char *verb,
                             void **request)
{
    struct incoming *incoming = calloc(1, sizeof(*incoming));

    if (!incoming) {
        return MHD_NO;
    }
    *request = incoming;
    incoming->request.method = method_of(verb);
    incoming->is_too_long = !copy_text(incoming->request.path, path);
    (void)MHD_get_connection_values(connection, MHD_GET_ARGUMENT_KIND, take_argument, incoming);
    return MHD_YES;
}

static void take_body(struct incoming *incoming, const char *bytes, size_t size)
{
    struct control_request *request = &incoming->request;

    if (size > CONTROL_BODY_SIZE_MAX - request->body_size) {
        incoming->is_too_long = true;
        return;
    }
    memcpy(request->body + request->body_size, bytes, size);
    request->body_size += size;
}

/* Takes the answer's block. */
static enum MHD_Result send_answer(struct MHD_Connection *connection, struct control_answer *answer)
{
    enum MHD_Result result = MHD_NO;

    if (answer->out.failed) {
        free(answer->out.data);
        return MHD_NO;
    }
    struct MHD_Response *response =
        MHD_create_response_from_buffer(answer->out.size, answer->out.data, MHD_RESPMEM_MUST_FREE);
    if (!response) {
        free(answer->out.data);
        return MHD_NO;
    }
    const char *type = answer->is_text ? "text/plain; charset=utf-8" : "application/json";
    if (MHD_add_response_header(response, "Content-Type", type) == MHD_YES &&
        MHD_add_response_header(response, "Connection", "close") == MHD_YES) {
        result = MHD_queue_response(connection, answer->status, response);
    }
    MHD_destroy_response(response);
    return result;
}

// NOLINTNEXTLINE(readability-function-size): the library's signature
static enum MHD_Result handle_request(void *context, struct MHD_Connection *connection,
                                      const char *path, const char *verb, const char *version,
                                      const char *body, size_t *body_size, void **request)
{
    struct control_answer answer = {.status = 0};
    struct incoming *incoming = *request;

    (void)version;
    if (!incoming) {
        return begin(connection, path, verb, request);
    }
    if (*body_size > 0) {
        take_body(incoming, body, *body_size);
        *body_size = 0;
        return MHD_YES;
    }
    if (incoming->is_too_long) {
        control_refuse(&answer, MHD_HTTP_CONTENT_TOO_LARGE, "the request is too long");
    } else {
        ask(context, &incoming->request, &answer);
    }
    return send_answer(connection, &answer);
}

// NOLINTNEXTLINE(readability-non-const-parameter): the library's signature
static void handle_end(void *context, struct MHD_Connection *connection, void **request,
                       enum MHD_RequestTerminationCode code)
{
    (void)context;
    (void)connection;
    (void)code;
    free(*request);
    *request = NULL;
}

/* --- the socket ------------------------------------------------------------------------------- */

/* Writes what went wrong with errno; -1, so that it can be returned. */
static int fail(const char *path, const char *doing, char *message, size_t message_size)
{
    const int error = errno;
    const char *advice = "set admin.control to a path in a folder that this user may write to";

    if (error == EROFS) {
        advice = "its file system is read-only: set admin.control to a path elsewhere";
    }
    (void)snprintf(message, message_size, "control socket %s: %s: %s: %s", path, doing,
                   strerrordesc_np(error), advice);
    return -1;
}

/* A server that was killed leaves its socket's file: it is removed. */
static int remove_stale(const struct sockaddr_un *address, char *message, size_t message_size)
{
    const char *path = address->sun_path;
    struct stat status;

    if (lstat(path, &status) != 0) {
        return errno == ENOENT ? 0 : fail(path, "looking at it", message, message_size);
    }
    if (!S_ISSOCK(status.st_mode)) {
        (void)snprintf(message, message_size,
                       "control socket %s: there is something else at this path: remove it, or set "
                       "admin.control to another path",
                       path);
        return -1;
    }
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return fail(path, "a socket", message, message_size);
    }
    const int result = connect(fd, (const struct sockaddr *)address, sizeof(*address));
    const int error = result != 0 ? errno : 0;
    (void)close(fd);
    if (error == 0 || error == EAGAIN) { /* its queue is full */
        (void)snprintf(message, message_size,
                       "control socket %s: a running server answers on it: stop that one, or set "
                       "admin.control to another path",
                       path);
        return -1;
    }
    if (error != ECONNREFUSED) {
        errno = error;
        return fail(path, "asking who answers on it", message, message_size);
    }
    return unlink(path) == 0 ? 0 : fail(path, "removing the old one", message, message_size);
}

/* The mode is the socket's before it has a name: at no time may others connect. */
static int listen_at(struct control *control, char *message, size_t message_size)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat status;

    memcpy(address.sun_path, control->path, sizeof(address.sun_path));
    if (remove_stale(&address, message, message_size) != 0) {
        return -1;
    }
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && fchmod(fd, SOCKET_MODE) == 0 &&
        bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0 &&
        listen(fd, BACKLOG) == 0 && lstat(control->path, &status) == 0) {
        control->device = status.st_dev;
        control->inode = status.st_ino;
        return fd;
    }
    (void)fail(control->path, "making it", message, message_size);
    if (fd >= 0) {
        (void)close(fd);
    }
    return -1;
}

/* Takes fd: the library closes it with the daemon. */
static bool start_daemon(struct control *control, int fd)
{
    control->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_USE_INTERNAL_POLLING_THREAD, 0, NULL, NULL, handle_request, control,
        MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_S_MAX, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)REQUEST_MEMORY, MHD_OPTION_NOTIFY_COMPLETED, handle_end, NULL, MHD_OPTION_END);
    if (!control->daemon) {
        (void)close(fd);
    }
    return control->daemon != NULL;
}

/* Only while the file is the one that we made: another server may have replaced it. */
static void remove_socket(const struct control *control)
{
    struct stat status;

    if (lstat(control->path, &status) == 0 && status.st_dev == control->device &&
        status.st_ino == control->inode) {
        (void)unlink(control->path);
    }
}

struct control *control_open(const char *path, char *message, size_t message_size)
{
    struct control *control = calloc(1, sizeof(*control));

    if (!control || bell_open(&control->bell) != 0) {
        (void)snprintf(message, message_size, "control socket: no memory, or no descriptor left");
        free(control);
        return NULL;
    }
    pthread_mutex_init(&control->mutex, NULL);
    pthread_cond_init(&control->changed, NULL);
    int fd = -1;
    if (strlen(path) >= sizeof(control->path)) {
        (void)snprintf(message, message_size,
                       "control socket %s: the path is longer than %zu bytes, which is what a "
                       "socket can have: set admin.control to a shorter one",
                       path, sizeof(control->path) - 1);
    } else {
        memcpy(control->path, path, strlen(path));
        fd = listen_at(control, message, message_size);
    }
    if (fd >= 0 && start_daemon(control, fd)) {
        return control;
    }
    if (fd >= 0) {
        (void)snprintf(message, message_size, "control socket: no thread or descriptor for it");
    }
    control_close(control);
    return NULL;
}

void control_stop(struct control *control)
{
    if (control) {
        pthread_mutex_lock(&control->mutex);
        control->is_stopping = true;
        pthread_cond_broadcast(&control->changed);
        pthread_mutex_unlock(&control->mutex);
    }
}

void control_close(struct control *control)
{
    if (!control) {
        return;
    }
    control_stop(control);
    if (control->daemon) {
        remove_socket(control);
        MHD_stop_daemon(control->daemon);
    }
    free(control->answer.out.data);
    bell_close(&control->bell);
    pthread_cond_destroy(&control->changed);
    pthread_mutex_destroy(&control->mutex);
    free(control);
}

int control_fd(const struct control *control)
{
    return control->bell.fd;
}
