#include "io/listener_pause.h"

#include <errno.h>
#include <sys/socket.h>

void listener_pause(int fd)
{
    /* TCP takes a listening socket back to where it was after bind (tcp_disconnect). */
    const int error = shutdown(fd, SHUT_RDWR);
    ASSERT(error == 0);
}

int listener_resume(int fd, uint32_t backlog)
{
    return listen(fd, (int)backlog) == 0 ? 0 : -errno;
}
