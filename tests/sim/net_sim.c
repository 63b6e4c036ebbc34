#include "tests/sim/net_sim.h"

#include <stdlib.h>

static struct net_connection *connections[NET_CONNECTIONS_MAX];
static uint32_t connections_used; /* numbers that were ever taken are below */
static uint32_t connection_next;  /* numbers go round, so that a late use is noticed */
static struct net_listener listeners[NET_LISTENERS_MAX];
static uint32_t listener_count;

void net_reset(void)
{
    for (uint32_t i = 0; i < connections_used; i++) {
        free(connections[i]);
        connections[i] = NULL;
    }
    for (uint32_t i = 0; i < listener_count; i++) {
        free(listeners[i].backlog);
    }
    connections_used = 0;
    connection_next = 0;
    listener_count = 0;
}

uint32_t net_listen(uint32_t backlog_max)
{
    ASSERT(listener_count < NET_LISTENERS_MAX);
    ASSERT(backlog_max > 0);
    uint32_t *backlog = calloc(backlog_max, sizeof(*backlog));
    ASSERT(backlog != NULL);
    listeners[listener_count] =
        (struct net_listener){.backlog_max = backlog_max, .backlog = backlog};
    return listener_count++;
}

struct net_listener *net_listener_at(uint32_t listener)
{
    ASSERT(listener < listener_count);
    return &listeners[listener];
}

struct net_connection *net_at(uint32_t connection)
{
    ASSERT(connection < NET_CONNECTIONS_MAX);
    ASSERT(connections[connection] != NULL);
    return connections[connection];
}

uint32_t net_connect(uint32_t listener, const struct sockaddr_in6 *peer)
{
    struct net_listener *to = net_listener_at(listener);

    if (to->paused || to->backlog_count == to->backlog_max) {
        return NONE;
    }
    while (connections[connection_next] != NULL) {
        connection_next = (connection_next + 1) % NET_CONNECTIONS_MAX;
    }
    struct net_connection *connection = calloc(1, sizeof(*connection));
    ASSERT(connection != NULL);
    connection->peer = *peer;
    uint32_t number = connection_next;
    connections[number] = connection;
    if (number >= connections_used) {
        connections_used = number + 1;
    }
    connection_next = (connection_next + 1) % NET_CONNECTIONS_MAX;
    to->backlog[to->backlog_count++] = number;
    return number;
}

uint32_t net_accept(uint32_t listener)
{
    struct net_listener *from = net_listener_at(listener);

    if (from->backlog_count == 0) {
        return NONE;
    }
    uint32_t number = from->backlog[0];
    from->backlog_count--;
    memmove(from->backlog, from->backlog + 1, from->backlog_count * sizeof(*from->backlog));
    return number;
}

uint32_t net_write(struct net_pipe *pipe, const uint8_t *data, uint32_t size)
{
    const uint32_t room = NET_PIPE_SIZE - pipe->size;
    const uint32_t part = size < room ? size : room;

    memcpy(pipe->bytes + pipe->size, data, part);
    pipe->size += part;
    return part;
}

uint32_t net_read(struct net_pipe *pipe, uint8_t *out, uint32_t size)
{
    const uint32_t part = size < pipe->size ? size : pipe->size;

    memcpy(out, pipe->bytes, part);
    pipe->size -= part;
    memmove(pipe->bytes, pipe->bytes + part, pipe->size);
    return part;
}

void net_reset_by_client(uint32_t number)
{
    struct net_connection *connection = net_at(number);

    connection->reset = true; /* bytes that came before it can still be received */
    connection->client_reset = true;
}

static void free_if_closed(uint32_t number)
{
    if (connections[number]->client_closed && connections[number]->server_closed) {
        free(connections[number]);
        connections[number] = NULL;
    }
}

void net_close_server(uint32_t number)
{
    struct net_connection *connection = net_at(number);

    ASSERT(!connection->server_closed);
    connection->server_closed = true;
    if (connection->to_server.size > 0) {
        connection->client_reset = true; /* as close() with unread bytes does */
    } else {
        connection->server_fin = true;
    }
    free_if_closed(number);
}

void net_close_client(uint32_t number)
{
    struct net_connection *connection = net_at(number);

    ASSERT(!connection->client_closed);
    connection->client_closed = true;
    connection->client_fin = true;
    if (connection->to_client.size > 0) {
        connection->reset = true;
    }
    free_if_closed(number);
}

void net_pause(uint32_t listener)
{
    uint32_t number;

    ASSERT(!net_listener_at(listener)->paused);
    while ((number = net_accept(listener)) != NONE) {
        net_at(number)->client_reset = true;
        net_close_server(number);
    }
    net_listener_at(listener)->paused = true;
}

void net_resume(uint32_t listener)
{
    ASSERT(net_listener_at(listener)->paused);
    net_listener_at(listener)->paused = false;
}

void net_check(void)
{
    for (uint32_t i = 0; i < connections_used; i++) {
        const struct net_connection *connection = connections[i];
        if (connection != NULL) {
            ASSERT(connection->to_server.size <= NET_PIPE_SIZE);
            ASSERT(connection->to_client.size <= NET_PIPE_SIZE);
            ASSERT(!connection->client_closed || !connection->server_closed);
        }
    }
    for (uint32_t i = 0; i < listener_count; i++) {
        ASSERT(listeners[i].backlog_count <= listeners[i].backlog_max);
    }
}
