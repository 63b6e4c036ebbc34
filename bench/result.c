#include "bench/result.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

void samples_add(struct samples *samples, const struct sample *sample)
{
    if (samples->count > 0 &&
        sample->seconds < samples->items[samples->count - 1].seconds + samples->interval_s) {
        return;
    }
    if (samples->count == SAMPLES_MAX) {
        for (uint32_t i = 0; i < SAMPLES_MAX / 2; i++) {
            samples->items[i] = samples->items[2 * (size_t)i];
        }
        samples->count = SAMPLES_MAX / 2;
        samples->interval_s *= 2;
    }
    samples->items[samples->count++] = *sample;
}

/* The text after "NAME :" of the first such line. */
static void read_line(const char *path, const char *name, char *out, size_t out_size)
{
    char line[256];
    FILE *file = fopen(path, "re");

    out[0] = '\0';
    if (!file) {
        return;
    }
    while (out[0] == '\0' && fgets(line, sizeof(line), file)) {
        const char *colon = strchr(line, ':');
        if (colon && strncmp(line, name, strlen(name)) == 0) {
            (void)snprintf(out, out_size, "%.*s", (int)strcspn(colon + 2, "\n"), colon + 2);
        }
    }
    (void)fclose(file);
}

void machine_read(struct machine *machine)
{
    char memory[64];
    struct utsname name;
    struct tm parts;
    time_t now = time(NULL);

    *machine = (struct machine){.cores = (uint32_t)sysconf(_SC_NPROCESSORS_ONLN)};
    read_line("/proc/cpuinfo", "model name", machine->cpu, sizeof(machine->cpu));
    read_line("/proc/meminfo", "MemTotal", memory, sizeof(memory));
    machine->memory = strtoull(memory, NULL, 10) * 1024;
    if (uname(&name) == 0) {
        (void)snprintf(machine->kernel, sizeof(machine->kernel), "%.60s %.60s", name.sysname,
                       name.release);
    }
    if (gmtime_r(&now, &parts)) {
        (void)strftime(machine->time, sizeof(machine->time), "%Y-%m-%dT%H:%M:%SZ", &parts);
    }
}

static uint64_t sum(const struct result *result, uint32_t first, uint32_t end)
{
    uint64_t count = 0;

    for (uint32_t i = first; i < end; i++) {
        count += result->ended[i];
    }
    return count;
}

uint64_t result_failed(const struct result *result)
{
    return sum(result, 0, OUTCOME_FIRST_LOST);
}

uint64_t result_failed_here(const struct result *result)
{
    return sum(result, 0, OUTCOME_FIRST_OF_SERVER);
}

uint64_t result_lost(const struct result *result)
{
    return sum(result, OUTCOME_FIRST_LOST, OUTCOMES);
}

double result_per_second(const struct traffic *traffic, uint64_t count)
{
    return traffic->seconds > 0 ? (double)count / traffic->seconds : NAN;
}
