#include "base/log.h"
#include "base/random.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

void random_source(void *out, size_t size)
{
    uint8_t *to = out;

    while (size > 0) {
        ssize_t got = getrandom(to, size, 0);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            /* Going on without would mean keys that others can guess. */
            LOG(LOG_ERROR, "the kernel gives no random bytes (is getrandom forbidden by seccomp?)",
                log_errno("error", errno));
            abort();
        }
        to += got;
        size -= (size_t)got;
    }
}
