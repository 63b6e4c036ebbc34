#include "server/conn.h"

#include "server/deadlines.h"
#include "server/opening.h"
#include "server/outbound.h"
#include "server/shard.h"
#include "server/waiting.h"

#define TLS_CLASS_SHIFT 30
#define TLS_NUMBER_MASK ((1u << TLS_CLASS_SHIFT) - 1)

struct conn *conn_at(struct shard *shard, uint32_t number)
{
    return pool_at(&shard->conns, number);
}

struct conn *conn_init(struct shard *shard, uint32_t number)
{
    struct conn *conn = conn_at(shard, number);

    pool_take_number(&shard->conns, number);
    shard->generation = shard->generation % RING_GENERATION_MAX + 1;
    *conn = (struct conn){
        .generation = shard->generation & RING_GENERATION_MAX,
        .state = CONN_ACCEPTED,
        .tls = NONE,
        .opening = NONE,
        .partial = NONE,
        .queue_tail = NONE,
        .send = NONE,
        .user = NONE,
        .address = NONE,
    };
    return conn;
}

void conn_set_state(struct shard *shard, struct conn *conn, enum conn_state state)
{
    shard->serving_count -= conn->state == CONN_OPEN ? 1 : 0;
    shard->serving_count += state == CONN_OPEN ? 1 : 0;
    conn->state = (uint8_t)state;
}

struct tls_state *conn_tls(struct shard *shard, const struct conn *conn)
{
    ASSERT(conn->tls != NONE);
    return pool_at(&shard->tls[conn->tls >> TLS_CLASS_SHIFT], conn->tls & TLS_NUMBER_MASK);
}

bool conn_keep_keys(struct shard *shard, struct conn *conn, const struct tls_keys *keys)
{
    enum tls_class class = tls_class_of(keys->version, keys->suite);
    uint32_t number = pool_take(&shard->tls[class]);

    ASSERT(conn->tls == NONE);
    if (number == NONE) {
        return false;
    }
    conn->tls = (uint32_t) class << TLS_CLASS_SHIFT | number;
    tls_state_init(conn_tls(shard, conn), keys);
    return true;
}

struct partial *conn_partial(struct shard *shard, struct conn *conn)
{
    if (conn->partial == NONE) {
        conn->partial = pool_take(&shard->partials);
        if (conn->partial == NONE) {
            counter_add(&shard->counts.refused[REFUSED_MEMORY], 1);
            return NULL;
        }
        struct partial *partial = pool_at(&shard->partials, conn->partial);
        partial->record = NONE;
        partial->record_size = 0;
        partial->message = NONE;
        partial->message_size = 0;
        partial->control_size = 0;
    }
    return pool_at(&shard->partials, conn->partial);
}

static void end_partial(struct shard *shard, struct conn *conn)
{
    if (conn->partial == NONE) {
        return;
    }
    const struct partial *partial = pool_at(&shard->partials, conn->partial);
    if (partial->record != NONE) {
        arena_give(&shard->arena, partial->record);
    }
    if (partial->message != NONE) {
        arena_give(&shard->arena, partial->message);
    }
    pool_give(&shard->partials, conn->partial);
    conn->partial = NONE;
}

static void end_keys(struct shard *shard, struct conn *conn)
{
    if (conn->tls != NONE) {
        tls_state_wipe(conn_tls(shard, conn));
        pool_give(&shard->tls[conn->tls >> TLS_CLASS_SHIFT], conn->tls & TLS_NUMBER_MASK);
        conn->tls = NONE;
    }
}

static void end_tallies(struct shard *shard, struct conn *conn)
{
    if (conn->user != NONE) {
        tally_leave(shard->server->users, conn->user);
        conn->user = NONE;
    }
    if (conn->address != NONE) {
        tally_leave(shard->server->addresses, conn->address);
        conn->address = NONE;
    }
}

static void reap_when_ready(struct shard *shard, uint32_t number)
{
    struct conn *conn = conn_at(shard, number);

    if (conn->in_flight == 0 && !(conn->flags & CONN_REAPING)) {
        conn->flags |= CONN_REAPING;
        queue_push(&shard->reap, number);
    }
}

void conn_kill(struct shard *shard, uint32_t number)
{
    struct conn *conn = conn_at(shard, number);

    ASSERT(conn->state != CONN_FREE);
    if (conn->state == CONN_DEAD) {
        return;
    }
    if (conn->flags & CONN_COUNTED) {
        conn->flags &= (uint8_t)~CONN_COUNTED;
        shard_count_open(shard, false);
    }
    conn_set_state(shard, conn, CONN_DEAD);
    deadlines_clear(shard, number);
    if (conn->in_flight & CONN_POLLING) {
        ring_cancel_poll(shard->ring, number, conn->generation);
    }
    if (conn->in_flight & CONN_SENDING) {
        ring_cancel_send(shard->ring, number, conn->generation);
    }
    reap_when_ready(shard, number);
}

void conn_completed(struct shard *shard, uint32_t number, enum conn_operation operation)
{
    struct conn *conn = conn_at(shard, number);

    ASSERT(conn->in_flight & operation);
    conn->in_flight &= (uint8_t)~operation;
    if (conn->state == CONN_DEAD) {
        reap_when_ready(shard, number);
    }
}

void conn_reap(struct shard *shard)
{
    uint32_t count = queue_count(&shard->reap);

    for (uint32_t i = 0; i < count; i++) {
        uint32_t number = queue_pop(&shard->reap);
        struct conn *conn = conn_at(shard, number);
        /* The flush has yet to come to it and take its mark away, or the relay to hear of it. */
        if (conn->flags & CONN_DIRTY || !errands_leave(shard, number)) {
            queue_push(&shard->reap, number);
            continue;
        }
        ASSERT(conn->state == CONN_DEAD);
        ASSERT(conn->in_flight == 0);
        ASSERT(conn->send == NONE);
        waiting_drop(shard, conn);
        end_partial(shard, conn);
        opening_end(shard, conn);
        end_keys(shard, conn);
        end_tallies(shard, conn);
        conn->in_flight = CONN_SHUTTING;
        ring_close_socket(shard->ring, number, conn->generation);
    }
}

void conn_free(struct shard *shard, uint32_t number)
{
    struct conn *conn = conn_at(shard, number);

    ASSERT(conn->state == CONN_DEAD);
    ASSERT(conn->in_flight == CONN_SHUTTING);
    conn->in_flight = 0;
    conn_set_state(shard, conn, CONN_FREE);
    pool_give(&shard->conns, number);
}

static bool owes_update(struct shard *shard, const struct conn *conn)
{
    return conn->tls != NONE && tls_update_due(conn_tls(shard, conn));
}

/* Somebody will wake it: a wait, an operation that completes, or the flush of the next tick. */
static void check_is_driven(struct shard *shard, uint32_t number)
{
    const struct conn *conn = conn_at(shard, number);
    const unsigned reading = CONN_POLLING | CONN_RECEIVING;
    bool writing = conn->flags & CONN_DIRTY || conn->in_flight & CONN_SENDING;

    switch ((enum conn_state)conn->state) {
    case CONN_ACCEPTED:
        ASSERT(conn->in_flight == CONN_NAMING);
        break;
    case CONN_HANDSHAKE:
        ASSERT(conn->in_flight & (reading | CONN_SENDING | CONN_STEPPING));
        break;
    case CONN_UPGRADE:
    case CONN_OPEN:
    case CONN_CLOSING:
        ASSERT(conn->in_flight & reading);
        ASSERT(writing || !owes_update(shard, conn));
        break;
    case CONN_LINGER:
        ASSERT(writing || conn->in_flight & reading);
        break;
    case CONN_DEAD:
        ASSERT(conn->in_flight != 0 || conn->flags & CONN_DIRTY ||
               identities_find(&shard->identities, number) != NULL);
        break;
    case CONN_FREE:
        ASSERT(false); /* its number is taken */
    }
    if (conn->state != CONN_DEAD && conn->queue_tail != NONE) {
        ASSERT(writing);
    }
}

static void check_has_what_its_state_needs(const struct conn *conn)
{
    if (conn->state < CONN_OPEN) {
        ASSERT(conn->opening != NONE);
        ASSERT(conn->tls == NONE || conn->state == CONN_UPGRADE);
    }
    if (conn->state == CONN_OPEN || conn->state == CONN_CLOSING) {
        ASSERT(conn->opening == NONE);
        ASSERT(conn->flags & CONN_COUNTED);
    }
}

void conn_check(struct shard *shard, uint32_t number)
{
    const struct conn *conn = conn_at(shard, number);

    if (!pool_is_taken(&shard->conns, number)) {
        return;
    }
    ASSERT(conn->generation != 0);
    ws_reader_check(&conn->reader);
    check_is_driven(shard, number);
    ASSERT((conn->state != CONN_DEAD) == wheel_is_set(&shard->wheel, number));
    ASSERT((conn->deadline != DEADLINE_NONE) == wheel_is_set(&shard->wheel, number));
    check_has_what_its_state_needs(conn);
    if (conn->queue_tail == NONE && conn->send == NONE) {
        ASSERT(conn->queue_bytes == 0);
    }
    ASSERT(!(conn->in_flight & CONN_SENDING) == (conn->send == NONE));
    if (conn->in_flight & CONN_POLLING) {
        ASSERT(!(conn->in_flight & CONN_RECEIVING));
    }
}
