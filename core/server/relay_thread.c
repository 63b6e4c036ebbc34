#include "server/relay_thread.h"

#include "server/shard.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>

#define WAIT_MS 1000

struct relay_thread {
    struct server *server;
    pthread_t thread;
    sem_t opened; /* or failed: then server->relay is NULL */
    char *message;
    size_t message_size;
};

/* What the relay opens belongs to this thread: its ring, and the broker's connections. */
static void *run(void *argument)
{
    struct relay_thread *thread = argument;
    struct relay *relay = relay_open(thread->server, thread->message, thread->message_size);

    thread->server->relay = relay;
    sem_post(&thread->opened);
    while (relay && relay_turn(relay, WAIT_MS)) {
    }
    return NULL;
}

static void wait_for_opening(struct relay_thread *thread)
{
    while (sem_wait(&thread->opened) != 0) {
        /* a signal */
    }
}

struct relay_thread *relay_thread_start(struct server *server, char *message, size_t message_size)
{
    struct relay_thread *thread = calloc(1, sizeof(*thread));

    if (!thread) {
        (void)snprintf(message, message_size, "no memory for the relay");
        return NULL;
    }
    *thread =
        (struct relay_thread){.server = server, .message = message, .message_size = message_size};
    ASSERT(sem_init(&thread->opened, 0, 0) == 0);
    int error = pthread_create(&thread->thread, NULL, run, thread);
    if (error != 0) {
        (void)snprintf(message, message_size, "the relay's thread: %s", strerrordesc_np(error));
        free(thread);
        return NULL;
    }
    pthread_setname_np(thread->thread, "relay");
    wait_for_opening(thread);
    if (!server->relay) {
        pthread_join(thread->thread, NULL);
        free(thread);
        return NULL;
    }
    return thread;
}

void relay_thread_stop(struct relay_thread *thread, uint32_t within_ms)
{
    if (thread) {
        relay_stop(thread->server->relay, within_ms);
        pthread_join(thread->thread, NULL);
    }
}

void relay_thread_close(struct relay_thread *thread)
{
    if (thread) {
        relay_close(thread->server->relay);
        thread->server->relay = NULL;
        sem_destroy(&thread->opened);
        free(thread);
    }
}
