/*
 * main.c - limpet-bench: one subcommand a scenario.
 */
#include "bench/idle.h"
#include "bench/text.h"

#include <stdio.h>
#include <sysexits.h>

static const char usage[] =
    "Usage: limpet-bench SCENARIO [OPTION...]\n"
    "\n"
    "Load tool for WebSocket servers over TLS.\n"
    "\n"
    "  idle      open many connections, keep them, and report what one costs\n"
    "\n"
    "limpet-bench SCENARIO --help tells its options; limpet-bench --version the version.\n";

int main(int argc, char **argv)
{
    const char *scenario = argc > 1 ? argv[1] : "";

    if (strcmp(scenario, "idle") == 0) {
        static char name[] = "limpet-bench idle"; /* in messages and in --help */
        struct bench_options options;
        argv[1] = name;
        bench_options_read(&options, argc - 1, argv + 1);
        return idle_run(&options);
    }
    if (strcmp(scenario, "--help") == 0 || strcmp(scenario, "-h") == 0 ||
        strcmp(scenario, "help") == 0) {
        text_print(stdout, "%s", usage);
        return 0;
    }
    if (strcmp(scenario, "--version") == 0) {
        text_print(stdout, "limpet-bench %s\n", LIMPET_VERSION);
        return 0;
    }
    if (*scenario != '\0') {
        text_print(stderr, "limpet-bench: there is no scenario '%s'\n\n", scenario);
    }
    text_print(stderr, "%s", usage);
    return EX_USAGE;
}
