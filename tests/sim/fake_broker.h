/*
 * fake_broker.h - a broker that does what the test says, and keeps what it was told.
 */
#pragma once

#include "broker/broker.h"

#define FAKE_EVENTS_MAX 64U
#define FAKE_LOG_MAX    4096U

struct fake_broker {
    struct broker broker;
    struct broker *replaced;             /* closed with it */
    enum broker_outcome outcome;         /* of publish, at once */
    uint32_t away_left;                  /* so many calls of publish find it away first */
    enum broker_outcome forward_outcome; /* likewise */
    bool is_silent;                      /* it does not answer */
    enum broker_outcome answer;
    uint64_t tickets[FAKE_EVENTS_MAX]; /* not answered yet */
    uint32_t ticket_count;
    struct broker_publication publications[FAKE_EVENTS_MAX]; /* to be delivered */
    uint32_t first;
    uint32_t last;
    uint32_t turns;
    struct broker_health health;
    char log[FAKE_LOG_MAX]; /* "publish(payload) follow(name) ..." */
};

/* There is one. */
extern struct fake_broker fake;

/* Up, silent about nothing, in place of another broker. */
void fake_broker_init(struct broker *replaced);

/* The next publication that it delivers: text, with no more than this. */
struct broker_publication *fake_broker_publish(const char *channel, const char *payload);
