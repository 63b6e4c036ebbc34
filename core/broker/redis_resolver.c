#include "broker/redis_resolver.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct redis_resolver {
    int fd;
    bool is_answered;
    int status;
    struct addrinfo *list;
};

/* The thread's. */
struct question {
    int fd;
    char host[REDIS_HOST_SIZE_MAX + 1];
    char port[8];
};

/* As it goes through the socket: its receiver owns the list. */
struct answer {
    struct addrinfo *list;
    int status;
};

static void *ask(void *argument)
{
    struct question *question = argument;
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct answer answer = {0};

    answer.status = getaddrinfo(question->host, question->port, &hints, &answer.list);
    if (send(question->fd, &answer, sizeof(answer), MSG_NOSIGNAL) != sizeof(answer) &&
        answer.list) {
        freeaddrinfo(answer.list); /* nobody waits for it any more */
    }
    (void)close(question->fd);
    free(question);
    return NULL;
}

static bool start_thread(struct question *question)
{
    pthread_attr_t attributes;
    pthread_t thread;

    if (pthread_attr_init(&attributes) != 0) {
        return false;
    }
    (void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    const int error = pthread_create(&thread, &attributes, ask, question);
    (void)pthread_attr_destroy(&attributes);
    return error == 0;
}

struct redis_resolver *redis_resolver_start(const struct redis_address *address)
{
    struct redis_resolver *resolver = calloc(1, sizeof(*resolver));
    struct question *question = calloc(1, sizeof(*question));
    int fds[2];

    if (!resolver || !question || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0) {
        free(resolver);
        free(question);
        return NULL;
    }
    resolver->fd = fds[0];
    question->fd = fds[1];
    memcpy(question->host, address->host, sizeof(question->host));
    (void)snprintf(question->port, sizeof(question->port), "%u", address->port);
    if (!start_thread(question)) {
        (void)close(fds[0]);
        (void)close(fds[1]);
        free(resolver);
        free(question);
        return NULL;
    }
    return resolver;
}

int redis_resolver_fd(const struct redis_resolver *resolver)
{
    return resolver->fd;
}

static void receive(struct redis_resolver *resolver)
{
    struct answer answer;

    if (!resolver->is_answered &&
        recv(resolver->fd, &answer, sizeof(answer), MSG_DONTWAIT) == sizeof(answer)) {
        resolver->is_answered = true;
        resolver->status = answer.status;
        resolver->list = answer.list;
    }
}

int redis_resolver_result(struct redis_resolver *resolver, struct addrinfo **list)
{
    receive(resolver);
    *list = resolver->list;
    return resolver->is_answered ? resolver->status : EAI_INPROGRESS;
}

void redis_resolver_end(struct redis_resolver *resolver)
{
    if (!resolver) {
        return;
    }
    /* From here on an answer cannot be sent; one that was is taken. */
    (void)shutdown(resolver->fd, SHUT_RD);
    receive(resolver);
    if (resolver->list) {
        freeaddrinfo(resolver->list);
    }
    (void)close(resolver->fd);
    free(resolver);
}
