#include "admin/http_state.h"

#include "base/log.h"
#include "io/listener.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define IDLE_S_MAX        3    /* without a byte */
#define CONNECTION_MS_MAX 5000 /* in all: a byte now and then does not hold a place for ever */
#define SWEEP_MS          1000
#define ANSWER_SIZE_MAX   1024

/* --- answers ---------------------------------------------------------------------------------- */

/* Takes the response (NULL: no memory, which closes the connection). allow: for 405, else NULL. */
static enum MHD_Result answer(struct MHD_Connection *connection, unsigned status,
                              struct MHD_Response *response, const char *type, const char *allow)
{
    enum MHD_Result result = MHD_NO;

    if (!response) {
        return MHD_NO;
    }
    /* One request a connection: its time is bounded as a whole. */
    if (MHD_add_response_header(response, "Content-Type", type) == MHD_YES &&
        MHD_add_response_header(response, "Connection", "close") == MHD_YES &&
        MHD_add_response_header(response, "Cache-Control", "no-store") == MHD_YES &&
        (!allow || MHD_add_response_header(response, "Allow", allow) == MHD_YES)) {
        result = MHD_queue_response(connection, status, response);
    }
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result answer_text(struct MHD_Connection *connection, unsigned status,
                                   const char *text)
{
    char copy[ANSWER_SIZE_MAX]; /* the library wants it writable, and copies it once more */

    ASSERT(strlen(text) < sizeof(copy));
    memcpy(copy, text, strlen(text) + 1);
    struct MHD_Response *response =
        MHD_create_response_from_buffer(strlen(copy), copy, MHD_RESPMEM_MUST_COPY);
    return answer(connection, status, response, "text/plain; charset=utf-8",
                  status == MHD_HTTP_METHOD_NOT_ALLOWED ? "GET, HEAD" : NULL);
}

static enum MHD_Result answer_metrics(struct admin *admin, struct MHD_Connection *connection)
{
    size_t size;
    char *text = metrics_render(admin->options.metrics, &admin->kernel, clock_now_ms(), &size);

    if (!text) {
        return answer_text(connection, MHD_HTTP_INTERNAL_SERVER_ERROR, "out of memory\n");
    }
    struct MHD_Response *response =
        MHD_create_response_from_buffer(size, text, MHD_RESPMEM_MUST_FREE);
    if (!response) {
        free(text);
    }
    return answer(connection, MHD_HTTP_OK, response, "text/plain; version=0.0.4; charset=utf-8",
                  NULL);
}

/* Every reason has its line, so that one look tells all. */
static enum MHD_Result answer_health(const struct admin *admin, struct MHD_Connection *connection,
                                     bool is_ready)
{
    const struct admin_health *health = &admin->health;
    bool accepts = counter_read(&admin->options.state->ready) != 0;
    char text[ANSWER_SIZE_MAX] = "";

    if (is_ready) {
        bool drains = counter_read(&admin->options.state->draining) != 0;
        (void)snprintf(text, sizeof(text), "%s%s%s",
                       accepts ? ""
                               : "not ready: starting or stopping, connections are not accepted\n",
                       drains ? "not ready: draining (limpet drain --undo takes it back)\n" : "",
                       health->not_ready);
    } else {
        (void)snprintf(text, sizeof(text), "%s", health->not_live);
    }
    if (text[0] != '\0') {
        return answer_text(connection, MHD_HTTP_SERVICE_UNAVAILABLE, text);
    }
    return answer_text(connection, MHD_HTTP_OK, is_ready ? "ready\n" : "live\n");
}

static enum MHD_Result handle_get(struct admin *admin, struct MHD_Connection *connection,
                                  const char *path, bool is_get)
{
    bool is_metrics = strcmp(path, "/metrics") == 0;
    bool is_ready = strcmp(path, "/health/ready") == 0;

    if (!is_metrics && !is_ready && strcmp(path, "/health/live") != 0) {
        return answer_text(connection, MHD_HTTP_NOT_FOUND,
                           "not found: /metrics, /health/live and /health/ready are here\n");
    }
    if (!is_get) {
        return answer_text(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "use GET\n");
    }
    if (is_metrics) {
        return answer_metrics(admin, connection);
    }
    return answer_health(admin, connection, is_ready);
}

/* --- requests --------------------------------------------------------------------------------- */

// NOLINTNEXTLINE(readability-function-size): the library's signature
static enum MHD_Result handle_request(void *context, struct MHD_Connection *connection,
                                      const char *path, const char *verb, const char *version,
                                      const char *body, size_t *body_size, void **request)
{
    static const char prefix[] = "/api/";
    struct admin *admin = context;

    (void)version;
    if (*request) {
        return call_go_on(admin, *request, body, body_size);
    }
    if (admin->options.keys && strncmp(path, prefix, strlen(prefix)) == 0) {
        return call_begin(admin, connection, path + strlen(prefix), verb, request);
    }
    *body_size = 0; /* read away; no other request of ours has a body that matters */
    return handle_get(admin, connection, path,
                      strcmp(verb, MHD_HTTP_METHOD_GET) == 0 ||
                          strcmp(verb, MHD_HTTP_METHOD_HEAD) == 0);
}

// NOLINTNEXTLINE(readability-non-const-parameter): the library's signature
static void handle_end(void *context, struct MHD_Connection *connection, void **request,
                       enum MHD_RequestTerminationCode code)
{
    (void)context;
    (void)connection;
    (void)code;
    if (*request) {
        call_end(*request);
        *request = NULL;
    }
}

/* --- connections ------------------------------------------------------------------------------ */

static void handle_connection(void *context, struct MHD_Connection *connection,
                              void **connection_context, enum MHD_ConnectionNotificationCode code)
{
    struct admin *admin = context;

    if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
        struct admin_connection *entry = *connection_context;
        if (entry) {
            admin->kept_count -= entry->is_kept ? 1 : 0;
            *entry = (struct admin_connection){0};
        }
        return;
    }
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    uint32_t free_place = 0;
    while (admin->connections[free_place].deadline_ms != 0) {
        free_place++;
        ASSERT(free_place < CONNECTIONS_MAX); /* the library takes no more than that */
    }
    admin->connections[free_place] = (struct admin_connection){
        .deadline_ms = clock_now_ms() + CONNECTION_MS_MAX, .fd = info->connect_fd};
    *connection_context = &admin->connections[free_place];
}

/* Shut down, an overdue connection looks to the library as if its peer had left. */
static void sweep(struct admin *admin, uint64_t now_ms)
{
    for (uint32_t i = 0; i < CONNECTIONS_MAX; i++) {
        struct admin_connection *entry = &admin->connections[i];
        if (entry->deadline_ms != 0 && entry->deadline_ms <= now_ms) {
            (void)shutdown(entry->fd, SHUT_RDWR);
        }
    }
}

void admin_set_health(struct admin *admin, const struct admin_health *health)
{
    admin->health = *health;
}

void admin_wait(struct admin *admin, uint32_t wait_ms)
{
    struct pollfd waits[] = {{.fd = admin->daemon_fd, .events = POLLIN},
                             {.fd = admin->wake_fd, .events = POLLIN}};
    MHD_UNSIGNED_LONG_LONG timeout_ms = 0;
    uint64_t wakes;

    /* A resumed connection makes no event: the library looks for it when it runs, and only then
     * knows for how long to wait. */
    if (admin->has_resumed) {
        admin->has_resumed = false;
        (void)MHD_run(admin->daemon);
    }
    if (MHD_get_timeout(admin->daemon, &timeout_ms) == MHD_YES && timeout_ms < wait_ms) {
        wait_ms = (uint32_t)timeout_ms;
    }
    if (wait_ms > SWEEP_MS) {
        wait_ms = SWEEP_MS;
    }
    if (poll(waits, 2, (int)wait_ms) > 0 && waits[1].revents != 0) {
        ssize_t taken = read(admin->wake_fd, &wakes, sizeof(wakes));
        (void)taken; /* that it is empty is fine, too */
    }
}

void admin_turn(struct admin *admin)
{
    (void)MHD_run(admin->daemon);
    sweep(admin, clock_now_ms());
}

void admin_wake(struct admin *admin)
{
    const uint64_t one = 1;

    ssize_t written = write(admin->wake_fd, &one, sizeof(one));
    (void)written; /* it cannot fail but by overflow, and then it is awake */
}

/* --- open and close --------------------------------------------------------------------------- */

static int listen_on(const struct sockaddr_in6 *address, char *message, size_t message_size)
{
    const int on = 1;
    char text[ADDRESS_TEXT_SIZE];
    socklen_t size =
        address->sin6_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    int fd = socket(address->sin6_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
        bind(fd, (const struct sockaddr *)address, size) == 0 && listen(fd, CONNECTIONS_MAX) == 0) {
        return fd;
    }
    int error = errno;
    struct log_field reason = log_errno("error", error);
    const char *advice = "set admin.listen to a free address of this host, or \"\" for none";
    address_format(address, text);
    if (error == EADDRINUSE) {
        advice = "another program has that port: stop it, or set admin.listen to a free one";
    } else if (error == EACCES) {
        advice = "ports below 1024 need CAP_NET_BIND_SERVICE: set admin.listen to a higher one";
    }
    (void)snprintf(message, message_size, "admin port %s: %.*s: %s", text, (int)reason.text.size,
                   (const char *)reason.text.data, advice);
    if (fd >= 0) {
        (void)close(fd);
    }
    return -1;
}

/* Takes fd: the library closes it with the daemon. */
static bool start_daemon(struct admin *admin, int fd)
{
    admin->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, handle_request, admin,
        MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_S_MAX, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)CONNECTION_MEMORY_SIZE, MHD_OPTION_NOTIFY_CONNECTION, handle_connection, admin,
        MHD_OPTION_NOTIFY_COMPLETED, handle_end, admin, MHD_OPTION_END);
    if (!admin->daemon) {
        (void)close(fd);
        return false;
    }
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(admin->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    admin->daemon_fd = info->epoll_fd;
    return true;
}

struct admin *admin_open(const struct admin_options *options, char *message, size_t message_size)
{
    struct sockaddr_in6 bound = {0};
    socklen_t bound_size = sizeof(bound);
    int fd = listen_on(options->address, message, message_size);

    if (fd < 0) {
        return NULL;
    }
    ASSERT(getsockname(fd, (struct sockaddr *)&bound, &bound_size) == 0);
    struct admin *admin = calloc(1, sizeof(*admin));
    if (!admin) {
        (void)close(fd);
        (void)snprintf(message, message_size, "admin port: out of memory");
        return NULL;
    }
    admin->options = *options;
    admin->kernel.listeners = options->listeners;
    admin->kernel.listener_count = options->listener_count;
    admin->port = ntohs(bound.sin6_port); /* in the same place for both families */
    admin->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (admin->wake_fd >= 0 && start_daemon(admin, fd)) {
        return admin;
    }
    if (admin->wake_fd >= 0) {
        (void)close(admin->wake_fd);
    } else {
        (void)close(fd);
    }
    free(admin);
    (void)snprintf(message, message_size,
                   "admin port: no descriptor left for it: raise RLIMIT_NOFILE");
    return NULL;
}

void admin_close(struct admin *admin)
{
    if (!admin) {
        return;
    }
    call_refuse_waiting(admin);
    (void)MHD_run(admin->daemon); /* it must not be stopped while a connection is suspended */
    MHD_stop_daemon(admin->daemon);
    (void)close(admin->wake_fd);
    free(admin);
}

uint16_t admin_port(const struct admin *admin)
{
    return admin->port;
}
