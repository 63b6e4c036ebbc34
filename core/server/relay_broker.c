#include "base/random.h"
#include "broker/memory.h"
#include "server/relay_state.h"

#include <errno.h>
#include <stdlib.h>

#define PASSWORD_SIZE_MAX 1024u

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

/* The first line of the file. Returns 0, or -1 with a message that names the file. */
static int read_password(struct relay *relay, const char *path, char *message, size_t message_size)
{
    FILE *file = fopen(path, "re");
    char *password = calloc(1, PASSWORD_SIZE_MAX);
    const char *why = NULL;

    if (!file) {
        why = strerrordesc_np(errno);
    } else if (!password || !fgets(password, PASSWORD_SIZE_MAX, file)) {
        why = "it is empty";
    } else {
        password[strcspn(password, "\r\n")] = '\0';
        why = password[0] == '\0' ? "its first line is empty" : NULL;
    }
    if (file) {
        (void)fclose(file);
    }
    if (why) {
        free(password);
        (void)snprintf(message, message_size, "redis.password_file %s: %s", path, why);
        return -1;
    }
    relay->redis_password = password;
    return 0;
}

static int open_redis(struct relay *relay, uint64_t now_ms, char *message, size_t message_size)
{
    const struct options *options = relay->server->options;
    uint64_t id[2];

    random_bytes(id, sizeof(id));
    (void)snprintf(relay->host_id, sizeof(relay->host_id), "%08x%08x", (uint32_t)id[0],
                   (uint32_t)id[1]);
    if (options->redis.password_file &&
        read_password(relay, options->redis.password_file, message, message_size) != 0) {
        return -1;
    }
    relay->redis = (struct redis_options){
        .topology = options->redis.topology,
        .node_count = options->redis.nodes.count,
        .master_name = options->redis.master_name,
        .user = options->redis.user,
        .password = relay->redis_password,
        .tls = options->redis.tls,
        .tls_ca_file = options->redis.tls_ca_file,
        .tls_certificate_file = options->redis.tls_certificate_file,
        .tls_key_file = options->redis.tls_key_file,
        .prefix = options->redis.prefix,
        .one_pattern = options->redis.one_pattern,
        .forwards = options->broker.forward,
        .forward = options->redis.forward,
        .forward_name = options->redis.forward_name,
        .forward_length_max = options->redis.forward_length_max,
        .requests_max = options->redis.requests_max,
        .timeout_ms = options->redis.timeout_ms,
        .canary_interval_ms = options->broker.canary_interval_ms,
        .presence_expiry_s = options->redis.presence_expiry_s,
        .subscribes_per_s = options->redis.subscribes_per_s_max,
        .host_id = relay->host_id,
    };
    for (uint32_t i = 0; i < options->redis.nodes.count; i++) {
        relay->redis.nodes[i] = options->redis.nodes.names[i];
    }
    relay->broker = redis_open(&relay->redis, now_ms, message, message_size);
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
    if (relay->redis_password) {
        secret_wipe(relay->redis_password, PASSWORD_SIZE_MAX);
        free(relay->redis_password);
    }
}
