#include "broker/memory.h"
#include "server/redis_settings.h"
#include "server/relay_state.h"

static int open_memory(struct relay *relay, uint64_t now_ms, char *message, size_t message_size)
{
    const struct options *options = relay->server->options;
    const struct memory_options memory = {
        .channels_max = options->memory.channels_max,
        .history_bytes_max = options->memory.history_bytes_max,
        .members_max = options->memory.members_max,
        .idempotency_keys_max = options->memory.idempotency_keys_max,
    };

    relay->broker = memory_open(&memory, now_ms);
    if (!relay->broker) {
        (void)snprintf(message, message_size, "no memory for the broker");
        return -1;
    }
    return 0;
}

static int open_redis(struct relay *relay, uint64_t now_ms, char *message, size_t message_size)
{
    const struct redis_options settings = redis_settings(relay->server->options);

    relay->broker = redis_open(&settings, now_ms, message, message_size);
    return relay->broker ? 0 : -1;
}

int relay_open_broker(struct relay *relay, uint64_t now_ms, char *message, size_t message_size)
{
    switch (relay->server->options->broker.kind) {
    case BROKER_KIND_MEMORY:
        return open_memory(relay, now_ms, message, message_size);
    case BROKER_KIND_REDIS:
        return open_redis(relay, now_ms, message, message_size);
    }
    ASSERT(!"a broker of no kind");
    return -1;
}

void relay_close_broker(struct relay *relay)
{
    if (relay->broker) {
        relay->broker->kind->close(relay->broker);
    }
}
