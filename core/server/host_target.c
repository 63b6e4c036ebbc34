#include "server/host_target.h"

void host_target_options(const struct options *options, struct target_options *out)
{
    *out = (struct target_options){
        .shards = options->shards,
        .listen_backlog = options->listen_backlog,
        .user_timeout_ms = options->tcp_user_timeout_ms,
        .ping_interval_ms = options->heartbeat.ping_interval_ms,
        .connections_max = options->limits.connections_max,
        .handshakes_max = options->limits.handshakes_max,
        .receive_buffer_count = options->limits.receive_buffer_count,
        .receive_buffer_size = options->limits.receive_buffer_size,
    };
}
