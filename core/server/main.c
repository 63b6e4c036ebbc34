/*
 * main.c - the program `limpet`: its subcommands.
 */
#include "server/drain_command.h"
#include "server/init_command.h"
#include "server/reload_command.h"
#include "server/serve.h"
#include "server/token_command.h"

#include <stdio.h>
#include <string.h>
#include <sysexits.h>

static int command_serve(int argc, char **argv)
{
    struct arguments arguments;

    if (arguments_read(&arguments, argc, argv, "",
                       "Serves WebSocket over TLS. Without an options file: dev mode, on loopback, "
                       "with a certificate and a secret of its own.",
                       false) != 0) {
        return EX_CONFIG; /* so that a supervisor does not try the same options again and again */
    }
    int status = serve(&arguments);
    options_free(&arguments.options);
    return status;
}

static int command_check(int argc, char **argv)
{
    struct arguments arguments;

    if (arguments_read(&arguments, argc, argv, "[FILE]",
                       "Checks options, certificates and keys, and prints the memory budget.",
                       true) != 0) {
        return 1;
    }
    int status = serve_check(&arguments);
    options_free(&arguments.options);
    return status;
}

static int command_options(int argc, char **argv)
{
    struct options options;

    (void)argc;
    (void)argv;
    options_init(&options);
    options_describe(&options, stdout);
    options_free(&options);
    return 0;
}

static int command_version(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    (void)printf("limpet %s\n", LIMPET_VERSION);
    return 0;
}

static const struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
} commands[] = {
    {"serve", command_serve, "hold connections; without --options: dev mode"},
    {"check", command_check, "check an options file, print the memory budget"},
    {"reload", reload_command, "a running server reads its options, certificates and keys anew"},
    {"drain", drain_command, "a running server lets its connections go, at a pace"},
    {"token", token_command, "make tokens with the options' or dev mode's HMAC key"},
    {"init", init_command, "make a certificate, a secret and an API key for a first start"},
    {"options", command_options, "list every option with its default"},
    {"version", command_version, "print the version"},
};

static void print_usage(FILE *out)
{
    (void)fprintf(out, "usage: limpet COMMAND [FLAGS]\n\n");
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        (void)fprintf(out, "  %-8s %s\n", commands[i].name, commands[i].help);
    }
    (void)fprintf(out, "\n`limpet COMMAND --help` lists the flags of a command.\n");
}

int main(int argc, char **argv)
{
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0) {
        print_usage(argc < 2 ? stderr : stdout);
        return argc < 2 ? 2 : 0;
    }
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(argv[1], commands[i].name) == 0) {
            char name[64];
            (void)snprintf(name, sizeof(name), "limpet %s", commands[i].name);
            argv[1] = name; /* what argp calls the program */
            return commands[i].run(argc - 1, argv + 1);
        }
    }
    (void)fprintf(stderr, "limpet: no command %s\n\n", argv[1]);
    print_usage(stderr);
    return 2;
}
