#include "bench/place.h"

struct place place_at(struct clients *all, uint32_t group_number, uint32_t number)
{
    ASSERT(group_number < all->group_count);
    struct group *group = &all->groups[group_number];

    ASSERT(number < group->client_count);
    return (struct place){
        .all = all,
        .group = group,
        .client = &group->clients[number],
        .state = (void *)(group->states + (size_t)number * all->state_size),
        .number = number,
    };
}

/* --- work ------------------------------------------------------------------------------------- */

struct work *place_work(const struct place *at)
{
    return at->client->work == 0 ? NULL : pool_at(&at->all->works, at->client->work - 1);
}

/* The client's work, a new one if it has none; NULL when all are in use. */
struct work *place_work_need(const struct place *at)
{
    struct work *work = place_work(at);

    if (work) {
        return work;
    }
    uint32_t number = pool_take(&at->all->works);
    if (number == NONE) {
        return NULL;
    }
    at->client->work = number + 1;
    work = pool_at(&at->all->works, number);
    memset(work, 0, offsetof(struct work, output));
    work->handshake = NONE;
    work->group = (uint32_t)(at->group - at->all->groups);
    work->number = at->number;
    return work;
}

void place_drop_handshake(const struct place *at)
{
    struct work *work = place_work(at);

    if (work && work->handshake != NONE) {
        client_handshake_end(at->all->tls, work->handshake);
        work->handshake = NONE;
    }
}

static void work_release(const struct place *at)
{
    place_drop_handshake(at);
    if (at->client->work != 0) {
        pool_give(&at->all->works, at->client->work - 1);
        at->client->work = 0;
    }
}

/* --- operations ------------------------------------------------------------------------------- */

static void start_send(const struct place *at)
{
    struct work *work = place_work(at);

    if (work && work->output_size > 0 && (at->client->operations & OPERATION_SEND) == 0) {
        work->sending = work->output_size;
        at->client->operations |= OPERATION_SEND;
        ring_send(at->group->ring, at->number, CLIENT_GENERATION, work->output, work->sending);
    }
}

/* What arrives may need a struct work to be answered with: receives under way have one each set
 * aside. When none is left, the poll is armed again, and fires again. Completions come in order,
 * so a burst of pings would else take a work each before the first answer's is given back. */
bool place_has_spare_work(const struct clients *all)
{
    return all->works.count + all->receiving < all->works.count_max;
}

void place_receive(const struct place *at)
{
    struct clients *all = at->all;

    if (at->client->work == 0 && !place_has_spare_work(all)) {
        return; /* place_settle arms the poll */
    }
    all->receiving++;
    at->client->operations |= OPERATION_RECEIVE;
    ring_receive(at->group->ring, at->number, CLIENT_GENERATION);
}

/* Sends what is left, then cancels the poll (closing does not end it), then closes. */
static void settle_closing(const struct place *at)
{
    struct client *client = at->client;

    start_send(at);
    if ((client->operations & OPERATION_POLL) != 0 && !client->poll_cancelled) {
        client->poll_cancelled = 1;
        ring_cancel_poll(at->group->ring, at->number, CLIENT_GENERATION);
    }
    if (client->operations == 0) {
        work_release(at);
        client->operations = OPERATION_CLOSE;
        ring_close_socket(at->group->ring, at->number, CLIENT_GENERATION);
    }
}

/* After every event: what the client waits for now. */
void place_settle(const struct place *at)
{
    struct client *client = at->client;
    struct work *work = place_work(at);

    if (client->stage == CLIENT_GONE) {
        return;
    }
    if (client->stage == CLIENT_CLOSING) {
        settle_closing(at);
        return;
    }
    start_send(at);
    if ((client->operations & (OPERATION_CONNECT | OPERATION_POLL | OPERATION_RECEIVE)) == 0) {
        client->operations |= OPERATION_POLL;
        ring_poll(at->group->ring, at->number, CLIENT_GENERATION);
    }
    if (work && client->stage == CLIENT_OPEN && work->input_size == 0 && work->output_size == 0 &&
        !client->control_open && !client->message_open) {
        work_release(at);
    }
}

/* --- endings ---------------------------------------------------------------------------------- */

/* From open or under way to closing; the caller has counted why. */
void place_begin_closing(const struct place *at)
{
    struct load_counts *counts = &at->all->counts;

    ASSERT(at->client->stage < CLIENT_CLOSING);
    if (at->client->stage == CLIENT_OPEN) {
        counter_set(&counts->open, counter_read(&counts->open) - 1);
    } else {
        counter_set(&counts->in_flight, counter_read(&counts->in_flight) - 1);
    }
    place_drop_handshake(at);
    at->client->stage = CLIENT_CLOSING;
}

void place_end(const struct place *at, enum outcome outcome)
{
    if (at->client->stage < CLIENT_CLOSING) {
        counter_add(&at->all->counts.ended[outcome], 1);
        place_begin_closing(at);
    }
}

/* The stream ended, or worse. */
void place_end_by_peer(const struct place *at)
{
    switch ((enum client_stage)at->client->stage) {
    case CLIENT_CONNECT:
        place_end(at, OUTCOME_CONNECT_RESET);
        break;
    case CLIENT_TLS:
        place_end(at, OUTCOME_TLS_CLOSED);
        break;
    case CLIENT_UPGRADE:
        place_end(at, OUTCOME_UPGRADE_CLOSED);
        break;
    case CLIENT_OPEN:
        place_end(at, OUTCOME_LOST_RESET);
        break;
    case CLIENT_NONE:
    case CLIENT_CLOSING:
    case CLIENT_GONE:
        break;
    }
}
