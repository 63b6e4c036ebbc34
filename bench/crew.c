#include "bench/crew.h"

#include "bench/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define TICK_NS    5000000
#define TOKENS_MAX 1000

int crew_prepare(struct crew *crew, const struct bench_options *options, const struct spawn *spawn,
                 char *message, size_t message_size)
{
    const struct bench_messages *messages = &options->messages;
    const char *url = messages->publish_url ? messages->publish_url : options->url;
    const char *token = messages->publish_token ? messages->publish_token : options->token;

    crew->options = *options;
    crew->options.threads = 1;
    crew->load = (struct load){.options = &crew->options,
                               .target = &crew->target,
                               .tokens = &crew->tokens,
                               .plan = &crew->plan};
    if (target_parse(&crew->target, options->spawn ? spawn->url : url, message, message_size) !=
        0) {
        return -1;
    }
    if (options->spawn && !token) {
        return spawn_tokens(spawn, NULL, TOKENS_MAX, &crew->tokens, message, message_size);
    }
    char *text = token ? strdup(token) : NULL;
    if (text && tokens_index(&crew->tokens, text) != 0) {
        (void)snprintf(message, message_size, "no memory for tokens");
        return -1;
    }
    return 0;
}

int crew_start(struct crew *crew, uint32_t count, uint32_t rate, char *message, size_t message_size)
{
    crew->options.connections = count;
    crew->options.rate = rate;
    crew->plan = (struct plan){.rings = 1, .sockets_per_ring = count};
    counter_set(&crew->load.phase, LOAD_RAMP);
    crew->worker = worker_start(&crew->load, 0, message, message_size);
    return crew->worker ? 0 : -1;
}

int crew_wait(const struct crew *crew, char *message, size_t message_size)
{
    const struct load_counts *counts = worker_counts(crew->worker);
    const struct timespec tick = {.tv_nsec = TICK_NS};

    while (counter_read(&counts->open) < crew->options.connections) {
        for (enum outcome outcome = 0; outcome < OUTCOMES; outcome++) {
            if (counter_read(&counts->ended[outcome]) > 0) {
                (void)snprintf(message, message_size, "a publisher could not connect: %s",
                               outcome_text(outcome));
                return -1;
            }
        }
        if (run_is_stopped()) {
            (void)snprintf(message, message_size, "interrupted");
            return -1;
        }
        (void)nanosleep(&tick, NULL);
    }
    return 0;
}

const struct clients *crew_let_go(struct crew *crew)
{
    if (!crew->worker) {
        return NULL;
    }
    counter_set(&crew->load.phase, LOAD_CLOSE);
    return worker_join(crew->worker);
}

void crew_close(struct crew *crew)
{
    if (crew->worker) {
        worker_free(crew->worker);
        crew->worker = NULL;
    }
    tokens_free(&crew->tokens);
}
