#include "tuning/in_use.h"

#include "tuning/live.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define FILE_SIZE_MAX 8192

/* The number with this index in a line of numbers; 0 when there is none. */
static uint64_t number_at(const char *text, int index)
{
    uint64_t value = 0;

    for (int i = 0; i <= index; i++) {
        char *end;
        value = strtoull(text, &end, 10);
        if (end == text) {
            return 0;
        }
        text = end;
    }
    return value;
}

static uint64_t number_in(const struct tree *tree, const char *path)
{
    char text[FILE_SIZE_MAX];

    return tree_read(tree, path, text, sizeof(text)) < 0 ? 0 : number_at(text, 0);
}

/* A number of the line "TCP: inuse 5 orphan 0 tw 2 alloc 10 mem 3", whose mem is in pages. */
static uint64_t tcp_count(const struct tree *tree, const char *name)
{
    char text[FILE_SIZE_MAX];

    if (tree_read(tree, "/proc/net/sockstat", text, sizeof(text)) < 0) {
        return 0;
    }
    char *line = strstr(text, "TCP:");
    if (line == NULL) {
        return 0;
    }
    line[strcspn(line, "\n")] = '\0';
    char *found = strstr(line, name);
    return found ? number_at(found + strlen(name), 0) : 0;
}

/* The highest hard limit on files of any process: with nr_open below it, it could not start again.
 */
static uint64_t hard_limit_max(const struct tree *tree)
{
    static const char label[] = "Max open files";
    char text[FILE_SIZE_MAX];
    char path[TREE_PATH_SIZE];
    uint64_t highest = 0;
    int fd = tree_open_file(tree, "/proc", O_RDONLY | O_DIRECTORY);
    DIR *folder = fd >= 0 ? fdopendir(fd) : NULL;

    if (folder == NULL) {
        if (fd >= 0) {
            (void)close(fd);
        }
        return 0;
    }
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): a stream of our own. */
    for (struct dirent *entry = readdir(folder); entry; entry = readdir(folder)) {
        if (!isdigit((unsigned char)entry->d_name[0])) {
            continue;
        }
        (void)snprintf(path, sizeof(path), "/proc/%.20s/limits", entry->d_name);
        const char *line =
            tree_read(tree, path, text, sizeof(text)) < 0 ? NULL : strstr(text, label);
        const uint64_t hard = line ? number_at(line + strlen(label), 1) : 0;
        highest = hard > highest ? hard : highest;
    }
    (void)closedir(folder);
    return highest;
}

bool in_use_forbids(const struct tree *tree, const char *key, const char *live, const char *value,
                    char why[IN_USE_WHY_SIZE])
{
    const int index = strcmp(key, "net.ipv4.tcp_mem") == 0 ? 2 : 0; /* its maximum */
    const uint64_t wanted = number_at(value, index);
    uint64_t used = 0;
    const char *what = "";

    if (wanted >= number_at(live, index)) {
        return false;
    }
    if (strcmp(key, "net.ipv4.tcp_mem") == 0) {
        used = tcp_count(tree, " mem ");
        what = "pages of TCP data are queued";
    } else if (strcmp(key, "net.ipv4.tcp_max_orphans") == 0) {
        used = tcp_count(tree, " orphan ");
        what = "TCP orphans exist";
    } else if (strcmp(key, "fs.file-max") == 0) {
        used = number_in(tree, "/proc/sys/fs/file-nr");
        what = "files are open";
    } else if (strcmp(key, "fs.nr_open") == 0) {
        used = hard_limit_max(tree);
        what = "is the hard limit on files of a running process, which could not start again";
    } else if (strcmp(key, "net.netfilter.nf_conntrack_max") == 0) {
        used = number_in(tree, "/proc/sys/net/netfilter/nf_conntrack_count");
        what = "connections are tracked";
    }
    if (used <= wanted) {
        return false;
    }
    (void)snprintf(why, IN_USE_WHY_SIZE, "%llu %s", (unsigned long long)used, what);
    return true;
}
