#include "server/deadlines.h"

#include "base/random.h"
#include "server/handshakes.h"
#include "server/opening.h"
#include "server/outbound.h"
#include "server/shard.h"

/* A wave of pings is spread over ticks, so that receives go on. */
#define EXPIRE_PER_TICK_MAX 4096

/* Pings of one shard share wake-ups: a wake-up costs more than a ping. */
#define PING_GRID_MS 100

/*
 * So long a handshake that waits for its client keeps its place, whoever else wants one: three
 * round trips by satellite. From then on it is looked at again and again. So clients that are slow
 * on purpose hold all places for 2 s, not for the whole deadline.
 */
#define PLACE_MS      2000
#define PLACE_LOOK_MS 250

/* A peer that still sends has this long to read our last bytes. */
#define LINGER_MS 1000

static void arm(struct shard *shard, uint32_t number, enum conn_deadline deadline, uint64_t at_ms)
{
    conn_at(shard, number)->deadline = (uint8_t)deadline;
    wheel_set(&shard->wheel, number, at_ms);
}

void deadlines_clear(struct shard *shard, uint32_t number)
{
    conn_at(shard, number)->deadline = DEADLINE_NONE;
    wheel_clear(&shard->wheel, number);
}

void deadlines_accepted(struct shard *shard, uint32_t number)
{
    arm(shard, number, DEADLINE_HANDSHAKE, shard->now_ms + shard->options->deadlines.handshake_ms);
}

static uint64_t handshake_end_ms(const struct shard *shard, const struct opening *opening)
{
    return opening->accepted_ms + shard->options->deadlines.handshake_ms;
}

/* To be looked at in wait_ms, or at the deadline when that comes first. */
static void arm_handshake(struct shard *shard, uint32_t number, uint64_t wait_ms)
{
    const uint64_t end_ms = handshake_end_ms(shard, opening_of(shard, conn_at(shard, number)));
    const uint64_t at_ms = shard->now_ms + wait_ms;

    arm(shard, number, DEADLINE_HANDSHAKE, at_ms < end_ms ? at_ms : end_ms);
}

void deadlines_handshake_started(struct shard *shard, uint32_t number)
{
    arm_handshake(shard, number, PLACE_MS);
}

void deadlines_handshake_done(struct shard *shard, uint32_t number)
{
    opening_of(shard, conn_at(shard, number))->upgrade_ms = shard->now_ms;
    arm(shard, number, DEADLINE_UPGRADE, shard->now_ms + shard->options->deadlines.upgrade_ms);
}

static uint64_t end_ms(const struct shard *shard, const struct conn *conn)
{
    if (conn->ends_s == 0) {
        return UINT64_MAX;
    }
    return shard->start_ms + (uint64_t)(conn->ends_s & ~CONN_ENDS_BY_AGE) * 1000;
}

/* Arms the wanted deadline, or the connection's end when that comes first. */
static void arm_open(struct shard *shard, uint32_t number, enum conn_deadline deadline,
                     uint64_t at_ms)
{
    uint64_t end = end_ms(shard, conn_at(shard, number));

    if (end <= at_ms) {
        arm(shard, number, DEADLINE_END, end);
    } else {
        arm(shard, number, deadline, at_ms);
    }
}

static uint32_t seconds_from_start(const struct shard *shard, double at_ms)
{
    double seconds = (at_ms - (double)shard->start_ms) / 1000;

    if (seconds < 1) {
        return 1;
    }
    return seconds < (double)(CONN_ENDS_BY_AGE - 1) ? (uint32_t)seconds : CONN_ENDS_BY_AGE - 1;
}

/* The earlier of the token's expiry and the largest age, in one number. */
static uint32_t end_of(struct shard *shard, double expires_unix_s)
{
    const struct options *options = shard->options;
    uint64_t age_ms = options->deadlines.age_max_ms;
    uint32_t by_age = 0;
    uint32_t by_token = 0;

    if (age_ms > 0) {
        uint64_t jitter_ms = age_ms * options->deadlines.age_jitter_percent / 100;
        age_ms = age_ms - jitter_ms + random_below(2 * jitter_ms + 1);
        by_age = seconds_from_start(shard, (double)(shard->now_ms + age_ms) + 999);
    }
    if (expires_unix_s > 0) {
        double left_ms = expires_unix_s * 1000 - (double)ring_unix_ms(shard->ring);
        double grace_ms = options->deadlines.token_grace_ms + options->token.leeway_s * 1000.0;
        by_token = seconds_from_start(shard, (double)shard->now_ms + left_ms + grace_ms + 999);
    }
    if (by_token != 0 && (by_age == 0 || by_token <= by_age)) {
        return by_token;
    }
    return by_age == 0 ? 0 : by_age | CONN_ENDS_BY_AGE;
}

static void arm_ping(struct shard *shard, uint32_t number, uint64_t wait_ms)
{
    uint64_t at_ms = shard->now_ms + wait_ms + PING_GRID_MS - 1;

    arm_open(shard, number, DEADLINE_PING, at_ms - at_ms % PING_GRID_MS);
}

void deadlines_opened(struct shard *shard, uint32_t number, double expires_unix_s)
{
    uint64_t interval_ms = shard->options->heartbeat.ping_interval_ms;

    conn_at(shard, number)->ends_s = end_of(shard, expires_unix_s);
    arm_ping(shard, number, interval_ms / 2 + random_below(interval_ms - interval_ms / 2 + 1));
}

void deadlines_heard(struct shard *shard, uint32_t number)
{
    const struct options *options = shard->options;
    const struct conn *conn = conn_at(shard, number);

    if (conn->state == CONN_OPEN && conn->deadline == DEADLINE_PONG) {
        arm_ping(shard, number, options->heartbeat.ping_interval_ms);
    }
}

void deadlines_close_sent(struct shard *shard, uint32_t number)
{
    arm(shard, number, DEADLINE_CLOSE, shard->now_ms + shard->options->deadlines.close_ms);
}

void deadlines_last_byte_sent(struct shard *shard, uint32_t number)
{
    arm(shard, number, DEADLINE_LINGER, shard->now_ms + LINGER_MS);
}

static void ping(struct shard *shard, uint32_t number)
{
    counter_add(&shard->counts.pings_sent, 1);
    arm_open(shard, number, DEADLINE_PONG,
             shard->now_ms + shard->options->heartbeat.pong_timeout_ms);
    outbound_queue(shard, number, shard->ping);
}

static void end(struct shard *shard, uint32_t number)
{
    const struct conn *conn = conn_at(shard, number);

    if (conn->ends_s & CONN_ENDS_BY_AGE) {
        outbound_close(shard, number, WS_CLOSE_SERVICE_RESTART, CAUSE_AGE);
    } else {
        outbound_close(shard, number, WS_CLOSE_UNAUTHORIZED, CAUSE_TOKEN_EXPIRED);
    }
}

static void handshake_looked_at(struct shard *shard, uint32_t number)
{
    if (shard->now_ms >= handshake_end_ms(shard, opening_of(shard, conn_at(shard, number)))) {
        handshakes_lost(shard, number, HANDSHAKE_OUTCOME_TIMEOUT);
        conn_kill(shard, number);
    } else if (!handshakes_gave_way(shard, number)) {
        arm_handshake(shard, number, PLACE_LOOK_MS);
    }
}

static void expire(struct shard *shard, uint32_t number)
{
    struct conn *conn = conn_at(shard, number);
    enum conn_deadline deadline = conn->deadline;

    conn->deadline = DEADLINE_NONE;
    switch (deadline) {
    case DEADLINE_HANDSHAKE:
        handshake_looked_at(shard, number);
        return;
    case DEADLINE_UPGRADE:
        counter_add(&shard->counts.upgrade_timeouts, 1);
        conn_kill(shard, number);
        return;
    case DEADLINE_PING:
        ping(shard, number);
        return;
    case DEADLINE_PONG:
        outbound_close(shard, number, WS_CLOSE_TIMEOUT, CAUSE_PONG_TIMEOUT);
        return;
    case DEADLINE_END:
        end(shard, number);
        return;
    case DEADLINE_CLOSE:
        counter_add(&shard->counts.close_timeouts, 1);
        conn_kill(shard, number);
        return;
    case DEADLINE_LINGER:
        conn_kill(shard, number);
        return;
    case DEADLINE_NONE:
        break;
    }
    ASSERT(false); /* a deadline that nobody set */
}

void deadlines_expire(struct shard *shard)
{
    for (uint32_t i = 0; i < EXPIRE_PER_TICK_MAX; i++) {
        uint32_t number = wheel_expire(&shard->wheel, shard->now_ms);
        if (number == NONE) {
            return;
        }
        histogram_add(&shard->counts.timer_lag,
                      wheel_lag_ms(&shard->wheel, shard->now_ms) * COUNTS_MS_NS, COUNTS_MS_NS);
        expire(shard, number);
    }
}
