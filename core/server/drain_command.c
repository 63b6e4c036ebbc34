#include "server/drain_command.h"

#include "admin/raw_json.h"
#include "server/control_client.h"
#include "server/drain.h"
#include "server/options_value.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define TARGET_SIZE      64
#define PROGRESS_MS      1000
#define PROGRESS_LINES_S 5 /* where each look would be a line of a log */

#define KEY_STATUS 1
#define KEY_UNDO   2
#define KEY_JSON   3
#define KEY_LEAVE  4
#define KEY_OVER   5

enum verb {
    VERB_BEGIN,
    VERB_STATUS,
    VERB_UNDO,
};

struct wanted {
    struct control_where where;
    enum verb verb;
    bool has_over;
    bool is_json;
    bool leaves; /* does not wait for the end */
    uint32_t over_ms;
};

/* What the server says of itself. */
struct standing {
    bool is_on;
    bool is_done;
    uint64_t open;
    uint64_t remaining;
    uint64_t closed;
    uint64_t over_ms;
    uint64_t elapsed_ms;
};

static void set_over(struct wanted *wanted, const char *value, struct argp_state *argp)
{
    static const struct option_row row = {
        .info = {.name = "over", .value = "DURATION"},
        .max = DRAIN_OVER_MS_MAX,
        .kind = OPTION_DURATION_MS,
        .check = OPTION_ZERO,
    };
    char message[256];

    wanted->has_over = true;
    if (option_value_set(&wanted->over_ms, &row, value, message, sizeof(message)) != 0) {
        /* NOLINTNEXTLINE(concurrency-mt-unsafe): there is one thread. */
        argp_error(argp, "--over: %s", message);
    }
}

/* NOLINTNEXTLINE(readability-non-const-parameter): the type is argp's. */
static error_t gather(int key, char *value, struct argp_state *argp)
{
    struct wanted *wanted = argp->input;

    switch (key) {
    case ARGP_KEY_INIT:
        argp->child_inputs[0] = &wanted->where;
        return 0;
    case KEY_OVER:
        set_over(wanted, value, argp);
        return 0;
    case KEY_STATUS:
        wanted->verb = VERB_STATUS;
        return 0;
    case KEY_UNDO:
        wanted->verb = VERB_UNDO;
        return 0;
    case KEY_JSON:
        wanted->is_json = true;
        return 0;
    case KEY_LEAVE:
        wanted->leaves = true;
        return 0;
    case ARGP_KEY_END:
        if (wanted->has_over != (wanted->verb == VERB_BEGIN)) {
            /* NOLINTNEXTLINE(concurrency-mt-unsafe): there is one thread. */
            argp_error(argp, "say one of --over TIME, --status and --undo");
        }
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static bool is_text(struct slice value, const char *text)
{
    return value.size == strlen(text) + 2 && memcmp(value.data + 1, text, value.size - 2) == 0;
}

/* The numbers of an answer; what is not there stays 0. */
static void read_standing(struct slice text, struct standing *standing)
{
    const struct {
        const char *name;
        uint64_t *place;
    } numbers[] = {
        {"open", &standing->open},
        {"remaining", &standing->remaining},
        {"closed", &standing->closed},
        {"over_ms", &standing->over_ms},
        {"elapsed_ms", &standing->elapsed_ms},
    };
    struct slice name;
    struct slice value;
    size_t bad_at;

    *standing = (struct standing){0};
    if (!raw_json_check(text, &bad_at)) {
        return;
    }
    text = raw_json_trim(text);
    while (raw_json_next_member(&text, &name, &value)) {
        int64_t number = 0;
        for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
            if (is_text(name, numbers[i].name) && raw_json_decode_integer(value, &number)) {
                *numbers[i].place = (uint64_t)number;
            }
        }
        if (is_text(name, "state")) {
            standing->is_on = !is_text(value, "none");
            standing->is_done = is_text(value, "drained");
        }
    }
}

/* Asks, prints a refusal, or all of the answer when that is wanted. 0 or -1. */
static int ask(const struct wanted *wanted, const char *method, const char *target,
               struct standing *standing)
{
    struct fetch_answer answer;

    if (control_client_ask(&wanted->where, method, target, &answer) != 0) {
        return -1;
    }
    const bool is_good = answer.status == 200;
    if (!is_good) {
        control_client_complain(&answer, "");
    } else if (wanted->is_json) {
        (void)puts(answer.data);
        (void)fflush(stdout);
    }
    read_standing(slice_from((const uint8_t *)answer.data, answer.size), standing);
    free(answer.data);
    return is_good ? 0 : -1;
}

static void print_standing(const struct standing *standing, bool on_terminal)
{
    const double elapsed_s = (double)standing->elapsed_ms / 1000;
    const double rate = elapsed_s > 0 ? (double)standing->closed / elapsed_s : 0;

    if (!standing->is_on) {
        (void)printf("not draining: %llu connections open\n", (unsigned long long)standing->open);
        return;
    }
    (void)printf("%s%s %6.0f s of %.0f s   %10llu closed   %10llu left   %8.0f a second%s",
                 on_terminal ? "\r" : "", standing->is_done ? "drained " : "draining", elapsed_s,
                 (double)standing->over_ms / 1000, (unsigned long long)standing->closed,
                 (unsigned long long)standing->remaining, rate,
                 on_terminal && !standing->is_done ? "" : "\n");
    (void)fflush(stdout);
}

/* Shows how far it is until all have been told. Whoever ends this ends no drain. */
static int watch(const struct wanted *wanted, struct standing *standing)
{
    const struct timespec pause = {.tv_sec = PROGRESS_MS / 1000};
    const bool on_terminal = isatty(STDOUT_FILENO) == 1;

    for (uint32_t looks = 0; standing->is_on && !standing->is_done; looks++) {
        if (!wanted->is_json && (on_terminal || looks % PROGRESS_LINES_S == 0)) {
            print_standing(standing, on_terminal);
        }
        (void)nanosleep(&pause, NULL);
        if (ask(wanted, "GET", "/drain", standing) != 0) {
            return -1;
        }
    }
    if (!wanted->is_json) {
        print_standing(standing, on_terminal);
    }
    return standing->is_done ? 0 : -1; /* else somebody took it back */
}

static int act(const struct wanted *wanted)
{
    struct standing standing;
    char target[TARGET_SIZE];

    switch (wanted->verb) {
    case VERB_BEGIN:
        (void)snprintf(target, sizeof(target), "/drain?over_ms=%u", wanted->over_ms);
        if (ask(wanted, "POST", target, &standing) != 0) {
            return -1;
        }
        if (!wanted->leaves) {
            return watch(wanted, &standing);
        }
        break;
    case VERB_STATUS:
        if (ask(wanted, "GET", "/drain", &standing) != 0) {
            return -1;
        }
        break;
    case VERB_UNDO:
        if (ask(wanted, "DELETE", "/drain", &standing) != 0) {
            return -1;
        }
        break;
    }
    if (!wanted->is_json) {
        print_standing(&standing, false);
    }
    return 0;
}

int drain_command(int argc, char **argv)
{
    static const struct argp_option flags[] = {
        {"over", KEY_OVER, "TIME", 0, "Let all go within this: 0, 90s, 10m, at most 24h", 0},
        {"status", KEY_STATUS, NULL, 0, "Only say how far it is", 0},
        {"undo", KEY_UNDO, NULL, 0, "Take it back: accept connections again", 0},
        {"no-wait", KEY_LEAVE, NULL, 0, "With --over: do not wait until all have been told", 0},
        {"json", KEY_JSON, NULL, 0, "Print the server's answers as they are", 0},
        {0},
    };
    static const struct argp_child children[] = {{&control_client_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {
        .options = flags,
        .parser = gather,
        .doc = "A running server is not ready any more, accepts nobody, and lets its connections "
               "go, the oldest first, at an even pace, with a close code that makes clients come "
               "back elsewhere (1012). It goes on when this command is interrupted, and the "
               "server stays up.",
        .children = children};
    struct wanted wanted = {.verb = VERB_BEGIN};

    /* NOLINTNEXTLINE(concurrency-mt-unsafe): there is one thread. */
    if (argp_parse(&argp, argc, argv, 0, NULL, &wanted) != 0) {
        return 1;
    }
    return act(&wanted) == 0 ? 0 : 1;
}
