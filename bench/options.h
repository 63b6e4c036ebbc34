/*
 * options.h - the command line of `limpet-bench idle`.
 */
#pragma once

#include "base/bytes.h"
#include "tls/record.h"

#include <netinet/in.h>

#define BENCH_HEADERS_MAX 16
#define BENCH_SOURCES_MAX 64

struct bench_options {
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
};

/*
 * Reads the words after "idle". Ends the program on --help, and with a message and status 64 on
 * words that make no sense. Texts are borrowed from argv.
 */
void bench_options_read(struct bench_options *options, int argc, char **argv);
