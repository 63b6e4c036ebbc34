#include "server/runners.h"

#include "io/address.h"
#include "io/listener.h"
#include "server/service.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

void runners_init(struct runners *runners, struct server *server)
{
    runners->server = server;
    pthread_mutex_init(&runners->mutex, NULL);
    pthread_cond_init(&runners->changed, NULL);
}

/* One listening socket a shard for one address; a port of 0 is chosen by the first. */
static int listen_on(struct runners *runners, const struct options *options, const char *text)
{
    struct listener_options listener = {
        .backlog = options->listen_backlog,
        .user_timeout_ms = options->tcp_user_timeout_ms,
        .receive_buffer_size = options->socket_receive_size,
        .send_buffer_size = options->socket_send_size,
    };
    char message[RUNNERS_MESSAGE_SIZE];

    if (address_parse(slice_text(text), &listener.address) != 0) {
        (void)snprintf(message, sizeof(message), "listen: %s is no address", text);
        return service_fail(message);
    }
    /* A port alone is both families; [::] beside 0.0.0.0 must not be in its way. */
    listener.ipv6_only = text[0] == '[';
    if (listener_probe(&listener, message, sizeof(message)) != 0) {
        return service_fail(message);
    }
    for (uint32_t i = 0; i < runners->server->shard_count; i++) {
        struct runner *runner = &runners->list[i];
        int fd = listener_open(&listener, message, sizeof(message));
        if (fd < 0) {
            return service_fail(message);
        }
        runner->listener_fds[runner->listener_count] = fd;
        runner->is_ipv6[runner->listener_count] = listener.address.sin6_family == AF_INET6;
        runner->listener_count++;
        listener.address.sin6_port = htons(listener_port(fd));
    }
    if (runners->port == 0) {
        runners->port = ntohs(listener.address.sin6_port);
    }
    return 0;
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
                (struct kernel_listener){.fd = runner->listener_fds[k], .shard = i, .number = k};
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
            close(runner->listener_fds[i]);
        }
    } else {
        for (uint32_t i = 0; i < runner->listener_count; i++) {
            accepting_listen(runner->shard, runner->listener_fds[i], runner->is_ipv6[i]);
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
}
