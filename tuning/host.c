#include "tuning/host.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

bool host_path(const char *root, const char *path, char out[HOST_PATH_MAX])
{
    int size = snprintf(out, HOST_PATH_MAX, "%s%s", root, path);

    return size > 0 && size < HOST_PATH_MAX;
}

/* In place: the first line, blanks as one space each, none at the ends. */
static void tidy_line(char *text)
{
    char *to = text;

    for (const char *from = text; *from != '\0' && *from != '\n'; from++) {
        const bool is_blank = *from == ' ' || *from == '\t' || *from == '\r';
        if (!is_blank) {
            *to++ = *from;
        } else if (to > text && to[-1] != ' ') {
            *to++ = ' ';
        }
    }
    if (to > text && to[-1] == ' ') {
        to--;
    }
    *to = '\0';
}

enum host_reading host_read_text(const char *root, const char *path, char out[HOST_TEXT_MAX])
{
    char full[HOST_PATH_MAX];

    out[0] = '\0';
    if (!host_path(root, path, full)) {
        return HOST_UNREADABLE;
    }
    int fd = open(full, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) {
        return errno == ENOENT || errno == ENOTDIR ? HOST_ABSENT : HOST_UNREADABLE;
    }
    ssize_t size = read(fd, out, HOST_TEXT_MAX - 1);
    /* xps_cpus of an interface with one queue is there, and says so when it is read. */
    const bool is_absent = size < 0 && errno == ENOENT;
    (void)close(fd);
    if (size < 0) {
        out[0] = '\0';
        return is_absent ? HOST_ABSENT : HOST_UNREADABLE;
    }
    out[size] = '\0';
    tidy_line(out);
    return HOST_READ;
}

enum host_reading host_read_sysctl(const char *root, const char *key, char out[HOST_TEXT_MAX])
{
    char path[HOST_TEXT_MAX + 16];
    int size = snprintf(path, sizeof(path), "/proc/sys/%s", key);

    ASSERT(size > 0);
    ASSERT((size_t)size < sizeof(path));
    for (char *p = path; *p != '\0'; p++) {
        if (*p == '.') {
            *p = '/';
        }
    }
    return host_read_text(root, path, out);
}
