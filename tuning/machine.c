#include "tuning/machine.h"

#include "base/text.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdlib.h>

#define LINE_MAX_SIZE 512

/* The file as a stream, to be read line by line; NULL when there is none. */
static FILE *open_lines(const char *root, const char *path)
{
    char full[HOST_PATH_MAX];

    return host_path(root, path, full) ? fopen(full, "re") : NULL;
}

static uint64_t read_number(const char *root, const char *path)
{
    char text[HOST_TEXT_MAX];

    if (host_read_text(root, path, text) != HOST_READ || text[0] < '0' || text[0] > '9') {
        return 0; /* also "max", and -1 of an interface that does not know its speed */
    }
    return strtoull(text, NULL, 10);
}

/* "0-3,8" counts five. */
static uint32_t count_cores(const char *text)
{
    uint32_t count = 0;

    while (*text >= '0' && *text <= '9') {
        char *end = NULL;
        unsigned long first = strtoul(text, &end, 10);
        unsigned long last = first;
        if (*end == '-') {
            last = strtoul(end + 1, &end, 10);
        }
        if (last < first || last - first > 65535) {
            return 0;
        }
        count += (uint32_t)(last - first + 1);
        text = *end == ',' ? end + 1 : end;
    }
    return count;
}

static int read_size(struct machine *machine, char *message, size_t message_size)
{
    char text[HOST_TEXT_MAX];
    char line[LINE_MAX_SIZE];
    uint64_t kilobytes = 0;
    FILE *file = open_lines(machine->root, "/proc/meminfo");

    while (file && kilobytes == 0 && fgets(line, sizeof(line), file)) {
        if (strncmp(line, "MemTotal:", 9) == 0) {
            kilobytes = strtoull(line + 9, NULL, 10);
        }
    }
    if (file) {
        (void)fclose(file);
    }
    if (kilobytes == 0) {
        (void)snprintf(message, message_size,
                       "%s/proc/meminfo: cannot be read, or names no memory: is /proc mounted?",
                       machine->root);
        return -1;
    }
    machine->memory_bytes = kilobytes * 1024;
    if (host_read_text(machine->root, "/sys/devices/system/cpu/online", text) == HOST_READ) {
        machine->cores = count_cores(text);
    }
    if (machine->cores == 0) {
        machine->cores = 1;
    }
    if (host_read_text(machine->root, "/proc/sys/kernel/osrelease", machine->kernel) != HOST_READ) {
        (void)snprintf(machine->kernel, sizeof(machine->kernel), "(version not known)");
    }
    return 0;
}

static void find_default_nic(struct machine *machine)
{
    char line[LINE_MAX_SIZE];
    FILE *file = open_lines(machine->root, "/proc/net/route");

    while (file && machine->nic[0] == '\0' && fgets(line, sizeof(line), file)) {
        char name[MACHINE_NAME_MAX];
        char destination[16];
        if (sscanf(line, "%63s %15s", name, destination) == 2 &&
            strcmp(destination, "00000000") == 0) {
            (void)snprintf(machine->nic, sizeof(machine->nic), "%s", name);
        }
    }
    if (file) {
        (void)fclose(file);
    }
}

static uint32_t count_queues(const char *root, const char *nic)
{
    char path[HOST_PATH_MAX];
    char full[HOST_PATH_MAX];
    uint32_t count = 0;
    struct dirent *entry;

    (void)snprintf(path, sizeof(path), "/sys/class/net/%s/queues", nic);
    DIR *folder = host_path(root, path, full) ? opendir(full) : NULL;
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): a stream of its own. */
    while (folder && (entry = readdir(folder)) != NULL) {
        count += strncmp(entry->d_name, "rx-", 3) == 0 ? 1 : 0;
    }
    if (folder) {
        (void)closedir(folder);
    }
    return count;
}

static bool is_steered(const char *root, const char *nic)
{
    char path[HOST_PATH_MAX];
    char mask[HOST_TEXT_MAX];

    (void)snprintf(path, sizeof(path), "/sys/class/net/%s/queues/rx-0/rps_cpus", nic);
    return host_read_text(root, path, mask) == HOST_READ && strspn(mask, "0,") < strlen(mask);
}

static int read_nic(struct machine *machine, const char *nic, char *message, size_t message_size)
{
    char path[HOST_PATH_MAX];

    if (nic) {
        (void)snprintf(machine->nic, sizeof(machine->nic), "%s", nic);
    } else {
        find_default_nic(machine);
    }
    if (machine->nic[0] == '\0') {
        return 0;
    }
    (void)snprintf(path, sizeof(path), "/sys/class/net/%s/speed", machine->nic);
    machine->link_mbit = (uint32_t)read_number(machine->root, path);
    machine->rx_queues = count_queues(machine->root, machine->nic);
    machine->is_steered = is_steered(machine->root, machine->nic);
    if (nic && machine->rx_queues == 0) {
        (void)snprintf(message, message_size,
                       "--nic %s: there is no such interface below %s/sys/class/net; `ip -br link` "
                       "lists them",
                       nic, machine->root);
        return -1;
    }
    return 0;
}

pid_t machine_find_process(const char *root, const char *name)
{
    char full[HOST_PATH_MAX];
    char text[HOST_TEXT_MAX];
    pid_t found = 0;
    struct dirent *entry;
    DIR *folder = host_path(root, "/proc", full) ? opendir(full) : NULL;

    /* NOLINTNEXTLINE(concurrency-mt-unsafe): a stream of its own. */
    while (folder && (entry = readdir(folder)) != NULL) {
        const pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
        char path[sizeof(entry->d_name) + 16];
        (void)snprintf(path, sizeof(path), "/proc/%s/comm", entry->d_name);
        if (pid > 0 && (found == 0 || pid < found) &&
            host_read_text(root, path, text) == HOST_READ && strcmp(text, name) == 0) {
            found = pid;
        }
    }
    if (folder) {
        (void)closedir(folder);
    }
    return found;
}

static int read_server(struct machine *machine, pid_t pid, char *message, size_t message_size)
{
    char path[HOST_TEXT_MAX];
    char text[HOST_TEXT_MAX];

    machine->pid = pid != 0 ? pid : machine_find_process(machine->root, "limpet");
    if (machine->pid == 0) {
        return 0;
    }
    (void)snprintf(path, sizeof(path), "/proc/%d/comm", (int)machine->pid);
    if (host_read_text(machine->root, path, text) != HOST_READ) {
        (void)snprintf(message, message_size,
                       "--pid %d: there is no such process; `pidof limpet` tells the server's",
                       (int)pid);
        return -1;
    }
    if (!cgroup_path(machine->root, machine->pid, machine->cgroup)) {
        machine->cgroup[0] = '\0';
    }
    return 0;
}

static enum provider read_provider(const char *root)
{
    static const struct {
        const char *vendor;
        enum provider provider;
    } vendors[] = {
        {"Amazon EC2", PROVIDER_AWS},
        {"Microsoft Corporation", PROVIDER_AZURE},
        {"Google", PROVIDER_GOOGLE},
    };
    char text[HOST_TEXT_MAX];

    if (host_read_text(root, "/sys/class/dmi/id/sys_vendor", text) == HOST_READ) {
        for (size_t i = 0; i < sizeof(vendors) / sizeof(vendors[0]); i++) {
            if (strcmp(text, vendors[i].vendor) == 0) {
                return vendors[i].provider;
            }
        }
    }
    return PROVIDER_NONE;
}

int machine_read(struct machine *machine, const char *root, const char *nic, pid_t pid,
                 char *message, size_t message_size)
{
    *machine = (struct machine){.root = root};
    machine->provider = read_provider(root);
    /* Loaded, but without a rule that needs it, the module tracks nothing. */
    machine->is_tracked = read_number(root, "/proc/sys/net/netfilter/nf_conntrack_count") > 0;
    if (read_size(machine, message, message_size) != 0 ||
        read_nic(machine, nic, message, message_size) != 0) {
        return -1;
    }
    if (read_server(machine, pid, message, message_size) != 0) {
        return -1;
    }
    /* Before the server runs it is our own group that tells of a container. */
    machine->memory_max = cgroup_memory(root, machine->pid);
    if (machine->memory_max.bytes >= machine->memory_bytes) {
        machine->memory_max = (struct cgroup_memory){0};
    }
    return 0;
}

void machine_describe(const struct machine *machine, char *out, size_t size)
{
    char memory[TEXT_SIZE];
    char limit[TEXT_SIZE];
    char least[128] = "";
    char speed[TEXT_SIZE];
    char network[128] = "no default route";

    if (machine->nic[0] != '\0' && machine->link_mbit > 0) {
        (void)snprintf(network, sizeof(network), "%s: %s Mbit/s, %u queues", machine->nic,
                       text_count(machine->link_mbit, speed), machine->rx_queues);
    } else if (machine->nic[0] != '\0') {
        (void)snprintf(network, sizeof(network), "%s: speed not known, %u %s", machine->nic,
                       machine->rx_queues, machine->rx_queues == 1 ? "queue" : "queues");
    }
    if (machine->memory_max.bytes > 0) {
        (void)snprintf(least, sizeof(least), " (%s by %s)",
                       text_bytes((double)machine->memory_max.bytes, limit),
                       machine->memory_max.name);
    }
    (void)snprintf(out, size, "%u %s, %s of memory%s, Linux %s, %s", machine->cores,
                   machine->cores == 1 ? "core" : "cores",
                   text_bytes((double)machine->memory_bytes, memory), least, machine->kernel,
                   network);
}

static uint32_t or_default(uint32_t value, uint32_t standard)
{
    return value != 0 ? value : standard;
}

void machine_target(const struct machine *machine, const struct target_options *options,
                    uint64_t connections, uint64_t connect_rate, struct target *target)
{
    *target = (struct target){
        .connections = connections,
        .connect_rate = connect_rate,
        .threads = or_default(options->shards, machine->cores),
        .options = {.shards = options->shards,
                    .listen_backlog = or_default(options->listen_backlog, 4096),
                    .user_timeout_ms = options->user_timeout_ms,
                    .ping_interval_ms = or_default(options->ping_interval_ms, 25000),
                    .connections_max = options->connections_max,
                    .handshakes_max = or_default(options->handshakes_max, 1024),
                    .receive_buffer_count = or_default(options->receive_buffer_count, 256),
                    .receive_buffer_size = or_default(options->receive_buffer_size, 4096)},
        .memory_bytes = machine->memory_bytes,
        .cores = machine->cores,
        .link_mbit = machine->link_mbit,
        .rx_queues = machine->rx_queues,
        .provider = machine->provider,
        .is_tracked = machine->is_tracked,
        .is_steered = machine->is_steered,
    };
    if (target->connections == 0) {
        target->connections = or_default(options->connections_max, TARGET_CONNECTIONS_DEFAULT);
    }
    if (target->connect_rate == 0) {
        target->connect_rate =
            (target->connections + TARGET_BACK_WITHIN_S - 1) / TARGET_BACK_WITHIN_S;
    }
}
