#include "server/arguments.h"

#include "session/token.h"

#include <argp.h>
#include <stdlib.h>

#define FLAGS_MAX   ARGUMENTS_FLAGS_MAX
#define KEY_OPTIONS 1
#define KEY_STATE   2
#define KEY_FIRST   1000 /* of the options themselves */

/* What argp works on: flags are applied after the file was read. */
struct gathered {
    struct arguments *arguments;
    bool takes_path;
};

/* NOLINTNEXTLINE(readability-non-const-parameter): the type is argp's. */
static error_t gather(int key, char *value, struct argp_state *argp)
{
    struct gathered *gathered = argp->input;

    if (key >= KEY_FIRST && key < KEY_FIRST + FLAGS_MAX) { /* argp's own keys lie above */
        struct arguments *arguments = gathered->arguments;
        if (arguments->flag_count == FLAGS_MAX) {
            /* NOLINTNEXTLINE(concurrency-mt-unsafe): before any thread starts. */
            argp_error(argp, "more than %d flags", FLAGS_MAX);
        }
        arguments->flags[arguments->flag_count].index = (size_t)(key - KEY_FIRST);
        arguments->flags[arguments->flag_count].value = value;
        arguments->flag_count++;
        return 0;
    }
    switch (key) {
    case KEY_OPTIONS:
        gathered->arguments->options_path = value;
        return 0;
    case KEY_STATE:
        gathered->arguments->state_directory = value;
        return 0;
    case ARGP_KEY_ARG:
        if (!gathered->takes_path || gathered->arguments->options_path) {
            return ARGP_ERR_UNKNOWN;
        }
        gathered->arguments->options_path = value;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* "heartbeat.ping_interval" as a flag: "heartbeat.ping-interval". */
static char *flag_name(const char *name)
{
    char *flag = strdup(name);

    ASSERT(flag != NULL);
    for (char *p = flag; *p; p++) {
        if (*p == '_') {
            *p = '-';
        }
    }
    return flag;
}

/* argp's table: ours, then one entry for each option. Lives as long as the program. */
static const struct argp_option *flag_table(void)
{
    static struct argp_option table[FLAGS_MAX + 3];
    size_t count = 0;
    const struct option_info *info;

    table[count++] = (struct argp_option){
        "options", KEY_OPTIONS, "FILE", 0, "Read FILE (YAML); without it: dev mode", 0};
    table[count++] = (struct argp_option){
        "state", KEY_STATE, "DIR", 0, "Dev mode's folder for its certificate and secret", 0};
    for (size_t i = 0; (info = options_info(i)) != NULL; i++) {
        ASSERT(count < FLAGS_MAX);
        table[count++] = (struct argp_option){
            flag_name(info->name), KEY_FIRST + (int)i, info->value, 0, info->help, 1};
    }
    return table;
}

static int apply_flags(const struct arguments *arguments, struct options *options, FILE *errors)
{
    char message[512];

    for (size_t i = 0; i < arguments->flag_count; i++) {
        const char *name = options_info(arguments->flags[i].index)->name;
        if (options_set(options, name, arguments->flags[i].value, message, sizeof(message)) != 0) {
            char *flag = flag_name(name);
            (void)fprintf(errors, "limpet: --%s: %s\n", flag, message);
            free(flag);
            return -1;
        }
        options->lines[arguments->flags[i].index] = 0;
    }
    return 0;
}

/* The options file or dev mode's own, then the flags. */
static int read_options(const struct arguments *arguments, struct options *options, FILE *errors)
{
    if (!arguments->options_path) {
        state_set_options(&arguments->state, options);
    } else if (options_read_file(options, arguments->options_path, errors) != 0) {
        return -1;
    }
    if (apply_flags(arguments, options, errors) != 0) {
        return -1;
    }
    return options_validate(options, errors);
}

int arguments_read_again(const struct arguments *arguments, struct options *options, FILE *errors)
{
    options_init(options);
    return read_options(arguments, options, errors);
}

static int open_state(struct arguments *arguments)
{
    char message[1024];

    if (!arguments->options_path &&
        state_open(&arguments->state, arguments->state_directory, message, sizeof(message)) != 0) {
        (void)fprintf(stderr, "limpet: %s\n", message);
        return -1;
    }
    return 0;
}

int arguments_read(struct arguments *arguments, int argc, char **argv, const char *usage,
                   const char *help, bool takes_path)
{
    struct argp argp = {.options = flag_table(), .parser = gather, .args_doc = usage, .doc = help};
    struct gathered gathered = {.arguments = arguments, .takes_path = takes_path};

    *arguments = (struct arguments){0};
    options_init(&arguments->options);
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): before any thread starts. */
    if (argp_parse(&argp, argc, argv, 0, NULL, &gathered) != 0 || open_state(arguments) != 0 ||
        read_options(arguments, &arguments->options, stderr) != 0) {
        options_free(&arguments->options);
        return -1;
    }
    return 0;
}

void arguments_token_options(const struct options *options, struct token_key_options *keys,
                             struct token_options *token_options)
{
    for (uint32_t i = 0; i < options->token.key_count; i++) {
        keys[i] = (struct token_key_options){.kid = options->token.keys[i].kid,
                                             .algorithm = options->token.keys[i].algorithm,
                                             .path = options->token.keys[i].path};
    }
    *token_options = (struct token_options){
        .keys = keys,
        .key_count = options->token.key_count,
        .issuer = options->token.issuer,
        .audience = options->token.audience,
        .leeway_s = options->token.leeway_s,
        .require_expiry = options->token.require_expiry,
        .token_size_max = options->token.size_max,
        .channels_max = options->token.channels_max,
        .channel_size_max = options->token.channel_size_max,
    };
}
