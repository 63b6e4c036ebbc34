#include "tests/sim/handmade.h"

#include "pubsub/message.h"
#include "server/outbound.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define MESSAGE_SIZE 512
#define HEARD_MAX    256U
#define TAKEN_MAX    32U

struct handmade handmade;

static struct certificate_set *certificates;
static char heard[HANDMADE_CONNS][HEARD_MAX + 1];
static uint32_t heard_count[HANDMADE_CONNS];
static uint32_t taken[TAKEN_MAX];
static uint32_t taken_count;

int handmade_prepare(void **state)
{
    const char *names[] = {"localhost"};
    char directory[] = "/tmp/limpet-handmade-XXXXXX";
    char certificate[64];
    char key[64];
    const struct certificate_files files = {.certificate_path = certificate, .key_path = key};
    char message[MESSAGE_SIZE] = "";

    (void)state;
    ring_sim_seed(0);
    random_source_seed(0);
    const char *made = mkdtemp(directory);
    ASSERT(made != NULL);
    (void)snprintf(certificate, sizeof(certificate), "%s/certificate.pem", directory);
    (void)snprintf(key, sizeof(key), "%s/key.pem", directory);
    if (certificate_make(names, 1, &files, message, sizeof(message)) == 0) {
        certificates = certificate_set_open(&files, 1, message, sizeof(message));
    }
    ASSERT(certificates != NULL);
    (void)remove(certificate);
    (void)remove(key);
    (void)rmdir(directory);
    return 0;
}

int handmade_end(void **state)
{
    (void)state;
    certificate_set_close(certificates);
    return 0;
}

void handmade_open(void (*choose)(struct options *options))
{
    char message[MESSAGE_SIZE] = "";
    struct options *options = &handmade.options;
    struct budget *budget = &handmade.budget;

    options_init(options);
    options->shards = 1;
    options->limits.connections_max = HANDMADE_CONNS;
    options->limits.handshakes_max = 1;
    options->limits.arena_size = HANDMADE_ARENA_SIZE;
    options->limits.queue_bytes_max = HANDMADE_QUEUE_BYTES;
    if (choose != NULL) {
        choose(options);
    }
    int error = budget_make(options, "", budget, message, sizeof(message));
    ASSERT(error == 0);
    budget->fanouts_per_tick_max = HANDMADE_PER_TICK;
    budget->topics_max = HANDMADE_TOPICS;
    budget->publications_max = HANDMADE_PUBLICATIONS;
    handmade.server = (struct server){.options = options,
                                      .budget = budget,
                                      .certificates = certificates,
                                      .open = tally_open(64),
                                      .shard_count = 1};
    identity_key_make(&handmade.server.identity_key);
    handmade.server.mailboxes[0] = mailbox_open(options->limits.mailbox_size);
    ASSERT(handmade.server.mailboxes[0] != NULL);
    handmade.server.relay = relay_open(&handmade.server, message, sizeof(message));
    ASSERT(handmade.server.relay != NULL);
    handmade.shard = shard_open(&handmade.server, 0, message, sizeof(message));
    ASSERT(handmade.shard != NULL);
    error = shard_open_ring(handmade.shard, message, sizeof(message));
    ASSERT(error == 0);
    handmade.server.ring_fds[0] = ring_fd(handmade.shard->ring);
    handmade.arena_at_start = handmade.shard->arena.used;
    memset(heard, 0, sizeof(heard));
    memset(heard_count, 0, sizeof(heard_count));
    taken_count = 0;
}

int handmade_close(void **state)
{
    struct shard *shard = handmade.shard;

    (void)state;
    while (fanout_step(shard)) {
        (void)handmade_drain();
    }
    (void)handmade_drain();
    for (uint32_t i = 0; i < shard->conns.count_max; i++) {
        if (pool_is_taken(&shard->conns, i)) {
            handmade_conn_ends(i);
        }
    }
    ASSERT(shard->arena.used == handmade.arena_at_start);
    ASSERT(shard->nodes.count == 0);
    ASSERT(shard->fanout.topics.count == 0);
    ASSERT(shard->fanout.waiting == 0);
    relay_shard_ended(shard);
    shard_close(shard);
    relay_stop(handmade.server.relay, 1000);
    while (relay_turn(handmade.server.relay, 0)) {
    }
    relay_close(handmade.server.relay);
    mailbox_close(handmade.server.mailboxes[0]);
    tally_close(handmade.server.open);
    options_free(&handmade.options);
    return 0;
}

void handmade_conn(uint32_t number)
{
    conn_set_state(handmade.shard, conn_init(handmade.shard, number), CONN_OPEN);
}

void handmade_conn_ends(uint32_t number)
{
    struct shard *shard = handmade.shard;
    struct conn *conn = conn_at(shard, number);

    waiting_drop(shard, conn);
    channel_unsubscribe_all(shard->channels, number);
    conn_set_state(shard, conn, CONN_FREE);
    pool_give(&shard->conns, number);
}

void handmade_subscribe(uint32_t number, const char *channel)
{
    enum channel_outcome outcome =
        channel_subscribe(handmade.shard->channels, slice_text(channel), number);

    ASSERT(outcome == CHANNEL_SUBSCRIBED);
}

/* The letters of the frames in a message, each with a payload that begins with one. */
static void hear(uint32_t number, const struct message *message)
{
    uint32_t at = 0;
    uint32_t frames = 0;

    if (message->publications == 0) {
        return; /* an answer, or a ping */
    }
    while (at < message->size) {
        const uint8_t *frame = message->bytes + at;
        uint32_t size = frame[1];
        uint32_t head = 2;
        ASSERT(frame[0] == (0x80 | WS_TEXT));
        if (size == 126) {
            size = load_be16(frame + 2);
            head = 4;
        }
        ASSERT(heard_count[number] < HEARD_MAX);
        heard[number][heard_count[number]++] = (char)frame[head];
        at += head + size;
        frames++;
    }
    ASSERT(at == message->size);
    ASSERT(frames == message->publications);
}

uint32_t handmade_drain(void)
{
    struct shard *shard = handmade.shard;
    uint32_t count = 0;
    uint32_t number;

    while ((number = queue_pop(&shard->dirty)) != NONE) {
        struct conn *conn = conn_at(shard, number);
        conn->flags &= (uint8_t)~CONN_DIRTY;
        uint32_t node_number = conn->queue_tail;
        while (node_number != NONE) {
            node_number = ((struct queue_node *)pool_at(&shard->nodes, node_number))->next;
            const struct queue_node *node = pool_at(&shard->nodes, node_number);
            hear(number, message_at(&shard->arena, node->message));
            node_number = node_number == conn->queue_tail ? NONE : node_number;
        }
        waiting_drop(shard, conn);
        count++;
    }
    return count;
}

void handmade_turn_relay(void)
{
    const bool goes_on = relay_turn(handmade.server.relay, 0);

    ASSERT(goes_on);
}

const char *handmade_heard(uint32_t number)
{
    return heard[number];
}

void handmade_fill_arena(size_t size_min)
{
    for (size_t size = HANDMADE_ARENA_SIZE / 2; size >= size_min; size /= 2) {
        uint32_t block;
        while ((block = arena_take(&handmade.shard->arena, size)) != NONE) {
            ASSERT(taken_count < TAKEN_MAX);
            taken[taken_count++] = block;
        }
    }
}

void handmade_empty_arena(void)
{
    while (taken_count > 0) {
        arena_give(&handmade.shard->arena, taken[--taken_count]);
    }
}
