#include "server/counts.h"

#define AT(field) offsetof(struct counts, field)
#define COUNTER(name, help, field)                                                                 \
    {                                                                                              \
        "limpet_" name, help, METRIC_COUNTER, NULL, NULL, AT(field), 0, NULL, NULL                 \
    }
#define GAUGE(name, help, field)                                                                   \
    {                                                                                              \
        "limpet_" name, help, METRIC_GAUGE, NULL, NULL, AT(field), 0, NULL, NULL                   \
    }
#define AGE(name, help, field)                                                                     \
    {                                                                                              \
        "limpet_" name, help, METRIC_AGE_MS, NULL, NULL, AT(field), 0, NULL, NULL                  \
    }
#define TIMES(name, help, field, base)                                                             \
    {                                                                                              \
        "limpet_" name, help, METRIC_HISTOGRAM_NS, NULL, NULL, AT(field), base, NULL, NULL         \
    }
#define LABELLED(name, help, label, value, field)                                                  \
    {                                                                                              \
        "limpet_" name, help, METRIC_COUNTER, label, value, AT(field), 0, NULL, NULL               \
    }

#define HANDSHAKE(outcome, value)                                                                  \
    LABELLED("handshakes_total", "TLS handshakes that ended, by outcome.", "outcome", value,       \
             handshakes[HANDSHAKE_OUTCOME_##outcome])
#define FAILURE(reason, value)                                                                     \
    LABELLED("handshake_failures_total", "TLS handshakes that failed, by the alert's name.",       \
             "reason", value, handshake_failures[FAILURE_##reason])
#define ADMISSION(class_, value, outcome_, value_2)                                                \
    {                                                                                              \
        "limpet_admissions_total",                                                                 \
            "Clients whose turn for a TLS handshake came, or did not, by class and outcome.",      \
            METRIC_COUNTER, "class", value,                                                        \
            AT(admissions[ADMISSION_##class_][ADMISSION_##outcome_]), 0, "outcome", value_2        \
    }
#define UPGRADE(reason, value)                                                                     \
    LABELLED("upgrades_total", "Upgrade requests answered, by reason.", "reason", value,           \
             upgrades[UPGRADE_##reason])
#define TOKEN(outcome, value)                                                                      \
    LABELLED("tokens_total", "Tokens checked, by outcome.", "outcome", value,                      \
             tokens[TOKEN_##outcome])
#define REFUSED(limit, value)                                                                      \
    LABELLED("refused_total", "Connections refused because a limit was reached, by limit.",        \
             "limit", value, refused[REFUSED_##limit])
#define CLOSED(cause, value)                                                                       \
    LABELLED("closed_total", "Open connections that were closed, by cause.", "cause", value,       \
             closed[CAUSE_##cause])

#define FAILED(outcome, value)                                                                     \
    LABELLED("publications_failed_total",                                                          \
             "Publications of clients that the broker did not take, by outcome.", "outcome",       \
             value, publications_failed[BROKER_##outcome])

#define DROPPED(policy, value)                                                                     \
    LABELLED("dropped_total", "Publications that a slow consumer did not get, by the policy.",     \
             "policy", value, dropped[SLOW_##policy])

#define POOL(name, pool)                                                                           \
    {                                                                                              \
        "limpet_pool_used", "Items of a pool in use.", METRIC_GAUGE, "pool", name,                 \
            AT(pool_used[COUNTED_##pool]), 0, NULL, NULL                                           \
    }
#define POOL_SIZE(name, pool)                                                                      \
    {                                                                                              \
        "limpet_pool_size", "Items of a pool in all.", METRIC_GAUGE, "pool", name,                 \
            AT(pool_size[COUNTED_##pool]), 0, NULL, NULL                                           \
    }

/* clang-format off */
const struct metric counts_metrics[] = {
    GAUGE("connections_open", "Connections open now: upgraded, not yet closing.", connections_open),
    GAUGE("connections_held", "Sockets accepted and not yet closed, in any stage.", connections_held),
    GAUGE("connections_capacity", "Connections that the server can hold here, each shard's share; limpet_connections_bound_by_info tells why no more.", connections_capacity),
    GAUGE("sockets_max", "Sockets that the shard's table holds: connections, those on their way to be one, and some to spare.", sockets_max),
    COUNTER("accepted_total", "Sockets accepted.", accepted),
    COUNTER("accept_errors_total", "Accepts that failed (descriptors, memory).", accept_errors),
    HANDSHAKE(FULL, "full"),
    HANDSHAKE(RESUMED, "resumed"),
    HANDSHAKE(FAILED, "failed"),
    HANDSHAKE(TIMEOUT, "timeout"),
    HANDSHAKE(GAVE_WAY, "gave_way"),
    HANDSHAKE(RESET, "reset"),
    HANDSHAKE(SILENT, "silent"),
    FAILURE(UNEXPECTED_MESSAGE, "unexpected_message"),
    FAILURE(HANDSHAKE_FAILURE, "handshake_failure"),
    FAILURE(ILLEGAL_PARAMETER, "illegal_parameter"),
    FAILURE(DECODE_ERROR, "decode_error"),
    FAILURE(PROTOCOL_VERSION, "protocol_version"),
    FAILURE(OTHER, "other"),
    FAILURE(PEER_ALERT, "peer_alert"),
    FAILURE(PLAIN_HTTP, "plain_http"),
    GAUGE("handshakes_in_flight", "TLS handshakes under way.", handshakes_in_flight),
    GAUGE("handshakes_waiting", "Connections whose handshake waits for its turn.", handshakes_waiting),
    ADMISSION(NEW, "new", ADMITTED, "admitted"),
    ADMISSION(NEW, "new", DELAYED, "delayed"),
    ADMISSION(NEW, "new", REFUSED, "refused"),
    ADMISSION(RETURNING, "returning", ADMITTED, "admitted"),
    ADMISSION(RETURNING, "returning", DELAYED, "delayed"),
    ADMISSION(RETURNING, "returning", REFUSED, "refused"),
    GAUGE("admission_tokens", "Handshakes that may begin at once by limits.admissions_per_s.", admission_tokens),
    COUNTER("hellos_only_h2_total", "Clients that offered only HTTP/2 (ALPN h2).", hellos_only_h2),
    COUNTER("hellos_hybrid_total", "Clients that offered a post-quantum key share (X25519MLKEM768).", hellos_hybrid),
    UPGRADE(OK, "ok"),
    UPGRADE(MALFORMED, "malformed"),
    UPGRADE(NO_HOST, "no_host"),
    UPGRADE(BAD_KEY, "bad_key"),
    UPGRADE(HAS_BODY, "has_body"),
    UPGRADE(BAD_TOKEN_FORM, "bad_token_form"),
    UPGRADE(NO_TOKEN, "no_token"),
    UPGRADE(TOKEN_REFUSED, "token_refused"),
    UPGRADE(BAD_CHANNELS, "bad_channels"),
    UPGRADE(CHANNEL_REFUSED, "channel_refused"),
    UPGRADE(ORIGIN_REFUSED, "origin_refused"),
    UPGRADE(WRONG_PATH, "wrong_path"),
    UPGRADE(WRONG_METHOD, "wrong_method"),
    UPGRADE(BODY_TOO_LARGE, "body_too_large"),
    UPGRADE(NOT_UPGRADE, "not_upgrade"),
    UPGRADE(WRONG_VERSION, "wrong_version"),
    UPGRADE(TOO_LARGE, "too_large"),
    UPGRADE(FULL, "full"),
    UPGRADE(NO_KEYS, "no_keys"),
    UPGRADE(STOPPING, "stopping"),
    UPGRADE(PLAIN_HTTP, "plain_http"),
    TOKEN(GOOD, "good"),
    TOKEN(MALFORMED, "malformed"),
    TOKEN(TOO_LARGE, "too_large"),
    TOKEN(ALGORITHM, "algorithm"),
    TOKEN(CRITICAL, "critical"),
    TOKEN(UNKNOWN_KEY, "unknown_key"),
    TOKEN(BAD_SIGNATURE, "bad_signature"),
    TOKEN(EXPIRED, "expired"),
    TOKEN(NOT_YET, "not_yet"),
    TOKEN(NO_EXPIRY, "no_expiry"),
    TOKEN(WRONG_ISSUER, "wrong_issuer"),
    TOKEN(WRONG_AUDIENCE, "wrong_audience"),
    TOKEN(BAD_CLAIM, "bad_claim"),
    REFUSED(CONNECTIONS, "connections"),
    REFUSED(BANNED, "banned"),
    REFUSED(NOT_ALLOWED, "not_allowed"),
    REFUSED(PROXY, "proxy_not_trusted"),
    REFUSED(PROXY_HEADER, "proxy_header"),
    REFUSED(ADDRESS, "address"),
    REFUSED(USER, "user"),
    REFUSED(MEMORY, "memory"),
    REFUSED(ADMISSION, "admission"),
    CLOSED(CLIENT, "client"),
    CLOSED(PROTOCOL, "protocol"),
    CLOSED(UTF8, "utf8"),
    CLOSED(DEFLATE, "deflate"),
    CLOSED(POLICY, "policy"),
    CLOSED(TOO_BIG, "too_big"),
    CLOSED(INTERNAL, "internal"),
    CLOSED(SHUTDOWN, "shutdown"),
    CLOSED(AGE, "age"),
    CLOSED(DRAIN, "drain"),
    CLOSED(FULL, "full"),
    CLOSED(TOKEN_EXPIRED, "token_expired"),
    CLOSED(PONG_TIMEOUT, "pong_timeout"),
    CLOSED(SLOW_CONSUMER, "slow_consumer"),
    CLOSED(RESET, "reset"),
    CLOSED(TLS, "tls"),
    COUNTER("upgrade_timeouts_total", "Connections whose upgrade request was not whole in time.", upgrade_timeouts),
    COUNTER("close_timeouts_total", "Closing handshakes that the peer did not end in time.", close_timeouts),
    COUNTER("pings_sent_total", "Heartbeat pings sent.", pings_sent),
    COUNTER("pongs_received_total", "Pongs received.", pongs_received),
    COUNTER("pings_received_total", "Pings received, each answered.", pings_received),
    COUNTER("messages_received_total", "Data messages received from clients.", messages_received),
    COUNTER("messages_sent_total", "Data messages sent to clients.", messages_sent),
    COUNTER("received_bytes_total", "Bytes of TLS records received.", bytes_received),
    COUNTER("sent_bytes_total", "Bytes of TLS records sent.", bytes_sent),
    COUNTER("publications_total", "Messages published to channels.", publications),
    COUNTER("messages_inflated_total", "Compressed data messages received from clients.", messages_inflated),
    COUNTER("frames_deflated_total", "Messages compressed, each once for all of a shard's clients.", frames_deflated),
    COUNTER("publications_refused_total", "Messages of clients that may not publish.", publications_refused),
    COUNTER("publications_lost_total", "Publications that found no room, or no memory, on a shard.", publications_lost),
    DROPPED(CLOSE, "close"),
    DROPPED(DROP_OLDEST, "drop_oldest"),
    DROPPED(KEEP_LATEST, "keep_latest"),
    FAILED(DONE, "done"),
    FAILED(AWAY, "away"),
    FAILED(UNKNOWN, "unknown"),
    FAILED(FULL, "full"),
    FAILED(REFUSED, "refused"),
    FAILED(UNAVAILABLE, "unavailable"),
    FAILED(UNRECOVERABLE, "unrecoverable"),
    COUNTER("mailbox_full_total", "Requests that the relay's mailbox had no room for.", mailbox_full),
    COUNTER("receive_no_buffer_total", "Receives that found no shared buffer and were done again.", receive_no_buffer),
    COUNTER("completion_overflows_total", "Times the ring's completion queue was full.", completion_overflows),
    COUNTER("ticks_total", "Turns of the shard's loop.", ticks),
    AGE("last_tick_age_seconds", "Since the shard's last tick; an idle shard ticks once a second, more means that it hangs or gets no time to run.", ticked_ms),
    COUNTER("ring_enters_total", "System calls io_uring_enter.", ring_enters),
    POOL("tls", TLS),
    POOL("openings", OPENINGS),
    POOL("partials", PARTIALS),
    POOL("queued", NODES),
    POOL_SIZE("tls", TLS),
    POOL_SIZE("openings", OPENINGS),
    POOL_SIZE("partials", PARTIALS),
    POOL_SIZE("queued", NODES),
    GAUGE("arena_size_bytes", "Bytes of the shard's arena in all.", arena_size),
    GAUGE("arena_bytes", "Bytes of the shard's arena in use.", arena_bytes),
    GAUGE("queue_bytes", "Bytes that wait for connections, or are being sent.", queue_bytes),
    GAUGE("kernel_bytes", "Of these, bytes that the kernel holds for connections that do not read.", kernel_bytes),
    GAUGE("fanouts_waiting", "Publications that wait for their fan-out.", fanouts_waiting),
    GAUGE("tls_heap_bytes", "Library heap of the handshakes under way.", tls_heap_bytes),
    GAUGE("channels", "Channels with a subscriber.", channels),
    GAUGE("subscriptions", "Subscriptions.", subscriptions),
    GAUGE("timers", "Deadlines set.", timers),
    GAUGE("drain_state", "Draining or stopping: 0 no, 1 orders its connections, 2 closes them, 3 done.", drain_state),
    GAUGE("drain_remaining", "Open connections that the drain, or the stop, has yet to close.", drain_remaining),
    COUNTER("drain_closed_total", "Connections that a drain, or the stop, has closed.", drain_closed),
    TIMES("tick_seconds", "Time of one turn of the shard's loop, without waiting.", tick_time, COUNTS_US_NS),
    TIMES("timer_lag_seconds", "Time from a deadline (ping, time-out) to its work, for each; timers are kept in steps of 10 ms.", timer_lag, COUNTS_MS_NS),
    TIMES("handshake_seconds", "Time from accept to the end of the TLS handshake.", handshake_time, COUNTS_MS_NS),
    TIMES("upgrade_seconds", "Time from the end of the TLS handshake to the answer to the request.", upgrade_time, COUNTS_MS_NS),
    TIMES("fanout_seconds", "Time from a publication's arrival at the shard until it was queued for its last subscriber; of those that went together, the oldest's.", fanout_time, COUNTS_US_NS),
    TIMES("admission_seconds", "Time that clients waited for their TLS handshake to begin.", admission_time, COUNTS_MS_NS),
};
/* clang-format on */

const size_t counts_metrics_size = sizeof(counts_metrics) / sizeof(counts_metrics[0]);
