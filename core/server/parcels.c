#include "server/parcels.h"

#include "server/outbound.h"
#include "server/shard.h"

#define PARCELS_PER_TICK_MAX 256

enum parcel_kind {
    PARCEL_PUBLISH,
    PARCEL_STOP
};

/* The head of every parcel; then the channel's name and the payload. */
struct parcel {
    uint8_t kind;
    uint8_t opcode;
    uint16_t channel_size;
    uint32_t stop_ms;
};
static_assert(sizeof(struct parcel) == 8, "what follows is aligned");

struct publish_head {
    struct parcel parcel;
    uint8_t channel[CHANNEL_NAME_MAX];
};

void parcels_publish(struct shard *shard, struct slice channel, enum ws_opcode opcode,
                     struct slice payload)
{
    const struct server *server = shard->server;
    struct publish_head head = {.parcel = {.kind = PARCEL_PUBLISH,
                                           .opcode = (uint8_t)opcode,
                                           .channel_size = (uint16_t)channel.size}};

    ASSERT(channel.size <= sizeof(head.channel));
    memcpy(head.channel, channel.data, channel.size);
    struct slice bytes = slice_from(&head, sizeof(struct parcel) + channel.size);
    for (uint32_t i = 0; i < server->shard_count; i++) {
        bool wake = false;
        if (i == shard->number) {
            continue;
        }
        if (!mailbox_post(server->mailboxes[i], bytes, payload, &wake)) {
            counter_add(&shard->counts.mailbox_full, 1);
        } else if (wake) {
            ring_wake(shard->ring, server->ring_fds[i]);
        }
    }
}

bool parcels_stop(const struct server *server, uint32_t shard_number, uint32_t stop_ms,
                  struct ring *ring)
{
    struct parcel parcel = {.kind = PARCEL_STOP, .stop_ms = stop_ms};
    bool wake = false;

    if (!mailbox_post(server->mailboxes[shard_number], slice_from(&parcel, sizeof(parcel)),
                      (struct slice){0}, &wake)) {
        return false;
    }
    if (wake) {
        ring_wake(ring, server->ring_fds[shard_number]);
    }
    return true;
}

static void act(struct shard *shard, struct slice bytes)
{
    struct parcel parcel;

    ASSERT(bytes.size >= sizeof(parcel));
    memcpy(&parcel, bytes.data, sizeof(parcel));
    const uint8_t *channel = bytes.data + sizeof(parcel);
    switch ((enum parcel_kind)parcel.kind) {
    case PARCEL_PUBLISH: {
        size_t head_size = sizeof(parcel) + parcel.channel_size;
        ASSERT(bytes.size >= head_size);
        outbound_publish(shard, slice_from(channel, parcel.channel_size), parcel.opcode,
                         slice_from(bytes.data + head_size, bytes.size - head_size));
        return;
    }
    case PARCEL_STOP:
        shard_stop(shard, parcel.stop_ms);
        return;
    }
    ASSERT(false); /* a parcel of no kind */
}

bool parcels_take(struct shard *shard)
{
    struct mailbox *mailbox = shard->server->mailboxes[shard->number];

    mailbox_attend(mailbox);
    for (uint32_t i = 0; i < PARCELS_PER_TICK_MAX; i++) {
        struct slice parcel = mailbox_next(mailbox);
        if (!parcel.data) {
            return false;
        }
        act(shard, parcel);
        mailbox_release(mailbox, parcel);
    }
    return true;
}
