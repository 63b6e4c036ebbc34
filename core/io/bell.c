#include "io/bell.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

int bell_open(struct bell *bell)
{
    bell->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return bell->fd < 0 ? -errno : 0;
}

void bell_close(struct bell *bell)
{
    if (bell->fd >= 0) {
        (void)close(bell->fd);
        bell->fd = -1;
    }
}

void bell_ring(const struct bell *bell)
{
    const uint64_t one = 1;
    const ssize_t written = write(bell->fd, &one, sizeof(one));

    /* Only a count near 2^64 is refused (EAGAIN): then it rings already. */
    ASSERT(written == sizeof(one) || errno == EAGAIN);
}

void bell_silence(const struct bell *bell)
{
    uint64_t count;
    const ssize_t size = read(bell->fd, &count, sizeof(count));

    ASSERT(size == sizeof(count) || errno == EAGAIN); /* it did not ring */
}
