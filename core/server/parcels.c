#include "server/parcels.h"

#include "server/shard.h"

#define PARCELS_PER_TICK_MAX 256

enum parcel_kind {
    PARCEL_PUBLISH,
};

/* The head of every parcel; then the channel's name and the payload. */
struct parcel {
    uint8_t kind;
    uint8_t opcode;
    uint16_t channel_size;
    uint32_t pad;
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

void parcels_stop(struct server *server, uint32_t stop_ms, struct ring *ring)
{
    ASSERT(stop_ms > 0);
    counter_set(&server->stop_ms, stop_ms);
    for (uint32_t i = 0; i < server->shard_count; i++) {
        ring_wake(ring, server->ring_fds[i]);
    }
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
        fanout_publish(shard, slice_from(channel, parcel.channel_size), parcel.opcode,
                       slice_from(bytes.data + head_size, bytes.size - head_size));
        return;
    }
    }
    ASSERT(false); /* a parcel of no kind */
}

bool parcels_take(struct shard *shard)
{
    struct mailbox *mailbox = shard->server->mailboxes[shard->number];

    uint64_t stop_ms = counter_read(&shard->server->stop_ms);
    if (stop_ms > 0) {
        shard_stop(shard, (uint32_t)stop_ms);
    }
    mailbox_attend(mailbox);
    for (uint32_t i = 0; i < PARCELS_PER_TICK_MAX; i++) {
        if (!fanout_has_room(shard)) {
            return true;
        }
        struct slice parcel = mailbox_next(mailbox);
        if (!parcel.data) {
            return false;
        }
        act(shard, parcel);
        mailbox_release(mailbox, parcel);
    }
    return true;
}
