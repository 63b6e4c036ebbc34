#include "bench/returns.h"

#include "base/random.h"

#include <errno.h>
#include <stdlib.h>

#define NS_PER_MS    1000000u
#define TRIES_MAX    200
#define TRIES_DONE   254
#define TRIES_AWAY   255
#define DOUBLE_TIMES 5 /* then the bound is reached */
#define LATER_MS     20

static_assert(RETURN_BACKOFF_MS << DOUBLE_TIMES >= RETURN_BACKOFF_MS_MAX, "reached by then");

int returns_open(struct returns *returns, uint32_t count, uint64_t now_ns)
{
    *returns = (struct returns){.count = count};
    returns->tries = malloc(count + 1);
    returns->tickets = calloc(count + 1, sizeof(void *));
    if (!returns->tries || !returns->tickets) {
        returns_close(returns);
        return -ENOMEM;
    }
    memset(returns->tries, TRIES_AWAY, count);
    return wheel_open(&returns->wheel, count + 1, now_ns / NS_PER_MS);
}

void returns_close(struct returns *returns)
{
    for (uint32_t i = 0; returns->tickets && i < returns->count; i++) {
        client_ticket_free(returns->tickets[i]);
    }
    wheel_close(&returns->wheel);
    free(returns->tries);
    free((void *)returns->tickets);
    *returns = (struct returns){0};
}

static struct return_counts *counts_of(struct returns *returns)
{
    ASSERT(returns->storm > 0);
    return &returns->counts[returns->storm - 1];
}

void returns_begin(struct returns *returns, bool with_tickets, uint32_t spread_ms)
{
    ASSERT(returns->storm < STORMS_MAX);
    returns->storm++;
    returns->with_tickets = with_tickets;
    returns->spread_ms = spread_ms;
    memset(returns->tries, TRIES_AWAY, returns->count);
    for (uint32_t i = 0; i < returns->count; i++) {
        wheel_clear(&returns->wheel, i); /* who did not come back in the last one */
    }
}

void returns_expect(struct returns *returns, uint32_t number)
{
    returns->tries[number] = 0;
    counter_add(&counts_of(returns)->wanted, 1);
}

void returns_gone(struct returns *returns, uint32_t number, uint64_t now_ns)
{
    uint8_t *tries = &returns->tries[number];

    if (*tries == TRIES_AWAY) {
        return;
    }
    uint64_t bound_ms = returns->spread_ms;
    if (*tries > 0) {
        uint32_t doubled = *tries - 1 < DOUBLE_TIMES ? *tries - 1 : DOUBLE_TIMES;
        bound_ms = (uint64_t)RETURN_BACKOFF_MS << doubled;
        bound_ms = bound_ms < RETURN_BACKOFF_MS_MAX ? bound_ms : RETURN_BACKOFF_MS_MAX;
    }
    if (*tries < TRIES_MAX) {
        (*tries)++;
    }
    wheel_set(&returns->wheel, number, now_ns / NS_PER_MS + random_below(bound_ms + 1));
}

uint32_t returns_next(struct returns *returns, uint64_t now_ns)
{
    return wheel_expire(&returns->wheel, now_ns / NS_PER_MS);
}

void returns_later(struct returns *returns, uint32_t number, uint64_t now_ns)
{
    wheel_set(&returns->wheel, number, now_ns / NS_PER_MS + LATER_MS);
}

void returns_tried(struct returns *returns, uint32_t number, uint64_t since_cut_ns)
{
    if (returns->tries[number] == 1) {
        counter_set(&counts_of(returns)->tried_ns, since_cut_ns);
    }
}

const struct client_ticket *returns_ticket(const struct returns *returns, uint32_t number)
{
    return returns->with_tickets ? returns->tickets[number] : NULL;
}

void returns_keep(struct returns *returns, uint32_t number, struct client_ticket *ticket)
{
    client_ticket_free(returns->tickets[number]);
    returns->tickets[number] = ticket;
}

void returns_opened(struct returns *returns, uint32_t number, const struct return_times *times,
                    bool resumed)
{
    if (returns->tries[number] >= TRIES_DONE) {
        return; /* before the first storm, or back once already */
    }
    struct return_counts *counts = counts_of(returns);
    returns->tries[number] = TRIES_DONE;
    histogram_record(&counts->back, times->back_ns);
    histogram_record(&counts->tls, times->tls_ns);
    histogram_record(&counts->total, times->total_ns);
    counter_add(&counts->resumed, resumed ? 1 : 0);
    counter_add(&counts->returned, 1);
}
