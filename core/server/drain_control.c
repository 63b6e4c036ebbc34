#include "server/drain_control.h"

#include "base/clock.h"
#include "server/drain.h"
#include "server/run.h"
#include "server/supervisor.h"

#include <stdlib.h>

/* What the shards say, together. */
struct sum {
    uint64_t open;
    uint64_t remaining;
    uint64_t closed;
    bool is_done;
};

/* A shard that has not seen the order yet has all of its connections to tell. */
static struct sum sum_up(const struct run *run)
{
    struct sum sum = {.is_done = true};

    for (uint32_t i = 0; i < run->service.server.shard_count; i++) {
        const struct counts *counts = run->runners.blocks[i];
        const bool has_seen = counter_read(&run->runners.list[i].shard->drain.followed) ==
                              counter_read(&run->service.server.order);
        const uint64_t state = has_seen ? counter_read(&counts->drain_state) : DRAIN_NONE;
        const uint64_t open = counter_read(&counts->connections_open);
        sum.open += open;
        sum.remaining += state == DRAIN_NONE ? open : counter_read(&counts->drain_remaining);
        sum.closed += counter_read(&counts->drain_closed);
        sum.is_done = sum.is_done && state == DRAIN_DONE;
    }
    return sum;
}

static void give_order(struct run *run, enum drain_order order, uint32_t over_ms)
{
    struct ring_event event;
    uint64_t now_ns;

    drain_give_order(&run->service.server, order, over_ms, run->ring);
    const uint32_t count = ring_wait(run->ring, 0, &event, 1, &now_ns);
    (void)count; /* only sends the wake-ups on their way */
}

static void put(struct json_out *out, const char *name, uint64_t value)
{
    json_out_text(out, ",\"");
    json_out_text(out, name);
    json_out_text(out, "\":");
    json_out_number(out, value);
}

static void say_state(const struct run *run, struct control_answer *answer)
{
    const struct drain_record *record = &run->drain;
    const struct sum sum = sum_up(run);
    const bool is_done = record->is_on && sum.is_done;
    const uint64_t end_ms = record->ended_ms != 0 ? record->ended_ms : clock_now_ms();
    struct json_out *out = &answer->out;

    answer->status = 200;
    json_out_text(out, "{\"state\":");
    json_out_text(out, !record->is_on ? "\"none\"" : is_done ? "\"drained\"" : "\"draining\"");
    put(out, "open", sum.open);
    put(out, "remaining", record->is_on ? sum.remaining : 0);
    put(out, "closed", record->is_on ? sum.closed - record->closed_before : 0);
    put(out, "over_ms", record->is_on ? record->over_ms : 0);
    put(out, "elapsed_ms", record->is_on ? end_ms - record->began_ms : 0);
    json_out_text(out, "}");
}

/* Digits alone, up to the bound; false for anything else. */
static bool read_over(const struct control_request *request, uint32_t *over_ms)
{
    const char *text = control_argument(request, "over_ms");
    char *end;

    if (!text || text[0] < '0' || text[0] > '9') {
        return false;
    }
    const unsigned long value = strtoul(text, &end, 10);
    *over_ms = (uint32_t)value;
    return *end == '\0' && value <= DRAIN_OVER_MS_MAX;
}

void drain_control_begin(struct run *run, const struct control_request *request,
                         struct control_answer *answer)
{
    struct drain_record *record = &run->drain;
    const struct sum sum = sum_up(run);
    uint32_t over_ms;

    if (!read_over(request, &over_ms)) {
        control_refuse(answer, 400, "over_ms is wanted, from 0 to 86400000");
        return;
    }
    if (!record->is_on) {
        *record = (struct drain_record){
            .is_on = true, .began_ms = clock_now_ms(), .closed_before = sum.closed};
    }
    record->over_ms = over_ms;
    counter_set(&run->admin_state.draining, 1);
    give_order(run, ORDER_DRAIN, over_ms);
    supervisor_status("drains its connections");
    LOG(LOG_INFO, "draining", log_number("connections", (int64_t)sum.open),
        log_number("over_ms", over_ms));
    say_state(run, answer);
}

void drain_control_status(struct run *run, const struct control_request *request,
                          struct control_answer *answer)
{
    (void)request;
    say_state(run, answer);
}

void drain_control_undo(struct run *run, const struct control_request *request,
                        struct control_answer *answer)
{
    (void)request;
    if (!run->drain.is_on) {
        control_refuse(answer, 409, "the server is not draining");
        return;
    }
    run->drain = (struct drain_record){.is_on = false};
    give_order(run, ORDER_UNDO, 0);
    counter_set(&run->admin_state.draining, 0);
    supervisor_status("accepts connections");
    LOG(LOG_INFO, "drain undone, connections are accepted again",
        log_number("connections", (int64_t)sum_up(run).open));
    say_state(run, answer);
}

void drain_control_look(struct run *run)
{
    struct drain_record *record = &run->drain;
    const struct sum sum = sum_up(run);

    if (!record->is_on || record->ended_ms != 0 || !sum.is_done) {
        return;
    }
    record->ended_ms = clock_now_ms();
    supervisor_status("drained");
    LOG(LOG_INFO, "drained", log_number("closed", (int64_t)(sum.closed - record->closed_before)),
        log_number("after_ms", (int64_t)(record->ended_ms - record->began_ms)));
}
