#include "bench/client.h"

#include "bench/output.h"
#include "io/connector.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#define RECEIVE_SIZE_MAX (64u << 20) /* of a message */

uint64_t client_clock(void)
{
    struct timespec now = {0};

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* memcpy, also of nothing. */
static void copy(uint8_t *to, struct slice from)
{
    if (from.size > 0) {
        memcpy(to, from.data, from.size);
    }
}

/* --- handshake -------------------------------------------------------------------------------- */

static void begin_upgrade(const struct place *at, struct work *work)
{
    work->secured_ns = client_clock();
    at->client->stage = CLIENT_UPGRADE;
    output_request(at, work);
}

/* The client's number for returns. */
static uint32_t return_number(const struct place *at)
{
    return at->group->first + at->number - at->all->first;
}

static bool wants_ticket(const struct place *at)
{
    return at->all->returns && at->all->returns->keeps_tickets && at->all->returns->storm == 0;
}

static void take_keys(const struct place *at, const struct work *work)
{
    struct tls_keys keys;

    client_handshake_keys(at->all->tls, work->handshake, &keys);
    tls_state_init(at->state, &keys);
    secret_wipe(&keys, sizeof(keys));
    if (!wants_ticket(at)) {
        place_drop_handshake(at);
    }
}

/* The first record behind the handshake has the ticket, if any. */
static void take_ticket(const struct place *at, const struct work *work, struct slice bytes)
{
    const size_t header_size = 5;

    if (bytes.size < header_size || bytes.size < header_size + load_be16(bytes.data + 3)) {
        return;
    }
    bytes.size = header_size + load_be16(bytes.data + 3);
    returns_keep(at->all->returns, return_number(at),
                 client_handshake_ticket(at->all->tls, work->handshake, bytes));
    place_drop_handshake(at);
}

/* Returns the bytes of data taken. */
static size_t feed_handshake(const struct place *at, struct work *work, const uint8_t *data,
                             size_t size)
{
    struct handshake_result result;
    size_t used = 0;
    enum handshake_status status;

    do {
        status =
            client_handshake_feed(at->all->tls, work->handshake, data + used, size - used, &result);
        used += result.consumed;
        if (result.output.size > sizeof(work->output) - work->output_size) {
            place_end(at, OUTCOME_OWN_OTHER);
            return used;
        }
        copy(work->output + work->output_size, result.output);
        work->output_size += (uint32_t)result.output.size;
    } while (status == HANDSHAKE_MORE && result.consumed > 0 && used < size);

    if (status == HANDSHAKE_DONE) {
        work->is_resumed = result.resumed;
        take_keys(at, work);
        begin_upgrade(at, work);
    } else if (status == HANDSHAKE_FAILED) {
        at->all->tls_error = result.alert_received ? result.alert : result.error;
        place_end(at, OUTCOME_TLS_FAILED);
    }
    return used;
}

static void handle_connected(const struct place *at)
{
    struct work *work = place_work(at);

    ASSERT(work);
    work->connected_ns = client_clock();
    if (place_is_plain(at)) {
        begin_upgrade(at, work);
        return;
    }
    at->client->stage = CLIENT_TLS;
    const struct client_ticket *ticket =
        at->all->returns ? returns_ticket(at->all->returns, return_number(at)) : NULL;
    work->handshake = ticket ? client_handshake_resume(at->all->tls, ticket)
                             : client_handshake_start(at->all->tls);
    if (work->handshake == NONE) {
        place_end(at, OUTCOME_OWN_MEMORY);
        return;
    }
    (void)feed_handshake(at, work, NULL, 0);
}

/* --- frames ----------------------------------------------------------------------------------- */

static void answer_control(const struct place *at, enum ws_opcode opcode, struct slice payload)
{
    if (opcode == WS_PING) {
        bool queued = output_frame(at, WS_PONG, payload);
        struct load_counts *counts = &at->all->counts;
        counter_add(queued ? &counts->pings_answered : &counts->pongs_missed, 1);
    } else if (opcode == WS_CLOSE) {
        uint16_t code = 0;
        if (ws_read_close(payload, &code) == WS_ERROR || code > CLOSE_CODE_MAX) {
            place_end(at, OUTCOME_LOST_PROTOCOL);
            return;
        }
        at->all->close_codes[code]++;
        (void)output_frame(at, WS_CLOSE,
                           payload.size >= 2 ? slice_from(payload.data, 2) : slice_from("", 0));
        place_end(at, OUTCOME_LOST_CLOSED);
    }
}

static void take_control(const struct place *at, const struct ws_piece *piece)
{
    if (piece->is_first && piece->is_last) {
        answer_control(at, piece->opcode, piece->payload);
        return;
    }
    struct work *work = place_work_need(at);
    if (!work) {
        place_end(at, OUTCOME_OWN_MEMORY);
        return;
    }
    work->control_size = piece->is_first ? 0 : work->control_size;
    ASSERT(work->control_size + piece->payload.size <= WS_CONTROL_SIZE_MAX);
    copy(work->control + work->control_size, piece->payload);
    work->control_size += (uint32_t)piece->payload.size;
    at->client->control_open = !piece->is_last;
    if (piece->is_last) {
        answer_control(at, piece->opcode, slice_from(work->control, work->control_size));
    }
}

static void deliver(const struct place *at, struct slice head)
{
    struct clients *all = at->all;
    uint32_t index = at->group->first + at->number;

    if (deliveries_take(&all->deliveries, index, head, client_clock()) && all->ready) {
        ASSERT(all->ready_count < all->ready_max); /* one message under way each */
        all->ready[(all->ready_head + all->ready_count++) % all->ready_max] = index;
    }
}

/* A message in several pieces: its beginning is kept, the rest is not looked at. */
static void take_message_piece(const struct place *at, const struct ws_piece *piece)
{
    struct work *work = place_work_need(at);

    if (!work) {
        place_end(at, OUTCOME_OWN_MEMORY);
        return;
    }
    work->head_size = piece->is_first ? 0 : work->head_size;
    size_t room = sizeof(work->head) - work->head_size;
    size_t size = piece->payload.size < room ? piece->payload.size : room;
    copy(work->head + work->head_size, slice_from(piece->payload.data, size));
    work->head_size += (uint32_t)size;
    at->client->message_open = !piece->is_last;
    if (piece->is_last) {
        deliver(at, slice_from(work->head, work->head_size));
    }
}

static void take_message(const struct place *at, const struct ws_piece *piece)
{
    if (piece->is_last) {
        counter_add(&at->all->counts.messages, 1);
    }
    if (!at->all->deliveries.audience) {
        return;
    }
    if (piece->is_first && piece->is_last) {
        deliver(at, piece->payload);
    } else {
        take_message_piece(at, piece);
    }
}

static void take_frames(const struct place *at, uint8_t *data, size_t size)
{
    const struct ws_limits limits = {.role = WS_CLIENT, .message_size_max = RECEIVE_SIZE_MAX};
    struct ws_piece piece;

    for (size_t used = 0; used < size && at->client->stage == CLIENT_OPEN; used += piece.consumed) {
        enum ws_status status =
            ws_read(&at->client->reader, &limits, data + used, size - used, &piece);
        if (status == WS_ERROR) {
            place_end(at, OUTCOME_LOST_PROTOCOL);
            return;
        }
        if (status == WS_MORE) {
            return;
        }
        if (piece.opcode >= WS_CLOSE) {
            take_control(at, &piece);
        } else {
            take_message(at, &piece);
        }
    }
}

/* --- upgrade ---------------------------------------------------------------------------------- */

static void become_open(const struct place *at, const struct work *work)
{
    struct clients *all = at->all;
    struct load_counts *counts = &all->counts;
    uint64_t now = client_clock();

    at->client->stage = CLIENT_OPEN;
    counter_set(&counts->in_flight, counter_read(&counts->in_flight) - 1);
    counter_add(&counts->open, 1);
    counter_add(&counts->opened, 1);
    if (all->returns) {
        const struct return_times times = {.back_ns = now - all->cut_ns,
                                           .tls_ns = work->secured_ns - work->connected_ns,
                                           .total_ns = now - work->started_ns};
        returns_opened(all->returns, return_number(at), &times, work->is_resumed);
    }
    histogram_record(&all->latency[LATENCY_CONNECT], work->connected_ns - work->started_ns);
    histogram_record(&all->latency[LATENCY_TLS], work->secured_ns - work->connected_ns);
    histogram_record(&all->latency[LATENCY_UPGRADE], now - work->secured_ns);
    histogram_record(&all->latency[LATENCY_TOTAL], now - work->started_ns);
}

static void take_answer(const struct place *at, const uint8_t *data, size_t size)
{
    struct work *work = place_work(at);
    size_t head_size = 0;
    uint32_t http_status = 0;

    ASSERT(work);
    if (size > sizeof(work->text) - work->text_size) {
        place_end(at, OUTCOME_UPGRADE_BAD);
        return;
    }
    memcpy(work->text + work->text_size, data, size);
    work->text_size += (uint32_t)size;
    switch (
        answer_read(slice_from(work->text, work->text_size), work->key, &head_size, &http_status)) {
    case ANSWER_MORE:
        break;
    case ANSWER_UPGRADED:
        become_open(at, work);
        take_frames(at, work->text + head_size, work->text_size - head_size);
        break;
    case ANSWER_REFUSED:
        at->all->http_statuses[http_status <= HTTP_STATUS_MAX ? http_status : 0]++;
        place_end(at, OUTCOME_UPGRADE_REFUSED);
        break;
    case ANSWER_BAD:
        place_end(at, OUTCOME_UPGRADE_BAD);
        break;
    }
}

/* --- receiving -------------------------------------------------------------------------------- */

static void take_data(const struct place *at, uint8_t *data, size_t size)
{
    if (at->client->stage == CLIENT_UPGRADE) {
        take_answer(at, data, size);
    } else {
        take_frames(at, data, size);
    }
}

/* Returns the bytes of data taken; an incomplete record stays. */
static size_t take_records(const struct place *at, uint8_t *data, size_t size)
{
    size_t used = 0;

    if (place_is_plain(at)) {
        take_data(at, data, size);
        return size;
    }
    while (used < size &&
           (at->client->stage == CLIENT_UPGRADE || at->client->stage == CLIENT_OPEN)) {
        struct tls_record record;
        const struct work *work = place_work(at);
        if (work && work->handshake != NONE) {
            take_ticket(at, work, slice_from(data + used, size - used));
        }
        enum tls_status status = tls_open(at->state, data + used, size - used, &record);
        if (status == TLS_MORE) {
            break;
        }
        if (status == TLS_CLOSED) {
            place_end_by_peer(at);
        } else if (status == TLS_ERROR) {
            place_end(at, at->client->stage == CLIENT_OPEN ? OUTCOME_LOST_PROTOCOL
                                                           : OUTCOME_UPGRADE_BAD);
        } else if (record.data.size > 0) {
            take_data(at, data + (record.data.data - data), record.data.size); /* in place */
        }
        used += record.consumed;
    }
    return used;
}

static void take_bytes(const struct place *at, uint8_t *data, size_t size)
{
    struct work *work = place_work(at);
    size_t used = 0;

    if (work && work->input_size > 0) {
        ASSERT(work->input_size + size <= sizeof(work->input));
        memcpy(work->input + work->input_size, data, size);
        size += work->input_size;
        data = work->input;
    }
    if (at->client->stage == CLIENT_TLS) {
        ASSERT(work);
        used = feed_handshake(at, work, data, size);
    }
    used += take_records(at, data + used, size - used);
    if (at->client->stage == CLIENT_CLOSING) {
        return;
    }
    if (used < size) {
        work = place_work_need(at);
        if (!work || size - used > TLS_RECORD_SIZE_MAX) { /* more than one record can need */
            place_end(at, work ? OUTCOME_LOST_PROTOCOL : OUTCOME_OWN_MEMORY);
            return;
        }
        memmove(work->input, data + used, size - used);
    }
    if (place_work(at)) {
        place_work(at)->input_size = (uint32_t)(size - used);
    }
}

/* --- events ----------------------------------------------------------------------------------- */

static void handle_sent(const struct place *at, int32_t result)
{
    struct work *work = place_work(at);

    ASSERT(work);
    if (result < 0 || (uint32_t)result < work->sending) {
        work->output_size = 0;
        place_end_by_peer(at);
        return;
    }
    work->output_size -= work->sending;
    memmove(work->output, work->output + work->sending, work->output_size);
}

static void handle_received(const struct place *at, const struct ring_event *event, uint8_t *buffer)
{
    if (at->client->stage == CLIENT_CLOSING || event->result == -EAGAIN ||
        event->result == -ENOBUFS) {
        return; /* a buffer will be there when the poll, armed again, fires */
    }
    if (event->result <= 0) {
        place_end_by_peer(at);
        return;
    }
    take_bytes(at, buffer, (size_t)event->result);
    if (event->nonempty && at->client->stage != CLIENT_CLOSING) {
        place_receive(at);
    }
}

void client_handle(struct clients *clients, uint32_t group, const struct ring_event *event,
                   uint8_t *buffer)
{
    struct place at = place_at(clients, group, event->number);
    bool closing = at.client->stage == CLIENT_CLOSING;

    switch (event->operation) {
    case RING_CONNECT:
        at.client->operations &= (uint8_t)~OPERATION_CONNECT;
        if (!closing && event->result < 0) {
            place_end(&at, outcome_of_connect(-event->result));
        } else if (!closing) {
            handle_connected(&at);
        }
        break;
    case RING_POLL:
        at.client->operations &= (uint8_t)~OPERATION_POLL;
        if (!closing) {
            place_receive(&at);
        }
        break;
    case RING_RECEIVE:
        at.client->operations &= (uint8_t)~OPERATION_RECEIVE;
        clients->receiving--;
        handle_received(&at, event, buffer);
        break;
    case RING_SEND:
        at.client->operations &= (uint8_t)~OPERATION_SEND;
        handle_sent(&at, event->result);
        break;
    case RING_CLOSE:
        at.client->operations = 0;
        at.client->stage = CLIENT_GONE;
        if (clients->returns) {
            returns_gone(clients->returns, return_number(&at), client_clock());
        }
        return;
    case RING_CANCEL:
        return; /* the poll's own event follows */
    case RING_ACCEPT:
    case RING_NAME:
    case RING_UNSENT:
    case RING_WAKE:
    case RING_OPERATIONS:
        ASSERT(event->operation == RING_CLOSE); /* never asked for */
    }
    place_settle(&at);
}

/* False when every struct work is in use. */
static bool begin(const struct place *at, uint32_t index, const struct sockaddr_in6 *source)
{
    struct clients *all = at->all;
    struct work *work = place_has_spare_work(all) ? place_work_need(at) : NULL;

    if (!work) {
        return false;
    }
    at->group->has_queued = true;
    at->client->stage = CLIENT_CONNECT;
    at->client->operations = OPERATION_CONNECT;
    work->index = index;
    work->source = *source;
    work->started_ns = client_clock();
    counter_add(&all->counts.started, 1);
    counter_add(&all->counts.in_flight, 1);
    connector_open(at->group->ring, at->number, CLIENT_GENERATION,
                   source->sin6_family == 0 ? NULL : &work->source, &all->target->address, true);
    return true;
}

bool client_start(struct clients *clients, uint32_t group, uint32_t index,
                  const struct sockaddr_in6 *source)
{
    const struct place at = place_at(clients, group, clients->groups[group].started);
    const bool begun = begin(&at, index, source);

    at.group->started += begun ? 1 : 0;
    return begun;
}

bool client_restart(struct clients *clients, uint32_t group, uint32_t number,
                    const struct sockaddr_in6 *source)
{
    const struct place at = place_at(clients, group, number);

    ASSERT(at.client->stage == CLIENT_GONE);
    ASSERT(at.client->work == 0);
    *at.client = (struct client){.stage = CLIENT_GONE};
    return begin(&at, at.group->first + number, source);
}

bool client_cut(struct clients *clients, uint32_t group, uint32_t number)
{
    const struct place at = place_at(clients, group, number);

    if (at.client->stage != CLIENT_OPEN) {
        return false;
    }
    place_begin_closing(&at);
    place_settle(&at);
    at.group->has_queued = true;
    return true;
}

bool client_can_send(struct clients *clients, uint32_t group, uint32_t number, uint32_t size)
{
    struct place at = place_at(clients, group, number);
    const struct work *work = place_work(&at);

    ASSERT(size <= MESSAGE_SIZE_MAX);
    return at.client->stage == CLIENT_OPEN &&
           (work ? output_has_room(work, size) : place_has_spare_work(clients));
}

bool client_send(struct clients *clients, uint32_t group, uint32_t number, struct slice payload)
{
    struct place at = place_at(clients, group, number);
    bool is_queued = output_frame(&at, WS_TEXT, payload);

    counter_add(&clients->counts.sent, is_queued ? 1 : 0);
    place_settle(&at);
    at.group->has_queued = true;
    return is_queued;
}

void client_expire(struct clients *clients, uint64_t now_ns)
{
    static const enum outcome outcomes[CLIENT_OPEN] = {
        [CLIENT_CONNECT] = OUTCOME_CONNECT_TIMEOUT,
        [CLIENT_TLS] = OUTCOME_TLS_TIMEOUT,
        [CLIENT_UPGRADE] = OUTCOME_UPGRADE_TIMEOUT,
    };

    for (uint32_t i = 0; i < clients->works.count_max; i++) {
        if (!pool_is_taken(&clients->works, i)) {
            continue;
        }
        const struct work *work = pool_at(&clients->works, i);
        struct place at = place_at(clients, work->group, work->number);
        if (at.client->stage < CLIENT_OPEN && now_ns > work->started_ns + clients->timeout_ns) {
            place_end(&at, outcomes[at.client->stage]);
            place_settle(&at);
            at.group->has_queued = true;
        }
    }
}

bool client_leave(struct clients *clients, uint32_t group, uint32_t number)
{
    static const uint8_t normal[2] = {WS_CLOSE_NORMAL >> 8, WS_CLOSE_NORMAL & 0xff};
    struct place at = place_at(clients, group, number);

    if (at.client->stage == CLIENT_NONE) {
        at.client->stage = CLIENT_GONE; /* never started */
        return true;
    }
    if (at.client->stage >= CLIENT_CLOSING) {
        return true;
    }
    if (!place_has_spare_work(clients)) {
        return false;
    }
    if (at.client->stage == CLIENT_OPEN) {
        (void)output_frame(&at, WS_CLOSE, slice_from(normal, sizeof(normal)));
    }
    place_begin_closing(&at);
    place_settle(&at);
    at.group->has_queued = true;
    return true;
}
