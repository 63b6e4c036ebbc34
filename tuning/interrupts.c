#include "tuning/interrupts.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#define IRQS_MAX  4096u
#define CPUS_MAX  4096u
#define LINE_SIZE 32768u /* of /proc/interrupts: a column for each CPU */

struct irqs {
    bool is_of_nic[IRQS_MAX];
    uint32_t count;
};

static void list_folder(const char *root, const char *path, struct irqs *irqs)
{
    char full[HOST_PATH_MAX];
    struct dirent *entry;
    DIR *folder = host_path(root, path, full) ? opendir(full) : NULL;

    /* NOLINTNEXTLINE(concurrency-mt-unsafe): a stream of its own. */
    while (folder && (entry = readdir(folder)) != NULL) {
        const unsigned long number = strtoul(entry->d_name, NULL, 10);
        if (number > 0 && number < IRQS_MAX) {
            irqs->is_of_nic[number] = true;
            irqs->count++;
        }
    }
    if (folder) {
        (void)closedir(folder);
    }
}

/* Of a virtual interface it is the bus below the device that has them. */
static void list_irqs(const char *root, const char *nic, struct irqs *irqs)
{
    static const char *const folders[] = {"msi_irqs", "../msi_irqs"};

    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]) && irqs->count == 0; i++) {
        char path[256];
        (void)snprintf(path, sizeof(path), "/sys/class/net/%s/device/%s", nic, folders[i]);
        list_folder(root, path, irqs);
    }
}

/* By name: what manages the device interrupts hardly ever, wherever it does. */
static bool is_of_queue(const char *line)
{
    static const char *const others[] = {"config", "async", "mgmnt", "cmd", "-event"};

    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (strstr(line, others[i])) {
            return false;
        }
    }
    return true;
}

/* Where it goes now, which may be less than where it may go. NONE: not known. */
static uint32_t cpu_of(const char *root, unsigned long irq)
{
    char path[64];
    char text[HOST_TEXT_MAX];

    (void)snprintf(path, sizeof(path), "/proc/irq/%lu/effective_affinity_list", irq);
    if (host_read_text(root, path, text) != HOST_READ || text[0] < '0' || text[0] > '9') {
        return NONE;
    }
    const unsigned long cpu = strtoul(text, NULL, 10);
    return cpu < CPUS_MAX ? (uint32_t)cpu : NONE;
}

uint32_t interrupts_count_cpus(const char *root, const char *nic)
{
    static char line[LINE_SIZE]; /* too large for a stack; nobody else reads meanwhile */
    struct irqs irqs = {0};
    bool is_used[CPUS_MAX] = {false};
    char full[HOST_PATH_MAX];
    uint32_t count = 0;

    list_irqs(root, nic, &irqs);
    FILE *file =
        irqs.count > 0 && host_path(root, "/proc/interrupts", full) ? fopen(full, "re") : NULL;
    while (file && fgets(line, sizeof(line), file)) {
        const unsigned long irq = strtoul(line, NULL, 10);
        if (irq == 0 || irq >= IRQS_MAX || !irqs.is_of_nic[irq] || !is_of_queue(line)) {
            continue;
        }
        const uint32_t cpu = cpu_of(root, irq);
        if (cpu != NONE && !is_used[cpu]) {
            is_used[cpu] = true;
            count++;
        }
    }
    if (file) {
        (void)fclose(file);
    }
    return count;
}
