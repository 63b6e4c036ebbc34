#include "server/fanout.h"

#include "base/digest.h"
#include "base/random.h"
#include "pubsub/message.h"
#include "server/compression.h"
#include "server/outbound.h"
#include "server/shard.h"

#include <errno.h>
#include <stdlib.h>

#define ARENA_SHARE      8 /* the part of the arena that may wait for its turn */
#define SENDS_SHARE      4 /* and that the sends of a run may take, when several go together */
#define TURNS_A_TICK     4 /* of large channels: the fewest */
#define PREFETCH_AHEAD   8u
#define HOLD_MIN_MS      10
#define HOLD_MAX_MS      320
#define BEHIND_BYTES_MAX (4 * OUTBOUND_DATA_MAX)
#define QUEUE_SHARE      4  /* several publications together are at most this part of a queue */
#define PUBLICATION_TAX  64 /* what one takes beside its bytes */

/*
 * A channel with work. Its publications wait in a list, oldest first; those of the run have been
 * taken out of it. A run over many takes several ticks, in which connections come and go and their
 * numbers find new owners: so it goes by a copy of the members, each with its generation.
 */
struct topic {
    uint64_t hash;
    uint64_t resume_ms;      /* when the next run may start */
    uint64_t waiting_ns;     /* since when publications wait; after a run: since its start */
    uint64_t run_ns;         /* the same of the run's */
    uint32_t next_in_bucket; /* number + 1, 0 at the end */
    uint32_t next_turn;      /* in a circle */
    uint32_t first;          /* message that waits, or NONE */
    uint32_t last;
    uint32_t message;  /* of the run, or NONE */
    uint32_t deflated; /* its compressed form, made for the first who wants it; or NONE */
    uint32_t members;  /* block of the run: numbers, then generations; or NONE */
    uint32_t count;
    uint32_t at;
    uint32_t behind;       /* members that had not taken their last message when their turn came */
    uint32_t hold_ms;      /* how long that is held back; 0: not at all */
    uint32_t unsubscribes; /* the table's count when the run started */
    uint8_t name_size;
    uint8_t name[CHANNEL_NAME_MAX];
};
static_assert(sizeof(struct topic) == FANOUT_TOPIC_SIZE, "a multiple of 4");

int fanout_open(struct fanout *fanout, uint32_t topics_max)
{
    fanout->turn = NONE;
    random_bytes(fanout->hash_key, sizeof(fanout->hash_key));
    fanout->bucket_count = 2 * topics_max;
    fanout->buckets = calloc(fanout->bucket_count, sizeof(*fanout->buckets));
    if (!fanout->buckets) {
        return -ENOMEM;
    }
    return pool_open(&fanout->topics, POOL_PLAIN, sizeof(struct topic), topics_max);
}

void fanout_close(struct fanout *fanout)
{
    pool_close(&fanout->topics);
    free(fanout->buckets);
    fanout->buckets = NULL;
}

static struct topic *topic_at(const struct fanout *fanout, uint32_t number)
{
    return pool_at(&fanout->topics, number);
}

static struct slice name_of(const struct topic *topic)
{
    return slice_from(topic->name, topic->name_size);
}

/* --- topics ----------------------------------------------------------------------------------- */

static uint32_t find_topic(const struct fanout *fanout, struct slice channel, uint64_t hash)
{
    uint32_t link = fanout->buckets[hash % fanout->bucket_count];

    while (link != 0) {
        const struct topic *topic = topic_at(fanout, link - 1);
        if (topic->hash == hash && slice_equal(name_of(topic), channel)) {
            return link - 1;
        }
        link = topic->next_in_bucket;
    }
    return NONE;
}

/* A new topic, whose turn comes after those of all others; or NONE. */
static uint32_t make_topic(struct fanout *fanout, struct slice channel, uint64_t hash)
{
    uint32_t number = pool_take(&fanout->topics);
    uint32_t *bucket = &fanout->buckets[hash % fanout->bucket_count];

    if (number == NONE) {
        return NONE;
    }
    struct topic *topic = topic_at(fanout, number);
    *topic = (struct topic){
        .hash = hash,
        .next_in_bucket = *bucket,
        .next_turn = number,
        .first = NONE,
        .last = NONE,
        .message = NONE,
        .deflated = NONE,
        .members = NONE,
        .name_size = (uint8_t)channel.size,
    };
    memcpy(topic->name, channel.data, channel.size);
    *bucket = number + 1;
    if (fanout->turn != NONE) {
        topic->next_turn = topic_at(fanout, fanout->turn)->next_turn;
        topic_at(fanout, fanout->turn)->next_turn = number;
    }
    fanout->turn = number;
    return number;
}

/* Ends the topic whose turn it is: the one behind the last. */
static void end_topic(struct fanout *fanout, uint32_t number)
{
    const struct topic *topic = topic_at(fanout, number);
    uint32_t *link = &fanout->buckets[topic->hash % fanout->bucket_count];

    ASSERT(topic->message == NONE);
    ASSERT(topic_at(fanout, fanout->turn)->next_turn == number);
    while (*link != number + 1) {
        ASSERT(*link != 0);
        link = &topic_at(fanout, *link - 1)->next_in_bucket;
    }
    *link = topic->next_in_bucket;
    if (fanout->turn == number) {
        fanout->turn = NONE;
    } else {
        topic_at(fanout, fanout->turn)->next_turn = topic->next_turn;
    }
    pool_give(&fanout->topics, number);
}

/* --- publications that wait ------------------------------------------------------------------- */

bool fanout_has_room(const struct shard *shard)
{
    const struct fanout *fanout = &shard->fanout;

    return fanout->waiting < shard->server->budget->publications_max &&
           fanout->topics.count < fanout->topics.count_max &&
           fanout->waiting_size < shard->arena.size / ARENA_SHARE;
}

static void count_waiting(struct fanout *fanout, const struct message *message, bool more)
{
    size_t size = (size_t)message->size + PUBLICATION_TAX;

    if (more) {
        fanout->waiting++;
        fanout->waiting_size += size;
    } else {
        ASSERT(fanout->waiting > 0);
        ASSERT(fanout->waiting_size >= size);
        fanout->waiting--;
        fanout->waiting_size -= size;
    }
}

/* What a subscriber's record will hold: the frame. */
static uint32_t encode(struct shard *shard, struct slice channel, enum ws_opcode opcode,
                       struct slice payload)
{
    const struct namespace *space = namespace_of(&shard->options->namespaces, channel);
    uint32_t number = outbound_encode(shard, opcode, payload);

    if (number != NONE) {
        struct message *message = message_at(&shard->arena, number);
        message->channel = siphash(shard->fanout.hash_key, channel);
        message->publications = 1;
        message->slow = (uint8_t)space->slow;
        message->place = space->place;
        counter_add(&shard->counts.namespaces[space->place].publications, 1);
    }
    return number;
}

static void wait_for_turn(struct shard *shard, struct topic *topic, uint32_t number)
{
    struct message *message = message_at(&shard->arena, number);

    if (topic->last == NONE) {
        topic->first = number;
        topic->waiting_ns = shard->now_ns;
    } else {
        message_at(&shard->arena, topic->last)->next = number;
    }
    topic->last = number;
    count_waiting(&shard->fanout, message, true);
}

void fanout_publish(struct shard *shard, struct slice channel, enum ws_opcode opcode,
                    struct slice payload)
{
    struct fanout *fanout = &shard->fanout;
    uint64_t hash = siphash(fanout->hash_key, channel);
    uint32_t topic = find_topic(fanout, channel, hash);
    struct channel_matches matches;

    channel_match(shard->channels, channel, &matches);
    /* While earlier ones wait, also without a subscriber: one who comes before their turn gets
     * them, and must not miss those behind them. */
    if (matches.count == 0 && topic == NONE) {
        return;
    }
    uint32_t message = fanout_has_room(shard) ? encode(shard, channel, opcode, payload) : NONE;
    if (message == NONE) {
        counter_add(&shard->counts.publications_lost, 1);
        return;
    }
    if (topic == NONE) {
        topic = make_topic(fanout, channel, hash);
        ASSERT(topic != NONE); /* there was room */
    }
    wait_for_turn(shard, topic_at(fanout, topic), message);
}

/* --- runs ------------------------------------------------------------------------------------- */

/* Takes the oldest publication out of the list. */
static uint32_t take_first(struct shard *shard, struct topic *topic)
{
    uint32_t number = topic->first;
    struct message *message = message_at(&shard->arena, number);

    topic->first = message->next;
    topic->last = topic->first == NONE ? NONE : topic->last;
    message->next = NONE;
    count_waiting(&shard->fanout, message, false);
    return number;
}

/* Bytes that may go together: a record, but what they take in queues and for sends stays a share.
 */
static uint32_t together_max(const struct shard *shard, const struct topic *topic)
{
    const uint32_t members = topic->count > 0 ? topic->count : 1;
    size_t size = OUTBOUND_DATA_MAX;
    size_t queue_size = shard->options->limits.queue_bytes_max / QUEUE_SHARE;
    size_t send_size = shard->arena.size / SENDS_SHARE / members;

    size = queue_size < size ? queue_size : size;
    return (uint32_t)(send_size < size ? send_size : size);
}

/* How many of those that wait go together, and their bytes. At least one; of which the latest alone
 * may be kept, one. */
static uint32_t count_together(const struct shard *shard, const struct topic *topic, uint32_t *size)
{
    const uint32_t size_max = together_max(shard, topic);
    uint32_t count = 0;

    *size = 0;
    for (uint32_t number = topic->first; number != NONE;) {
        const struct message *message = message_at(&shard->arena, number);
        if (count > 0 && message->size > size_max - *size) {
            break;
        }
        *size += message->size;
        count++;
        if (*size >= size_max || message->slow == SLOW_KEEP_LATEST) {
            break;
        }
        number = message->next;
    }
    return count;
}

/*
 * The message of the next run: the oldest that waits, and behind it all that fit into one record
 * with it. Then a subscriber is visited once for all of them, and gets one record by one send. When
 * there is no memory for that, the oldest goes alone.
 */
static uint32_t take_together(struct shard *shard, struct topic *topic)
{
    uint32_t size = 0;
    uint32_t count = count_together(shard, topic, &size);
    uint32_t number = count > 1 ? message_new(&shard->arena, size) : NONE;

    if (number == NONE) {
        return take_first(shard, topic);
    }
    struct message *together = message_at(&shard->arena, number);
    uint8_t *out = together->bytes;
    together->channel = topic->hash;
    together->publications = (uint16_t)count;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t part = take_first(shard, topic);
        const struct message *message = message_at(&shard->arena, part);
        memcpy(out, message->bytes, message->size);
        out += message->size;
        together->slow = message->slow;
        together->place = message->place;
        message_release(&shard->arena, part);
    }
    return number;
}

/* The count of ended subscriptions: as long as it stands, who was subscribed still is, or has gone.
 */
static uint32_t unsubscribes_of(const struct shard *shard)
{
    struct channel_counts counts;

    channel_read_counts(shard->channels, &counts);
    return counts.unsubscribes;
}

/* Notes who is subscribed now. False when there is no memory for the list. */
static bool note_members(struct shard *shard, struct topic *topic)
{
    struct channel_matches matches;

    topic->count = 0;
    topic->at = 0;
    topic->behind = 0;
    channel_match(shard->channels, name_of(topic), &matches);
    if (matches.count == 0) {
        return true;
    }
    topic->members = arena_take(&shard->arena, (size_t)matches.members * 2 * sizeof(uint32_t));
    if (topic->members == NONE) {
        return false;
    }
    uint32_t *numbers = arena_at(&shard->arena, topic->members);
    topic->count = channel_collect(shard->channels, &matches, numbers);
    uint32_t *generations = numbers + topic->count;
    for (uint32_t i = 0; i < topic->count; i++) {
        generations[i] = conn_at(shard, numbers[i])->generation;
    }
    topic->unsubscribes = unsubscribes_of(shard);
    return true;
}

static bool start_run(struct shard *shard, struct topic *topic)
{
    if (!note_members(shard, topic)) {
        counter_add(&shard->counts.refused[REFUSED_MEMORY], 1);
        return false;
    }
    topic->message = take_together(shard, topic);
    topic->run_ns = topic->waiting_ns;
    topic->waiting_ns = shard->now_ns; /* of those that had no room: no more is known of them */
    return true;
}

/*
 * When most members have not taken the last message yet, the publisher is faster than the crowd, or
 * we are; or much waits in the shard. The next run is held back, longer each time. So a flood goes
 * at the speed of the majority instead of making slow consumers of them all, and a few who are slow
 * slow nobody down.
 */
static void pace(const struct shard *shard, struct topic *topic)
{
    bool is_full = shard->queue_bytes > shard->server->budget->queue_bytes_max / 2;

    if (topic->behind <= topic->count / 2 && !is_full) {
        topic->hold_ms = 0;
    } else if (topic->hold_ms == 0) {
        topic->hold_ms = HOLD_MIN_MS;
    } else if (topic->hold_ms < HOLD_MAX_MS) {
        topic->hold_ms *= 2;
    }
    topic->resume_ms = shard->now_ms + topic->hold_ms;
}

static void end_run(struct shard *shard, struct topic *topic)
{
    pace(shard, topic);
    histogram_add(&shard->counts.fanout_time, ring_clock_ns(shard->ring) - topic->run_ns,
                  COUNTS_US_NS);
    message_release(&shard->arena, topic->message);
    topic->message = NONE;
    if (topic->deflated != NONE) {
        message_release(&shard->arena, topic->deflated);
        topic->deflated = NONE;
    }
    if (topic->members != NONE) {
        arena_give(&shard->arena, topic->members);
        topic->members = NONE;
    }
}

/* The run's message in the form that the connection agreed on. */
static uint32_t form_for(struct shard *shard, struct topic *topic, const struct conn *conn)
{
    if (!(conn->flags & CONN_DEFLATE)) {
        return topic->message;
    }
    if (topic->deflated == NONE) {
        topic->deflated = compression_of(shard, topic->message);
    }
    return topic->deflated;
}

/* It has not taken the last message yet, but is not far from it. Whoever has stopped reading slows
 * nobody down, whether its queue grows or keeps the latest alone: what becomes of it is its
 * channel's policy. */
static bool is_behind(const struct shard *shard, const struct conn *conn)
{
    const uint32_t queue_max = shard->options->limits.queue_bytes_max;
    const uint32_t share = queue_max / QUEUE_SHARE;

    return conn->in_flight & CONN_SENDING &&
           conn->queue_bytes <= (share < BEHIND_BYTES_MAX ? share : BEHIND_BYTES_MAX) &&
           !outbound_is_stalled(shard, conn);
}

/* Queues the run's message for its next members, at most count_max; returns their number. */
static uint32_t advance(struct shard *shard, struct topic *topic, uint32_t count_max)
{
    uint32_t left = topic->count - topic->at;
    uint32_t count = left < count_max ? left : count_max;
    uint32_t receivers = 0;

    if (count == 0) {
        return 0;
    }
    const uint32_t *numbers = arena_at(&shard->arena, topic->members);
    const uint32_t *generations = numbers + topic->count;
    const bool all_stay = unsubscribes_of(shard) == topic->unsubscribes;
    uint32_t end = topic->at + count;
    for (uint32_t i = topic->at; i < end; i++) {
        if (i + PREFETCH_AHEAD < topic->count) {
            __builtin_prefetch(conn_at(shard, numbers[i + PREFETCH_AHEAD]), 1);
        }
        const struct conn *conn = conn_at(shard, numbers[i]);
        topic->behind += is_behind(shard, conn) ? 1 : 0;
        /* Nothing follows a close frame (RFC 6455, section 5.5.1). */
        if (conn->state == CONN_OPEN && conn->generation == generations[i] &&
            (all_stay || channel_reaches(shard->channels, name_of(topic), numbers[i]))) {
            receivers += outbound_queue(shard, numbers[i], form_for(shard, topic, conn)) ? 1 : 0;
        }
    }
    topic->at = end;
    const struct message *message = message_at(&shard->arena, topic->message);
    const uint64_t deliveries = (uint64_t)receivers * message->publications;
    counter_add(&shard->counts.messages_sent, deliveries);
    counter_add(&shard->counts.namespaces[message->place].deliveries, deliveries);
    return count;
}

static bool is_held(const struct shard *shard, const struct topic *topic)
{
    return topic->message == NONE && shard->now_ms < topic->resume_ms;
}

/* The topic whose turn is next, or NONE. Those that are held back let others go first. */
static uint32_t next_topic(struct shard *shard)
{
    struct fanout *fanout = &shard->fanout;

    for (uint32_t i = 0; i < fanout->topics.count; i++) {
        uint32_t number = topic_at(fanout, fanout->turn)->next_turn;
        if (!is_held(shard, topic_at(fanout, number))) {
            return number;
        }
        fanout->turn = number;
    }
    return NONE;
}

/* One turn of the topic. Returns the connections it cost, at least one, or 0 when there is no
 * memory to start a run. */
static uint32_t take_turn(struct shard *shard, uint32_t number, uint32_t count_max)
{
    struct fanout *fanout = &shard->fanout;
    struct topic *topic = topic_at(fanout, number);

    if (topic->message == NONE && !start_run(shard, topic)) {
        return 0;
    }
    uint32_t count = advance(shard, topic, count_max);
    if (topic->at == topic->count) {
        end_run(shard, topic);
    }
    if (topic->message == NONE && topic->first == NONE) {
        end_topic(fanout, number);
    } else {
        fanout->turn = number;
    }
    return count > 0 ? count : 1;
}

bool fanout_step(struct shard *shard)
{
    struct fanout *fanout = &shard->fanout;
    uint32_t waiting = queue_count(&shard->dirty);
    uint32_t count_max = shard->server->budget->fanouts_per_tick_max;
    uint32_t turn_max = count_max > TURNS_A_TICK ? count_max / TURNS_A_TICK : 1;
    /* It does not run ahead of the flush: what is queued stays little, and is sent while warm. */
    uint32_t left = waiting < count_max ? count_max - waiting : 0;

    fanout->is_holding = false;
    while (left > 0 && fanout->topics.count > 0) {
        uint32_t number = next_topic(shard);
        if (number == NONE) {
            fanout->is_holding = true;
            return false;
        }
        uint32_t cost = take_turn(shard, number, left < turn_max ? left : turn_max);
        if (cost == 0) {
            shard->starved = true;
            return false;
        }
        left -= cost;
    }
    return fanout->topics.count > 0;
}

/* --- checks ----------------------------------------------------------------------------------- */

static void check_topic(const struct shard *shard, const struct topic *topic, size_t *size)
{
    ASSERT(topic->message != NONE || topic->first != NONE);
    ASSERT(topic->at <= topic->count);
    ASSERT(topic->message != NONE || topic->members == NONE);
    ASSERT(topic->message != NONE || topic->deflated == NONE);
    for (uint32_t number = topic->first; number != NONE;) {
        const struct message *message = message_at(&shard->arena, number);
        ASSERT(message->references == 1);
        ASSERT(message->publications == 1);
        ASSERT(message->channel == topic->hash);
        *size += message->size + PUBLICATION_TAX;
        ASSERT((message->next == NONE) == (number == topic->last));
        number = message->next;
    }
}

void fanout_check(const struct shard *shard)
{
    const struct fanout *fanout = &shard->fanout;
    uint32_t number = fanout->turn;
    uint32_t count = 0;
    size_t size = 0;

    while (number != NONE) {
        const struct topic *topic = topic_at(fanout, number);
        ASSERT(pool_is_taken(&fanout->topics, number));
        ASSERT(find_topic(fanout, name_of(topic), topic->hash) == number);
        check_topic(shard, topic, &size);
        count++;
        number = topic->next_turn == fanout->turn ? NONE : topic->next_turn;
    }
    ASSERT(count == fanout->topics.count);
    ASSERT(size == fanout->waiting_size);
}
