/*
 * main.c - limpet-bench: one subcommand a scenario.
 */
#include "base/text.h"
#include "bench/idle.h"
#include "bench/storm.h"
#include "bench/traffic.h"

#include <stdio.h>
#include <sysexits.h>

static const char usage[] =
    "Usage: limpet-bench SCENARIO [OPTION...]\n"
    "\n"
    "Load tool for WebSocket servers over TLS.\n"
    "\n"
    "  idle      open many connections, keep them, and report what one costs\n"
    "  fanout    publish to many subscribers, and report what a delivery costs and how long it takes\n"
    "  echo      every connection sends, the server sends back\n"
    "  storm     all connections are cut off at once: how they come back\n"
    "\n"
    "limpet-bench SCENARIO --help tells its options; limpet-bench --version the version.\n";

static int run_scenario(enum bench_scenario scenario, int argc, char **argv)
{
    static char name[64]; /* in messages and in --help */
    struct bench_options options;

    (void)snprintf(name, sizeof(name), "limpet-bench %s", bench_scenario_name(scenario));
    argv[0] = name;
    bench_options_read(&options, scenario, argc, argv);
    if (scenario == SCENARIO_STORM) {
        return storm_run(&options);
    }
    return scenario == SCENARIO_IDLE ? idle_run(&options) : traffic_run(&options);
}

int main(int argc, char **argv)
{
    const char *word = argc > 1 ? argv[1] : "";

    for (enum bench_scenario scenario = SCENARIO_IDLE; scenario <= SCENARIO_STORM; scenario++) {
        if (strcmp(word, bench_scenario_name(scenario)) == 0) {
            return run_scenario(scenario, argc - 1, argv + 1);
        }
    }
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0) {
        text_print(stdout, "%s", usage);
        return 0;
    }
    if (strcmp(word, "--version") == 0) {
        text_print(stdout, "limpet-bench %s\n", LIMPET_VERSION);
        return 0;
    }
    if (*word != '\0') {
        text_print(stderr, "limpet-bench: there is no scenario '%s'\n\n", word);
    }
    text_print(stderr, "%s", usage);
    return EX_USAGE;
}
