#include "server/drain.h"

#include "base/random.h"
#include "server/outbound.h"
#include "server/shard.h"

/*
 * Why a heap: a connection knows how old it is by its generation, but nothing keeps them in that
 * order (two links each would be 8 bytes a connection, for ever). To sort a million when the drain
 * begins stops the shard for 13 ms; into a heap each goes in 12 ns, in steps, and comes out in
 * 0.1 us, when it is due: little beside a record sealed and sent.
 */
#define GATHERED_PER_TICK_MAX 16384
#define CLOSES_PER_TICK_MAX   1024

/* Those who are due close together share a wake-up. */
#define STEP_MS 10

/* At the stop a shard with few connections need not take all the time there is. */
#define STOP_RATE_MIN 1000

/* The key of a connection: its age, the oldest first, then its number. */
#define NUMBER_BITS 24

/* An order as one number: what, within which time, and a running count that tells it from the last.
 */
#define WITHIN_SHIFT 2
#define COUNT_SHIFT  34

void drain_give_order(struct server *server, enum drain_order order, uint32_t within_ms,
                      struct ring *ring)
{
    const uint64_t count = (counter_read(&server->order) >> COUNT_SHIFT) + 1;

    ASSERT(order != ORDER_NONE);
    counter_set(&server->order,
                count << COUNT_SHIFT | (uint64_t)within_ms << WITHIN_SHIFT | (uint64_t)order);
    for (uint32_t i = 0; i < server->shard_count; i++) {
        ring_wake(ring, server->ring_fds[i]);
    }
}

int drain_open(struct drain *drain, uint32_t count_max)
{
    ASSERT(count_max <= 1u << NUMBER_BITS);
    return heap_open(&drain->waiting, count_max);
}

void drain_close(struct drain *drain)
{
    heap_close(&drain->waiting);
}

bool drain_is_on(const struct shard *shard)
{
    return shard->drain.state != DRAIN_NONE;
}

/* Sets out, or goes on at another pace. */
static void start(struct shard *shard, uint32_t over_ms, uint32_t rate_min)
{
    struct drain *drain = &shard->drain;

    pace_start(&drain->pace, shard->now_ms, over_ms, rate_min);
    drain->step_ms = shard->now_ms;
    if (drain->state == DRAIN_NONE) {
        drain->state = DRAIN_GATHERING;
        drain->next_number = 0;
        drain->newest = shard->generation;
        accepting_cancel(shard);
    }
}

/* All are told early enough for their answers; when told to stop once more, at once. */
static void stop(struct shard *shard, uint32_t within_ms)
{
    struct drain *drain = &shard->drain;
    const uint64_t stop_by_ms = shard->now_ms + within_ms;
    const uint32_t close_ms = shard->options->deadlines.close_ms;
    const uint32_t answer_ms = close_ms < within_ms / 2 ? close_ms : within_ms / 2;

    start(shard, drain->is_last ? 0 : within_ms - answer_ms, STOP_RATE_MIN);
    if (!drain->is_last || stop_by_ms < drain->stop_by_ms) {
        drain->stop_by_ms = stop_by_ms;
    }
    drain->is_last = true;
}

void drain_obey(struct shard *shard)
{
    struct drain *drain = &shard->drain;
    const uint64_t order = counter_read(&shard->server->order);
    const uint32_t within_ms = (uint32_t)(order >> WITHIN_SHIFT);

    if (order == drain->order) {
        return;
    }
    drain->order = order;
    switch ((enum drain_order)(order & ((1u << WITHIN_SHIFT) - 1))) {
    case ORDER_DRAIN:
        if (!drain->is_last) {
            start(shard, within_ms, 0);
        }
        return;
    case ORDER_UNDO:
        if (!drain->is_last) {
            drain->state = DRAIN_NONE;
            heap_clear(&drain->waiting);
        }
        return;
    case ORDER_STOP:
        stop(shard, within_ms);
        return;
    case ORDER_NONE:
        break;
    }
    ASSERT(false); /* nobody orders nothing */
}

/* Puts a bounded number of connections into their order; true when that was the last of them.
 * Nobody opens meanwhile. A generation counts the accepts of the shard and comes around after 16.7
 * million of them: whoever is older than that is taken for younger. */
static bool gather(struct shard *shard)
{
    struct drain *drain = &shard->drain;
    const uint32_t left = shard->conns.count_max - drain->next_number;
    const uint32_t end =
        drain->next_number + (left < GATHERED_PER_TICK_MAX ? left : GATHERED_PER_TICK_MAX);

    for (; drain->next_number < end; drain->next_number++) {
        const uint32_t number = drain->next_number;
        if (!pool_is_taken(&shard->conns, number) || conn_at(shard, number)->state != CONN_OPEN) {
            continue;
        }
        const uint32_t generation = conn_at(shard, number)->generation;
        const uint64_t age = (generation - drain->newest - 1) & RING_GENERATION_MAX;
        heap_push(&drain->waiting, age << NUMBER_BITS | number);
    }
    return end == shard->conns.count_max;
}

/* The oldest that is still open, or NONE. */
static uint32_t oldest(struct shard *shard)
{
    struct drain *drain = &shard->drain;

    while (drain->waiting.count > 0) {
        const uint64_t key = heap_pop(&drain->waiting);
        const uint32_t number = (uint32_t)key & ((1u << NUMBER_BITS) - 1);
        const uint32_t age = (uint32_t)(key >> NUMBER_BITS);
        const struct conn *conn = conn_at(shard, number);
        if (pool_is_taken(&shard->conns, number) && conn->state == CONN_OPEN &&
            conn->generation == ((age + drain->newest + 1) & RING_GENERATION_MAX)) {
            return number;
        }
    }
    return NONE;
}

static void tell(struct shard *shard, uint32_t number)
{
    counter_add(&shard->counts.drain_closed, 1);
    if (shard->drain.is_last) {
        outbound_close(shard, number, WS_CLOSE_GOING_AWAY, CAUSE_SHUTDOWN);
    } else {
        outbound_close(shard, number, WS_CLOSE_SERVICE_RESTART, CAUSE_DRAIN);
    }
}

/* Tells those who are due. When to look again is by chance, or clients that come back at their own
 * fixed times would do so in step; how many are due then is not, so the pace is kept. */
static void tell_those_due(struct shard *shard)
{
    struct drain *drain = &shard->drain;
    uint32_t due = pace_due(&drain->pace, shard->serving_count, shard->now_ms);
    const bool is_much = due > CLOSES_PER_TICK_MAX;

    due = is_much ? CLOSES_PER_TICK_MAX : due;
    for (uint32_t i = 0; i < due; i++) {
        const uint32_t number = oldest(shard);
        ASSERT(number != NONE);
        tell(shard, number);
    }
    pace_went(&drain->pace, due);
    if (is_much) {
        return;
    }
    const uint64_t gap_ms = pace_gap_ms(&drain->pace, shard->serving_count, shard->now_ms);
    const uint64_t left_ms =
        drain->pace.end_ms > shard->now_ms ? drain->pace.end_ms - shard->now_ms : 0;
    const uint64_t wait_ms = random_below(2 * (gap_ms > STEP_MS ? gap_ms : STEP_MS)) + 1;
    drain->step_ms = shard->now_ms + (wait_ms < left_ms ? wait_ms : left_ms);
}

void drain_step(struct shard *shard)
{
    struct drain *drain = &shard->drain;

    switch ((enum drain_state)drain->state) {
    case DRAIN_NONE:
    case DRAIN_DONE:
        return;
    case DRAIN_GATHERING:
        if (gather(shard)) {
            drain->state = DRAIN_CLOSING;
        }
        return;
    case DRAIN_CLOSING:
        if (shard->now_ms >= drain->step_ms) {
            tell_those_due(shard);
        }
        if (shard->serving_count == 0) {
            drain->state = DRAIN_DONE;
            heap_clear(&drain->waiting);
        }
        return;
    }
    ASSERT(false); /* no state */
}

static uint64_t until(const struct shard *shard, uint64_t at_ms)
{
    return at_ms > shard->now_ms ? at_ms - shard->now_ms : 0;
}

uint64_t drain_wait_ms(const struct shard *shard)
{
    const struct drain *drain = &shard->drain;
    const uint64_t end_ms = drain->is_last ? until(shard, drain->stop_by_ms) : UINT64_MAX;

    if (drain->state == DRAIN_GATHERING) {
        return 0;
    }
    if (drain->state == DRAIN_CLOSING) {
        const uint64_t step_ms = until(shard, drain->step_ms);
        return step_ms < end_ms ? step_ms : end_ms;
    }
    return end_ms;
}

bool drain_is_over(const struct shard *shard)
{
    return shard->drain.is_last && shard->now_ms >= shard->drain.stop_by_ms;
}

void drain_check(struct shard *shard)
{
    const struct drain *drain = &shard->drain;

    heap_check(&drain->waiting);
    if (drain->state == DRAIN_NONE) {
        ASSERT(!drain->is_last);
    }
    if (drain->state == DRAIN_CLOSING) {
        ASSERT(drain->waiting.count >= shard->serving_count);
    } else if (drain->state != DRAIN_GATHERING) {
        ASSERT(drain->waiting.count == 0);
    }
    if (drain->state == DRAIN_DONE) {
        ASSERT(shard->serving_count == 0);
    }
}
