#include "admin/kernel.h"

#include "admin/procfs.h"
#include "base/text.h"
#include "io/listener.h"

#include <inttypes.h>
#include <unistd.h>

#define FRESH_MS 5000 /* to read them costs as much as all the rest of a scrape */

/*
 * Kernel objects of an idle accepted socket, measured by the growth of the slabs (socket, inode,
 * file, directory entry, poll). /proc/slabinfo is for root alone, so it cannot be read as it runs.
 */
#define SOCKET_OBJECT_BYTES 4200

/* Where a value is found: in a netstat group, on a line of sockstat, or at a place of a sysctl. */
struct source {
    enum kernel_value value;
    uint32_t place;
    const char *path;
    const char *group;
    const char *name;
};

#define NETSTAT   "/proc/self/net/netstat"
#define SOCKSTAT  "/proc/self/net/sockstat"
#define TCP_MEM   "/proc/sys/net/ipv4/tcp_mem"
#define CONNTRACK "/proc/sys/net/netfilter/nf_conntrack_"

/* Those of one file stand together: it is read once. */
static const struct source sources[] = {
    {KERNEL_LISTEN_OVERFLOWS, 0, NETSTAT, "TcpExt:", "ListenOverflows"},
    {KERNEL_LISTEN_DROPS, 0, NETSTAT, "TcpExt:", "ListenDrops"},
    {KERNEL_SYN_COOKIES, 0, NETSTAT, "TcpExt:", "TCPReqQFullDoCookies"},
    {KERNEL_SYN_DROPS, 0, NETSTAT, "TcpExt:", "TCPReqQFullDrop"},
    {KERNEL_MEMORY_PRESSURES, 0, NETSTAT, "TcpExt:", "TCPMemoryPressures"},
    {KERNEL_ABORTS_ON_MEMORY, 0, NETSTAT, "TcpExt:", "TCPAbortOnMemory"},
    {KERNEL_ABORTS_ON_TIMEOUT, 0, NETSTAT, "TcpExt:", "TCPAbortOnTimeout"},
    {KERNEL_TIME_WAIT_OVERFLOWS, 0, NETSTAT, "TcpExt:", "TCPTimeWaitOverflow"},
    {KERNEL_BACKLOG_DROPS, 0, NETSTAT, "TcpExt:", "TCPBacklogDrop"},
    {KERNEL_TCP_SOCKETS, 0, SOCKSTAT, "TCP:", "alloc"},
    {KERNEL_TIME_WAIT, 0, SOCKSTAT, "TCP:", "tw"},
    {KERNEL_ORPHANS, 0, SOCKSTAT, "TCP:", "orphan"},
    {KERNEL_TCP_PAGES, 0, SOCKSTAT, "TCP:", "mem"},
    {KERNEL_TCP_PAGES_MIN, 0, TCP_MEM, NULL, NULL},
    {KERNEL_TCP_PAGES_PRESSURE, 1, TCP_MEM, NULL, NULL},
    {KERNEL_TCP_PAGES_MAX, 2, TCP_MEM, NULL, NULL},
    {KERNEL_ORPHANS_MAX, 0, "/proc/sys/net/ipv4/tcp_max_orphans", NULL, NULL},
    {KERNEL_FILES, 0, "/proc/sys/fs/file-nr", NULL, NULL},
    {KERNEL_FILES_MAX, 2, "/proc/sys/fs/file-nr", NULL, NULL},
    {KERNEL_TRACKED, 0, CONNTRACK "count", NULL, NULL},
    {KERNEL_TRACKED_MAX, 0, CONNTRACK "max", NULL, NULL},
};
#define SOURCES (sizeof(sources) / sizeof(sources[0]))

struct row {
    enum kernel_value value;
    bool in_pages;
    const char *name;
    const char *type;
    const char *label; /* `name="value"`, or NULL */
    const char *help;
};

#define EVENT(value, label)                                                                        \
    {                                                                                              \
        KERNEL_##value, false, "limpet_tcp_events_total", "counter", "event=\"" label "\"",        \
            "What TCP of this network namespace did for want of something, by event."              \
    }
#define TCP_LIMIT(value, label)                                                                    \
    {                                                                                              \
        KERNEL_TCP_PAGES_##value, true, "limpet_tcp_memory_limit_bytes", "gauge",                  \
            "limit=\"" label "\"",                                                                 \
            "net.ipv4.tcp_mem of the host: above pressure windows shrink, above max sends and "    \
            "connections fail."                                                                    \
    }

/* clang-format off */
static const struct row rows[] = {
    {KERNEL_LISTEN_OVERFLOWS, false, "limpet_listen_overflows_total", "counter", NULL,
     "Connections that found an accept queue full, of all listeners of this network namespace."},
    {KERNEL_LISTEN_DROPS, false, "limpet_listen_drops_total", "counter", NULL,
     "Connections dropped by listeners for any reason, of this network namespace."},
    EVENT(SYN_COOKIES, "syn_cookies_sent"),
    EVENT(SYN_DROPS, "syn_dropped"),
    EVENT(MEMORY_PRESSURES, "memory_pressure"),
    EVENT(ABORTS_ON_MEMORY, "abort_on_memory"),
    EVENT(ABORTS_ON_TIMEOUT, "abort_on_timeout"),
    EVENT(TIME_WAIT_OVERFLOWS, "time_wait_overflow"),
    EVENT(BACKLOG_DROPS, "backlog_drop"),
    {KERNEL_TCP_SOCKETS, false, "limpet_tcp_sockets", "gauge", NULL,
     "TCP sockets that the host has memory for, of all its programs."},
    {KERNEL_TIME_WAIT, false, "limpet_tcp_time_wait", "gauge", NULL,
     "Connections in TIME_WAIT, of this network namespace."},
    {KERNEL_ORPHANS, false, "limpet_tcp_orphans", "gauge", NULL,
     "TCP sockets that no program holds any more, of the host: closed, with data that is not acknowledged."},
    {KERNEL_ORPHANS_MAX, false, "limpet_tcp_orphans_limit", "gauge", NULL,
     "net.ipv4.tcp_max_orphans: what is closed above it is reset."},
    {KERNEL_TCP_PAGES, true, "limpet_tcp_memory_bytes", "gauge", NULL,
     "Memory of data in the host's TCP buffers; idle connections have none."},
    TCP_LIMIT(MIN, "min"),
    TCP_LIMIT(PRESSURE, "pressure"),
    TCP_LIMIT(MAX, "max"),
    {KERNEL_SOCKET_BYTES, false, "limpet_kernel_bytes_per_socket", "gauge", NULL,
     "An estimate: 4,200 bytes of kernel objects of an idle connection, as measured, and its share of limpet_tcp_memory_bytes."},
    {KERNEL_FILES, false, "limpet_host_files", "gauge", NULL,
     "Open files of the host; direct descriptors of connections are among them."},
    {KERNEL_FILES_MAX, false, "limpet_host_files_limit", "gauge", NULL, "fs.file-max."},
    {KERNEL_TRACKED, false, "limpet_conntrack_entries", "gauge", NULL,
     "Tracked connections (nf_conntrack) of this network namespace; absent without the module."},
    {KERNEL_TRACKED_MAX, false, "limpet_conntrack_limit", "gauge", NULL,
     "nf_conntrack_max: packets of new connections above it are dropped."},
};
/* clang-format on */
#define ROWS (sizeof(rows) / sizeof(rows[0]))

static bool find(const struct source *source, struct slice text, uint64_t *value)
{
    if (!source->group) {
        return procfs_number(text, source->place, value);
    }
    return source->path == sources[0].path ? procfs_column(text, source->group, source->name, value)
                                           : procfs_field(text, source->group, source->name, value);
}

static uint64_t page_size(void)
{
    return (uint64_t)sysconf(_SC_PAGESIZE);
}

static void estimate_socket(struct kernel *kernel)
{
    const uint64_t sockets = kernel->values[KERNEL_TCP_SOCKETS];

    kernel->has[KERNEL_SOCKET_BYTES] =
        kernel->has[KERNEL_TCP_SOCKETS] && kernel->has[KERNEL_TCP_PAGES] && sockets > 0;
    if (kernel->has[KERNEL_SOCKET_BYTES]) {
        kernel->values[KERNEL_SOCKET_BYTES] =
            SOCKET_OBJECT_BYTES + kernel->values[KERNEL_TCP_PAGES] * page_size() / sockets;
    }
}

void kernel_read(struct kernel *kernel, uint64_t now_ms)
{
    char bytes[PROCFS_SIZE_MAX];
    struct slice text = {0};
    const char *path = NULL;

    if (kernel->read_ms != 0 && now_ms < kernel->read_ms + FRESH_MS) {
        return;
    }
    kernel->read_ms = now_ms;
    for (size_t i = 0; i < SOURCES; i++) {
        const struct source *source = &sources[i];
        if (!path || strcmp(path, source->path) != 0) {
            path = source->path;
            text = procfs_read(path, bytes);
        }
        kernel->has[source->value] = find(source, text, &kernel->values[source->value]);
    }
    estimate_socket(kernel);
}

static void write_header(FILE *out, const char *name, const char *type, const char *help)
{
    text_print(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* Not read in turn with the rest: what is in a queue now is what matters. */
static void write_queues(const struct kernel *kernel, FILE *out, bool is_size)
{
    const char *name = is_size ? "limpet_accept_queue_size" : "limpet_accept_queue";

    write_header(out, name, "gauge",
                 is_size
                     ? "Connections that the accept queue holds: listen_backlog, cut to "
                       "net.core.somaxconn."
                     : "Connections in the accept queue: made, and not taken by the shard yet.");
    for (size_t i = 0; i < kernel->listener_count; i++) {
        const struct kernel_listener *listener = &kernel->listeners[i];
        struct listener_queue queue;
        if (listener_read_queue(listener->fd, &queue)) {
            text_print(out, "%s{shard=\"%u\",listener=\"%u\"} %u\n", name, listener->shard,
                       listener->number, is_size ? queue.size : queue.count);
        }
    }
}

void kernel_write(const struct kernel *kernel, FILE *out)
{
    const char *name = "";

    for (size_t i = 0; i < ROWS; i++) {
        const struct row *row = &rows[i];
        if (!kernel->has[row->value]) {
            continue;
        }
        if (strcmp(name, row->name) != 0) {
            name = row->name;
            write_header(out, name, row->type, row->help);
        }
        text_print(out, "%s%s%s%s %" PRIu64 "\n", name, row->label ? "{" : "",
                   row->label ? row->label : "", row->label ? "}" : "",
                   kernel->values[row->value] * (row->in_pages ? page_size() : 1));
    }
    if (kernel->listener_count > 0) {
        write_queues(kernel, out, false);
        write_queues(kernel, out, true);
    }
}
