#include "broker/redis_resolver.h"

#include <stdio.h>
#include <stdlib.h>

#define END_WAIT_S 2

struct redis_resolver {
    struct gaicb request;
    struct addrinfo hints;
    char host[REDIS_HOST_SIZE_MAX + 1];
    char port[8];
};

struct redis_resolver *redis_resolver_start(const struct redis_address *address)
{
    struct redis_resolver *resolver = calloc(1, sizeof(*resolver));
    struct gaicb *requests[1];

    if (!resolver) {
        return NULL;
    }
    memcpy(resolver->host, address->host, sizeof(resolver->host));
    (void)snprintf(resolver->port, sizeof(resolver->port), "%u", address->port);
    resolver->hints = (struct addrinfo){.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    resolver->request = (struct gaicb){
        .ar_name = resolver->host, .ar_service = resolver->port, .ar_request = &resolver->hints};
    requests[0] = &resolver->request;
    if (getaddrinfo_a(GAI_NOWAIT, requests, 1, NULL) != 0) {
        free(resolver);
        return NULL;
    }
    return resolver;
}

int redis_resolver_result(struct redis_resolver *resolver, struct addrinfo **list)
{
    const int status = gai_error(&resolver->request);

    *list = status == 0 ? resolver->request.ar_result : NULL;
    return status;
}

void redis_resolver_end(struct redis_resolver *resolver)
{
    if (!resolver) {
        return;
    }
    if (gai_cancel(&resolver->request) == EAI_NOTCANCELED) {
        const struct timespec patience = {.tv_sec = END_WAIT_S};
        const struct gaicb *requests[1] = {&resolver->request};
        if (gai_suspend(requests, 1, &patience) == EAI_AGAIN) {
            return; /* the thread still writes to it: it stays */
        }
    }
    if (resolver->request.ar_result) {
        freeaddrinfo(resolver->request.ar_result);
    }
    free(resolver);
}
