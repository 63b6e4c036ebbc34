/* client.c - a client's life: connect, handshake, upgrade, bytes in and out, the end. */
#include "tests/sim/client.h"

#include <arpa/inet.h>
#include <stdlib.h>

#define ADDRESSES 6

struct client *client_new(struct world *world, uint32_t number)
{
    struct client *client = calloc(1, sizeof(*client));

    ASSERT(client != NULL);
    client->world = world;
    client->number = number;
    client->connection = NONE;
    client->handshake = NONE;
    script_write(client);
    return client;
}

static void drop_handshake(struct client *client)
{
    if (client->handshake != NONE) {
        client_handshake_end(world_tls_client(client->world, client->version, client->suite),
                             client->handshake);
        client->handshake = NONE;
    }
}

void client_free(struct client *client)
{
    drop_handshake(client);
    free(client);
}

struct tls_state *client_keys(struct client *client)
{
    return (void *)client->keys;
}

/* --- out ----------------------------------------------------------------------------------------
 */

void client_write_raw(struct client *client, const void *bytes, uint32_t size)
{
    if (client->mute || size == 0) {
        return;
    }
    ASSERT(size <= sizeof(client->output) - client->output_size);
    memcpy(client->output + client->output_size, bytes, size);
    client->output_size += size;
}

/* Data in records of sizes by chance. */
void client_write(struct client *client, const void *bytes, uint32_t size)
{
    static uint8_t record[TLS_RECORD_SIZE_MAX];
    const uint8_t *from = bytes;
    struct tls_state *keys = client_keys(client);

    while (size > 0 && !client->mute) {
        const uint32_t most = size < TLS_DATA_SIZE_MAX ? size : TLS_DATA_SIZE_MAX;
        const uint32_t part = weather_chance(60) ? most : weather_between(1, most);
        memcpy(record + tls_headroom(keys), from, part);
        if (tls_update_due(keys)) {
            client_turn_keys(client);
        }
        client_write_raw(client, record, (uint32_t)tls_seal(keys, record, part));
        from += part;
        size -= part;
    }
}

void client_turn_keys(struct client *client)
{
    uint8_t record[TLS_OVERHEAD_MAX + 5];

    client_write_raw(client, record, (uint32_t)tls_seal_update(client_keys(client), record));
}

static void send_output(struct client *client)
{
    uint32_t wanted = client->output_size;

    if (client->speech_size > 0 &&
        client->output_size + 2 * client->speech_size + 4096 < sizeof(client->output)) {
        const uint32_t part =
            weather_chance(80) ? client->speech_size : weather_between(1, client->speech_size);
        client_write(client, client->speech, part); /* the rest comes later: frames are cut */
        client->speech_size -= part;
        memmove(client->speech, client->speech + part, client->speech_size);
        wanted = client->output_size;
    }
    if (wanted > 0 && weather_chance(30)) {
        wanted = weather_between(1, wanted);
    }
    if (wanted > 0 && !client->finished) {
        const uint32_t taken = ring_sim_client_send(client->connection, client->output, wanted);
        client->output_size -= taken;
        memmove(client->output, client->output + taken, client->output_size);
    }
    if (client->finish_due && client->output_size == 0 && !client->finished) {
        client->finished = true;
        ring_sim_client_finish(client->connection);
    }
}

/* --- in -----------------------------------------------------------------------------------------
 */

static void take_input(struct client *client, size_t size)
{
    client->input_size -= (uint32_t)size;
    memmove(client->input, client->input + size, client->input_size);
}

static void keys_made(struct client *client, struct tls_client *tls)
{
    struct tls_keys keys;

    client_handshake_keys(tls, client->handshake, &keys);
    tls_state_init(client_keys(client), &keys);
    drop_handshake(client);
    client->has_keys = true;
    client->life = LIFE_UPGRADE;
    world_say(client->world, client, "has keys");
}

/* Feeds the handshake; the first time with nothing, which makes the hello. */
static void shake_hands(struct client *client)
{
    struct tls_client *tls = world_tls_client(client->world, client->version, client->suite);
    struct handshake_result result;
    const bool is_first = client->handshake == NONE;

    if (is_first) {
        client->handshake = client_handshake_start(tls);
        ASSERT(client->handshake != NONE);
    }
    const enum handshake_status status =
        client_handshake_feed(tls, client->handshake, client->input, client->input_size, &result);
    take_input(client, result.consumed);
    if (is_first) {
        client_write_raw(client, result.output.data, (uint32_t)result.output.size);
        (void)script_reached(client, STAGE_HELLO);
        return;
    }
    if (result.output.size > 0 && script_reached(client, STAGE_FLIGHT)) {
        return;
    }
    client_write_raw(client, result.output.data, (uint32_t)result.output.size);
    if (status == HANDSHAKE_FAILED) {
        client->alert = result.alert;
        client->mute = true;
        client->life = LIFE_UPGRADE; /* hears nothing more; waits for the end */
        world_say(client->world, client, "handshake fails, alert %u", result.alert);
        drop_handshake(client);
    } else if (status == HANDSHAKE_DONE) {
        keys_made(client, tls);
        if (!script_reached(client, STAGE_KEYS)) {
            script_request(client);
        }
    }
}

static void read_answer(struct client *client, const uint8_t *bytes, size_t size)
{
    static const char good[] = "HTTP/1.1 ";
    struct world *world = client->world;

    if (size > CLIENT_ANSWER_MAX - client->answer_size) {
        world_fail(world, client, "an answer of more than %u bytes", CLIENT_ANSWER_MAX);
    }
    memcpy(client->answer + client->answer_size, bytes, size);
    client->answer_size += (uint32_t)size;
    client->answer[client->answer_size] = '\0';
    const char *text = (const char *)client->answer;
    const char *end = strstr(text, "\r\n\r\n");
    if (end == NULL || client->status != 0) {
        return;
    }
    if (strncmp(text, good, sizeof(good) - 1) != 0) {
        world_fail(world, client, "the answer is no HTTP");
    }
    client->status = (uint16_t)strtoul(text + sizeof(good) - 1, NULL, 10);
    world_say(world, client, "is answered %u", client->status);
    if (client->status == 101) {
        const size_t head = (size_t)(end + 4 - text);
        client->life = LIFE_OPEN;
        client->opened_ns = ring_sim_now_ns();
        ledger_opened(client);
        (void)script_reached(client, STAGE_OPEN);
        if (client->life == LIFE_OPEN) {
            speech_heard(client, client->answer + head, client->answer_size - head);
        }
    }
}

static void read_records(struct client *client)
{
    struct tls_record record;

    while (client->input_size > 0 && client->life != LIFE_ENDED) {
        const enum tls_status status =
            tls_open(client_keys(client), client->input, client->input_size, &record);
        if (status == TLS_MORE) {
            return;
        }
        if (status != TLS_DATA) {
            client->notified = status == TLS_CLOSED && record.alert == 0;
            client->alert = record.alert;
            world_say(client->world, client, "%s, alert %u",
                      status == TLS_CLOSED ? "TLS is closed" : "TLS breaks", record.alert);
            if (status == TLS_ERROR) {
                world_fail(client->world, client, "a record that does not open");
            }
            client->finish_due = true;
            client->input_size = 0;
            return;
        }
        if (record.data.size > 0) {
            uint8_t *data = client->input + (size_t)(record.data.data - client->input);
            if (client->life == LIFE_UPGRADE) {
                read_answer(client, data, record.data.size);
            } else {
                speech_heard(client, data, record.data.size);
            }
        }
        take_input(client, record.consumed);
    }
}

/* Returns the bytes that came. */
static uint32_t receive(struct client *client, bool all)
{
    uint32_t room = (uint32_t)sizeof(client->input) - client->input_size;

    if (!all && client->role == ROLE_SLOW && client->life == LIFE_OPEN &&
        ring_sim_now_ns() < client->slow_until_ns) {
        room = client->kind % 2 == 0 || weather_chance(80) ? 0 : weather_between(1, 300);
    } else if (weather_chance(20)) {
        room = weather_between(1, room);
    }
    uint8_t *to = client->input + client->input_size;
    const uint32_t size = room == 0 ? 0 : ring_sim_client_receive(client->connection, to, room);
    if (size == 0) {
        return 0;
    }
    world_trace_bytes(client->world, to, size);
    client->input_size += size;
    if (client->notified || client->alert != 0 || (client->astray && client->life != LIFE_OPEN)) {
        client->input_size = 0; /* whatever comes, this client does not understand it */
        return size;
    }
    if (client->life == LIFE_HANDSHAKE) {
        shake_hands(client);
    }
    if (client->life != LIFE_HANDSHAKE && client->has_keys) {
        read_records(client);
    }
    return size;
}

/* --- from the start to the end ------------------------------------------------------------------
 */

static void connect_client(struct client *client)
{
    struct world *world = client->world;
    struct sockaddr_in6 peer = {.sin6_family = AF_INET6, .sin6_port = htons(40000)};
    const uint8_t address = (uint8_t)(client->number % ADDRESSES + 1);

    if (world->is_ipv6) {
        peer.sin6_addr.s6_addr[0] = 0x20;
        peer.sin6_addr.s6_addr[7] = address;
    } else {
        const struct sockaddr_in peer_4 = {.sin_family = AF_INET,
                                           .sin_port = htons(40000),
                                           .sin_addr.s_addr = htonl(0x0a000000u + address)};
        memset(&peer, 0, sizeof(peer));
        memcpy(&peer, &peer_4, sizeof(peer_4));
    }
    client->shard = (uint32_t)ring_sim_random(world->server.shard_count);
    if (world->shards[client->shard] == NULL) {
        client->life = LIFE_ENDED; /* refused: nobody listens any more */
        return;
    }
    client->connection = ring_sim_connect(world->listener_fds[client->shard], &peer);
    if (client->connection == NONE) {
        return; /* the backlog is full: tries again */
    }
    client->life = LIFE_HANDSHAKE;
    client->connected_ns = ring_sim_now_ns();
    world_say(world, client, "connects to shard %u", client->shard);
    if (!script_reached(client, STAGE_CONNECTED)) {
        shake_hands(client);
    }
}

void client_leave(struct client *client)
{
    if (client->life == LIFE_ENDED) {
        return;
    }
    drop_handshake(client);
    if (client->connection != NONE) {
        if (weather_chance(30)) {
            ring_sim_client_reset(client->connection);
        }
        ring_sim_client_close(client->connection);
        client->connection = NONE;
    }
    client->life = LIFE_ENDED;
    world_trace(client->world, client->number);
}

void client_step(struct client *client)
{
    script_doubt(client);
    if (client->life == LIFE_WAITING && ring_sim_now_ns() >= client->arrives_ns) {
        connect_client(client);
    }
    if (client->life == LIFE_WAITING || client->life == LIFE_ENDED) {
        return;
    }
    (void)receive(client, false);
    if (client->life == LIFE_OPEN && !client->astray) {
        script_talk(client);
    }
    if (client->life == LIFE_ENDED) {
        return;
    }
    send_output(client);
    const enum ring_sim_end end = ring_sim_client_end(client->connection);
    if (end == SIM_OPEN) {
        return;
    }
    while (client->life != LIFE_ENDED && receive(client, true) > 0) {
    } /* what came before a reset can still be read */
    script_ended(client, end);
    client_leave(client);
}
