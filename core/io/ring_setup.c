#include "io/ring.h"

#include "io/ring_state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define SUBMIT_DEFAULT   512u
#define COMPLETE_DEFAULT 8192u      /* from here on the kernel's cancel hash has its 256 buckets */
#define SUBMIT_MAX       (1u << 15) /* this and the next three: the kernel's own limits */
#define COMPLETE_MAX     (1u << 16)
#define TABLE_MAX        (1u << 20)
#define BUFFERS_MAX      (1u << 15)
#define PROBE_OPERATIONS 256

/* --- messages --------------------------------------------------------------------------------- */

/* Where messages go while a ring is being opened. */
struct report {
    char *message;
    size_t message_size;
};

/* Writes the message and returns error. */
PRINTF_LIKE(3, 4)
static int refuse(const struct report *report, int error, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(report->message, report->message_size, format, arguments);
    va_end(arguments);
    return error;
}

static int refuse_permission(const struct report *report, int error)
{
    char value[2] = "";
    int fd = open("/proc/sys/kernel/io_uring_disabled", O_RDONLY | O_CLOEXEC);

    if (fd >= 0) {
        if (read(fd, value, 1) != 1) {
            value[0] = '0';
        }
        (void)close(fd);
    }
    if (value[0] == '1' || value[0] == '2') {
        return refuse(
            report, error,
            "io_uring is switched off: sysctl kernel.io_uring_disabled is %s. Set it to 0, "
            "or to 1 with kernel.io_uring_group naming a group of this user",
            value);
    }
    return refuse(report, error,
                  "io_uring is forbidden to this process, most likely by a seccomp filter of its "
                  "container or unit. Allow io_uring_setup, io_uring_enter and io_uring_register "
                  "(SystemCallFilter=@io-event, or a seccomp profile that names them)");
}

static int refuse_memory(const struct report *report, int error, const char *what)
{
    struct rlimit limit = {0};

    (void)getrlimit(RLIMIT_MEMLOCK, &limit);
    if (limit.rlim_cur == RLIM_INFINITY) {
        return refuse(report, error, "%s failed: the kernel has no memory. Free some: %s", what,
                      "raise the memory cgroup's limit, or choose smaller rings");
    }
    return refuse(
        report, error,
        "%s failed: the kernel has no memory, or RLIMIT_MEMLOCK is too low: it is %llu KiB for all "
        "rings of this user. Raise it (ulimit -l, LimitMEMLOCK=infinity), use fewer shards "
        "or smaller rings",
        what, (unsigned long long)limit.rlim_cur / 1024);
}

/* An error that means the same whichever call returned it. */
static int refuse_call(const struct report *report, int error, const char *what)
{
    switch (error) {
    case -EPERM:
    case -EACCES:
        return refuse_permission(report, error);
    case -ENOMEM:
        return refuse_memory(report, error, what);
    case -EMFILE:
        return refuse(report, error,
                      "%s failed: too many open files. Raise RLIMIT_NOFILE (ulimit -n, "
                      "LimitNOFILE=)",
                      what);
    case -ENFILE:
        return refuse(report, error,
                      "%s failed: too many open files in the system. Raise sysctl %s", what,
                      "fs.file-max");
    default:
        return refuse(report, error, "%s failed with error %d (%s)", what, -error,
                      strerrorname_np(-error));
    }
}

static int refuse_setup(const struct report *report, int error)
{
    if (error == -ENOSYS) {
        return refuse(report, error,
                      "this kernel has no io_uring, or a seccomp filter hides it. Limpet needs "
                      "Linux 6.7 or newer with CONFIG_IO_URING");
    }
    if (error == -EINVAL) {
        return refuse(report, error,
                      "this kernel is too old: it does not know the ring flags SINGLE_ISSUER and "
                      "DEFER_TASKRUN (Linux 6.1). Limpet needs Linux 6.7 or newer");
    }
    return refuse_call(report, error, "opening a ring");
}

/* --- the ring itself -------------------------------------------------------------------------- */

static bool is_power_of_two(uint32_t value)
{
    return value != 0 && (value & (value - 1)) == 0;
}

static int open_uring(struct ring *ring, const struct ring_options *options,
                      const struct report *report)
{
    const uint32_t submit_max = options->submit_max == 0 ? SUBMIT_DEFAULT : options->submit_max;
    const uint32_t complete_max =
        options->complete_max == 0 ? COMPLETE_DEFAULT : options->complete_max;
    const uint32_t flags =
        /* One thread submits: the kernel leaves out locks. Any call from another one is -EEXIST. */
        IORING_SETUP_SINGLE_ISSUER |
        /* Completions' work runs inside our ring_wait, batched, not whenever the kernel returns to
         * us. Hurts one who polls the completion queue without entering: nothing would move. */
        IORING_SETUP_DEFER_TASKRUN |
        /* A bad entry fails alone: the rest of its batch still goes out. */
        IORING_SETUP_SUBMIT_ALL |
        /* Completion queue of our own size: the default, twice the submission queue, overflows as
         * soon as many idle connections wake at once. Costs 16 bytes an entry. */
        IORING_SETUP_CQSIZE;
    struct io_uring_params params;
    int result = -EINVAL;

    ASSERT(is_power_of_two(submit_max));
    ASSERT(is_power_of_two(complete_max));
    ASSERT(submit_max <= SUBMIT_MAX);
    ASSERT(complete_max <= COMPLETE_MAX);
    ASSERT(submit_max <= complete_max);
    for (uint32_t attempt = 0; attempt < 2 && result == -EINVAL; attempt++) {
        params = (struct io_uring_params){
            .flags = flags,
            .cq_entries = complete_max,
        };
        if (attempt == 0) {
            /* No indirection from submission slots to entries: one cache line less a submission.
             * Since Linux 6.6; nothing depends on it. */
            params.flags |= IORING_SETUP_NO_SQARRAY;
        }
        result = io_uring_queue_init_params(submit_max, &ring->uring, &params);
    }
    if (result < 0) {
        return refuse_setup(report, result);
    }
    ring->enter_fd = ring->uring.ring_fd;
    return 0;
}

/* --- what the kernel must know ---------------------------------------------------------------- */

static int check_operations(struct ring *ring, const struct report *report)
{
    static const struct {
        int operation;
        const char *name;
    } wanted[] = {
        {IORING_OP_ACCEPT, "ACCEPT"},       {IORING_OP_POLL_ADD, "POLL_ADD"},
        {IORING_OP_RECV, "RECV"},           {IORING_OP_POLL_REMOVE, "POLL_REMOVE"},
        {IORING_OP_SEND, "SEND"},           {IORING_OP_ASYNC_CANCEL, "ASYNC_CANCEL"},
        {IORING_OP_CLOSE, "CLOSE"},         {IORING_OP_MSG_RING, "MSG_RING"},
        {IORING_OP_URING_CMD, "URING_CMD"},
    };
    struct io_uring_probe *probe =
        calloc(1, sizeof(*probe) + PROBE_OPERATIONS * sizeof(probe->ops[0]));
    int result =
        probe == NULL ? -ENOMEM : io_uring_register_probe(&ring->uring, probe, PROBE_OPERATIONS);

    if (result < 0) {
        free(probe);
        return refuse_call(report, result, "asking the kernel for its io_uring operations");
    }
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]) && result == 0; i++) {
        if (!io_uring_opcode_supported(probe, wanted[i].operation)) {
            result =
                refuse(report, -EOPNOTSUPP,
                       "this kernel is too old: io_uring operation %s is missing. Limpet needs "
                       "Linux 6.7 or newer",
                       wanted[i].name);
        }
    }
    free(probe);
    return result;
}

/* Socket commands have no probe of their own: ask a socket for its type. */
static int check_socket_commands(struct ring *ring, const struct report *report)
{
    int type = 0;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct io_uring_cqe *cqe = NULL;

    if (fd < 0) {
        return refuse_call(report, -errno, "opening a socket");
    }
    struct io_uring_sqe *entry = ring_entry(ring, 1);
    io_uring_prep_cmd_sock(entry, SOCKET_URING_OP_GETSOCKOPT, fd, SOL_SOCKET, SO_TYPE, &type,
                           sizeof(type));
    entry->user_data = ring_user_data(RING_SILENT, 0, 0);
    int result = io_uring_submit_and_wait(&ring->uring, 1);
    if (result >= 0) {
        result = io_uring_peek_cqe(&ring->uring, &cqe);
    }
    if (result >= 0) {
        result = cqe->res;
        io_uring_cqe_seen(&ring->uring, cqe);
    }
    (void)close(fd);
    if (result == -EPERM || result == -EACCES) {
        return refuse_permission(report, result);
    }
    if (result < 0 || type != SOCK_STREAM) {
        return refuse(report, result < 0 ? result : -EOPNOTSUPP,
                      "this kernel is too old: io_uring socket commands are missing. Limpet needs "
                      "Linux 6.7 or newer");
    }
    return 0;
}

/* --- descriptors and buffers ------------------------------------------------------------------ */

static int register_table(struct ring *ring, const struct report *report)
{
    /* The raw call: liburing's own raises the soft RLIMIT_NOFILE behind the operator's back. */
    struct io_uring_rsrc_register table = {
        .nr = ring->sockets_max,
        .flags = IORING_RSRC_REGISTER_SPARSE,
    };
    struct rlimit limit = {0};
    int result = io_uring_register((unsigned)ring->uring.ring_fd, IORING_REGISTER_FILES2, &table,
                                   sizeof(table));

    if (result >= 0) {
        return 0;
    }
    (void)getrlimit(RLIMIT_NOFILE, &limit);
    if (result == -EMFILE && ring->sockets_max > TABLE_MAX) {
        return refuse(report, result, "%u connections a shard are more than the kernel's %u: %s",
                      ring->sockets_max, TABLE_MAX, "use more shards");
    }
    if (result == -EMFILE) {
        return refuse(
            report, result,
            "%u connections a shard are more than RLIMIT_NOFILE, which is %llu (hard limit "
            "%llu). Raise it (ulimit -n, LimitNOFILE=), or use more shards: the limit "
            "holds for each",
            ring->sockets_max, (unsigned long long)limit.rlim_cur,
            (unsigned long long)limit.rlim_max);
    }
    return refuse_call(report, result, "registering a table of sockets");
}

static int open_buffers(struct ring *ring, const struct report *report)
{
    size_t bytes = (size_t)ring->buffer_count * ring->buffer_size;
    int result = 0;

    /* Touched now: the ring of buffers turns, so all of them are soon in use, whatever the load. */
    ring->buffers = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (ring->buffers == MAP_FAILED) {
        ring->buffers = NULL;
        return refuse(report, -errno, "no memory for %u receive buffers of %u bytes",
                      ring->buffer_count, ring->buffer_size);
    }
    /* Received bytes are decrypted in place there: no secrets in a core dump. */
    (void)madvise(ring->buffers, bytes, MADV_DONTDUMP);
    ring->buffer_ring =
        io_uring_setup_buf_ring(&ring->uring, ring->buffer_count, RING_BUFFER_GROUP, 0, &result);
    if (ring->buffer_ring == NULL) {
        return refuse_call(report, result, "registering the receive buffers");
    }
    for (uint32_t i = 0; i < ring->buffer_count; i++) {
        ring->buffers_taken[i / 64] |= UINT64_C(1) << i % 64;
        ring_buffer_give(ring, i);
    }
    return 0;
}

static int open_parts(struct ring *ring, const struct ring_options *options,
                      const struct report *report)
{
    int result = open_uring(ring, options, report);

    if (result == 0) {
        result = check_operations(ring, report);
    }
    if (result == 0) {
        result = check_socket_commands(ring, report);
    }
    if (result == 0) {
        result = register_table(ring, report);
    }
    if (result == 0) {
        result = open_buffers(ring, report);
    }
    /* Saves the kernel's look-up of the descriptor, 0.03 us an enter; goes without where refused.
     */
    if (result == 0 && io_uring_register_ring_fd(&ring->uring) == 1) {
        ring->enter_fd = ring->uring.enter_ring_fd;
        ring->enter_flags = IORING_ENTER_REGISTERED_RING;
    }
    return result;
}

struct ring *ring_open(const struct ring_options *options, int *error, char *message,
                       size_t message_size)
{
    struct report report = {.message_size = message_size};

    report.message = message;
    ASSERT(options->sockets_max > 0);
    ASSERT(options->buffer_size > 0);
    ASSERT(is_power_of_two(options->buffer_count));
    ASSERT(options->buffer_count <= BUFFERS_MAX);
    struct ring *ring = calloc(1, sizeof(*ring));
    if (ring != NULL) {
        ring->sockets_max = options->sockets_max;
        ring->buffer_count = options->buffer_count;
        ring->buffer_size = options->buffer_size;
        ring->enter_fd = -1;
        ring->sockets = calloc(options->sockets_max, sizeof(*ring->sockets));
        ring->buffers_taken =
            calloc(((size_t)options->buffer_count + 63) / 64, sizeof(*ring->buffers_taken));
    }
    if (ring == NULL || ring->sockets == NULL || ring->buffers_taken == NULL) {
        *error =
            refuse(&report, -ENOMEM, "no memory for a ring of %u sockets", options->sockets_max);
    } else {
        *error = open_parts(ring, options, &report);
    }
    if (*error != 0) {
        ring_close(ring);
        return NULL;
    }
    return ring;
}

void ring_close(struct ring *ring)
{
    if (ring == NULL) {
        return;
    }
    if (ring->buffer_ring != NULL) {
        (void)io_uring_free_buf_ring(&ring->uring, ring->buffer_ring, ring->buffer_count,
                                     RING_BUFFER_GROUP);
    }
    if (ring->enter_fd >= 0) {
        io_uring_queue_exit(&ring->uring);
    }
    if (ring->buffers != NULL) {
        (void)munmap(ring->buffers, (size_t)ring->buffer_count * ring->buffer_size);
    }
    free(ring->buffers_taken);
    free(ring->sockets);
    free(ring);
}
