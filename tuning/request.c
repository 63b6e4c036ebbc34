#include "tuning/request.h"

#include <argp.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* argp's messages are not made for threads; here is one only. */
// NOLINTBEGIN(concurrency-mt-unsafe)

#define USAGE_STATUS    2
#define CONNECTIONS_MAX 100000000u /* ten times what any host was seen to hold */
#define RATE_MAX        10000000u

static const char usage[] =
    "usage: limpet-tune VERB [FLAG...]\n"
    "\n"
    "  plan     what this host must be set to for so many connections, and why\n"
    "  check    the same as a table: ok, low, risky; what bit already; --watch: live\n"
    "  apply    writes the plan to sysctl.d, the service's unit and limits.d; --dry-run shows it\n"
    "  revert   takes back exactly what apply wrote\n"
    "  profile  prints one of the shipped sysctl.d profiles\n"
    "\n"
    "limpet-tune VERB --help lists the flags of a verb.\n";

static const struct verb {
    const char *name;
    const char *arguments;
    const char *help;
} verbs[] = {
    [VERB_PLAN] = {"plan", "", "Computes every setting that a target needs on this host."},
    [VERB_CHECK] = {"check", "",
                    "Compares this host with its target. Status: 0 all is well, 1 something is low "
                    "or risky, 2 something could not be read."},
    [VERB_APPLY] = {"apply", "", "Writes what the plan wants; all of it or nothing."},
    [VERB_REVERT] = {"revert", "", "Takes back what apply wrote."},
    [VERB_PROFILE] = {"profile", "[NAME]",
                      "Prints a profile for sysctl.d; without NAME lists them."},
};

enum flag_key {
    KEY_CONNECTIONS = 'n',
    KEY_RATE = 'r',
    KEY_OPTIONS = 'o',
    KEY_YES = 'y',
    KEY_NIC = 256,
    KEY_LOAD_HOST,
    KEY_ROOT,
    KEY_JSON,
    KEY_PID,
    KEY_WATCH,
    KEY_INTERVAL,
    KEY_COUNT,
    KEY_DRY_RUN,
};

#define FOR(verb)  (1u << (verb))
#define FOR_TARGET (FOR(VERB_PLAN) | FOR(VERB_CHECK) | FOR(VERB_APPLY))

static const struct flag {
    struct argp_option option;
    unsigned verbs; /* that take it */
} flags[] = {
    {{"connections", KEY_CONNECTIONS, "N", 0, "The target: connections open at once", 1},
     FOR_TARGET},
    {{"connect-rate", KEY_RATE, "R", 0,
      "New connections a second (default: all of them back within 20 s)", 1},
     FOR_TARGET},
    {{"load-host", KEY_LOAD_HOST, NULL, 0, "The host opens the connections (limpet-bench)", 1},
     FOR_TARGET},
    {{"options", KEY_OPTIONS, "FILE", 0,
      "The server's options: shards, heartbeat, backlog, connections_max", 1},
     FOR_TARGET},
    {{"nic", KEY_NIC, "IF", 0, "The network interface (default: of the default route)", 1},
     FOR_TARGET},
    {{"pid", KEY_PID, "PID", 0, "The running server (default: found by its name)", 1}, FOR_TARGET},
    {{"watch", KEY_WATCH, NULL, 0, "Show the counters live, as rates", 1}, FOR(VERB_CHECK)},
    {{"interval", KEY_INTERVAL, "S", 0, "Seconds between two readings (default 1)", 1},
     FOR(VERB_CHECK)},
    {{"count", KEY_COUNT, "K", 0, "With --watch: end after K readings", 1}, FOR(VERB_CHECK)},
    {{"dry-run", KEY_DRY_RUN, NULL, 0, "Show what would be written, and write nothing", 1},
     FOR(VERB_APPLY) | FOR(VERB_REVERT)},
    {{"yes", KEY_YES, NULL, 0, "Do not ask", 1}, FOR(VERB_APPLY) | FOR(VERB_REVERT)},
    {{"json", KEY_JSON, NULL, 0, "Write JSON", 1}, FOR(VERB_PLAN) | FOR(VERB_CHECK)},
    {{"root", KEY_ROOT, "DIR", 0, "Read and write below DIR instead of / (for tests)", 2},
     FOR_TARGET | FOR(VERB_REVERT)},
};

#define FLAG_COUNT (sizeof(flags) / sizeof(flags[0]))

static uint64_t read_count(const char *text, const char *flag, uint64_t max,
                           const struct argp_state *state)
{
    char *end = NULL;

    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || errno != 0 || value == 0 || value > max) {
        argp_error(state, "--%s %s: must be a whole number from 1 to %llu", flag, text,
                   (unsigned long long)max);
    }
    return value;
}

static uint32_t read_seconds(const char *text, const struct argp_state *state)
{
    char *end = NULL;
    double value = strtod(text, &end);

    if (end == text || *end != '\0' || !(value >= 0.05) || !(value <= 3600)) {
        argp_error(state, "--interval %s: must be a number of seconds from 0.05 to 3600", text);
    }
    return (uint32_t)(value * 1000);
}

static const char *read_root(const char *text, const struct argp_state *state)
{
    if (access(text, R_OK | X_OK) != 0) {
        argp_error(state, "--root %s: %s", text, strerrordesc_np(errno));
    }
    return strcmp(text, "/") == 0 ? "" : text;
}

/* An interface's name becomes a part of a path. */
static const char *read_nic(const char *text, const struct argp_state *state)
{
    if (*text == '\0' || strchr(text, '/') || strcmp(text, ".") == 0 || strcmp(text, "..") == 0) {
        argp_error(state, "--nic %s: is no name of an interface; `ip -br link` lists them", text);
    }
    return text;
}

/* NOLINTNEXTLINE(readability-non-const-parameter): the type is argp's. */
static error_t take_flag(int key, char *value, struct argp_state *state)
{
    struct request *request = state->input;

    switch (key) {
    case KEY_CONNECTIONS:
        request->connections = read_count(value, "connections", CONNECTIONS_MAX, state);
        return 0;
    case KEY_RATE:
        request->connect_rate = read_count(value, "connect-rate", RATE_MAX, state);
        return 0;
    case KEY_PID:
        request->pid = (pid_t)read_count(value, "pid", INT_MAX, state);
        return 0;
    case KEY_COUNT:
        request->count = (uint32_t)read_count(value, "count", UINT32_MAX, state);
        return 0;
    case KEY_INTERVAL:
        request->interval_ms = read_seconds(value, state);
        return 0;
    case KEY_OPTIONS:
        request->options_path = value;
        return 0;
    case KEY_NIC:
        request->nic = read_nic(value, state);
        return 0;
    case KEY_ROOT:
        request->root = read_root(value, state);
        return 0;
    case KEY_LOAD_HOST:
        request->is_load_host = true;
        return 0;
    case KEY_WATCH:
        request->watch = true;
        return 0;
    case KEY_JSON:
        request->json = true;
        return 0;
    case KEY_YES:
        request->yes = true;
        return 0;
    case KEY_DRY_RUN:
        request->dry_run = true;
        return 0;
    case ARGP_KEY_ARG:
        if (request->verb != VERB_PROFILE || request->profile) {
            argp_error(state, "%s: nothing is known of this word", value);
        }
        request->profile = value;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static void read_flags(struct request *request, int argc, char **argv)
{
    static char name[64]; /* in messages and in --help */
    struct argp_option table[FLAG_COUNT + 1] = {0};
    size_t count = 0;

    for (size_t i = 0; i < FLAG_COUNT; i++) {
        if (flags[i].verbs & FOR(request->verb)) {
            table[count++] = flags[i].option;
        }
    }
    const struct argp argp = {.options = table,
                              .parser = take_flag,
                              .args_doc = verbs[request->verb].arguments,
                              .doc = verbs[request->verb].help};
    (void)snprintf(name, sizeof(name), "limpet-tune %s", verbs[request->verb].name);
    argv[0] = name;
    argp_err_exit_status = USAGE_STATUS;
    if (argp_parse(&argp, argc, argv, 0, NULL, request) != 0) {
        exit(USAGE_STATUS);
    }
    if (request->watch && request->json) {
        (void)fprintf(stderr, "limpet-tune check: --watch has no JSON form; call check --json "
                              "again and again instead\n");
        exit(USAGE_STATUS);
    }
}

void request_read(struct request *request, int argc, char **argv)
{
    const char *word = argc > 1 ? argv[1] : "";

    *request = (struct request){.root = "", .interval_ms = 1000};
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        if (strcmp(word, verbs[i].name) == 0) {
            request->verb = (enum request_verb)i;
            read_flags(request, argc - 1, argv + 1);
            return;
        }
    }
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0) {
        (void)fputs(usage, stdout);
        exit(0);
    }
    if (strcmp(word, "--version") == 0 || strcmp(word, "version") == 0) {
        (void)printf("limpet-tune %s\n", LIMPET_VERSION);
        exit(0);
    }
    if (*word != '\0') {
        (void)fprintf(stderr, "limpet-tune: there is no verb '%s'\n\n", word);
    }
    (void)fputs(usage, stderr);
    exit(USAGE_STATUS);
}

// NOLINTEND(concurrency-mt-unsafe)
