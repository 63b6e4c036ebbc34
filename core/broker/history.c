#include "broker/history.h"

#include "base/random.h"
#include "base/table.h"

#include <stdlib.h>

#define EPOCH_SIZE          8 /* of 62 letters: 47 bits, no two streams of a channel meet */
#define RING_SIZE_MIN       4u
#define SWEEP_BUCKETS       4096u
#define STREAM_BUCKETS_HINT (1u << 16) /* more channels share buckets */

static_assert(EPOCH_SIZE <= BROKER_EPOCH_SIZE_MAX, "it fits a position");

/* One publication, in one block with its bytes: payload, user, connection. */
struct item {
    struct item *older; /* over all streams, in the order in which they came */
    struct item *newer;
    struct stream *stream;
    uint64_t came_ms;
    uint64_t time_ms;
    uint32_t payload_size;
    uint16_t user_size;
    uint8_t conn_id_size;
    bool is_binary;
    bool is_unmarked;
    uint8_t bytes[];
};

/* Its items are those with the offsets (top - count, top], each at its offset in the ring. */
struct stream {
    struct table_entry entry;
    struct stream *older; /* in the list of those with items, or of those without */
    struct stream *newer;
    struct item **ring;
    uint32_t ring_size; /* 0, or a power of two */
    uint32_t count;
    uint64_t top;
    uint64_t age_ms;
    char epoch[EPOCH_SIZE + 1];
    uint8_t channel_size;
    uint8_t channel[];
};

/* In the order of their last publication; rested is the next one to lose its place. */
struct stream_list {
    struct stream *rested;
    struct stream *busy;
};

struct history {
    struct table streams;
    struct history_limits limits;
    struct stream_list with_items;
    struct stream_list without;
    struct item *oldest;
    struct item *newest;
    uint32_t item_count;
    size_t bytes;
    uint32_t sweep_bucket;
    struct broker_publication *lent; /* what history_read gave out */
};

struct history *history_open(const struct history_limits *limits)
{
    struct history *history = calloc(1, sizeof(*history));

    ASSERT(limits->streams_max > 0);
    if (!history) {
        return NULL;
    }
    history->limits = *limits;
    uint32_t buckets = limits->streams_max;
    if (table_open(&history->streams,
                   buckets < STREAM_BUCKETS_HINT ? buckets : STREAM_BUCKETS_HINT) != 0) {
        free(history);
        return NULL;
    }
    return history;
}

/* --- lists ------------------------------------------------------------------------------------ */

static struct stream_list *list_of(struct history *history, const struct stream *stream)
{
    return stream->count > 0 ? &history->with_items : &history->without;
}

static void append(struct stream_list *list, struct stream *stream)
{
    stream->older = list->busy;
    stream->newer = NULL;
    if (list->busy) {
        list->busy->newer = stream;
    } else {
        list->rested = stream;
    }
    list->busy = stream;
}

static void take_out(struct stream_list *list, struct stream *stream)
{
    if (stream->older) {
        stream->older->newer = stream->newer;
    } else {
        list->rested = stream->newer;
    }
    if (stream->newer) {
        stream->newer->older = stream->older;
    } else {
        list->busy = stream->older;
    }
}

static void append_item(struct history *history, struct item *item)
{
    item->older = history->newest;
    item->newer = NULL;
    if (history->newest) {
        history->newest->newer = item;
    } else {
        history->oldest = item;
    }
    history->newest = item;
}

static void take_item_out(struct history *history, const struct item *item)
{
    if (item->older) {
        item->older->newer = item->newer;
    } else {
        history->oldest = item->newer;
    }
    if (item->newer) {
        item->newer->older = item->older;
    } else {
        history->newest = item->older;
    }
}

/* --- items ------------------------------------------------------------------------------------ */

static struct item **place_of(const struct stream *stream, uint64_t offset)
{
    return &stream->ring[offset & (stream->ring_size - 1)];
}

static uint64_t oldest_offset(const struct stream *stream)
{
    return stream->top - stream->count + 1;
}

static size_t cost_of(size_t bytes)
{
    return sizeof(struct item) + sizeof(struct item *) + bytes;
}

static size_t item_cost(const struct item *item)
{
    return cost_of((size_t)item->payload_size + item->user_size + item->conn_id_size);
}

/* The oldest of the stream goes; the ring with the last one. */
static void drop_oldest(struct history *history, struct stream *stream)
{
    struct item *item = *place_of(stream, oldest_offset(stream));

    ASSERT(stream->count > 0);
    take_item_out(history, item);
    history->bytes -= item_cost(item);
    history->item_count--;
    free(item);
    if (stream->count == 1) {
        take_out(&history->with_items, stream);
        free((void *)stream->ring);
        stream->ring = NULL;
        stream->ring_size = 0;
        append(&history->without, stream);
    }
    stream->count--;
}

static void drop_all(struct history *history, struct stream *stream)
{
    while (stream->count > 0) {
        drop_oldest(history, stream);
    }
}

static void drop_old(struct history *history, struct stream *stream, uint64_t now_ms)
{
    while (stream->count > 0 &&
           now_ms - (*place_of(stream, oldest_offset(stream)))->came_ms >= stream->age_ms) {
        drop_oldest(history, stream);
    }
}

/* Room in the ring for one more at the top; false when there is no memory. */
static bool grow_ring(struct stream *stream)
{
    if (stream->count < stream->ring_size) {
        return true;
    }
    struct stream grown = *stream;
    grown.ring_size = stream->ring_size == 0 ? RING_SIZE_MIN : 2 * stream->ring_size;
    grown.ring = calloc(grown.ring_size, sizeof(struct item *));
    if (!grown.ring) {
        return false;
    }
    for (uint64_t offset = oldest_offset(stream); offset <= stream->top; offset++) {
        *place_of(&grown, offset) = *place_of(stream, offset);
    }
    free((void *)stream->ring);
    stream->ring = grown.ring;
    stream->ring_size = grown.ring_size;
    return true;
}

static uint8_t *put(uint8_t *to, struct slice bytes)
{
    if (bytes.size > 0) {
        memcpy(to, bytes.data, bytes.size);
    }
    return to + bytes.size;
}

static struct item *make_item(const struct broker_publication *publication, size_t size)
{
    struct item *item = malloc(sizeof(*item) + size);

    if (!item) {
        return NULL;
    }
    *item = (struct item){
        .time_ms = publication->time_ms,
        .payload_size = (uint32_t)publication->payload.size,
        .user_size = (uint16_t)publication->user.size,
        .conn_id_size = (uint8_t)publication->conn_id.size,
        .is_binary = publication->is_binary,
        .is_unmarked = publication->is_unmarked,
    };
    uint8_t *to = put(item->bytes, publication->payload);
    to = put(to, publication->user);
    (void)put(to, publication->conn_id);
    return item;
}

/* --- streams ---------------------------------------------------------------------------------- */

static struct slice channel_of(const struct stream *stream)
{
    return slice_from(stream->channel, stream->channel_size);
}

static struct stream *find(const struct history *history, struct slice channel, uint64_t hash)
{
    struct table_entry *entry = table_find(&history->streams, hash);

    while (entry && !slice_equal(channel_of((struct stream *)entry), channel)) {
        entry = table_find_next(entry);
    }
    return (struct stream *)entry;
}

static void make_epoch(char *epoch)
{
    static const char letters[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

    for (uint32_t i = 0; i < EPOCH_SIZE; i++) {
        epoch[i] = letters[random_below(sizeof(letters) - 1)];
    }
    epoch[EPOCH_SIZE] = '\0';
}

static void remove_stream(struct history *history, struct stream *stream)
{
    drop_all(history, stream);
    take_out(&history->without, stream);
    table_remove(&history->streams, &stream->entry);
    free(stream);
}

/* A place for one more stream; may_drop: at the cost of another's items. */
static bool make_place(struct history *history, bool may_drop)
{
    if (history->streams.count < history->limits.streams_max) {
        return true;
    }
    struct stream *rested = history->without.rested;
    if (!rested && may_drop) {
        rested = history->with_items.rested;
    }
    if (rested) {
        remove_stream(history, rested);
    }
    return rested != NULL;
}

/* The channel's stream, made when there is none; NULL when there is no room for it. */
static struct stream *stream_for(struct history *history, struct slice channel, bool may_drop)
{
    const uint64_t hash = table_hash(&history->streams, channel);
    struct stream *stream = find(history, channel, hash);

    ASSERT(channel.size <= UINT8_MAX);
    if (stream || !make_place(history, may_drop)) {
        return stream;
    }
    stream = malloc(sizeof(*stream) + channel.size);
    if (!stream) {
        return NULL;
    }
    *stream = (struct stream){.channel_size = (uint8_t)channel.size};
    (void)put(stream->channel, channel);
    make_epoch(stream->epoch);
    table_add(&history->streams, &stream->entry, hash);
    append(&history->without, stream);
    return stream;
}

static struct broker_position top_of(const struct stream *stream)
{
    struct broker_position position = {.offset = stream->top};

    memcpy(position.epoch, stream->epoch, sizeof(stream->epoch));
    return position;
}

/* --- publish ---------------------------------------------------------------------------------- */

static void drop_for_bytes(struct history *history, size_t cost)
{
    while (history->bytes > history->limits.bytes_max - cost) {
        drop_oldest(history, history->oldest->stream);
    }
}

enum broker_outcome history_add(struct history *history,
                                const struct broker_publication *publication, uint64_t now_ms,
                                struct broker_position *position)
{
    const size_t size =
        publication->payload.size + publication->user.size + publication->conn_id.size;
    const size_t cost = cost_of(size);

    ASSERT(publication->history.size > 0);
    ASSERT(publication->user.size <= UINT16_MAX);
    ASSERT(publication->conn_id.size <= UINT8_MAX);
    if (publication->payload.size > UINT32_MAX || cost > history->limits.bytes_max) {
        return BROKER_FULL;
    }
    struct item *item = make_item(publication, size);
    struct stream *stream = item ? stream_for(history, publication->channel, true) : NULL;
    if (!stream) {
        free(item);
        return BROKER_FULL;
    }
    stream->age_ms = (uint64_t)publication->history.age_s * 1000;
    drop_old(history, stream, now_ms);
    while (stream->count >= publication->history.size) {
        drop_oldest(history, stream);
    }
    drop_for_bytes(history, cost);
    if (!grow_ring(stream)) {
        free(item);
        return BROKER_FULL;
    }
    take_out(list_of(history, stream), stream);
    stream->count++;
    stream->top++;
    append(&history->with_items, stream);
    *place_of(stream, stream->top) = item;
    item->stream = stream;
    item->came_ms = now_ms;
    append_item(history, item);
    history->item_count++;
    history->bytes += cost;
    *position = top_of(stream);
    return BROKER_DONE;
}

/* --- read ------------------------------------------------------------------------------------- */

/* The offsets that are asked for, [from, to]; empty when to < from. */
struct range {
    uint64_t from;
    uint64_t to;
};

static struct range range_of(const struct stream *stream, const struct broker_history_query *query)
{
    struct range range = {.from = oldest_offset(stream), .to = stream->top};

    if (query->has_since && query->is_reverse && query->since.offset <= range.to) {
        range.to = query->since.offset > 0 ? query->since.offset - 1 : 0;
    } else if (query->has_since && !query->is_reverse && query->since.offset >= range.from) {
        range.from = query->since.offset < range.to ? query->since.offset + 1 : range.to + 1;
    }
    if (range.to < range.from) {
        return (struct range){.from = 1, .to = 0};
    }
    if (range.to - range.from >= query->limit && query->is_reverse) {
        range.from = range.to - query->limit + 1;
    } else if (range.to - range.from >= query->limit) {
        range.to = range.from + query->limit - 1;
    }
    return range;
}

static struct broker_publication lend(const struct stream *stream, uint64_t offset)
{
    const struct item *item = *place_of(stream, offset);
    const uint8_t *user = item->bytes + item->payload_size;

    return (struct broker_publication){
        .channel = channel_of(stream),
        .payload = slice_from(item->bytes, item->payload_size),
        .is_binary = item->is_binary,
        .is_unmarked = item->is_unmarked,
        .offset = offset,
        .epoch = stream->epoch,
        .user = slice_from(user, item->user_size),
        .conn_id = slice_from(user + item->user_size, item->conn_id_size),
        .time_ms = item->time_ms,
    };
}

/* False when there is no memory. */
static bool lend_range(struct history *history, const struct stream *stream, struct range range,
                       bool is_reverse)
{
    const uint64_t count = range.to + 1 - range.from;

    free(history->lent);
    history->lent = calloc(count > 0 ? count : 1, sizeof(struct broker_publication));
    if (!history->lent) {
        return false;
    }
    for (uint64_t i = 0; i < count; i++) {
        history->lent[i] = lend(stream, is_reverse ? range.to - i : range.from + i);
    }
    return true;
}

void history_read(struct history *history, struct slice channel,
                  const struct broker_history_query *query, uint64_t now_ms,
                  struct broker_event *event)
{
    struct stream *stream = stream_for(history, channel, false);

    event->publication_count = 0;
    if (!stream) {
        event->outcome = BROKER_FULL;
        return;
    }
    drop_old(history, stream, now_ms);
    event->position = top_of(stream);
    if (query->has_since && query->since.epoch[0] != '\0' &&
        strcmp(query->since.epoch, stream->epoch) != 0) {
        event->outcome = BROKER_UNRECOVERABLE;
        return;
    }
    event->outcome = BROKER_DONE;
    if (query->limit == 0) {
        return;
    }
    const struct range range = range_of(stream, query);
    if (!lend_range(history, stream, range, query->is_reverse)) {
        event->outcome = BROKER_FULL;
        return;
    }
    event->publications = history->lent;
    event->publication_count = (uint32_t)(range.to + 1 - range.from);
}

void history_remove(struct history *history, struct slice channel)
{
    struct stream *stream = find(history, channel, table_hash(&history->streams, channel));

    if (stream) {
        drop_all(history, stream);
    }
}

/* --- the rest --------------------------------------------------------------------------------- */

void history_sweep(struct history *history, uint64_t now_ms)
{
    for (uint32_t i = 0; i < SWEEP_BUCKETS && i <= history->streams.bucket_mask; i++) {
        struct table_entry *entry = table_bucket(&history->streams, history->sweep_bucket);
        for (; entry; entry = entry->next) {
            drop_old(history, (struct stream *)entry, now_ms);
        }
        history->sweep_bucket = (history->sweep_bucket + 1) & history->streams.bucket_mask;
    }
}

void history_read_counts(const struct history *history, struct history_counts *counts)
{
    *counts = (struct history_counts){
        .streams = history->streams.count, .items = history->item_count, .bytes = history->bytes};
}

void history_close(struct history *history)
{
    if (!history) {
        return;
    }
    while (history->with_items.rested) {
        remove_stream(history, history->with_items.rested);
    }
    while (history->without.rested) {
        remove_stream(history, history->without.rested);
    }
    table_close(&history->streams);
    free(history->lent);
    free(history);
}

static uint32_t check_list(const struct stream_list *list, bool has_items)
{
    const struct stream *before = NULL;
    uint32_t count = 0;

    for (const struct stream *stream = list->rested; stream; stream = stream->newer) {
        ASSERT(stream->older == before);
        ASSERT((stream->count > 0) == has_items);
        ASSERT(stream->count <= stream->ring_size);
        ASSERT(stream->count <= stream->top);
        before = stream;
        count++;
    }
    ASSERT(list->busy == before);
    return count;
}

void history_check(const struct history *history)
{
    const struct item *before = NULL;
    uint32_t items = 0;
    size_t bytes = 0;

    ASSERT(check_list(&history->with_items, true) + check_list(&history->without, false) ==
           history->streams.count);
    for (const struct item *item = history->oldest; item; item = item->newer) {
        ASSERT(item->older == before);
        before = item;
        items++;
        bytes += item_cost(item);
    }
    ASSERT(history->newest == before);
    ASSERT(items == history->item_count);
    ASSERT(bytes == history->bytes);
    ASSERT(bytes <= history->limits.bytes_max);
    ASSERT(history->streams.count <= history->limits.streams_max);
}
