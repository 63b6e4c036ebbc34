#include "io/connector.h"

#include "io/address.h"
#include "io/ring_state.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>

#define CHAIN_MAX 6

int connector_check(struct ring *ring, char *message, size_t message_size)
{
    struct io_uring_probe *probe = io_uring_get_probe_ring(&ring->uring);
    bool has_bind = probe != NULL && io_uring_opcode_supported(probe, IORING_OP_BIND);

    io_uring_free_probe(probe);
    if (!has_bind) {
        (void)snprintf(message, message_size,
                       "this kernel is too old to open connections from a ring: io_uring operation "
                       "BIND is missing. The load tool needs Linux 6.11 or newer");
        return -EOPNOTSUPP;
    }
    return 0;
}

int connector_notify(struct ring *ring, int event_fd, char *message, size_t message_size)
{
    int error = io_uring_register_eventfd(&ring->uring, event_fd);

    if (error != 0) {
        (void)snprintf(message, message_size, "a ring cannot tell an eventfd (errno %d)", -error);
    }
    return error;
}

/* One step of a chain but the last: silent when it works. When it fails its event comes, with the
 * operation and number of the whole chain, and the kernel silences the cancelled steps after it. */
static void link_step(struct io_uring_sqe *entry, uint64_t user_data)
{
    entry->flags |= IOSQE_IO_LINK | IOSQE_CQE_SKIP_SUCCESS;
    entry->user_data = user_data;
}

static void set_option(struct ring *ring, uint32_t number, int level, int name, struct slice value,
                       uint64_t user_data)
{
    struct io_uring_sqe *entry = ring_entry(ring, 1);

    io_uring_prep_cmd_sock(entry, SOCKET_URING_OP_SETSOCKOPT, (int)number, level, name, NULL,
                           (int)value.size);
    entry->optval = (uint64_t)(uintptr_t)value.data;
    entry->flags |= IOSQE_FIXED_FILE;
    link_step(entry, user_data);
}

void connector_open(struct ring *ring, uint32_t number, uint32_t generation,
                    const struct sockaddr_in6 *source, const struct sockaddr_in6 *target,
                    bool reset_on_close)
{
    /* The kernel reads these when the step runs. */
    static const int enabled = 1;
    static const struct linger reset = {.l_onoff = 1, .l_linger = 0};
    const uint64_t user_data = ring_user_data(RING_CONNECT, generation, number);

    ASSERT(number < ring->sockets_max);
    ASSERT(ring->sockets[number] == 0);
    ring->sockets[number] = SOCKET_TAKEN;
    ring_mark(ring, number, SOCKET_CONNECT);

    /* A chain must reach the kernel in one piece: it ends where a submission ends. */
    struct io_uring_sqe *entry = ring_entry(ring, CHAIN_MAX);
    io_uring_prep_socket_direct(entry, target->sin6_family, SOCK_STREAM, 0, number, 0);
    link_step(entry, user_data);
    set_option(ring, number, IPPROTO_TCP, TCP_NODELAY, slice_from(&enabled, sizeof(enabled)),
               user_data);
    if (reset_on_close) {
        /* No TIME_WAIT: the next run of the load tool needs the ports. */
        set_option(ring, number, SOL_SOCKET, SO_LINGER, slice_from(&reset, sizeof(reset)),
                   user_data);
    }
    if (source != NULL) {
        /* The port is chosen at connect, when the target is known: ports then only have to differ
         * for one target. */
        set_option(ring, number, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT,
                   slice_from(&enabled, sizeof(enabled)), user_data);
        entry = ring_entry(ring, 1);
        io_uring_prep_rw(IORING_OP_BIND, entry, (int)number, source, 0, address_size(source));
        entry->flags |= IOSQE_FIXED_FILE;
        link_step(entry, user_data);
    }
    entry = ring_entry(ring, 1);
    io_uring_prep_connect(entry, (int)number, (const struct sockaddr *)target,
                          address_size(target));
    entry->flags |= IOSQE_FIXED_FILE;
    entry->user_data = user_data;
}
