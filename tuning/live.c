#include "tuning/live.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/statfs.h>
#include <unistd.h>

bool live_is_key(const char *key)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
    const size_t size = strlen(key);

    return size > 0 && size < 96 && strspn(key, letters) == size && key[0] != '.' &&
           key[size - 1] != '.' && strstr(key, "..") == NULL;
}

void live_path(const char *key, char out[TREE_PATH_SIZE])
{
    ASSERT(live_is_key(key));
    (void)snprintf(out, TREE_PATH_SIZE, "/proc/sys/%s", key);
    for (char *p = out + strlen("/proc/sys/"); *p != '\0'; p++) {
        if (*p == '.') {
            *p = '/';
        }
    }
}

int live_read(const struct tree *tree, const char *key, char out[LIVE_SIZE])
{
    char path[TREE_PATH_SIZE];

    live_path(key, path);
    int64_t size = tree_read(tree, path, out, LIVE_SIZE);
    if (size < 0) {
        return size == -ENOTDIR ? -ENOENT : (int)size;
    }
    return strlen(out) == (size_t)size ? 0 : -EINVAL;
}

/* 1 when the path lies in a kernel's own /proc. */
static int is_procfs(int fd)
{
    struct statfs status;

    if (fstatfs(fd, &status) != 0) {
        return -errno;
    }
    return status.f_type == PROC_SUPER_MAGIC;
}

static int write_value(const struct tree *tree, const char *path, const char *value)
{
    const size_t size = strlen(value);
    int fd = tree_open_file(tree, path, O_WRONLY);
    int result;

    if (fd < 0) {
        return fd;
    }
    result = is_procfs(fd);
    if (result == 1) {
        ssize_t written = write(fd, value, size);
        result = written < 0 ? -errno : 0;
        if (result == 0 && (size_t)written != size) {
            result = -EIO;
        }
        (void)close(fd);
        return result;
    }
    (void)close(fd);
    if (result < 0) {
        return result;
    }
    /* A plain file has no single step that sets it; a kill must not leave it empty. */
    return tree_replace(tree, path, slice_from(value, size), NULL);
}

int live_write(const struct tree *tree, const char *key, const char *value)
{
    char path[TREE_PATH_SIZE];
    char now[LIVE_SIZE];
    int result;

    live_path(key, path);
    result = write_value(tree, path, value);
    if (result == 0) {
        result = live_read(tree, key, now);
    }
    if (result == 0 && !live_equal(now, value)) {
        result = -EIO;
    }
    return result;
}

void live_tidy(const char *value, char out[LIVE_SIZE])
{
    size_t size = 0;

    for (const char *from = value; *from != '\0' && size < LIVE_SIZE - 1; from++) {
        const bool is_blank = strchr(" \t\r\n", *from) != NULL;
        if (!is_blank) {
            out[size++] = *from;
        } else if (size > 0 && out[size - 1] != ' ') {
            out[size++] = ' ';
        }
    }
    if (size > 0 && out[size - 1] == ' ') {
        size--;
    }
    out[size] = '\0';
}

bool live_equal(const char *a, const char *b)
{
    char tidy_a[LIVE_SIZE];
    char tidy_b[LIVE_SIZE];

    live_tidy(a, tidy_a);
    live_tidy(b, tidy_b);
    return strcmp(tidy_a, tidy_b) == 0;
}
