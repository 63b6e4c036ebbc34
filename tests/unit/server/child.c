#include "child.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATHS 8

static int open_text(void)
{
    const int fd = memfd_create("text", MFD_CLOEXEC);

    ASSERT(fd >= 0);
    return fd;
}

static void read_text(int fd, char *text)
{
    const ssize_t size = pread(fd, text, CHILD_TEXT_MAX - 1, 0);

    ASSERT(size >= 0);
    text[size] = '\0';
    close(fd);
}

void child_run(struct child *child, int (*act)(const void *context), const void *context)
{
    const int out = open_text();
    const int err = open_text();
    int status = 0;

    (void)fflush(NULL);
    const pid_t pid = fork();
    ASSERT(pid >= 0);
    if (pid == 0) {
        if (dup2(out, STDOUT_FILENO) < 0 || dup2(err, STDERR_FILENO) < 0) {
            _exit(99);
        }
        status = act(context);
        (void)fflush(NULL);
        _exit(status);
    }
    const pid_t ended = waitpid(pid, &status, 0);
    ASSERT(ended == pid);
    child->status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    read_text(out, child->out);
    read_text(err, child->err);
}

size_t child_lines(const char *text)
{
    size_t count = 0;

    for (; *text; text++) {
        count += *text == '\n';
    }
    return count;
}

void child_folder_open(struct child_folder *folder)
{
    (void)snprintf(folder->path, sizeof(folder->path), "/tmp/limpet-server-XXXXXX");
    const char *made = mkdtemp(folder->path);
    ASSERT(made != NULL);
}

static int take_away(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

void child_folder_close(struct child_folder *folder)
{
    const int result = nftw(folder->path, take_away, 8, FTW_DEPTH | FTW_PHYS);

    ASSERT(result == 0);
}

const char *child_folder_write(const struct child_folder *folder, const char *name,
                               const char *text)
{
    static char paths[PATHS][256];
    static unsigned next;
    char *path = paths[next++ % PATHS];

    (void)snprintf(path, sizeof(paths[0]), "%s/%s", folder->path, name);
    FILE *file = fopen(path, "we");
    ASSERT(file != NULL);
    (void)fputs(text, file);
    (void)fclose(file);
    return path;
}
