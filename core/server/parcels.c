#include "server/parcels.h"

#include "server/outbound.h"
#include "server/shard.h"

#define PARCELS_PER_TICK_MAX 256

enum parcel_kind {
    PARCEL_PUBLISH,
    PARCEL_REFUSED,
    PARCEL_REPORT,
};

/* The head of every parcel; then a name, and the payload. */
struct parcel {
    uint8_t kind;
    uint8_t opcode;
    uint8_t name_size; /* of the channel, or of a glob */
    uint8_t outcome;
    uint32_t number; /* of the connection, or of the report */
    uint32_t generation;
    uint32_t pad;
};
static_assert(sizeof(struct parcel) + CHANNEL_NAME_MAX <= PARCEL_HEAD_MAX, "a head fits");

static size_t write_head(uint8_t head[PARCEL_HEAD_MAX], struct parcel parcel, struct slice name)
{
    ASSERT(name.size <= CHANNEL_NAME_MAX);
    parcel.name_size = (uint8_t)name.size;
    memcpy(head, &parcel, sizeof(parcel));
    if (name.size > 0) {
        memcpy(head + sizeof(parcel), name.data, name.size);
    }
    return sizeof(parcel) + name.size;
}

size_t parcels_write_publication(uint8_t head[PARCEL_HEAD_MAX], struct slice channel,
                                 enum ws_opcode opcode)
{
    return write_head(head, (struct parcel){.kind = PARCEL_PUBLISH, .opcode = (uint8_t)opcode},
                      channel);
}

size_t parcels_write_refusal(uint8_t head[PARCEL_HEAD_MAX], uint32_t number, uint32_t generation,
                             enum broker_outcome outcome)
{
    return write_head(head,
                      (struct parcel){.kind = PARCEL_REFUSED,
                                      .outcome = (uint8_t)outcome,
                                      .number = number,
                                      .generation = generation},
                      (struct slice){0});
}

size_t parcels_write_report(uint8_t head[PARCEL_HEAD_MAX], uint32_t report, struct slice glob)
{
    return write_head(head, (struct parcel){.kind = PARCEL_REPORT, .number = report}, glob);
}

/* The sender may have gone, and its number may be another's. */
static void refused(struct shard *shard, const struct parcel *parcel)
{
    counter_add(&shard->counts.publications_failed[parcel->outcome], 1);
    if (pool_is_taken(&shard->conns, parcel->number) &&
        conn_at(shard, parcel->number)->generation == parcel->generation) {
        outbound_close(shard, parcel->number, WS_CLOSE_TRY_AGAIN_LATER, CAUSE_FULL);
    }
}

static void act(struct shard *shard, struct slice bytes)
{
    struct parcel parcel;

    ASSERT(bytes.size >= sizeof(parcel));
    memcpy(&parcel, bytes.data, sizeof(parcel));
    size_t head_size = sizeof(parcel) + parcel.name_size;
    ASSERT(bytes.size >= head_size);
    struct slice name = slice_from(bytes.data + sizeof(parcel), parcel.name_size);
    switch ((enum parcel_kind)parcel.kind) {
    case PARCEL_REFUSED:
        refused(shard, &parcel);
        return;
    case PARCEL_REPORT:
        errands_report(shard, parcel.number, name);
        return;
    case PARCEL_PUBLISH:
        fanout_publish(shard, name, parcel.opcode,
                       slice_from(bytes.data + head_size, bytes.size - head_size));
        return;
    }
    ASSERT(false); /* a parcel of no kind */
}

bool parcels_take(struct shard *shard)
{
    struct mailbox *mailbox = shard->server->mailboxes[shard->number];

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
