#include "server/reload_command.h"

#include "server/control_client.h"

#include <stdio.h>
#include <stdlib.h>

struct wanted {
    struct control_where where;
    bool is_json;
};

/* NOLINTNEXTLINE(readability-non-const-parameter): the type is argp's. */
static error_t gather(int key, char *value, struct argp_state *argp)
{
    struct wanted *wanted = argp->input;

    (void)value;
    if (key == 'j') {
        wanted->is_json = true;
        return 0;
    }
    if (key == ARGP_KEY_INIT) {
        argp->child_inputs[0] = &wanted->where;
        return 0;
    }
    return ARGP_ERR_UNKNOWN;
}

int reload_command(int argc, char **argv)
{
    static const struct argp_option table[] = {
        {"json", 'j', NULL, 0, "Print what came of it as JSON", 0}, {0}};
    static const struct argp_child children[] = {{&control_client_argp, 0, NULL, 0}, {0}};
    static const struct argp argp = {
        .options = table,
        .parser = gather,
        .doc = "A running server reads its options, certificates and keys anew.",
        .children = children};
    struct wanted wanted = {.where = {.control_path = NULL}};
    struct fetch_answer answer;

    /* NOLINTNEXTLINE(concurrency-mt-unsafe): before any thread starts. */
    if (argp_parse(&argp, argc, argv, 0, NULL, &wanted) != 0 ||
        control_client_ask(&wanted.where, "POST",
                           wanted.is_json ? "/reload" : "/reload?format=text", &answer) != 0) {
        return 1;
    }
    const int status = answer.status == 200 ? 0 : 1;
    if (wanted.is_json) {
        (void)puts(answer.data);
    } else if (status != 0) {
        control_client_complain(&answer, "not reloaded, nothing has changed: ");
    } else {
        (void)fputs(answer.data, stdout);
    }
    free(answer.data);
    return status;
}
