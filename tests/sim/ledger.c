/*
 * ledger.c - messages: who sent what, and who must have got it.
 *
 * Of each sender a subscriber gets a run of messages without a gap, in order, each once; it starts
 * no later than with the first message that was sent after the subscriber was told that it is open.
 * Gaps are forgiven as long as they are no more than the losses that shards have counted.
 */
#include "tests/sim/client.h"

#include <stdlib.h>

#define LAG_MAX 6 /* messages that a subscriber may have before it */

/* The byte at a place of a message's body: letters, and now and then two bytes of UTF-8. */
static void write_body(uint8_t *out, uint32_t sender, uint32_t sequence, uint32_t size)
{
    uint32_t at = LEDGER_SIZE_MIN;

    while (at < size) {
        const uint32_t mix = (sender * 31 + sequence * 17 + at) * 2654435761u >> 24;
        if (mix % 8 == 0 && at + 2 <= size) {
            out[at++] = 0xc3;
            out[at++] = 0xa9;
        } else {
            out[at++] = (uint8_t)('a' + mix % 26);
        }
    }
}

void ledger_write(uint8_t *out, uint32_t sender, uint32_t sequence, uint32_t size)
{
    char head[LEDGER_SIZE_MIN + 1];

    ASSERT(size >= LEDGER_SIZE_MIN);
    (void)snprintf(head, sizeof(head), "%04x%08x%06x", sender & 0xffff, sequence, size & 0xffffff);
    memcpy(out, head, LEDGER_SIZE_MIN);
    write_body(out, sender, sequence, size);
}

static bool echoes(const struct world *world)
{
    return world->options.plain.publish_channel[0] == '\0';
}

void ledger_opened(struct client *client)
{
    for (uint32_t i = 0; i < client->world->client_count; i++) {
        client->next[i] = client->world->clients[i]->sent;
        client->heard[i] = false;
    }
}

static uint32_t number_at(const uint8_t *text, uint32_t size)
{
    char copy[16] = {0};

    memcpy(copy, text, size);
    return (uint32_t)strtoul(copy, NULL, 16);
}

void ledger_received(struct client *client, const uint8_t *message, uint32_t size)
{
    static uint8_t expected[CLIENT_SPEECH_MAX];
    struct world *world = client->world;

    if (size < LEDGER_SIZE_MIN) {
        world_fail(world, client, "a message of %u bytes, which nobody sent", size);
    }
    const uint32_t sender = number_at(message, 4);
    const uint32_t sequence = number_at(message + 4, 8);
    const uint32_t named_size = number_at(message + 12, 6);
    ledger_write(expected, sender, sequence, size);
    if (sender >= world->client_count || named_size != size ||
        memcmp(message, expected, size) != 0) {
        world_fail(world, client, "a message of %u bytes is damaged", size);
    }
    client->got++;
    world_say(world, client, "gets message %u of client %u, %u bytes", sequence, sender, size);
    if (sequence >= world->clients[sender]->sent) {
        world_fail(world, client, "gets message %u of client %u, which is not sent yet", sequence,
                   sender);
    }
    if (echoes(world)) {
        if (sender != client->number) {
            world_fail(world, client, "gets an echo of client %u", sender);
        }
        client->bytes_away -= size;
    } else if (!client->subscribes) {
        world_fail(world, client, "gets a message of a channel that it has not");
    }
    const uint32_t next = client->next[sender];
    const bool fits = client->heard[sender] ? sequence == next : sequence <= next;
    world->missed += !fits && sequence > next ? sequence - next : 0;
    if (!fits && !(sequence > next && world->missed <= world_losses(world))) {
        world_fail(world, client, "gets message %u of client %u, message %u was due", sequence,
                   sender, next);
    }
    client->heard[sender] = true;
    client->next[sender] = sequence + 1;
}

/* Listens properly, so that others may wait for it. */
static bool listens(const struct client *client)
{
    return client->subscribes && client->life == LIFE_OPEN && client->role == ROLE_TALKER &&
           !client->close_received && !client->close_sent;
}

static uint32_t lag(const struct client *listener)
{
    const struct world *world = listener->world;
    uint32_t sum = 0;

    for (uint32_t i = 0; i < world->client_count; i++) {
        sum += world->clients[i]->sent - listener->next[i];
    }
    return sum;
}

bool ledger_may_send(const struct client *client, uint32_t size)
{
    const struct world *world = client->world;

    if (world->options.plain.publish_channel == NULL || world_is_lossy(world)) {
        return true;
    }
    if (world_drops(world)) {
        return true;
    }
    if (echoes(world)) {
        return client->bytes_away == 0 ||
               client->bytes_away + size < world->options.limits.queue_bytes_max / 2;
    }
    for (uint32_t i = 0; i < world->client_count; i++) {
        if (listens(world->clients[i]) && lag(world->clients[i]) >= LAG_MAX) {
            return false;
        }
    }
    return true;
}

void ledger_settle(struct world *world)
{
    if (world->options.plain.publish_channel == NULL || world_has_excuse(world) ||
        world_is_lossy(world)) {
        return;
    }
    for (uint32_t i = 0; i < world->client_count; i++) {
        const struct client *listener = world->clients[i];
        for (uint32_t j = 0; j < world->client_count && listens(listener); j++) {
            const struct client *sender = world->clients[j];
            if ((echoes(world) && i != j) || !client_behaves(sender)) {
                continue;
            }
            if (listener->next[j] != sender->sent) {
                world_fail(world, listener, "never gets message %u of client %u", listener->next[j],
                           j);
            }
        }
    }
}
