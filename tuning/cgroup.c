#include "tuning/cgroup.h"

#include <stdio.h>
#include <stdlib.h>

#define DIGITS "0123456789"

/* Where a version of cgroups keeps the limit. */
struct version {
    const char *controller; /* in /proc/PID/cgroup; "": the one hierarchy of version 2 */
    const char *mount;
    const char *file;
    const char *name;
};

static const struct version version_2 = {"", "/sys/fs/cgroup", "memory.max",
                                         "the cgroup's memory.max"};
static const struct version version_1 = {"memory", "/sys/fs/cgroup/memory", "memory.limit_in_bytes",
                                         "the cgroup's memory.limit_in_bytes"};

/* "cpu,memory" has memory; "" has the empty one. */
static bool has_controller(const char *list, const char *controller)
{
    const size_t size = strlen(controller);

    while (strncmp(list, controller, size) != 0 || (list[size] != '\0' && list[size] != ',')) {
        list = strchr(list, ',');
        if (!list) {
            return false;
        }
        list++;
    }
    return true;
}

/* The path in a line "4:cpu,memory:/some/group"; NULL when it is another controller's. */
static const char *path_in(char *line, const char *controller)
{
    char *list = strchr(line, ':');
    char *path = list ? strchr(list + 1, ':') : NULL;

    if (!path) {
        return NULL;
    }
    *path++ = '\0';
    path[strcspn(path, "\n")] = '\0';
    return path[0] == '/' && has_controller(list + 1, controller) ? path : NULL;
}

static bool find_path(const char *root, pid_t pid, const char *controller, char out[HOST_PATH_MAX])
{
    char full[HOST_PATH_MAX];
    char line[HOST_PATH_MAX];
    char name[32] = "/proc/self/cgroup";
    const char *path = NULL;

    if (pid != 0) {
        (void)snprintf(name, sizeof(name), "/proc/%d/cgroup", (int)pid);
    }
    FILE *file = host_path(root, name, full) ? fopen(full, "re") : NULL;
    /* A line that was cut would name another group. */
    while (file && !path && fgets(line, sizeof(line), file) && strlen(line) < sizeof(line) - 1) {
        path = path_in(line, controller);
    }
    if (file) {
        (void)fclose(file);
    }
    (void)snprintf(out, HOST_PATH_MAX, "%s", path ? path : "");
    return path != NULL;
}

static uint64_t read_limit(const char *root, const char *folder, const char *file)
{
    char path[HOST_PATH_MAX];
    char text[HOST_TEXT_MAX];
    const int size = snprintf(path, sizeof(path), "%s/%s", folder, file);

    if (size < 0 || (size_t)size >= sizeof(path) || host_read_text(root, path, text) != HOST_READ ||
        text[strspn(text, DIGITS)] != '\0') {
        return 0; /* also "max" */
    }
    return strtoull(text, NULL, 10);
}

/*
 * A group is also bound by those that it is in, up to the mount itself: in a container that is the
 * container's own, whether or not the path tells of the host's folders, which are not there then.
 */
static void take_lowest(const char *root, pid_t pid, const struct version *version,
                        struct cgroup_memory *memory)
{
    char path[HOST_PATH_MAX];
    char folder[HOST_PATH_MAX];
    const size_t mount_size = strlen(version->mount);

    if (!find_path(root, pid, version->controller, path) || strstr(path, "/..")) {
        path[0] = '\0'; /* not known, or outside of what we see: the mount is what is left */
    }
    const int size = snprintf(folder, sizeof(folder), "%s%s", version->mount, path);
    if (size < 0 || (size_t)size >= sizeof(folder)) {
        return;
    }
    for (char *end = folder + size; end; end = strrchr(folder + mount_size, '/')) {
        *end = '\0';
        const uint64_t bytes = read_limit(root, folder, version->file);
        if (bytes > 0 && (memory->bytes == 0 || bytes < memory->bytes)) {
            *memory = (struct cgroup_memory){.bytes = bytes, .name = version->name};
        }
    }
}

bool cgroup_path(const char *root, pid_t pid, char out[HOST_PATH_MAX])
{
    return find_path(root, pid, version_2.controller, out);
}

struct cgroup_memory cgroup_memory(const char *root, pid_t pid)
{
    struct cgroup_memory memory = {0};

    take_lowest(root, pid, &version_2, &memory);
    take_lowest(root, pid, &version_1, &memory);
    return memory;
}
