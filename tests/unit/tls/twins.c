#include "twins.h"

void twins_resume(struct twins *twins, struct tls_client *client, struct tls_server *server,
                  const struct client_ticket *ticket)
{
    twins->client = client;
    twins->server = server;
    twins->to_client.size = 0;
    twins->to_server.size = 0;
    twins->server_number = NONE;
    twins->server_status = HANDSHAKE_MORE;
    twins->client_number =
        ticket ? client_handshake_resume(client, ticket) : client_handshake_start(client);
    ASSERT(twins->client_number != NONE);
    twins_client(twins, 0);
    ASSERT(twins->client_status == HANDSHAKE_MORE);
}

void twins_start(struct twins *twins, struct tls_client *client, struct tls_server *server)
{
    twins_resume(twins, client, server, NULL);
}

void twins_greet(struct twins *twins)
{
    static uint8_t joined[5 + HELLO_SIZE_MAX];
    struct hello hello;
    const enum hello_status status =
        hello_read(twins->to_server.bytes, twins->to_server.size, &hello, joined);
    ASSERT(status == HELLO_WHOLE);
    pipe_drop(&twins->to_server, hello.consumed);
    twins->server_number = handshake_start(twins->server, &hello, joined);
    ASSERT(twins->server_number != NONE);
    twins_server(twins);
}

void twins_client(struct twins *twins, size_t size)
{
    twins->client_status = client_handshake_feed(
        twins->client, twins->client_number, twins->to_client.bytes, size, &twins->client_result);
    pipe_drop(&twins->to_client, twins->client_result.consumed);
    pipe_push(&twins->to_server, twins->client_result.output.data,
              twins->client_result.output.size);
}

void twins_server(struct twins *twins)
{
    twins->server_status =
        handshake_feed(twins->server, twins->server_number, twins->to_server.bytes,
                       twins->to_server.size, &twins->server_result);
    pipe_drop(&twins->to_server, twins->server_result.consumed);
    pipe_push(&twins->to_client, twins->server_result.output.data,
              twins->server_result.output.size);
}

void twins_end(struct twins *twins)
{
    client_handshake_end(twins->client, twins->client_number);
    handshake_end(twins->server, twins->server_number);
}
