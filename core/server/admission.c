#include "server/admission.h"

#include "server/opening.h"
#include "server/shard.h"

int admission_open(struct admission *admission, uint32_t count_max)
{
    int error = 0;

    for (uint32_t class = 0; class < ADMISSION_CLASSES && error == 0; class ++) {
        error = queue_open(&admission->waiting[class], count_max);
    }
    return error;
}

void admission_close(struct admission *admission)
{
    for (uint32_t class = 0; class < ADMISSION_CLASSES; class ++) {
        queue_close(&admission->waiting[class]);
    }
}

void admission_trim(struct admission *admission)
{
    for (uint32_t class = 0; class < ADMISSION_CLASSES; class ++) {
        queue_trim(&admission->waiting[class]);
    }
}

/* This shard's part of what the whole server admits. */
static struct bucket_rate rate_of(const struct shard *shard)
{
    const double shards = shard->server->shard_count;
    const double per_s = shard->options->limits.admissions_per_s;
    const double burst = shard->options->limits.admission_burst;

    return (struct bucket_rate){
        .per_s = per_s / shards,
        .burst = (burst > 0 ? burst : per_s) / shards,
    };
}

static uint32_t places_left(const struct shard *shard, enum admission_class class)
{
    const uint32_t places = shard->server->budget->handshakes_max;
    const uint32_t of_class = places - places / 8;
    const uint32_t used = handshake_count(shard->tls_server);
    const uint32_t held = shard->admission.held[class];
    const uint32_t left = used < places ? places - used : 0;
    const uint32_t left_of_class = held < of_class ? of_class - held : 0;

    return left < left_of_class ? left : left_of_class;
}

/* Begins another window when the last one is over; one without any completed lies between when two
 * have passed. */
static void roll_window(struct shard *shard)
{
    struct admission *admission = &shard->admission;
    const uint64_t age_ms = shard->now_ms - admission->window_ms;

    if (age_ms >= ADMISSION_WINDOW_MS) {
        admission->done_before = age_ms < UINT64_C(2) * ADMISSION_WINDOW_MS ? admission->done : 0;
        admission->done = 0;
        admission->window_ms = shard->now_ms;
    }
}

void admission_done(struct shard *shard)
{
    roll_window(shard);
    shard->admission.done++;
}

bool admission_is_crowded(struct shard *shard, enum admission_class class)
{
    const struct admission *admission = &shard->admission;

    roll_window(shard);
    const uint32_t done =
        admission->done > admission->done_before ? admission->done : admission->done_before;
    return queue_count(&admission->waiting[class]) > places_left(shard, class) &&
           done < (shard->server->budget->handshakes_max + 1) / 2;
}

void admission_hold(struct shard *shard, enum admission_class class, bool begins)
{
    uint32_t *held = &shard->admission.held[class];

    if (!begins) {
        ASSERT(*held > 0);
    }
    *held += begins ? 1 : UINT32_MAX;
}

void admission_wait(struct shard *shard, uint32_t number, enum admission_class class)
{
    struct conn *conn = conn_at(shard, number);
    struct opening *opening = opening_of(shard, conn);

    opening->class = class;
    opening->waits_since_ms = shard->now_ms;
    conn->in_flight |= CONN_STEPPING;
    queue_push(&shard->admission.waiting[class], number);
}

static bool is_waiting(struct shard *shard, uint32_t number)
{
    return conn_at(shard, number)->state == CONN_HANDSHAKE;
}

/* The one that has waited longest, which stays; NONE. Whoever died before it gives its socket back
 * now: an operation that is in flight holds it. */
static uint32_t oldest(struct shard *shard, enum admission_class class)
{
    struct queue *waiting = &shard->admission.waiting[class];
    uint32_t number;

    while ((number = queue_peek(waiting)) != NONE && !is_waiting(shard, number)) {
        number = queue_pop(waiting);
        conn_completed(shard, number, CONN_STEPPING);
    }
    return number;
}

static uint64_t waited_ms(struct shard *shard, uint32_t number)
{
    return shard->now_ms - opening_of(shard, conn_at(shard, number))->waits_since_ms;
}

static void count(struct shard *shard, uint32_t number, enum admission_outcome outcome)
{
    const enum admission_class class = opening_of(shard, conn_at(shard, number))->class;

    counter_add(&shard->counts.admissions[class][outcome], 1);
    if (outcome != ADMISSION_REFUSED) {
        histogram_add(&shard->counts.admission_time, waited_ms(shard, number) * COUNTS_MS_NS,
                      COUNTS_MS_NS);
    }
}

/* Takes one out: the oldest, or in a crowd the newest. There is one that waits. */
static uint32_t take(struct shard *shard, enum admission_class class)
{
    struct queue *waiting = &shard->admission.waiting[class];
    const bool is_late = waited_ms(shard, oldest(shard, class)) > ADMISSION_PATIENCE_MS;
    uint32_t number;

    do {
        number = is_late ? queue_pop_newest(waiting) : queue_pop(waiting);
        conn_completed(shard, number, CONN_STEPPING);
    } while (!is_waiting(shard, number));
    return number;
}

/* The class whose oldest may go, if there are tokens; ADMISSION_CLASSES: none. */
static enum admission_class choose(struct shard *shard)
{
    enum admission_class class = shard->admission.turn;

    for (uint32_t i = 0; i < ADMISSION_CLASSES; i++) {
        if (oldest(shard, class) != NONE && places_left(shard, class) > 0) {
            return class;
        }
        class = (class + 1) % ADMISSION_CLASSES;
    }
    return ADMISSION_CLASSES;
}

uint32_t admission_next(struct shard *shard)
{
    struct admission *admission = &shard->admission;
    const struct bucket_rate rate = rate_of(shard);
    const enum admission_class class = choose(shard);

    if (class == ADMISSION_CLASSES || !bucket_take(&admission->bucket, &rate, shard->now_ns)) {
        return NONE;
    }
    const uint32_t number = take(shard, class);
    count(shard, number,
          waited_ms(shard, number) < ADMISSION_DELAYED_MS ? ADMISSION_ADMITTED : ADMISSION_DELAYED);
    admission->turn = (class + 1) % ADMISSION_CLASSES;
    return number;
}

bool admission_pass(struct shard *shard)
{
    const struct bucket_rate rate = rate_of(shard);
    const bool passes = bucket_take(&shard->admission.bucket, &rate, shard->now_ns);

    counter_add(
        &shard->counts.admissions[ADMISSION_NEW][passes ? ADMISSION_ADMITTED : ADMISSION_REFUSED],
        1);
    return passes;
}

uint32_t admission_overdue(struct shard *shard)
{
    const uint32_t most_ms = shard->options->deadlines.admission_wait_ms;

    for (uint32_t class = 0; class < ADMISSION_CLASSES && most_ms > 0; class ++) {
        uint32_t number = oldest(shard, class);
        if (number != NONE && waited_ms(shard, number) >= most_ms) {
            number = queue_pop(&shard->admission.waiting[class]);
            conn_completed(shard, number, CONN_STEPPING);
            count(shard, number, ADMISSION_REFUSED);
            return number;
        }
    }
    return NONE;
}

/* Until the one that has waited longest is overdue. */
static uint64_t overdue_in_ms(struct shard *shard)
{
    const uint32_t most_ms = shard->options->deadlines.admission_wait_ms;
    uint64_t soonest_ms = UINT64_MAX;

    for (uint32_t class = 0; class < ADMISSION_CLASSES && most_ms > 0; class ++) {
        const uint32_t number = oldest(shard, class);
        const uint64_t waited = number == NONE ? 0 : waited_ms(shard, number);
        const uint64_t left_ms = waited < most_ms ? most_ms - waited : 0;
        if (number != NONE && left_ms < soonest_ms) {
            soonest_ms = left_ms;
        }
    }
    return soonest_ms;
}

uint64_t admission_wait_ms(struct shard *shard)
{
    const struct bucket_rate rate = rate_of(shard);
    const uint64_t overdue_ms = overdue_in_ms(shard);

    if (choose(shard) == ADMISSION_CLASSES) {
        return overdue_ms;
    }
    const uint64_t wait_ns = bucket_wait_ns(&shard->admission.bucket, &rate, shard->now_ns);
    const uint64_t token_ms = (wait_ns + COUNTS_MS_NS - 1) / COUNTS_MS_NS;
    return token_ms < overdue_ms ? token_ms : overdue_ms;
}
