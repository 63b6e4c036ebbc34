#include "server/redis_settings.h"

struct redis_options redis_settings(const struct options *options)
{
    struct redis_options settings = {
        .topology = options->redis.topology,
        .node_count = options->redis.nodes.count,
        .master_name = options->redis.master_name,
        .user = options->redis.user,
        .password_file = options->redis.password_file,
        .sentinel_user = options->redis.sentinel_user,
        .sentinel_password_file = options->redis.sentinel_password_file,
        .tls = options->redis.tls,
        .tls_ca_file = options->redis.tls_ca_file,
        .tls_certificate_file = options->redis.tls_certificate_file,
        .tls_key_file = options->redis.tls_key_file,
        .tls_name = options->redis.tls_name,
        .prefix = options->redis.prefix,
        .one_pattern = options->redis.one_pattern,
        .forward = options->redis.forward,
        .forward_name = options->redis.forward_name,
        .forward_length_max = options->redis.forward_length_max,
        .requests_max = options->redis.requests_max,
        .members_max = options->redis.members_max,
        .timeout_ms = options->redis.timeout_ms,
        .canary_interval_ms = options->broker.canary_interval_ms,
        .presence_expiry_s = options->redis.presence_expiry_s,
        .subscribes_per_s = options->redis.subscribes_per_s_max,
    };

    for (uint32_t i = 0; i < settings.node_count && i < REDIS_NODES_MAX; i++) {
        settings.nodes[i] = options->redis.nodes.names[i];
    }
    return settings;
}
