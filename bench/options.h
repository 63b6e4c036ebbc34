/*
 * options.h - the command lines of the scenarios.
 */
#pragma once

#include "base/bytes.h"
#include "tls/record.h"

#include <netinet/in.h>

#define BENCH_HEADERS_MAX 16
#define BENCH_SOURCES_MAX 64

enum bench_scenario {
    SCENARIO_IDLE,
    SCENARIO_FANOUT,
    SCENARIO_ECHO,
    SCENARIO_STORM,
};

enum bench_via {
    VIA_CLIENT, /* WebSocket clients send, the server publishes */
    VIA_REDIS,  /* PUBLISH */
    VIA_HTTP,   /* POST /api/publish */
};

/* Of fanout and echo. */
struct bench_messages {
    enum bench_via via;
    uint32_t publishers;
    uint32_t channels;
    uint32_t channels_each; /* of a subscriber */
    uint32_t size;
    uint64_t count;            /* 0: until duration_s */
    uint32_t duration_s;       /* 0: until count */
    uint32_t rate;             /* per second, all together; 0: flat out */
    uint32_t window;           /* flat out: messages under way */
    uint32_t drain_s;          /* silence that ends the wait for what is missing */
    uint32_t arrivals;         /* new connections per second meanwhile */
    const char *channel;       /* its name, or what their names begin with */
    const char *publish_url;   /* of VIA_CLIENT; NULL: the subscribers' */
    const char *publish_token; /* NULL: theirs */
    const char *redis;         /* "HOST:PORT" */
    const char *redis_prefix;
    const char *api; /* "HOST:PORT"; NULL: the spawned server's admin port */
    const char *api_key;
};

/* Of storm. */
struct bench_storm {
    bool with_tickets; /* a storm of them */
    bool with_full;    /* one without */
    bool by_server;    /* it is killed and started again, else we close */
    uint32_t spread_s;
    uint32_t give_up_s;
};

struct bench_options {
    enum bench_scenario scenario;
    const char *url;                        /* NULL with spawn */
    const char *headers[BENCH_HEADERS_MAX]; /* "Name: value" */
    uint32_t header_count;
    const char *token;       /* "Authorization: Bearer"; NULL: none */
    const char *tokens_path; /* one a line, taken in turn; NULL: none */
    uint32_t connections;
    uint32_t rate;          /* new connections per second; 0: as fast as they complete */
    uint32_t in_flight_max; /* handshakes at once, all threads together */
    uint32_t threads;
    uint32_t timeout_ms; /* connect to upgrade, each connection */
    uint32_t hold_s;
    enum tls_version version;
    enum tls_suite suite;
    struct sockaddr_in6 sources[BENCH_SOURCES_MAX]; /* addresses to connect from */
    uint32_t source_count;
    bool spawn;
    const char *limpet_path;     /* NULL: next to this program, else by PATH */
    char *const *server_options; /* what follows "--": passed to the server */
    uint32_t server_option_count;
    uint32_t shards;         /* of a spawned server; 0: enough */
    int server_pid;          /* 0: find it */
    const char *admin;       /* "HOST:PORT" of a Limpet's admin port; NULL: none */
    const char *cgroup_path; /* v2 cgroup of the server whose memory.stat is read; NULL: none */
    uint32_t reference;      /* bare TCP connections to measure first; 0: none */
    const char *json_path;
    const char *html_path;
    struct bench_messages messages;
    struct bench_storm storm;
    uint32_t others_max; /* connections besides: publishers and arrivals */
};

MUST_CHECK const char *bench_scenario_name(enum bench_scenario scenario);
MUST_CHECK const char *bench_via_name(enum bench_via via);

/*
 * Reads the words after the scenario's name. Ends the program on --help, and with a message and
 * status 64 on words that make no sense. Texts are borrowed from argv.
 */
void bench_options_read(struct bench_options *options, enum bench_scenario scenario, int argc,
                        char **argv);
