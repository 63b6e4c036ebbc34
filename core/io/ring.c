#include "io/ring.h"

#include "io/ring_state.h"

#include <errno.h>
#include <poll.h>
#include <time.h>

#define NS_PER_SECOND 1000000000ull
#define NS_PER_MS     1000000ull

/*
 * One io_uring_enter. liburing's own wait functions leave out IORING_ENTER_GETEVENTS when
 * completions are there already, and with DEFER_TASKRUN nothing runs without it: neither a
 * cancelled poll's FIN nor new completions. So the tail is published here and the system call made
 * once, always the same.
 */
static int enter(struct ring *ring, uint32_t complete_min, uint32_t flags,
                 struct io_uring_getevents_arg *argument)
{
    struct io_uring_sq *sq = &ring->uring.sq;
    void *extra = argument;
    size_t extra_size = argument == NULL ? 0 : sizeof(*argument);

    /* Without SQPOLL the kernel reads the tail inside our own system call: no barrier is needed. */
    sq->sqe_head = sq->sqe_tail;
    *sq->ktail = sq->sqe_tail;
    ring->enters++;
    int result = io_uring_enter2((unsigned)ring->enter_fd, io_uring_sq_ready(&ring->uring),
                                 complete_min, flags | ring->enter_flags, extra, extra_size);
    /* Anything but these is a bug of ours: another thread's ring (-EEXIST), a bad argument. */
    if (result < 0 && result != -ETIME && result != -EINTR && result != -EAGAIN &&
        result != -EBUSY && result != -ENOMEM) {
        ASSERT(result == -EBADR);
        ring->completions_lost++; /* the kernel had no memory to keep them in */
    }
    return result;
}

struct io_uring_sqe *ring_entry(struct ring *ring, uint32_t count)
{
    ASSERT(count <= ring->uring.sq.ring_entries);
    while (io_uring_sq_space_left(&ring->uring) < count) {
        /* -EAGAIN here means that the kernel is short of memory. Its deferred work frees some. */
        if (enter(ring, 0, 0, NULL) < 0) {
            (void)enter(ring, 0, IORING_ENTER_GETEVENTS, NULL);
        }
    }
    struct io_uring_sqe *entry = io_uring_get_sqe(&ring->uring);
    ASSERT(entry != NULL);
    return entry;
}

void ring_mark(struct ring *ring, uint32_t number, enum ring_socket operation)
{
    ASSERT(number < ring->sockets_max);
    ASSERT((ring->sockets[number] & SOCKET_TAKEN) != 0);
    ASSERT((ring->sockets[number] & (operation | SOCKET_CLOSE)) == 0);
    ring->sockets[number] |= (uint8_t)operation;
}

/* --- completions ------------------------------------------------------------------------------ */

static void unmark(struct ring *ring, const struct ring_event *event)
{
    static const uint8_t operations[RING_OPERATIONS] = {
        [RING_POLL] = SOCKET_POLL, [RING_RECEIVE] = SOCKET_RECEIVE, [RING_SEND] = SOCKET_SEND,
        [RING_NAME] = SOCKET_NAME, [RING_UNSENT] = SOCKET_UNSENT,   [RING_CONNECT] = SOCKET_CONNECT,
    };

    if (event->operation == RING_ACCEPT) {
        if (event->result >= 0) {
            ASSERT((uint32_t)event->result < ring->sockets_max);
            ASSERT(ring->sockets[event->result] == 0);
            ring->sockets[event->result] = SOCKET_TAKEN;
        }
    } else if (event->operation == RING_CLOSE) {
        ring->sockets[event->number] = 0;
    } else if (operations[event->operation] != 0) {
        ASSERT((ring->sockets[event->number] & operations[event->operation]) != 0);
        ring->sockets[event->number] &= (uint8_t)~operations[event->operation];
    }
}

static uint32_t take_buffer(struct ring *ring, const struct io_uring_cqe *cqe)
{
    uint32_t buffer = cqe->flags >> IORING_CQE_BUFFER_SHIFT;

    ASSERT(buffer < ring->buffer_count);
    ASSERT((ring->buffers_taken[buffer / 64] & UINT64_C(1) << buffer % 64) == 0);
    ring->buffers_taken[buffer / 64] |= UINT64_C(1) << buffer % 64;
    ring->buffers_free--;
    if (cqe->res > 0) {
        return buffer;
    }
    ring_buffer_give(ring, buffer); /* 6.18 takes none for an end of stream; do not rely on it */
    return NONE;
}

/* Returns false for a completion that the caller never sees. */
static bool decode(struct ring *ring, const struct io_uring_cqe *cqe, struct ring_event *event)
{
    uint32_t operation = (uint32_t)(cqe->user_data >> 56);

    if (operation >= RING_OPERATIONS) {
        return false;
    }
    *event = (struct ring_event){
        .operation = (enum ring_operation)operation,
        .generation = (uint32_t)(cqe->user_data >> 32) & RING_GENERATION_MAX,
        .number = (uint32_t)cqe->user_data,
        .result = cqe->res,
        .buffer = NONE,
        .more = (cqe->flags & IORING_CQE_F_MORE) != 0,
        .nonempty = (cqe->flags & IORING_CQE_F_SOCK_NONEMPTY) != 0,
    };
    if ((cqe->flags & IORING_CQE_F_BUFFER) != 0) {
        event->buffer = take_buffer(ring, cqe);
    }
    unmark(ring, event);
    return true;
}

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec now = {0};

    (void)clock_gettime(clock, &now); /* cannot fail for the two clocks used here */
    return (uint64_t)now.tv_sec * NS_PER_SECOND + (uint64_t)now.tv_nsec;
}

uint32_t ring_wait(struct ring *ring, uint64_t timeout_ns, struct ring_event *events,
                   uint32_t events_max, uint64_t *now_ns)
{
    struct io_uring_getevents_arg argument = {0};
    struct __kernel_timespec timeout = {
        .tv_sec = (long long)(timeout_ns / NS_PER_SECOND),
        .tv_nsec = (long long)(timeout_ns % NS_PER_SECOND),
    };
    uint32_t count = 0;
    uint32_t taken = 0;
    uint32_t head = 0;
    struct io_uring_cqe *cqe = NULL;

    if (timeout_ns != UINT64_MAX) {
        argument.ts = (uint64_t)(uintptr_t)&timeout;
    }
    if (io_uring_cq_has_overflow(&ring->uring)) {
        ring->completion_overflows++; /* kept by the kernel; this enter brings them in */
    }
    /* The kernel does not sleep when one completion is left over from the last call. */
    (void)enter(ring, timeout_ns == 0 ? 0 : 1, IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG,
                &argument);
    io_uring_for_each_cqe(&ring->uring, head, cqe)
    {
        if (count == events_max) {
            break;
        }
        taken++;
        if (decode(ring, cqe, &events[count])) {
            count++;
        }
    }
    io_uring_cq_advance(&ring->uring, taken);
    *now_ns = clock_ns(CLOCK_MONOTONIC);
    return count;
}

/* --- submissions ------------------------------------------------------------------------------ */

void ring_accept(struct ring *ring, int listener_fd, uint32_t listener_number)
{
    struct io_uring_sqe *entry = ring_entry(ring, 1);

    /* The peer's address is not asked for here: a multishot accept writes the same buffer each
     * time. */
    io_uring_prep_multishot_accept_direct(entry, listener_fd, NULL, NULL, 0);
    entry->user_data = ring_user_data(RING_ACCEPT, 0, listener_number);
}

void ring_accept_one(struct ring *ring, int listener_fd, uint32_t listener_number)
{
    struct io_uring_sqe *entry = ring_entry(ring, 1);

    io_uring_prep_accept_direct(entry, listener_fd, NULL, NULL, 0, IORING_FILE_INDEX_ALLOC);
    entry->user_data = ring_user_data(RING_ACCEPT, 0, listener_number);
}

/* By user_data: a cancel by descriptor walks everything that is armed (facts: 130 us against 1-4).
 */
static void cancel(struct ring *ring, enum ring_operation operation, uint32_t generation,
                   uint32_t number)
{
    struct io_uring_sqe *entry = ring_entry(ring, 1);

    io_uring_prep_cancel64(entry, ring_user_data(operation, generation, number), 0);
    entry->flags |= IOSQE_CQE_SKIP_SUCCESS; /* the operation's own event tells it all */
    entry->user_data = ring_user_data(RING_CANCEL, generation, number);
}

void ring_cancel_accept(struct ring *ring, uint32_t listener_number)
{
    cancel(ring, RING_ACCEPT, 0, listener_number);
}

void ring_poll(struct ring *ring, uint32_t number, uint32_t generation)
{
    struct io_uring_sqe *entry = ring_entry(ring, 1);

    ring_mark(ring, number, SOCKET_POLL);
    io_uring_prep_poll_add(entry, (int)number, POLLIN | POLLRDHUP);
    entry->flags |= IOSQE_FIXED_FILE;
    entry->user_data = ring_user_data(RING_POLL, generation, number);
}

void ring_cancel_poll(struct ring *ring, uint32_t number, uint32_t generation)
{
    struct io_uring_sqe *entry = ring_entry(ring, 1);

    io_uring_prep_poll_remove(entry, ring_user_data(RING_POLL, generation, number));
    entry->flags |= IOSQE_CQE_SKIP_SUCCESS;
    entry->user_data = ring_user_data(RING_CANCEL, generation, number);
}

void ring_receive(struct ring *ring, uint32_t number, uint32_t generation)
{
    struct io_uring_sqe *entry = ring_entry(ring, 1);

    ring_mark(ring, number, SOCKET_RECEIVE);
    /* MSG_DONTWAIT: with nothing there it fails instead of arming a poll of its own (855 bytes). */
    io_uring_prep_recv(entry, (int)number, NULL, 0, MSG_DONTWAIT);
    entry->flags |= IOSQE_FIXED_FILE | IOSQE_BUFFER_SELECT;
    entry->buf_group = RING_BUFFER_GROUP;
    entry->user_data = ring_user_data(RING_RECEIVE, generation, number);
}

uint8_t *ring_buffer_at(struct ring *ring, uint32_t buffer)
{
    ASSERT(buffer < ring->buffer_count);
    ASSERT((ring->buffers_taken[buffer / 64] & UINT64_C(1) << buffer % 64) != 0);
    return ring->buffers + (size_t)buffer * ring->buffer_size;
}

void ring_buffer_give(struct ring *ring, uint32_t buffer)
{
    uint8_t *bytes = ring_buffer_at(ring, buffer);

    ring->buffers_taken[buffer / 64] &= ~(UINT64_C(1) << buffer % 64);
    ring->buffers_free++;
    io_uring_buf_ring_add(ring->buffer_ring, bytes, ring->buffer_size, (unsigned short)buffer,
                          io_uring_buf_ring_mask(ring->buffer_count), 0);
    io_uring_buf_ring_advance(ring->buffer_ring, 1);
}

void ring_send(struct ring *ring, uint32_t number, uint32_t generation, const uint8_t *data,
               uint32_t size)
{
    struct io_uring_sqe *entry = ring_entry(ring, 1);

    ring_mark(ring, number, SOCKET_SEND); /* two sends would mix their bytes */
    /* WAITALL: stays in flight until all is taken, else a full socket ends it short. NOSIGNAL: 6.18
     * raises no SIGPIPE from a ring anyway. */
    io_uring_prep_send(entry, (int)number, data, size, MSG_WAITALL | MSG_NOSIGNAL);
    entry->flags |= IOSQE_FIXED_FILE;
    entry->user_data = ring_user_data(RING_SEND, generation, number);
}

void ring_cancel_send(struct ring *ring, uint32_t number, uint32_t generation)
{
    cancel(ring, RING_SEND, generation, number);
}

void ring_peer_name(struct ring *ring, uint32_t number, uint32_t generation, bool is_ipv6,
                    struct sockaddr_in6 *address)
{
    /* Exactly the address's own length: the kernel refuses a larger one with -EINVAL. */
    int size = is_ipv6 ? (int)sizeof(struct sockaddr_in6) : (int)sizeof(struct sockaddr_in);
    struct io_uring_sqe *entry = ring_entry(ring, 1);

    ring_mark(ring, number, SOCKET_NAME);
    io_uring_prep_cmd_sock(entry, SOCKET_URING_OP_GETSOCKOPT, (int)number, SOL_SOCKET, SO_PEERNAME,
                           address, size);
    entry->flags |= IOSQE_FIXED_FILE;
    entry->user_data = ring_user_data(RING_NAME, generation, number);
}

void ring_unsent(struct ring *ring, uint32_t number, uint32_t generation)
{
    struct io_uring_sqe *entry = ring_entry(ring, 1);

    ring_mark(ring, number, SOCKET_UNSENT);
    io_uring_prep_cmd_sock(entry, SOCKET_URING_OP_SIOCOUTQ, (int)number, 0, 0, NULL, 0);
    entry->flags |= IOSQE_FIXED_FILE;
    entry->user_data = ring_user_data(RING_UNSENT, generation, number);
}

void ring_close_socket(struct ring *ring, uint32_t number, uint32_t generation)
{
    struct io_uring_sqe *entry = ring_entry(ring, 1);

    ring_mark(ring, number, SOCKET_CLOSE);
    ASSERT((ring->sockets[number] & SOCKET_IN_FLIGHT) == SOCKET_CLOSE);
    io_uring_prep_close_direct(entry, number);
    entry->user_data = ring_user_data(RING_CLOSE, generation, number);
}

void ring_wake(struct ring *ring, int target_fd)
{
    struct io_uring_sqe *entry = ring_entry(ring, 1);

    io_uring_prep_msg_ring(entry, target_fd, 0, ring_user_data(RING_WAKE, 0, 0), 0);
    entry->flags |= IOSQE_CQE_SKIP_SUCCESS;
    entry->user_data = ring_user_data(RING_SILENT, 0, 0);
}

int ring_fd(const struct ring *ring)
{
    return ring->uring.ring_fd;
}

uint64_t ring_clock_ns(const struct ring *ring)
{
    (void)ring;
    return clock_ns(CLOCK_MONOTONIC);
}

uint64_t ring_unix_ms(const struct ring *ring)
{
    (void)ring;
    return clock_ns(CLOCK_REALTIME) / NS_PER_MS;
}

void ring_read_counts(const struct ring *ring, struct ring_counts *counts)
{
    *counts = (struct ring_counts){
        .completion_overflows = ring->completion_overflows,
        .completions_lost = ring->completions_lost,
        .enters = ring->enters,
        .buffers_free = ring->buffers_free,
    };
}
