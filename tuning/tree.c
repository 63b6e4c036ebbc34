#include "tuning/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MODE_NEW 0644

/* A name, and the folder that holds it. */
struct entry {
    int folder;
    char name[NAME_MAX + 1];
};

int tree_open(struct tree *tree, const char *root)
{
    tree->root = strcmp(root, "/") == 0 ? "" : root;
    tree->fd = open(*root != '\0' ? root : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return tree->fd >= 0 ? 0 : -errno;
}

void tree_close(struct tree *tree)
{
    (void)close(tree->fd);
}

int tree_open_file(const struct tree *tree, const char *path, int flags)
{
    /* openat2 takes nothing next to O_PATH that means nothing there. */
    const int all = flags | O_CLOEXEC | ((flags & O_PATH) != 0 ? 0 : O_NOCTTY);
    struct open_how how = {
        .flags = (uint64_t)(unsigned)all,
        .resolve = RESOLVE_IN_ROOT,
    };
    long fd = syscall(SYS_openat2, tree->fd, path, &how, sizeof(how));

    if (fd < 0 && (errno == ENOSYS || errno == EPERM) && *tree->root == '\0') {
        /* A filter of system calls that does not know openat2: the host needs no confinement. */
        fd = open(path, all);
    }
    return fd >= 0 ? (int)fd : -errno;
}

/* Opens the folder of path; to be closed. */
static int enter(const struct tree *tree, const char *path, struct entry *entry)
{
    const char *slash = strrchr(path, '/');
    char folder[TREE_PATH_SIZE];

    ASSERT(slash != NULL);
    ASSERT(strlen(path) < TREE_PATH_SIZE);
    (void)snprintf(entry->name, sizeof(entry->name), "%s", slash + 1);
    (void)snprintf(folder, sizeof(folder), "%.*s/", (int)(slash - path), path);
    entry->folder = tree_open_file(tree, folder, O_RDONLY | O_DIRECTORY);
    return entry->folder < 0 ? entry->folder : 0;
}

/* Closes the folder after an operation on it, whose result is given as that of a system call; what
 * was done is on disk then. */
static int leave(const struct entry *entry, int result)
{
    int error = result < 0 ? errno : 0;

    if (error == 0 && fsync(entry->folder) != 0) {
        error = errno;
    }
    (void)close(entry->folder);
    return -error;
}

static int read_all(int fd, char *out, size_t size, size_t *used)
{
    *used = 0;
    while (*used < size) {
        ssize_t got = read(fd, out + *used, size - *used);
        if (got == 0) {
            break;
        }
        if (got < 0 && errno != EINTR) {
            return -errno;
        }
        *used += got > 0 ? (size_t)got : 0;
    }
    return *used < size ? 0 : -EFBIG;
}

int64_t tree_read(const struct tree *tree, const char *path, char *out, size_t size)
{
    /* A pipe would wait for its other end. */
    int fd = tree_open_file(tree, path, O_RDONLY | O_NONBLOCK);
    struct stat status;
    size_t used = 0;
    int result;

    out[0] = '\0';
    if (fd < 0) {
        return fd;
    }
    result = fstat(fd, &status) == 0 ? 0 : -errno;
    if (result == 0 && !S_ISREG(status.st_mode)) {
        result = S_ISDIR(status.st_mode) ? -EISDIR : -EINVAL;
    }
    if (result == 0) {
        result = read_all(fd, out, size, &used);
    }
    (void)close(fd);
    out[result == 0 ? used : 0] = '\0';
    return result == 0 ? (int64_t)used : result;
}

static int64_t read_status(const struct tree *tree, const char *path, struct stat *status)
{
    struct entry entry;
    int result = enter(tree, path, &entry);

    if (result != 0) {
        return result;
    }
    result = fstatat(entry.folder, entry.name, status, AT_SYMLINK_NOFOLLOW) == 0 ? 0 : -errno;
    (void)close(entry.folder);
    return result;
}

int64_t tree_type(const struct tree *tree, const char *path)
{
    struct stat status;
    int64_t result = read_status(tree, path, &status);

    if (result == -ENOENT) {
        return 0;
    }
    return result == 0 ? (int64_t)(status.st_mode & S_IFMT) : result;
}

bool tree_same(const struct tree *tree, const char *path, const char *other)
{
    struct stat a;
    struct stat b;

    return read_status(tree, path, &a) == 0 && read_status(tree, other, &b) == 0 &&
           a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

static int write_all(int fd, struct slice content)
{
    size_t done = 0;

    while (done < content.size) {
        ssize_t written = write(fd, content.data + done, content.size - done);
        if (written < 0 && errno != EINTR) {
            return -errno;
        }
        done += written > 0 ? (size_t)written : 0;
    }
    return 0;
}

static int write_new(const struct entry *entry, const char *name, struct slice content,
                     const struct tree_attributes *attributes)
{
    int fd =
        openat(entry->folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    int result;

    if (fd < 0) {
        return -errno;
    }
    result = write_all(fd, content);
    if (result == 0 && (fchown(fd, attributes->owner, attributes->group) != 0 ||
                        fchmod(fd, attributes->mode) != 0 || fsync(fd) != 0)) {
        result = -errno;
    }
    /* Some file systems tell only here that the disk is full. */
    if (close(fd) != 0 && result == 0) {
        result = -errno;
    }
    return result;
}

int tree_replace(const struct tree *tree, const char *path, struct slice content,
                 const struct tree_attributes *attributes)
{
    struct tree_attributes kept = {.mode = MODE_NEW, .owner = geteuid(), .group = getegid()};
    char spare[TREE_PATH_SIZE];
    struct entry entry;
    struct stat status;
    int result = enter(tree, path, &entry);

    if (result != 0) {
        return result;
    }
    if (fstatat(entry.folder, entry.name, &status, AT_SYMLINK_NOFOLLOW) == 0) {
        kept.mode = status.st_mode & (mode_t)07777;
        kept.owner = status.st_uid;
        kept.group = status.st_gid;
    }
    tree_spare(path, "new", spare);
    const char *name = strrchr(spare, '/') + 1;
    (void)unlinkat(entry.folder, name, 0); /* of a run that was killed */
    result = write_new(&entry, name, content, attributes ? attributes : &kept);
    if (result == 0 && renameat(entry.folder, name, entry.folder, entry.name) != 0) {
        result = -errno;
    }
    if (result != 0) {
        (void)unlinkat(entry.folder, name, 0);
        errno = -result;
    }
    return leave(&entry, result);
}

void tree_spare(const char *path, const char *suffix, char out[TREE_PATH_SIZE])
{
    const char *slash = strrchr(path, '/');
    int size =
        snprintf(out, TREE_PATH_SIZE, "%.*s/.%s.%s", (int)(slash - path), path, slash + 1, suffix);

    ASSERT(size > 0);
    ASSERT(size < TREE_PATH_SIZE);
}

/* Both paths are in one folder, that of path. */
int tree_link(const struct tree *tree, const char *path, const char *name)
{
    struct entry entry;
    int result = enter(tree, path, &entry);

    if (result != 0) {
        return result;
    }
    return leave(&entry, linkat(entry.folder, entry.name, entry.folder, strrchr(name, '/') + 1, 0));
}

int tree_rename(const struct tree *tree, const char *path, const char *name)
{
    struct entry entry;
    int result = enter(tree, path, &entry);

    if (result != 0) {
        return result;
    }
    return leave(&entry, renameat(entry.folder, entry.name, entry.folder, strrchr(name, '/') + 1));
}

int tree_unlink(const struct tree *tree, const char *path)
{
    struct entry entry;
    int result = enter(tree, path, &entry);

    if (result == 0) {
        result = leave(&entry, unlinkat(entry.folder, entry.name, 0));
    }
    return result == -ENOENT ? 0 : result;
}

int tree_make_folder(const struct tree *tree, const char *path)
{
    struct entry entry;
    int result = enter(tree, path, &entry);

    if (result != 0) {
        return result;
    }
    result = mkdirat(entry.folder, entry.name, 0755);
    /* Whatever the umask is: systemd and login read these without being their owner. */
    if (result == 0) {
        result = fchmodat(entry.folder, entry.name, 0755, 0);
    }
    return leave(&entry, result);
}

int tree_remove_folder(const struct tree *tree, const char *path)
{
    struct entry entry;
    int result = enter(tree, path, &entry);

    if (result != 0) {
        return result;
    }
    return leave(&entry, unlinkat(entry.folder, entry.name, AT_REMOVEDIR));
}

int tree_may_write(const struct tree *tree, const char *path)
{
    int fd = tree_open_file(tree, path, O_PATH);
    int result;

    if (fd < 0) {
        return fd;
    }
    result = faccessat(fd, "", W_OK, AT_EMPTY_PATH | AT_EACCESS) == 0 ? 0 : -errno;
    (void)close(fd);
    /* Kernels before 5.8 cannot tell: the attempt will. */
    return result == -ENOSYS ? 0 : result;
}
