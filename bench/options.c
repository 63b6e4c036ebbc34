#include "bench/options.h"

#include "bench/options_messages.h"
#include "bench/options_storm.h"
#include "io/listener.h"

#include <limits.h>

/* argp's messages are not made for threads; here is one only. */
// NOLINTBEGIN(concurrency-mt-unsafe)

enum option_key {
    KEY_URL = 'u',
    KEY_HEADER = 'H',
    KEY_TOKEN = 't',
    KEY_CONNECTIONS = 'n',
    KEY_RATE = 'r',
    KEY_JSON = 'j',
    KEY_SPAWN = 's',
    KEY_TOKENS = 256,
    KEY_IN_FLIGHT,
    KEY_THREADS,
    KEY_TIMEOUT,
    KEY_HOLD,
    KEY_TLS,
    KEY_SUITE,
    KEY_SOURCE,
    KEY_LIMPET,
    KEY_SHARDS,
    KEY_PID,
    KEY_ADMIN,
    KEY_CGROUP,
    KEY_REFERENCE,
    KEY_HTML,
};

static const struct argp_option argp_options[] = {
    {NULL, 0, NULL, 0, "The server", 1},
    {"spawn", KEY_SPAWN, NULL, 0, "Start `limpet serve` on free ports, and stop it at the end", 1},
    {"url", KEY_URL, "URL", 0,
     "wss://HOST[:PORT][/PATH] (or ws://): any WebSocket server that runs", 1},
    {"header", KEY_HEADER, "'NAME: VALUE'", 0,
     "Add a header to the upgrade request (again for more)", 1},
    {"token", KEY_TOKEN, "TOKEN", 0, "Send it as `Authorization: Bearer TOKEN`", 1},
    {"tokens", KEY_TOKENS, "FILE", 0, "Tokens, one a line, taken in turn", 1},
    {NULL, 0, NULL, 0, "The connections", 2},
    {"connections", KEY_CONNECTIONS, "N", 0, "How many to open (default 10000, with messages 1000)",
     2},
    {"rate", KEY_RATE, "N", 0, "New connections per second (default 0: as fast as they complete)",
     2},
    {"in-flight", KEY_IN_FLIGHT, "N", 0, "Handshakes at once (default 256)", 2},
    {"threads", KEY_THREADS, "N", 0, "Client threads (default 1)", 2},
    {"timeout", KEY_TIMEOUT, "SECONDS", 0,
     "Give up a connection that is not open by then (default 20)", 2},
    {"hold", KEY_HOLD, "SECONDS", 0,
     "Keep all of them open, answering pings (default 30, before messages 2)", 2},
    {"tls", KEY_TLS, "1.3|1.2", 0, "The only version offered (default 1.3)", 2},
    {"suite", KEY_SUITE, "NAME", 0, "aes128 (default), aes256 or chacha20: the only suite offered",
     2},
    {"source", KEY_SOURCE, "ADDRESS", 0,
     "Connect from this local address (again for more; default: enough of 127.0.0.0/8 for a loopback "
     "server, else the kernel's choice)",
     2},
    {NULL, 0, NULL, 0, "The spawned server (words after -- go to `limpet serve`)", 4},
    {"limpet", KEY_LIMPET, "PATH", 0, "The program (default: next to this one, else by PATH)", 4},
    {"shards", KEY_SHARDS, "N", 0,
     "Its shards (default: one a core, more if the limits ask for it)", 4},
    {NULL, 0, NULL, 0, "The measurement", 5},
    {"server-pid", KEY_PID, "PID", 0,
     "The server's process (default: found when it is on this machine); its children count too", 5},
    {"admin", KEY_ADMIN, "HOST:PORT", 0, "Admin port of a Limpet with --url, to count its pings",
     5},
    {"cgroup", KEY_CGROUP, "DIR", 0,
     "The server's own cgroup (v2): its memory.stat gives the kernel memory instead of /proc/slabinfo",
     5},
    {"reference", KEY_REFERENCE, "N", 0,
     "Bare TCP connections to measure first, for comparison (default 10000, with messages 0: none)",
     5},
    {NULL, 0, NULL, 0, "The report", 6},
    {"json", KEY_JSON, "FILE", 0, "Write the figures as one JSON object (- for standard output)",
     6},
    {"html", KEY_HTML, "FILE", 0, "Write a report with plots, one file", 6},
    {NULL, 0, NULL, 0, "Help", -1},
    {0},
};

#define DOC_END                                                                                       \
    "\n"                                                                                              \
    "The certificate is not verified. Exit status: 0 when all went as asked for, 1 when not, 64 for " \
    "a wrong command line, 69 when this machine or the server cannot do it."

static const struct {
    const char *name;
    const char *doc;
} scenarios[] = {
    [SCENARIO_IDLE] =
        {"idle",
         "Opens idle wss:// connections with real handshakes, keeps them, and reports what one "
         "costs: time, server CPU, user and kernel memory.\v"
         "Examples:\n"
         "  limpet-bench idle --spawn -n 100000 --html report.html\n"
         "  limpet-bench idle -u wss://127.0.0.1:8443/ -t \"$TOKEN\" -n 20000 -r 2000\n"
         "  limpet-bench idle --spawn -n 50000 --hold 60 -- --heartbeat.ping-interval 10s\n"
         "\n"
         "Kernel memory is read from /proc/slabinfo, which needs root.\n" DOC_END},
    [SCENARIO_FANOUT] =
        {"fanout",
         "Publishes messages to subscribed wss:// connections, and reports what a delivery costs, "
         "how long it takes, and whether all came, once and in order.\v"
         "Examples:\n"
         "  limpet-bench fanout --spawn -n 15000 --messages 200 --html report.html\n"
         "  limpet-bench fanout --spawn -n 1000 --channels 1000 --message-rate 1000 --via redis\n"
         "  limpet-bench fanout -u wss://127.0.0.1:8443/ -t \"$TOKEN\" -n 5000 --channel news\n"
         "\n"
         "Options of the spawned server that a way of publishing needs (broker, API key) follow "
         "after --.\n" DOC_END},
    [SCENARIO_ECHO] =
        {"echo",
         "Every connection sends messages, which the server sends back, and reports what one costs "
         "and how long it takes. Flat out each has one message under way.\v"
         "Examples:\n"
         "  limpet-bench echo --spawn -n 1000 --messages 100000\n"
         "  limpet-bench echo --spawn -n 10000 --message-rate 20000 --duration 30\n" DOC_END},
    [SCENARIO_STORM] =
        {"storm",
         "Cuts off all of many wss:// connections at once, and reports how they come back: with "
         "tickets (TLS resumption), then with full handshakes. A client whose try fails or takes "
         "longer than --timeout tries again after a random time, up to 1 s, 2 s, 4 s ... 20 s.\v"
         "Examples:\n"
         "  limpet-bench storm --spawn -n 10000 --html report.html\n"
         "  limpet-bench storm --spawn -n 50000 --shards 4 --threads 2 --cut server\n"
         "  limpet-bench storm --spawn -n 5000 -- --limits.admissions-per-s 1000\n" DOC_END},
};

static const char *const vias[] = {
    [VIA_CLIENT] = "client", [VIA_REDIS] = "redis", [VIA_HTTP] = "http"};

const char *bench_scenario_name(enum bench_scenario scenario)
{
    return scenarios[scenario].name;
}

const char *bench_via_name(enum bench_via via)
{
    return vias[via];
}

static void read_suite(struct argp_state *state, struct bench_options *options, const char *text)
{
    if (strcmp(text, "aes128") == 0) {
        options->suite = TLS_AES_128_GCM;
    } else if (strcmp(text, "aes256") == 0) {
        options->suite = TLS_AES_256_GCM;
    } else if (strcmp(text, "chacha20") == 0) {
        options->suite = TLS_CHACHA20_POLY1305;
    } else {
        argp_error(state, "--suite: %s is none of aes128, aes256, chacha20", text);
    }
}

static void read_version(struct argp_state *state, struct bench_options *options, const char *text)
{
    if (strcmp(text, "1.3") == 0) {
        options->version = TLS_1_3;
    } else if (strcmp(text, "1.2") == 0) {
        options->version = TLS_1_2;
    } else {
        argp_error(state, "--tls: %s is neither 1.3 nor 1.2", text);
    }
}

static void read_source(struct argp_state *state, struct bench_options *options, const char *text)
{
    char with_port[128];

    if (options->source_count == BENCH_SOURCES_MAX) {
        argp_error(state, "--source: at most %d", BENCH_SOURCES_MAX);
        return;
    }
    (void)snprintf(with_port, sizeof(with_port), strchr(text, ':') ? "[%s]:0" : "%s:0", text);
    if (address_parse(slice_text(with_port), &options->sources[options->source_count]) != 0) {
        argp_error(state, "--source: %s is not an address", text);
    }
    options->source_count++;
}

static void read_header(struct argp_state *state, struct bench_options *options, const char *text)
{
    if (options->header_count == BENCH_HEADERS_MAX) {
        argp_error(state, "--header: at most %d", BENCH_HEADERS_MAX);
        return;
    }
    if (strpbrk(text, "\r\n") || !strchr(text, ':') || *text == ':') {
        argp_error(state, "--header: '%s' is not 'Name: value' on one line", text);
    }
    options->headers[options->header_count++] = text;
}

static error_t parse_number(int key, const char *text, struct argp_state *state,
                            struct bench_options *options)
{
    switch (key) {
    case KEY_CONNECTIONS:
        options->connections = option_number(state, "connections", text, 1, 10000000);
        return 0;
    case KEY_RATE:
        options->rate = option_number(state, "rate", text, 0, 1000000);
        return 0;
    case KEY_IN_FLIGHT:
        options->in_flight_max = option_number(state, "in-flight", text, 1, 65536);
        return 0;
    case KEY_THREADS:
        options->threads = option_number(state, "threads", text, 1, 64);
        return 0;
    case KEY_TIMEOUT:
        options->timeout_ms = 1000 * option_number(state, "timeout", text, 1, 600);
        return 0;
    case KEY_HOLD:
        options->hold_s = option_number(state, "hold", text, 0, 604800);
        return 0;
    case KEY_SHARDS:
        options->shards = option_number(state, "shards", text, 1, 1024);
        return 0;
    case KEY_PID:
        options->server_pid = (int)option_number(state, "server-pid", text, 1, INT_MAX);
        return 0;
    case KEY_REFERENCE:
        options->reference = option_number(state, "reference", text, 0, 100000);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static error_t parse_text(int key, const char *text, struct argp_state *state,
                          struct bench_options *options)
{
    switch (key) {
    case KEY_SPAWN:
        options->spawn = true;
        return 0;
    case KEY_URL:
        options->url = text;
        return 0;
    case KEY_HEADER:
        read_header(state, options, text);
        return 0;
    case KEY_TOKEN:
        options->token = text;
        return 0;
    case KEY_TOKENS:
        options->tokens_path = text;
        return 0;
    case KEY_TLS:
        read_version(state, options, text);
        return 0;
    case KEY_SUITE:
        read_suite(state, options, text);
        return 0;
    case KEY_SOURCE:
        read_source(state, options, text);
        return 0;
    case KEY_LIMPET:
        options->limpet_path = text;
        return 0;
    case KEY_ADMIN:
        options->admin = text;
        return 0;
    case KEY_CGROUP:
        options->cgroup_path = text;
        return 0;
    case KEY_JSON:
        options->json_path = text;
        return 0;
    case KEY_HTML:
        options->html_path = text;
        return 0;
    default:
        return parse_number(key, text, state, options);
    }
}

static bool has_messages(enum bench_scenario scenario)
{
    return scenario == SCENARIO_FANOUT || scenario == SCENARIO_ECHO;
}

static void check(struct argp_state *state, struct bench_options *options)
{
    if (options->spawn == (options->url != NULL)) {
        argp_error(state, "give either --spawn or --url");
    }
    if (options->server_option_count > 0 && !options->spawn) {
        argp_error(state, "words after -- are for the server of --spawn: %s",
                   options->server_options[0]);
    }
    if (options->token && options->tokens_path) {
        argp_error(state, "give either --token or --tokens");
    }
    if (options->token && strpbrk(options->token, "\r\n")) {
        argp_error(state, "--token: it must stand on one line");
    }
    if (options->in_flight_max < options->threads) {
        options->in_flight_max = options->threads;
    }
    if (has_messages(options->scenario)) {
        messages_options_check(state, options);
    } else if (options->scenario == SCENARIO_STORM) {
        storm_options_check(state, options);
    }
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct bench_options *options = state->input;

    switch (key) {
    case ARGP_KEY_INIT:
        if (options->scenario != SCENARIO_IDLE) {
            state->child_inputs[0] = options;
        }
        return 0;
    case ARGP_KEY_ARG:
        /* "--" has been taken away by getopt; every other word is a mistake. */
        if (!state->quoted || state->next - 1 < state->quoted) {
            argp_error(state, "%s is not an option", text);
        }
        options->server_options = &state->argv[state->next - 1];
        options->server_option_count = (uint32_t)(state->argc - state->next + 1);
        state->next = state->argc;
        return 0;
    case ARGP_KEY_END:
        check(state, options);
        return 0;
    default:
        return parse_text(key, text, state, options);
    }
}

void bench_options_read(struct bench_options *options, enum bench_scenario scenario, int argc,
                        char **argv)
{
    const struct argp_child children[] = {
        {has_messages(scenario) ? messages_options(scenario) : storm_options(), 0, NULL, 0}, {0}};
    const struct argp argp = {
        .options = argp_options,
        .parser = parse,
        .args_doc = "--spawn [-- SERVER-OPTION...]\n--url URL",
        .doc = scenarios[scenario].doc,
        .children = scenario == SCENARIO_IDLE ? NULL : children,
    };

    *options = (struct bench_options){.scenario = scenario,
                                      .connections = has_messages(scenario) ? 1000 : 10000,
                                      .in_flight_max = 256,
                                      .threads = 1,
                                      .timeout_ms = scenario == SCENARIO_STORM ? 10000 : 20000,
                                      .hold_s = scenario == SCENARIO_IDLE ? 30 : 2,
                                      .version = TLS_1_3,
                                      .suite = TLS_AES_128_GCM,
                                      .reference = scenario == SCENARIO_IDLE ? 10000 : 0};
    messages_options_init(options);
    storm_options_init(options);
    (void)argp_parse(&argp, argc, argv, 0, NULL, options);
}

// NOLINTEND(concurrency-mt-unsafe)
