#include "bench/process.h"

#include <dirent.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define PATH_SIZE     64
#define LISTENERS_MAX 64

/* Calls readdir, which is safe on a stream of one thread's own. */
static const char *next_name(DIR *folder)
{
    struct dirent *entry = readdir(folder); // NOLINT(concurrency-mt-unsafe)

    return entry ? entry->d_name : NULL;
}

static int parse_pid(const char *name)
{
    char *end;
    long value = strtol(name, &end, 10);

    return *name >= '0' && *name <= '9' && *end == '\0' ? (int)value : 0;
}

/* --- tree ------------------------------------------------------------------------------------- */

static int parent_of(int pid)
{
    char path[PATH_SIZE];
    char line[512];
    int parent = 0;

    (void)snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    FILE *file = fopen(path, "re");
    if (!file) {
        return 0;
    }
    if (fgets(line, sizeof(line), file)) {
        const char *after_name = strrchr(line, ')'); /* the name may hold anything */
        if (after_name && sscanf(after_name + 1, " %*c %d", &parent) != 1) {
            parent = 0;
        }
    }
    (void)fclose(file);
    return parent;
}

static bool is_in(const struct process *process, int pid)
{
    for (uint32_t i = 0; i < process->count; i++) {
        if (process->pids[i] == pid) {
            return true;
        }
    }
    return false;
}

/* Adds children of what is there; true when some were found. */
static bool add_children(struct process *process)
{
    uint32_t before = process->count;
    const char *name;
    DIR *folder = opendir("/proc");

    if (!folder) {
        return false;
    }
    while ((name = next_name(folder)) != NULL) {
        int pid = parse_pid(name);
        if (pid > 0 && process->count < PROCESS_PIDS_MAX && !is_in(process, pid) &&
            is_in(process, parent_of(pid))) {
            process->pids[process->count++] = pid;
        }
    }
    (void)closedir(folder);
    return process->count > before;
}

int process_tree(struct process *process, int pid)
{
    if (pid <= 0 || parent_of(pid) == 0) {
        return -1;
    }
    *process = (struct process){.pids = {pid}, .count = 1};
    while (add_children(process)) {
    }
    return 0;
}

/* --- listener --------------------------------------------------------------------------------- */

/* Inodes of the sockets that listen on the port, of one of the two tables. */
static uint32_t find_listeners(const char *path, uint16_t port, uint64_t *inodes, uint32_t count)
{
    char line[512];
    FILE *file = fopen(path, "re");

    if (!file) {
        return count;
    }
    while (fgets(line, sizeof(line), file) && count < LISTENERS_MAX) {
        unsigned line_port;
        unsigned state;
        uint64_t inode;
        if (sscanf(line, " %*d: %*[0-9A-F]:%x %*[0-9A-F]:%*x %x %*s %*s %*s %*u %*u %" SCNu64,
                   &line_port, &state, &inode) != 3) {
            continue; /* the heading */
        }
        if (state != TCP_LISTEN) {
            break; /* listeners come first; a million connections may follow */
        }
        if (line_port == port) {
            inodes[count++] = inode;
        }
    }
    (void)fclose(file);
    return count;
}

static bool holds_one(int pid, const uint64_t *inodes, uint32_t count)
{
    char path[PATH_SIZE];
    const char *name;
    bool found = false;

    (void)snprintf(path, sizeof(path), "/proc/%d/fd", pid);
    DIR *folder = opendir(path);
    if (!folder) {
        return false;
    }
    while (!found && (name = next_name(folder)) != NULL) {
        char text[PATH_SIZE];
        uint64_t inode;
        ssize_t size = readlinkat(dirfd(folder), name, text, sizeof(text) - 1);
        text[size < 0 ? 0 : size] = '\0';
        if (sscanf(text, "socket:[%" SCNu64 "]", &inode) != 1) {
            continue;
        }
        for (uint32_t i = 0; i < count; i++) {
            found = found || inodes[i] == inode;
        }
    }
    (void)closedir(folder);
    return found;
}

int process_of_listener(const struct sockaddr_in6 *address)
{
    uint64_t inodes[LISTENERS_MAX];
    uint16_t port = ntohs(address->sin6_port);
    uint32_t count = find_listeners("/proc/net/tcp", port, inodes, 0);
    int found = 0;
    const char *name;

    count = find_listeners("/proc/net/tcp6", port, inodes, count);
    DIR *folder = opendir("/proc");
    if (!folder) {
        return 0;
    }
    while (count > 0 && (name = next_name(folder)) != NULL) {
        int pid = parse_pid(name);
        /* The lowest number: of a parent and the children that inherited its socket, the parent. */
        if (pid > 0 && (found == 0 || pid < found) && holds_one(pid, inodes, count)) {
            found = pid;
        }
    }
    (void)closedir(folder);
    return found;
}

/* --- figures ---------------------------------------------------------------------------------- */

/* The first number of a thread's schedstat is its time on a CPU, in ns. */
static uint64_t thread_cpu_ns(int pid, const char *thread)
{
    char path[PATH_SIZE];
    uint64_t time_ns = 0;

    (void)snprintf(path, sizeof(path), "/proc/%d/task/%.16s/schedstat", pid, thread);
    FILE *file = fopen(path, "re");
    if (file) {
        if (fscanf(file, "%" SCNu64, &time_ns) != 1) {
            time_ns = 0;
        }
        (void)fclose(file);
    }
    return time_ns;
}

uint64_t process_cpu_ns(const struct process *process)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < process->count; i++) {
        char path[PATH_SIZE];
        const char *name;
        (void)snprintf(path, sizeof(path), "/proc/%d/task", process->pids[i]);
        DIR *folder = opendir(path);
        while (folder && (name = next_name(folder)) != NULL) {
            if (parse_pid(name) > 0) {
                sum += thread_cpu_ns(process->pids[i], name);
            }
        }
        if (folder) {
            (void)closedir(folder);
        }
    }
    return sum;
}

/* Adds the named lines' kB of a file as bytes; returns how many were found. */
static uint32_t add_lines(const char *path, const char *const *names, uint64_t *const *sums,
                          uint32_t count)
{
    char line[256];
    uint32_t found = 0;
    FILE *file = fopen(path, "re");

    if (!file) {
        return 0;
    }
    while (fgets(line, sizeof(line), file)) {
        for (uint32_t i = 0; i < count; i++) {
            size_t size = strlen(names[i]);
            if (strncmp(line, names[i], size) == 0 && line[size] == ':') {
                *sums[i] += strtoull(line + size + 1, NULL, 10) * 1024;
                found++;
            }
        }
    }
    (void)fclose(file);
    return found;
}

int process_memory_read(const struct process *process, struct process_memory *memory)
{
    static const char *const of_maps[] = {"Rss", "Pss"};
    static const char *const of_status[] = {"RssAnon", "VmPTE"};
    uint64_t *const maps_sums[] = {&memory->rss, &memory->pss};
    uint64_t *const status_sums[] = {&memory->rss_anon, &memory->page_tables};

    *memory = (struct process_memory){0};
    for (uint32_t i = 0; i < process->count; i++) {
        char path[PATH_SIZE];
        (void)snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", process->pids[i]);
        uint32_t found = add_lines(path, of_maps, maps_sums, 2);
        (void)snprintf(path, sizeof(path), "/proc/%d/status", process->pids[i]);
        found += add_lines(path, of_status, status_sums, 2);
        if (found < 4 && i == 0) {
            return -1;
        }
    }
    return 0;
}
