#include "tests/sim/fake_broker.h"

#include <stdio.h>

struct fake_broker fake;

static void note(const char *what, struct slice name)
{
    const size_t size = strlen(fake.log);

    (void)snprintf(fake.log + size, sizeof(fake.log) - size, "%s(%.*s) ", what, (int)name.size,
                   (const char *)name.data);
}

static enum broker_outcome take(enum broker_outcome outcome, const char *what, uint64_t ticket,
                                struct slice payload)
{
    if (outcome == BROKER_DONE) {
        ASSERT(fake.ticket_count < FAKE_EVENTS_MAX);
        fake.tickets[fake.ticket_count++] = ticket;
        note(what, payload);
    }
    return outcome;
}

static enum broker_outcome fake_publish(struct broker *broker, uint64_t ticket,
                                        const struct broker_publication *publication)
{
    (void)broker;
    ASSERT(publication->payload.size > 0);
    if (fake.away_left > 0) {
        fake.away_left--;
        return BROKER_AWAY;
    }
    return take(fake.outcome, "publish", ticket, publication->payload);
}

static enum broker_outcome fake_forward(struct broker *broker, uint64_t ticket,
                                        const struct broker_publication *publication)
{
    (void)broker;
    return take(fake.forward_outcome, "forward", ticket, publication->payload);
}

static bool fake_next(struct broker *broker, struct broker_event *event)
{
    (void)broker;
    if (fake.first < fake.last) {
        *event = (struct broker_event){.kind = BROKER_PUBLICATION,
                                       .publication = fake.publications[fake.first++]};
        return true;
    }
    if (fake.is_silent || fake.ticket_count == 0) {
        return false;
    }
    *event = (struct broker_event){
        .kind = BROKER_PUBLISHED, .ticket = fake.tickets[0], .outcome = fake.answer};
    fake.ticket_count--;
    memmove(fake.tickets, fake.tickets + 1, fake.ticket_count * sizeof(fake.tickets[0]));
    return true;
}

static uint32_t fake_poll(struct broker *broker, struct pollfd *fds, uint64_t now_ms,
                          uint64_t *wake_ms)
{
    (void)broker;
    (void)fds;
    (void)now_ms;
    *wake_ms = UINT64_MAX;
    return 0;
}

static void fake_turn(struct broker *broker, const struct pollfd *fds, uint32_t count,
                      uint64_t now_ms)
{
    (void)broker;
    (void)fds;
    (void)now_ms;
    ASSERT(count == 0);
    fake.turns++;
}

static void fake_follow(struct broker *broker, struct slice name, bool is_pattern,
                        const struct broker_history *history)
{
    (void)broker;
    ASSERT((history->size > 0) == (name.data[0] == 'h')); /* as the test's namespaces say */
    note(is_pattern ? "follow-pattern" : "follow", name);
}

static void fake_unfollow(struct broker *broker, struct slice name, bool is_pattern)
{
    (void)broker;
    note(is_pattern ? "unfollow-pattern" : "unfollow", name);
}

static void fake_health(struct broker *broker, struct broker_health *health, uint64_t now_ms)
{
    (void)broker;
    (void)now_ms;
    *health = fake.health;
}

static void fake_close(struct broker *broker)
{
    (void)broker;
    fake.replaced->kind->close(fake.replaced);
}

static const struct broker_kind fake_kind = {
    .name = "fake",
    .follows = true,
    .close = fake_close,
    .poll = fake_poll,
    .turn = fake_turn,
    .next = fake_next,
    .publish = fake_publish,
    .forward = fake_forward,
    .follow = fake_follow,
    .unfollow = fake_unfollow,
    .health = fake_health,
};

void fake_broker_init(struct broker *replaced)
{
    fake = (struct fake_broker){
        .broker = {.kind = &fake_kind}, .replaced = replaced, .health = {.is_up = true}};
}

struct broker_publication *fake_broker_publish(const char *channel, const char *payload)
{
    ASSERT(fake.last < FAKE_EVENTS_MAX);
    fake.publications[fake.last] = (struct broker_publication){
        .channel = slice_text(channel), .payload = slice_text(payload), .epoch = ""};
    return &fake.publications[fake.last++];
}
