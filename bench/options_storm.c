#include "bench/options_storm.h"

#include "bench/options_messages.h"

/* argp's messages are not made for threads; here is one only. */
// NOLINTBEGIN(concurrency-mt-unsafe)

enum storm_key {
    KEY_CUT = 768,
    KEY_NO_TICKETS,
    KEY_NO_FULL,
    KEY_SPREAD,
    KEY_GIVE_UP,
};

static const struct argp_option table[] = {
    {NULL, 0, NULL, 0, "The storm", 3},
    {"cut", KEY_CUT, "client|server", 0,
     "Who cuts all connections: this program closes them (default), or the spawned server is killed "
     "and started again",
     3},
    {"no-tickets", KEY_NO_TICKETS, NULL, 0, "Only the storm of full handshakes", 3},
    {"no-full", KEY_NO_FULL, NULL, 0, "Only the storm with tickets", 3},
    {"spread", KEY_SPREAD, "SECONDS", 0,
     "Clients first try at a random time within it (default 0: at once)", 3},
    {"give-up", KEY_GIVE_UP, "SECONDS", 0,
     "End a storm when not all are back by then (default 120)", 3},
    {0},
};

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct bench_options *options = state->input;
    struct bench_storm *storm = &options->storm;

    switch (key) {
    case KEY_CUT:
        storm->by_server = strcmp(text, "server") == 0;
        if (!storm->by_server && strcmp(text, "client") != 0) {
            argp_error(state, "--cut: %s is neither client nor server", text);
        }
        return 0;
    case KEY_NO_TICKETS:
        storm->with_tickets = false;
        return 0;
    case KEY_NO_FULL:
        storm->with_full = false;
        return 0;
    case KEY_SPREAD:
        storm->spread_s = option_number(state, "spread", text, 0, 3600);
        return 0;
    case KEY_GIVE_UP:
        storm->give_up_s = option_number(state, "give-up", text, 1, 3600);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

const struct argp *storm_options(void)
{
    static const struct argp argp = {.options = table, .parser = parse};

    return &argp;
}

void storm_options_init(struct bench_options *options)
{
    options->storm =
        (struct bench_storm){.with_tickets = true, .with_full = true, .give_up_s = 120};
}

void storm_options_check(struct argp_state *state, const struct bench_options *options)
{
    if (!options->storm.with_tickets && !options->storm.with_full) {
        argp_error(state, "give either --no-tickets or --no-full");
    }
    if (options->storm.with_tickets && options->version != TLS_1_3) {
        argp_error(state, "tickets are those of TLS 1.3: add --no-tickets");
    }
    if (options->storm.by_server && !options->spawn) {
        argp_error(state, "--cut server needs --spawn");
    }
}

// NOLINTEND(concurrency-mt-unsafe)
