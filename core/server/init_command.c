#include "server/init_command.h"

#include "server/state.h"

#include <argp.h>

#define KEY_STATE 1

/* NOLINTNEXTLINE(readability-non-const-parameter): the type is argp's. */
static error_t gather(int key, char *value, struct argp_state *argp)
{
    const char **directory = argp->input;

    if (key != KEY_STATE) {
        return ARGP_ERR_UNKNOWN;
    }
    *directory = value;
    return 0;
}

int init_command(int argc, char **argv)
{
    static const struct argp_option flags[] = {
        {"state", KEY_STATE, "DIR", 0, "The folder; unset: dev mode's", 0},
        {0},
    };
    const struct argp argp = {
        .options = flags,
        .parser = gather,
        .doc = "Makes a self-signed certificate with its key, the secret of tokens, and a key of "
               "the HTTP API in a folder. What is there stays.",
    };
    const char *directory = NULL;
    struct state state;
    char message[1024];

    /* NOLINTNEXTLINE(concurrency-mt-unsafe): before any thread starts. */
    if (argp_parse(&argp, argc, argv, 0, NULL, &directory) != 0) {
        return 1;
    }
    if (state_open(&state, directory, message, sizeof(message)) != 0) {
        (void)fprintf(stderr, "limpet: %s\n", message);
        return 1;
    }
    (void)printf("%s\n"
                 "  tls.certificates      %s, %s\n"
                 "  token.keys            %s (HS256)\n"
                 "  admin.api_key_file    %s\n",
                 state.is_new ? "made:" : "all there already:", state.certificate_path,
                 state.key_path, state.secret_path, state.api_key_path);
    return 0;
}
