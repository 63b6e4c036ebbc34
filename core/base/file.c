#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

int file_open(const char *path, const char **reason)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat status;

    if (fd < 0 || fstat(fd, &status) != 0) {
        *reason = strerrordesc_np(errno);
    } else if (S_ISDIR(status.st_mode)) {
        *reason = strerrordesc_np(EISDIR);
    } else if (!S_ISREG(status.st_mode)) {
        *reason = "not a file";
    } else {
        return fd;
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    return -1;
}
