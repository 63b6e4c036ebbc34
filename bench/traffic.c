#include "bench/traffic.h"

#include "bench/crew.h"
#include "bench/publisher.h"
#include "bench/run.h"

#include <math.h>
#include <stdlib.h>

#define TICK_MS          5
#define SAMPLE_TRAFFIC_S 0.02
#define NS_A_SECOND      1000000000u
#define PONG_MISSED_CODE 3008

struct traffic_run {
    struct run run;
    struct feed *feeds; /* echo: one a thread; else one */
    uint32_t feed_count;
    const struct delivery_counts *heard[RUN_WORKERS_MAX];
    struct crew publishers;      /* via client */
    struct publisher *publisher; /* via Redis or HTTP; NULL: not started */
    struct crew arrivals;
    uint64_t start_ns;
    uint64_t latest_ns; /* when a message came, to the tick */
};

static bool is_echo(const struct traffic_run *traffic)
{
    return traffic->run.options->scenario == SCENARIO_ECHO;
}

/* --- before ----------------------------------------------------------------------------------- */

static int open_feeds(struct traffic_run *traffic)
{
    const struct bench_options *options = traffic->run.options;
    const struct bench_messages *messages = &options->messages;
    uint32_t count = is_echo(traffic) ? options->threads : 1;

    traffic->feeds = calloc(count, sizeof(struct feed));
    for (uint32_t i = 0; traffic->feeds && i < count; i++) {
        const struct feed_options feed = {
            .audience = &traffic->run.audience,
            .publishers = is_echo(traffic) ? 1 : messages->publishers,
            .rate = (double)messages->rate / count,
            .messages_max = (messages->count + count - 1 - i) / count, /* the first get the rest */
            .duration_ns = (uint64_t)messages->duration_s * NS_A_SECOND,
            .window = is_echo(traffic) ? UINT32_MAX : messages->window,
            .size = messages->size,
            .seed = 0x9e3779b97f4a7c15u,
        };
        if (feed_open(&traffic->feeds[i], &feed) != 0) {
            break;
        }
        traffic->feed_count++;
    }
    if (traffic->feed_count < count) {
        (void)snprintf(traffic->run.message, RUN_MESSAGE_SIZE, "no memory for what is published");
        return -1;
    }
    return 0;
}

static int prepare(struct traffic_run *traffic, const struct bench_options *options)
{
    struct run *run = &traffic->run;

    if (run_prepare(run, options) != 0 || open_feeds(traffic) != 0) {
        return -1;
    }
    run->load.audience = &run->audience;
    run->load.publishers = traffic->feeds[0].options.publishers;
    run->load.is_echo = is_echo(traffic);
    run->load.feeds = is_echo(traffic) ? traffic->feeds : NULL;
    if (is_echo(traffic)) {
        return 0;
    }
    if (options->messages.via == VIA_CLIENT &&
        crew_prepare(&traffic->publishers, options, &run->spawn, run->message, RUN_MESSAGE_SIZE) !=
            0) {
        return -1;
    }
    return options->messages.arrivals == 0 ? 0
                                           : crew_prepare(&traffic->arrivals, options, &run->spawn,
                                                          run->message, RUN_MESSAGE_SIZE);
}

/* Connects those who publish; they do not begin yet. */
static int connect_publishers(struct traffic_run *traffic)
{
    struct run *run = &traffic->run;
    const struct bench_messages *messages = &run->options->messages;

    for (uint32_t i = 0; i < run->worker_count; i++) {
        traffic->heard[i] = worker_deliveries(run->workers[i]);
    }
    if (is_echo(traffic)) {
        return 0;
    }
    if (messages->via == VIA_CLIENT) {
        struct crew *crew = &traffic->publishers;
        crew->load.feeds = traffic->feeds;
        crew->load.heard = traffic->heard;
        crew->load.heard_count = run->worker_count;
        return crew_start(crew, messages->publishers, 0, run->message, RUN_MESSAGE_SIZE) == 0
                   ? crew_wait(crew, run->message, RUN_MESSAGE_SIZE)
                   : -1;
    }
    const struct publisher_options options = {
        .messages = messages,
        .audience = &run->audience,
        .spawn = run->options->spawn ? &run->spawn : NULL,
        .feed = traffic->feeds,
        .heard = traffic->heard,
        .heard_count = run->worker_count,
    };
    traffic->publisher = publisher_open(&options, run->message, RUN_MESSAGE_SIZE);
    return traffic->publisher ? 0 : -1;
}

/* --- messages --------------------------------------------------------------------------------- */

static struct load *sending_load(struct traffic_run *traffic)
{
    return is_echo(traffic) ? &traffic->run.load : &traffic->publishers.load;
}

static uint64_t sum(const struct traffic_run *traffic, size_t counter_offset)
{
    uint64_t total = 0;

    for (uint32_t i = 0; i < traffic->feed_count; i++) {
        const uint8_t *feed = (const uint8_t *)&traffic->feeds[i];
        total += counter_read((const struct counter *)(const void *)(feed + counter_offset));
    }
    return total;
}

static bool are_publishers_lost(const struct traffic_run *traffic)
{
    return traffic->publisher
               ? publisher_failed(traffic->publisher)
               : traffic->publishers.worker &&
                     counter_read(&worker_counts(traffic->publishers.worker)->open) == 0;
}

/* Whether everything has gone out, or nobody is left to send it. */
static bool is_sent(const struct traffic_run *traffic)
{
    return are_publishers_lost(traffic) ||
           sum(traffic, offsetof(struct feed, is_done)) == traffic->feed_count;
}

static void start_sending(struct traffic_run *traffic)
{
    struct run *run = &traffic->run;

    run->result->traffic.start_s = (double)(client_clock() - run->start_ns) / 1e9;
    traffic->start_ns = client_clock();
    traffic->latest_ns = traffic->start_ns;
    if (traffic->publisher) {
        publisher_start(traffic->publisher);
    } else {
        counter_set(&sending_load(traffic)->phase, LOAD_SEND);
    }
}

static void stop_sending(struct traffic_run *traffic)
{
    if (traffic->publisher) {
        publisher_stop(traffic->publisher);
    } else {
        counter_set(&sending_load(traffic)->phase, LOAD_HOLD);
    }
}

/* Ends when all that is expected has come, or nothing comes any more. */
static void watch(struct traffic_run *traffic, struct run_totals *totals)
{
    const struct bench_messages *messages = &traffic->run.options->messages;
    uint64_t drain_ns = (uint64_t)messages->drain_s * NS_A_SECOND;
    uint64_t received = totals->received;
    uint64_t quiet_ns = traffic->start_ns; /* since then nothing has changed */
    bool all_sent = false;

    while (!run_is_stopped()) {
        run_watch(&traffic->run, all_sent ? "rest" : "send", TICK_MS, totals);
        uint64_t now = client_clock();
        if (totals->received != received) {
            received = totals->received;
            traffic->latest_ns = now;
            quiet_ns = now;
        }
        if (!all_sent) {
            all_sent = is_sent(traffic);
            quiet_ns = now;
        } else if (received >= sum(traffic, offsetof(struct feed, expected)) ||
                   now - quiet_ns > drain_ns) {
            return;
        }
    }
}

static int exchange(struct traffic_run *traffic)
{
    struct run *run = &traffic->run;
    struct measure *measure = &run->measure;
    const struct bench_options *options = run->options;
    struct run_totals totals;

    if (options->messages.arrivals > 0 &&
        crew_start(&traffic->arrivals, options->others_max, options->messages.arrivals,
                   run->message, RUN_MESSAGE_SIZE) != 0) {
        return -1;
    }
    run->result->samples.interval_s = SAMPLE_TRAFFIC_S;
    run_watch(run, "send", 0, &totals);
    measure_mark(measure, &measure->traffic_start, totals.open, totals.pings_answered);
    start_sending(traffic);
    watch(traffic, &totals);
    measure_mark(measure, &measure->traffic_end, totals.open, totals.pings_answered);
    run->result->traffic.publishers_lost = are_publishers_lost(traffic);
    stop_sending(traffic);
    run->result->open = totals.open;
    run->result->is_interrupted = run_is_stopped();
    return 0;
}

/* --- afterwards ------------------------------------------------------------------------------- */

static void take_arrivals(struct traffic_run *traffic)
{
    struct traffic *figures = &traffic->run.result->traffic;
    const struct clients *clients = crew_let_go(&traffic->arrivals);

    if (!clients) {
        return;
    }
    figures->arrivals_opened = counter_read(&clients->counts.opened);
    for (enum outcome outcome = 0; outcome < OUTCOMES; outcome++) {
        figures->arrivals_failed += counter_read(&clients->counts.ended[outcome]);
    }
    figures->pong_deadlines_missed += clients->close_codes[PONG_MISSED_CODE];
    histogram_merge(&figures->arrivals_latency, &clients->latency[LATENCY_TOTAL]);
}

/* After the subscribers have gone: their figures are gathered. */
static void sum_up(struct traffic_run *traffic)
{
    struct result *result = traffic->run.result;
    struct traffic *figures = &result->traffic;

    figures->publications = sum(traffic, offsetof(struct feed, published));
    figures->refused = sum(traffic, offsetof(struct feed, refused));
    figures->expected = sum(traffic, offsetof(struct feed, expected));
    figures->lost =
        figures->expected > figures->deliveries ? figures->expected - figures->deliveries : 0;
    figures->seconds = (double)(traffic->latest_ns - traffic->start_ns) / 1e9;
    measure_traffic(&traffic->run.measure, result);
}

static bool is_complete(const struct result *result)
{
    const struct traffic *figures = &result->traffic;

    return result->open == result->options->connections && figures->publications > 0 &&
           !figures->publishers_lost && figures->refused == 0 && figures->lost == 0 &&
           figures->reordered == 0 && figures->duplicated == 0 && figures->arrivals_failed == 0;
}

static void close_all(struct traffic_run *traffic)
{
    if (traffic->publisher) {
        publisher_close(traffic->publisher);
    }
    crew_close(&traffic->publishers);
    crew_close(&traffic->arrivals);
    for (uint32_t i = 0; i < traffic->feed_count; i++) {
        feed_close(&traffic->feeds[i]);
    }
    free(traffic->feeds);
}

int traffic_run(const struct bench_options *options)
{
    static struct traffic_run traffic;
    struct run *run = &traffic.run;
    bool has_result = false;

    if (prepare(&traffic, options) == 0) {
        if (run_ramp(run) == 0) {
            run_hold(run);
            has_result = connect_publishers(&traffic) == 0 && exchange(&traffic) == 0;
        }
        take_arrivals(&traffic);
        (void)crew_let_go(&traffic.publishers);
        run_let_go(run);
        sum_up(&traffic);
    }
    int status = run_end(run, has_result, has_result && is_complete(run->result));
    close_all(&traffic);
    return status;
}
