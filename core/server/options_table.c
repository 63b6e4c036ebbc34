#include "server/options_table.h"

#include <stdlib.h>

#define KB        1024u
#define MB        (1024u * KB)
#define GB        (1024u * MB)
#define SECOND_MS 1000u
#define MINUTE_MS (60 * SECOND_MS)
#define HOUR_MS   (60 * MINUTE_MS)
#define DAY_MS    (24 * HOUR_MS)
#define DAY_S     86400u

#define AT(field) offsetof(struct options, field)
#define NUMBER(name, field, standard, min, max, check, help)                                       \
    {                                                                                              \
        {name, "NUMBER", standard, help}, AT(field), min, max, OPTION_NUMBER, check                \
    }
#define SIZE(name, field, standard, min, max, check, help)                                         \
    {                                                                                              \
        {name, "SIZE", standard, help}, AT(field), min, max, OPTION_SIZE, check                    \
    }
#define MILLISECONDS(name, field, standard, min, max, check, help)                                 \
    {                                                                                              \
        {name, "DURATION", standard, help}, AT(field), min, max, OPTION_DURATION_MS, check         \
    }
#define SECONDS(name, field, standard, min, max, check, help)                                      \
    {                                                                                              \
        {name, "DURATION", standard, help}, AT(field), min, max, OPTION_DURATION_S, check          \
    }
#define BOOL(name, field, standard, help)                                                          \
    {                                                                                              \
        {name, "BOOL", standard, help}, AT(field), 0, 0, OPTION_BOOL, OPTION_ANY                   \
    }
#define TEXT(name, field, standard, check, help)                                                   \
    {                                                                                              \
        {name, "TEXT", standard, help}, AT(field), 0, 0, OPTION_TEXT, check                        \
    }
#define CHOICE(name, offset, names, standard, help)                                                \
    {                                                                                              \
        {name, names, standard, help}, offset, 0, 0, OPTION_CHOICE, OPTION_ANY                     \
    }
#define LIST(name, field, standard, kind, check, help)                                             \
    {                                                                                              \
        {name, "LIST", standard, help}, AT(field), 0, 0, kind, check                               \
    }

/* In the order of struct options. Standard NULL: a text that is not set, a list that is empty. */
static const struct option_row rows[] = {
    LIST(
        "listen", listen, "8443", OPTION_NAMES, OPTION_ENDPOINT,
        "Addresses for clients: PORT (IPv4 and IPv6), A.B.C.D:PORT or [IPv6]:PORT; before it ws:// "
        "for no TLS; ws+unix:/PATH, wss+unix:/PATH; behind it ?proxy=v1, v2 or any"),
    NUMBER("shards", shards, "0", 1, 256, OPTION_ZERO,
           "Threads, each with its ring; 0: one a core"),
    NUMBER("listen_backlog", listen_backlog, "4096", 1, 65535, OPTION_ANY,
           "Connections waiting to be accepted, per shard and address"),
    MILLISECONDS("tcp_user_timeout", tcp_user_timeout_ms, "30s", SECOND_MS, HOUR_MS, OPTION_ZERO,
                 "Unacknowledged data ends a connection after this; 0: the kernel's"),
    SIZE("socket_receive_size", socket_receive_size, "0", 2 * KB, 64 * MB, OPTION_ZERO,
         "SO_RCVBUF of a connection; 0: the kernel's"),
    SIZE("socket_send_size", socket_send_size, "0", 4 * KB, 64 * MB, OPTION_ZERO,
         "SO_SNDBUF of a connection; 0: the kernel's"),

    LIST("tls.certificates", tls.certificates, NULL, OPTION_CERTIFICATES, OPTION_ANY,
         "PEM files, chosen by SNI, the first for all other names; as a flag: CHAIN:KEY,..."),
    BOOL("tls.tls_1_2", tls.tls_1_2, "true", "Accept TLS 1.2 (AEAD suites) beside 1.3"),
    BOOL("tls.tickets", tls.tickets, "true", "Let clients resume their TLS sessions"),
    TEXT("tls.ticket_key_file", tls.ticket_key_file, NULL, OPTION_ANY,
         "Ticket keys shared by several hosts; unset: random keys of this process"),
    SECONDS("tls.ticket_rotate", tls.ticket_rotate_s, "8h", 60, 7 * DAY_S, OPTION_ANY,
            "A new ticket key after this"),

    TEXT("upgrade.path", upgrade.path, NULL, OPTION_PATH,
         "The one path for WebSockets; unset: any"),
    LIST("upgrade.origins", upgrade.origins, NULL, OPTION_NAMES, OPTION_ORIGIN,
         "Origins of pages that may connect, as https://app.example; empty: any"),
    LIST("upgrade.protocols", upgrade.protocols, NULL, OPTION_NAMES, OPTION_HTTP_TOKEN,
         "Subprotocols that may be chosen, the first match wins"),
    SIZE("upgrade.request_size_max", upgrade.request_size_max, "16KB", 1 * KB, 1 * MB, OPTION_ANY,
         "Largest upgrade request; above it 431"),
    BOOL("upgrade.deflate", upgrade.deflate, "false",
         "Compress messages (permessage-deflate) for clients that offer it"),
    SIZE("upgrade.deflate_size_min", upgrade.deflate_size_min, "256", 1, 16 * MB, OPTION_ANY,
         "Shortest message that is compressed"),
    NUMBER("upgrade.deflate_level", upgrade.deflate_level, "1", 1, 9, OPTION_ANY,
           "How hard: 1 is fastest, 9 smallest"),

    BOOL("token.required", token.required, "true",
         "Only clients with a good token; false: anyone, for development"),
    BOOL("token.in_authorization", token.in_authorization, "true",
         "Take the token from Authorization: Bearer"),
    BOOL("token.in_protocol", token.in_protocol, "true",
         "Take the token from Sec-WebSocket-Protocol"),
    BOOL("token.in_cookie", token.in_cookie, "false", "Take the token from a cookie"),
    BOOL("token.in_query", token.in_query, "false",
         "Take the token from the query; URLs end up in logs of proxies"),
    TEXT("token.cookie_name", token.cookie_name, "token", OPTION_HTTP_TOKEN, "Name of the cookie"),
    TEXT("token.query_name", token.query_name, "token", OPTION_HTTP_TOKEN,
         "Name of the parameter in the query"),
    LIST(
        "token.keys", token.keys, NULL, OPTION_KEYS, OPTION_ANY,
        "Files of keys: an HMAC secret, a PEM public key, or a key set (.json, or https://...); as a "
        "flag: [KID=]ALGORITHM:PATH,... or PATH.json or https://..."),
    TEXT("token.issuer", token.issuer, NULL, OPTION_ANY, "What iss must be; unset: not checked"),
    TEXT("token.audience", token.audience, NULL, OPTION_ANY,
         "What aud must be or hold; unset: not checked"),
    SECONDS("token.leeway", token.leeway_s, "5s", 1, 3600, OPTION_ZERO,
            "Difference of clocks that exp and nbf forgive"),
    BOOL("token.require_expiry", token.require_expiry, "true", "Refuse tokens without exp"),
    SIZE("token.size_max", token.size_max, "8KB", 256, 64 * KB, OPTION_ANY, "Largest token"),
    NUMBER("token.channels_max", token.channels_max, "128", 1, 4096, OPTION_ZERO,
           "Channels of one token's claim"),
    SIZE("token.channel_size_max", token.channel_size_max, "255", 1, 255, OPTION_ANY,
         "Longest name of a channel"),
    TEXT("token.jwks_ca_file", token.jwks_ca_file, NULL, OPTION_ANY,
         "PEM file of the authorities to trust for key sets by URL; unset: the system's"),
    TEXT("token.jwks_cache", token.jwks_cache, NULL, OPTION_ANY,
         "Folder for the last good key sets by URL, for a start while their host is away; unset: "
         "none"),
    SECONDS("token.jwks_refresh", token.jwks_refresh_s, "10m", 1, 7 * DAY_S, OPTION_ANY,
            "Between two fetches of a key set by URL; sooner if its Cache-Control says so"),
    SECONDS("token.jwks_cooldown", token.jwks_cooldown_s, "30s", 1, 3600, OPTION_ANY,
            "Least time between fetches after a failure, and for tokens with unknown keys"),
    MILLISECONDS("token.jwks_timeout", token.jwks_timeout_ms, "5s", 100, 20 * SECOND_MS, OPTION_ANY,
                 "What a fetch of a key set may take"),

    LIST("limits.banned", limits.banned, NULL, OPTION_NAMES, OPTION_NETWORK,
         "Networks whose connections are closed before TLS, as 192.0.2.0/24"),
    TEXT("limits.banned_file", limits.banned_file, NULL, OPTION_ANY,
         "File of more of them, one a line, # for comments; unset: none"),
    LIST("limits.allowed", limits.allowed, NULL, OPTION_NAMES, OPTION_NETWORK,
         "The only networks that may connect; empty, and no file: all"),
    TEXT("limits.allowed_file", limits.allowed_file, NULL, OPTION_ANY,
         "File of more of them; a ban wins"),
    NUMBER("limits.connections_max", limits.connections_max, "0", 1, 100000000, OPTION_ZERO,
           "Open connections of the whole server; 0: what the machine's limits allow"),
    NUMBER("limits.connections_per_address_max", limits.connections_per_address_max, "0", 1,
           100000000, OPTION_ZERO, "Open connections of one address; 0: no limit"),
    NUMBER("limits.connections_per_user_max", limits.connections_per_user_max, "0", 1, 100000000,
           OPTION_ZERO, "Open connections of one sub; 0: no limit"),
    NUMBER("limits.handshakes_max", limits.handshakes_max, "1024", 1, 65536, OPTION_ANY,
           "TLS handshakes at a time, per shard"),
    NUMBER("limits.handshakes_per_tick_max", limits.handshakes_per_tick_max, "32", 1, 65536,
           OPTION_ANY, "Handshake steps in one tick, so that heartbeats go on in a storm"),
    NUMBER("limits.admissions_per_s", limits.admissions_per_s, "0", 1, 10000000, OPTION_ZERO,
           "TLS handshakes begun per second, whole server; 0: as many as the machine can"),
    NUMBER("limits.admission_burst", limits.admission_burst, "0", 1, 10000000, OPTION_ZERO,
           "How many of them at once after a quiet time; 0: those of a second"),
    SIZE("limits.message_size_max", limits.message_size_max, "64KB", 125, 16 * MB, OPTION_ANY,
         "Largest message of a client; above it 1009"),
    SIZE("limits.queue_bytes_max", limits.queue_bytes_max, "256KB", 4 * KB, 64 * MB, OPTION_ANY,
         "Bytes that may wait for one connection, each message with 48 more"),
    SIZE("limits.shard_queue_bytes_max", limits.shard_queue_bytes_max, "0", 4 * KB, 2 * GB,
         OPTION_ZERO,
         "The same for all connections of a shard; 0: its share of an eighth of the memory"),
    NUMBER("limits.channels_max", limits.channels_max, "65536", 1, 16777216, OPTION_ANY,
           "Channels at a time, per shard"),
    NUMBER("limits.subscriptions_max", limits.subscriptions_max, "0", 1, 16777216, OPTION_ZERO,
           "Subscriptions at a time, per shard; 0: twice its connections"),
    SIZE("limits.arena_size", limits.arena_size, "64MB", 1 * MB, 2 * GB, OPTION_ANY,
         "Memory for what waits and what is incomplete, per shard; used only when needed"),
    NUMBER("limits.receive_buffer_count", limits.receive_buffer_count, "256", 8, 32768,
           OPTION_POWER_OF_TWO, "Shared receive buffers, per shard"),
    SIZE("limits.receive_buffer_size", limits.receive_buffer_size, "4KB", 512, 64 * KB, OPTION_ANY,
         "Size of a receive buffer"),
    SIZE("limits.mailbox_size", limits.mailbox_size, "1MB", 64 * KB, 256 * MB, OPTION_ANY,
         "Room for messages from other shards, per shard"),

    MILLISECONDS("heartbeat.ping_interval", heartbeat.ping_interval_ms, "25s", 100, DAY_MS,
                 OPTION_ANY, "Between two pings; below the idle limit of what stands between"),
    MILLISECONDS("heartbeat.pong_timeout", heartbeat.pong_timeout_ms, "10s", 100, HOUR_MS,
                 OPTION_ANY, "Silence after a ping that ends a connection (3008)"),

    MILLISECONDS("deadlines.handshake", deadlines.handshake_ms, "10s", 100, HOUR_MS, OPTION_ANY,
                 "From accept to the end of the TLS handshake"),
    MILLISECONDS("deadlines.admission_wait", deadlines.admission_wait_ms, "5s", 100, HOUR_MS,
                 OPTION_ZERO, "Longest wait for a handshake to begin; then closed; 0: no bound"),
    MILLISECONDS("deadlines.upgrade", deadlines.upgrade_ms, "10s", 100, HOUR_MS, OPTION_ANY,
                 "From there to the whole upgrade request"),
    MILLISECONDS("deadlines.close", deadlines.close_ms, "5s", 100, HOUR_MS, OPTION_ANY,
                 "From our close frame to theirs"),
    MILLISECONDS("deadlines.token_grace", deadlines.token_grace_ms, "0", 1, DAY_MS, OPTION_ZERO,
                 "From a token's exp to the close (3000)"),
    MILLISECONDS("deadlines.age_max", deadlines.age_max_ms, "0", SECOND_MS, 30 * DAY_MS,
                 OPTION_ZERO, "Oldest age of a connection (1012); 0: any"),
    NUMBER("deadlines.age_jitter_percent", deadlines.age_jitter_percent, "10", 0, 50, OPTION_ANY,
           "How far ages are spread around age_max"),
    MILLISECONDS("deadlines.shutdown", deadlines.shutdown_ms, "10s", 100, HOUR_MS, OPTION_ANY,
                 "From SIGTERM to the exit"),

    TEXT("plain.publish_channel", plain.publish_channel, NULL, OPTION_MAY_BE_EMPTY,
         "Where messages of clients go; \"\": back to the sender; unset: refused (1008)"),
    TEXT("plain.channels_query", plain.channels_query, "channels", OPTION_MAY_BE_EMPTY,
         "Query parameter that names further channels, as in ?channels=a,b; \"\": none"),
    CHOICE("broker.kind", AT(broker.kind), "memory|redis", "memory",
           "How messages reach other hosts"),
    SIZE("broker.mailbox_size", broker.mailbox_size, "4MB", 64 * KB, 256 * MB, OPTION_ANY,
         "Room for what shards and the HTTP API hand to the broker"),
    BOOL("broker.forward", broker.forward, "false",
         "Hand what clients send to backends, too, through the broker"),
    CHOICE("broker.when_away", AT(broker.when_away), "refuse|queue", "refuse",
           "Publications while the broker is away: refused (1013), or kept in order"),
    SIZE("broker.queue_bytes_max", broker.queue_bytes_max, "64MB", 64 * KB, 2 * GB, OPTION_ANY,
         "Room for publications that wait for the broker; above it they are refused"),
    MILLISECONDS("broker.canary_interval", broker.canary_interval_ms, "1s", 100, MINUTE_MS,
                 OPTION_ANY, "Between canaries through the broker; three missing: not ready"),
    NUMBER("memory.channels_max", memory.channels_max, "65536", 1, 16777216, OPTION_ANY,
           "Channels with history in the memory broker"),
    SIZE("memory.history_bytes_max", memory.history_bytes_max, "64MB", 64 * KB, 2 * GB, OPTION_ANY,
         "Their publications together; the oldest go first"),
    NUMBER("memory.members_max", memory.members_max, "1000000", 1, 100000000, OPTION_ANY,
           "Members present in the memory broker, over all channels"),
    NUMBER("memory.idempotency_keys_max", memory.idempotency_keys_max, "100000", 1, 16777216,
           OPTION_ANY, "Idempotency keys that the memory broker remembers, for 5 minutes"),
    CHOICE("redis.topology", AT(redis.topology), "single|sentinel|cluster", "single",
           "One Redis, one that sentinels name, or a cluster"),
    LIST("redis.nodes", redis.nodes, "127.0.0.1:6379", OPTION_NAMES, OPTION_ANY,
         "HOST:PORT, [IPv6]:PORT or /SOCKET; of sentinels, or of a cluster, some"),
    TEXT("redis.master_name", redis.master_name, "mymaster", OPTION_ANY,
         "What the sentinels call the master"),
    TEXT("redis.user", redis.user, NULL, OPTION_ANY, "ACL user; unset: the default one"),
    TEXT("redis.password_file", redis.password_file, NULL, OPTION_ANY,
         "File whose first line is the password, read at every connect; unset: none"),
    TEXT("redis.sentinel_user", redis.sentinel_user, NULL, OPTION_ANY,
         "ACL user of the sentinels; unset: the default one"),
    TEXT("redis.sentinel_password_file", redis.sentinel_password_file, NULL, OPTION_ANY,
         "File with the sentinels' password; unset: none"),
    BOOL("redis.tls", redis.tls, "false", "Connect by TLS"),
    TEXT("redis.tls_ca_file", redis.tls_ca_file, NULL, OPTION_ANY,
         "PEM file of the authorities to trust; unset: the system's"),
    TEXT("redis.tls_certificate_file", redis.tls_certificate_file, NULL, OPTION_ANY,
         "Our certificate for Redis; unset: none"),
    TEXT("redis.tls_key_file", redis.tls_key_file, NULL, OPTION_ANY, "Its key"),
    TEXT("redis.tls_name", redis.tls_name, NULL, OPTION_ANY,
         "What the certificate of Redis must be for; unset: the host of its address"),
    TEXT("redis.prefix", redis.prefix, "limpet:", OPTION_MAY_BE_EMPTY,
         "Before the channel's name, in Redis channels and keys"),
    BOOL("redis.one_pattern", redis.one_pattern, "false",
         "One PSUBSCRIBE for all instead of a subscription for each channel"),
    CHOICE("redis.forward", AT(redis.forward), "stream|channel", "stream",
           "With broker.forward: XADD to a stream, or PUBLISH of JSON"),
    TEXT("redis.forward_name", redis.forward_name, "limpet:inbound", OPTION_ANY,
         "The stream's key, or the channel"),
    NUMBER("redis.forward_length_max", redis.forward_length_max, "100000", 1, 1000000000,
           OPTION_ANY, "Entries that the stream keeps, about"),
    NUMBER("redis.requests_max", redis.requests_max, "4096", 16, 1000000, OPTION_ANY,
           "Requests that Redis has not answered"),
    NUMBER("redis.members_max", redis.members_max, "1000000", 1, 100000000, OPTION_ANY,
           "Members present of this host, over all channels"),
    MILLISECONDS("redis.timeout", redis.timeout_ms, "5s", 100, MINUTE_MS, OPTION_ANY,
                 "To connect, and until an answer comes"),
    SECONDS("redis.presence_expiry", redis.presence_expiry_s, "1m", 3, 86400, OPTION_ANY,
            "Until those present at a host that died are gone"),
    NUMBER("redis.subscribes_per_s_max", redis.subscribes_per_s_max, "20000", 100, 10000000,
           OPTION_ANY, "Pace of subscriptions, after a reconnect too"),
    LIST("proxy.trusted", proxy.trusted, NULL, OPTION_NAMES, OPTION_NETWORK,
         "Networks of proxies whose PROXY headers count, on addresses with ?proxy=; Unix sockets "
         "always do"),
    LIST("namespaces", namespace_texts, NULL, OPTION_NAMESPACES, OPTION_MAY_BE_EMPTY,
         "What holds for channels NAME:..., keys below; as a flag: NAME:KEY=VALUE:...,..."),
    TEXT("admin.listen", admin.listen, "127.0.0.1:9464", OPTION_ADDRESS_OR_EMPTY,
         "Address of metrics, health and the HTTP API; \"\": none"),
    TEXT("admin.control", admin.control, NULL, OPTION_MAY_BE_EMPTY,
         "Unix socket for `limpet reload` and the like, its owner's alone; unset: "
         "/run/limpet/control if that folder is this user's; \"\": none"),
    TEXT("admin.api_key_file", admin.api_key_file, NULL, OPTION_ANY,
         "Keys of the HTTP API, one a line; unset: no API"),
    BOOL("admin.api_key_in_query", admin.api_key_in_query, "false",
         "Take the key from ?api_key=, too; URLs end up in logs of proxies"),
    BOOL("admin.api_namespaces_only", admin.api_namespaces_only, "false",
         "Refuse API requests for NAME:... when namespaces has no NAME (102)"),
    SIZE("admin.body_size_max", admin.body_size_max, "1MB", 1 * KB, 16 * MB, OPTION_ANY,
         "Largest body of an API request; above it 413"),
    MILLISECONDS("admin.answer_timeout", admin.answer_timeout_ms, "5s", 100, MINUTE_MS, OPTION_ANY,
                 "What an API request may take before it is answered with an error"),
    NUMBER("admin.ready_high_water", admin.ready_high_water_percent, "95", 0, 100, OPTION_ANY,
           "Percent of the capacity at which /health/ready says no; 0: never"),
    CHOICE("log.format", AT(log.format), "text|json", "text", "Form of a log line"),
    CHOICE("log.level", AT(log.level), "debug|info|warn|error", "info", "The least that is logged"),
};

/* An entry is nothing but its texts, so that every list can be walked in one way. */
static_assert(sizeof(struct option_certificate) == 2 * sizeof(char *), "see option_list_of");
static_assert(sizeof(struct option_token_key) == 3 * sizeof(char *), "see option_list_of");
static_assert(sizeof(struct option_namespace) == 10 * sizeof(char *), "see option_list_of");
/* A choice is set as a number. */
static_assert(sizeof(enum log_format) == sizeof(unsigned), "see option_value_set");
static_assert(sizeof(enum log_level) == sizeof(unsigned), "see option_value_set");

const struct option_row *option_row_at(size_t index)
{
    return index < sizeof(rows) / sizeof(rows[0]) ? &rows[index] : NULL;
}

const struct option_row *option_row_find(struct slice name)
{
    const struct option_row *row;

    for (size_t i = 0; (row = option_row_at(i)); i++) {
        if (slice_equal(slice_text(row->info.name), name)) {
            return row;
        }
    }
    return NULL;
}

bool option_is_list(const struct option_row *row)
{
    return row->kind == OPTION_NAMES || row->kind == OPTION_CERTIFICATES ||
           row->kind == OPTION_KEYS || row->kind == OPTION_NAMESPACES;
}

struct option_list option_list_of(struct options *options, const struct option_row *row)
{
    ASSERT(option_is_list(row));
    if (row->kind == OPTION_CERTIFICATES) {
        return (struct option_list){.texts = option_place(options, row),
                                    .count = &options->tls.certificate_count,
                                    .count_max = OPTIONS_CERTIFICATES_MAX,
                                    .text_count = 2,
                                    .names = {"certificate", "key"},
                                    .required = {true, true}};
    }
    if (row->kind == OPTION_KEYS) {
        return (struct option_list){.texts = option_place(options, row),
                                    .count = &options->token.key_count,
                                    .count_max = OPTIONS_KEYS_MAX,
                                    .text_count = 3,
                                    .names = {"kid", "algorithm", "path"},
                                    .required = {false, false, true}};
    }
    if (row->kind == OPTION_NAMESPACES) {
        struct option_list list = {.texts = option_place(options, row),
                                   .count = &options->namespaces.count,
                                   .count_max = NAMESPACES_MAX,
                                   .text_count = 10,
                                   .names = {"name"},
                                   .required = {true}};
        for (size_t i = 1; i < list.text_count; i++) {
            list.names[i] = option_namespace_key_at(i - 1)->info.name;
        }
        return list;
    }
    struct option_names *names = option_place(options, row);
    bool is_listen = row->check == OPTION_ENDPOINT;
    return (struct option_list){.texts = names->names,
                                .count = &names->count,
                                .count_max = is_listen ? OPTIONS_LISTEN_MAX : OPTIONS_NAMES_MAX,
                                .text_count = 1};
}

void option_list_clear(const struct option_list *list)
{
    for (uint32_t i = 0; i < *list->count * list->text_count; i++) {
        free(list->texts[i]);
        list->texts[i] = NULL;
    }
    *list->count = 0;
}
