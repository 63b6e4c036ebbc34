#include "server/control_client.h"

#include "admin/control.h"
#include "admin/raw_json.h"
#include "server/controls.h"
#include "server/state.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MESSAGE_SIZE 1024
#define URL_SIZE     1024
#define KEY_STATE    256

/* NOLINTNEXTLINE(readability-non-const-parameter): the type is argp's. */
static error_t gather(int key, char *value, struct argp_state *argp)
{
    struct control_where *where = argp->input;

    switch (key) {
    case 'c':
        where->control_path = value;
        return 0;
    case 'o':
        where->options_path = value;
        return 0;
    case KEY_STATE:
        where->state_directory = value;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option flags[] = {
    {"control", 'c', "PATH", 0, "The server's control socket", 0},
    {"options", 'o', "FILE", 0, "Take its path (admin.control) from this options file", 0},
    {"state", KEY_STATE, "DIR", 0, "Dev mode's state folder: the socket in it", 0},
    {0}};

const struct argp control_client_argp = {.options = flags, .parser = gather};

static int find_in_options(const char *options_path, char path[CONTROL_PATH_SIZE])
{
    struct options options;
    int result;

    options_init(&options);
    result = options_read_file(&options, options_path, stderr);
    if (result == 0 && !controls_path(&options, path)) {
        (void)fprintf(stderr,
                      "limpet: %s names no control socket: set admin.control, or say --control\n",
                      options_path);
        result = -1;
    }
    options_free(&options);
    return result;
}

/* The first that there is, of where a server has it without being told. */
static int find_standard(const char *state_directory, char path[CONTROL_PATH_SIZE])
{
    struct state state;

    if (!state_directory && access(CONTROL_PATH_STANDARD, F_OK) == 0) {
        (void)snprintf(path, CONTROL_PATH_SIZE, "%s", CONTROL_PATH_STANDARD);
        return 0;
    }
    if (state_locate(&state, state_directory) != 0 ||
        strlen(state.control_path) >= CONTROL_PATH_SIZE || access(state.control_path, F_OK) != 0) {
        (void)fprintf(stderr,
                      "limpet: no control socket, neither %s nor %s: is the server running, and as "
                      "this user? Say where it is with --control or --options\n",
                      CONTROL_PATH_STANDARD, state.control_path);
        return -1;
    }
    memcpy(path, state.control_path, strlen(state.control_path) + 1);
    return 0;
}

static int find(const struct control_where *where, char path[CONTROL_PATH_SIZE])
{
    if (where->control_path) {
        if (strlen(where->control_path) >= CONTROL_PATH_SIZE) {
            (void)fprintf(stderr, "limpet: %s: too long for a socket\n", where->control_path);
            return -1;
        }
        (void)snprintf(path, CONTROL_PATH_SIZE, "%s", where->control_path);
        return 0;
    }
    if (where->options_path) {
        return find_in_options(where->options_path, path);
    }
    return find_standard(where->state_directory, path);
}

int control_client_ask(const struct control_where *where, const char *method, const char *target,
                       struct fetch_answer *answer)
{
    char path[CONTROL_PATH_SIZE];
    char url[URL_SIZE];
    char message[MESSAGE_SIZE];

    if (find(where, path) != 0) {
        return -1;
    }
    (void)snprintf(url, sizeof(url), "http://localhost%s", target);
    const struct fetch_request request = {
        .url = url,
        .method = method,
        .unix_socket = path,
        .timeout_ms = CONTROL_WAIT_MS_MAX + 5000,
        .size_max = CONTROL_ANSWER_SIZE_MAX,
    };
    fetch_setup();
    if (fetch(&request, answer, message, sizeof(message)) != 0) {
        (void)fprintf(stderr, "limpet: no answer from %s\n", message);
        return -1;
    }
    return 0;
}

/* The text of the member "error", in memory to be freed; NULL: it is no such object. */
static char *error_of(struct slice answer)
{
    struct slice name;
    struct slice value;
    size_t bad_at;

    if (!raw_json_check(answer, &bad_at)) {
        return NULL;
    }
    answer = raw_json_trim(answer);
    if (raw_json_kind_of(answer) != RAW_JSON_OBJECT) {
        return NULL;
    }
    while (raw_json_next_member(&answer, &name, &value)) {
        if (slice_equal(name, slice_text("\"error\"")) &&
            raw_json_kind_of(value) == RAW_JSON_STRING) {
            char *text = calloc(1, value.size);
            ASSERT(text != NULL);
            const int64_t size = raw_json_decode_string(value, (uint8_t *)text);
            text[size > 0 ? size : 0] = '\0';
            return text;
        }
    }
    return NULL;
}

void control_client_complain(const struct fetch_answer *answer, const char *meaning)
{
    const struct slice whole = slice_from(answer->data, answer->size);
    char *error = error_of(whole);
    const struct slice text = error ? slice_text(error) : whole;
    const bool ends_line = text.size > 0 && text.data[text.size - 1] == '\n';

    (void)fprintf(stderr, "limpet: %s%.*s\n", meaning, (int)(text.size - (ends_line ? 1 : 0)),
                  (const char *)text.data);
    free(error);
}
