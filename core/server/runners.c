#include "server/runners.h"

#include "io/listener.h"
#include "server/service.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BIND_WAIT_MS  3000
#define BIND_PAUSE_MS 100

void runners_init(struct runners *runners, struct server *server)
{
    runners->server = server;
    pthread_mutex_init(&runners->mutex, NULL);
    pthread_cond_init(&runners->changed, NULL);
}

static const char *proxy_text(uint8_t versions)
{
    static const char *const texts[] = {"no", "v1", "v2", "any"};

    return texts[versions];
}

/* Without TLS a token goes in clear: that is for a proxy on this host, or a network of one's own.
 */
static void tell(const struct endpoint *endpoint)
{
    char text[ENDPOINT_TEXT_SIZE];

    endpoint_format(endpoint, text);
    LOG(LOG_INFO, "listener", log_text("address", text),
        log_text("tls", endpoint->is_plain ? "no" : "yes"),
        log_text("proxy", proxy_text(endpoint->proxy)));
    if (endpoint->is_plain && !endpoint_is_local(endpoint)) {
        LOG(LOG_WARN, "a listener without TLS can be reached from other hosts: tokens go in clear",
            log_text("listen", text),
            log_text("fix", "wss://, or ws:// on 127.0.0.1, [::1] or a Unix socket"));
    }
}

static struct listener listener_of(const struct endpoint *endpoint, int fd)
{
    struct listener listener = {
        .fd = fd, .proxy = endpoint->proxy, .is_plain = endpoint->is_plain, .kind = LISTENER_UNIX};

    if (endpoint->address.sin6_family != AF_UNIX) {
        listener.kind = endpoint->address.sin6_family == AF_INET6 ? LISTENER_IPV6 : LISTENER_IPV4;
    }
    return listener;
}

static void give(struct runner *runner, const struct endpoint *endpoint, int fd)
{
    runner->listeners[runner->listener_count] = listener_of(endpoint, fd);
    runner->listener_count++;
}

/*
 * A Unix socket is one for all shards: the kernel has no SO_REUSEPORT for it. Each has a descriptor
 * of its own, so that closing is the same everywhere.
 */
static int listen_on_path(struct runners *runners, const struct endpoint *endpoint,
                          const struct listener_options *wanted)
{
    char message[RUNNERS_MESSAGE_SIZE];
    int fd = listener_open(wanted, message, sizeof(message));

    if (fd < 0) {
        return service_fail(message);
    }
    listener_file_note(&runners->files[runners->file_count++], endpoint->path);
    give(&runners->list[0], endpoint, fd);
    for (uint32_t i = 1; i < runners->server->shard_count; i++) {
        int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
        if (copy < 0) {
            return service_fail("too many open files: raise RLIMIT_NOFILE (LimitNOFILE=)");
        }
        give(&runners->list[i], endpoint, copy);
    }
    return 0;
}

/* A server that was killed with very many sockets keeps its port until the kernel has let go of
 * them: its successor waits for that a while. */
static int await_address(const struct listener_options *wanted, char *message)
{
    const struct timespec pause = {.tv_nsec = BIND_PAUSE_MS * 1000000L};
    int error = listener_probe(wanted, message, RUNNERS_MESSAGE_SIZE);

    for (uint32_t waited_ms = 0; error == -EADDRINUSE && waited_ms < BIND_WAIT_MS;
         waited_ms += BIND_PAUSE_MS) {
        if (waited_ms == 0) {
            LOG(LOG_WARN, "the address is in use, waits for it", log_number("ms", BIND_WAIT_MS));
        }
        (void)nanosleep(&pause, NULL);
        error = listener_probe(wanted, message, RUNNERS_MESSAGE_SIZE);
    }
    return error;
}

/* One listening socket a shard for one address; a port of 0 is chosen by the first. */
static int listen_on_address(struct runners *runners, const struct endpoint *endpoint,
                             struct listener_options *wanted)
{
    char message[RUNNERS_MESSAGE_SIZE];

    if (await_address(wanted, message) != 0) {
        return service_fail(message);
    }
    for (uint32_t i = 0; i < runners->server->shard_count; i++) {
        int fd = listener_open(wanted, message, sizeof(message));
        if (fd < 0) {
            return service_fail(message);
        }
        give(&runners->list[i], endpoint, fd);
        wanted->address.sin6_port = htons(listener_port(fd));
    }
    if (runners->port == 0) {
        runners->port = ntohs(wanted->address.sin6_port);
    }
    return 0;
}

static int listen_on(struct runners *runners, const struct options *options, const char *text)
{
    struct endpoint endpoint;
    struct listener_options wanted = {
        .backlog = options->listen_backlog,
        .user_timeout_ms = options->tcp_user_timeout_ms,
        .receive_buffer_size = options->socket_receive_size,
        .send_buffer_size = options->socket_send_size,
    };
    int parsed = endpoint_parse(slice_text(text), &endpoint);

    ASSERT(parsed == 0); /* as the options were read */
    wanted.address = endpoint.address;
    wanted.ipv6_only = endpoint.ipv6_only;
    wanted.path = endpoint.path;
    wanted.mode = endpoint.mode;
    int result = endpoint.address.sin6_family == AF_UNIX
                     ? listen_on_path(runners, &endpoint, &wanted)
                     : listen_on_address(runners, &endpoint, &wanted);
    if (result == 0) {
        endpoint.address.sin6_port = wanted.address.sin6_port; /* chosen by the kernel, perhaps */
        tell(&endpoint);
    }
    return result;
}

int runners_listen(struct runners *runners, const struct options *options)
{
    for (uint32_t i = 0; i < options->listen.count; i++) {
        if (listen_on(runners, options, options->listen.names[i]) != 0) {
            return -1;
        }
    }
    return 0;
}

size_t runners_list_listeners(const struct runners *runners, struct kernel_listener *listeners)
{
    size_t count = 0;

    for (uint32_t i = 0; i < runners->server->shard_count; i++) {
        const struct runner *runner = &runners->list[i];
        for (uint32_t k = 0; k < runner->listener_count; k++) {
            listeners[count++] =
                (struct kernel_listener){.fd = runner->listeners[k].fd, .shard = i, .number = k};
        }
    }
    return count;
}

static void say_started(struct runners *runners, const char *message)
{
    pthread_mutex_lock(&runners->mutex);
    if (message) {
        if (!runners->failed) {
            (void)snprintf(runners->message, sizeof(runners->message), "%s", message);
        }
        runners->failed = true;
    }
    runners->ready_count++;
    pthread_cond_broadcast(&runners->changed);
    while (!runners->go) {
        pthread_cond_wait(&runners->changed, &runners->mutex);
    }
    pthread_mutex_unlock(&runners->mutex);
}

static void say_stopped(struct runners *runners)
{
    pthread_mutex_lock(&runners->mutex);
    runners->stopped_count++;
    pthread_cond_broadcast(&runners->changed);
    while (!runners->end) {
        pthread_cond_wait(&runners->changed, &runners->mutex);
    }
    pthread_mutex_unlock(&runners->mutex);
}

/* A shard's thread: its memory is touched first here, on the core where it runs. */
static void *run_shard(void *argument)
{
    struct runner *runner = argument;
    char message[RUNNERS_MESSAGE_SIZE];
    char name[16];

    (void)snprintf(name, sizeof(name), "shard-%u", runner->number);
    pthread_setname_np(pthread_self(), name);
    runner->shard = shard_open(runner->all->server, runner->number, message, sizeof(message));
    bool opened = runner->shard && shard_open_ring(runner->shard, message, sizeof(message)) == 0;
    if (opened) {
        runner->all->server->ring_fds[runner->number] = ring_fd(runner->shard->ring);
    }
    say_started(runner->all, opened ? NULL : message);
    if (runner->all->failed) {
        for (uint32_t i = 0; i < runner->listener_count; i++) {
            close(runner->listeners[i].fd);
        }
    } else {
        for (uint32_t i = 0; i < runner->listener_count; i++) {
            accepting_listen(runner->shard, &runner->listeners[i]);
        }
        while (shard_tick(runner->shard)) {
        }
    }
    say_stopped(runner->all);
    if (runner->shard) {
        shard_close(runner->shard);
    }
    return NULL;
}

int runners_start(struct runners *runners)
{
    uint32_t count = runners->server->shard_count;
    uint32_t started = 0;

    for (; started < count; started++) {
        struct runner *runner = &runners->list[started];
        runner->all = runners;
        runner->number = started;
        int error = pthread_create(&runner->thread, NULL, run_shard, runner);
        if (error != 0) {
            (void)snprintf(runners->message, sizeof(runners->message), "thread %u of %u: %s",
                           started, count, strerrordesc_np(error));
            runners->failed = true;
            break;
        }
        runner->is_started = true;
    }
    pthread_mutex_lock(&runners->mutex);
    while (runners->ready_count < started) {
        pthread_cond_wait(&runners->changed, &runners->mutex);
    }
    for (uint32_t i = 0; i < started; i++) {
        const struct shard *shard = runners->list[i].shard;
        runners->blocks[i] = shard ? &shard->counts : NULL;
    }
    pthread_mutex_unlock(&runners->mutex);
    return runners->failed ? service_fail(runners->message) : 0;
}

void runners_release(struct runners *runners, bool failed)
{
    pthread_mutex_lock(&runners->mutex);
    runners->failed = runners->failed || failed;
    runners->go = true;
    pthread_cond_broadcast(&runners->changed);
    pthread_mutex_unlock(&runners->mutex);
}

static uint32_t started_count(const struct runners *runners)
{
    uint32_t started = 0;

    for (uint32_t i = 0; i < runners->server->shard_count; i++) {
        started += runners->list[i].is_started ? 1 : 0;
    }
    return started;
}

bool runners_await_stop(struct runners *runners, uint32_t wait_ms)
{
    const uint32_t started = started_count(runners);
    struct timespec end;
    int error = 0;

    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_nsec += (long)(wait_ms % 1000) * 1000000;
    end.tv_sec += wait_ms / 1000 + end.tv_nsec / 1000000000;
    end.tv_nsec %= 1000000000;
    pthread_mutex_lock(&runners->mutex);
    while (runners->stopped_count < started && error == 0) {
        error = pthread_cond_clockwait(&runners->changed, &runners->mutex, CLOCK_MONOTONIC, &end);
    }
    const bool have_stopped = runners->stopped_count == started;
    pthread_mutex_unlock(&runners->mutex);
    return have_stopped;
}

void runners_join(struct runners *runners)
{
    uint32_t started = started_count(runners);

    pthread_mutex_lock(&runners->mutex);
    runners->end = true;
    pthread_cond_broadcast(&runners->changed);
    pthread_mutex_unlock(&runners->mutex);
    for (uint32_t i = 0; i < started; i++) {
        pthread_join(runners->list[i].thread, NULL);
    }
    for (uint32_t i = 0; i < runners->file_count; i++) {
        listener_file_remove(&runners->files[i]);
    }
}
