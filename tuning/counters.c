#include "tuning/counters.h"

#include "tuning/nic_stats.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define LINE_SIZE 8192 /* the names of TcpExt are 2.5 KB */

enum counter_source {
    FROM_NETSTAT,   /* /proc/net/netstat, TcpExt, by name */
    FROM_SOCKSTAT,  /* /proc/net/sockstat, TCP:, by word */
    FROM_SOFTNET,   /* /proc/net/softnet_stat, a column of all CPUs */
    FROM_CONNTRACK, /* /proc/net/stat/nf_conntrack, by name, of all CPUs */
    FROM_CGROUP,    /* memory.events of the server's cgroup, by name */
    FROM_SYSCTL,    /* the first number */
    FROM_NIC,       /* a file of /sys/class/net/IF/statistics */
    FROM_DRIVER,    /* a figure of the interface's driver, of the host itself alone */
};

/* struct counter_info and where it comes from. */
struct row {
    struct counter_info info;
    enum counter_source source;
    uint32_t max_index;     /* of max_sysctl's numbers */
    const char *place;      /* a name there; of softnet: its column */
    const char *max_sysctl; /* of COUNTER_FILL */
};

static const struct row rows[] = {
    {{"ListenOverflows", "accept", "the accept queue was full: listen_backlog, net.core.somaxconn",
      COUNTER_HARM},
     FROM_NETSTAT,
     0,
     "ListenOverflows",
     NULL},
    {{"ListenDrops", "drop", "SYNs and last ACKs of handshakes that were dropped, whatever for",
      COUNTER_HARM},
     FROM_NETSTAT,
     0,
     "ListenDrops",
     NULL},
    {{"TCPReqQFullDrop", NULL, "the SYN queue was full, without cookies", COUNTER_HARM},
     FROM_NETSTAT,
     0,
     "TCPReqQFullDrop",
     NULL},
    {{"TCPReqQFullDoCookies", "cookie", "the SYN queue was full: clients came in by cookie",
      COUNTER_NOTE},
     FROM_NETSTAT,
     0,
     "TCPReqQFullDoCookies",
     NULL},
    {{"TCPMemoryPressures", "press", "TCP memory was scarce: net.ipv4.tcp_mem", COUNTER_HARM},
     FROM_NETSTAT,
     0,
     "TCPMemoryPressures",
     NULL},
    {{"TCPAbortOnMemory", "ab-mem",
      "connections ended for want of memory: tcp_mem, tcp_max_orphans", COUNTER_HARM},
     FROM_NETSTAT,
     0,
     "TCPAbortOnMemory",
     NULL},
    {{"TCPAbortOnTimeout", "ab-tmo", "peers that did not answer any more: tcp_user_timeout",
      COUNTER_NOTE},
     FROM_NETSTAT,
     0,
     "TCPAbortOnTimeout",
     NULL},
    {{"TCPRcvQDrop", NULL, "data that a full receive queue did not take: net.ipv4.tcp_rmem",
      COUNTER_NOTE},
     FROM_NETSTAT,
     0,
     "TCPRcvQDrop",
     NULL},
    {{"TCPBacklogDrop", "backlg", "packets for a socket that was in use for too long",
      COUNTER_HARM},
     FROM_NETSTAT,
     0,
     "TCPBacklogDrop",
     NULL},
    {{"TCPTimeWaitOverflow", NULL, "net.ipv4.tcp_max_tw_buckets were all taken", COUNTER_NOTE},
     FROM_NETSTAT,
     0,
     "TCPTimeWaitOverflow",
     NULL},
    {{"softnet dropped", "sftdrp", "packets dropped before TCP: net.core.netdev_max_backlog",
      COUNTER_HARM},
     FROM_SOFTNET,
     0,
     "1",
     NULL},
    {{"softnet squeezed", "squeez", "turns of the network that ran out of time, and went on later",
      COUNTER_NOTE},
     FROM_SOFTNET,
     0,
     "2",
     NULL},
    {{"rx_missed_errors", NULL, "the interface had no room for packets: its queues, their size",
      COUNTER_HARM},
     FROM_NIC,
     0,
     "rx_missed_errors",
     NULL},
    {{"provider: tracking", NULL, "AWS: conntrack_allowance_exceeded, connections too many",
      COUNTER_HARM},
     FROM_DRIVER,
     0,
     "conntrack_allowance_exceeded",
     NULL},
    {{"provider: packets", NULL, "AWS: pps_allowance_exceeded, packets too many", COUNTER_HARM},
     FROM_DRIVER,
     0,
     "pps_allowance_exceeded",
     NULL},
    {{"conntrack drop", "ctdrop", "packets of new connections: the table is full", COUNTER_HARM},
     FROM_CONNTRACK,
     0,
     "drop",
     NULL},
    {{"memory.events max", "memmax", "the service ran into its MemoryMax", COUNTER_HARM},
     FROM_CGROUP,
     0,
     "max",
     NULL},
    {{"memory.events high", NULL, "the service was stalled by its MemoryHigh", COUNTER_HARM},
     FROM_CGROUP,
     0,
     "high",
     NULL},
    {{"tracked connections", "track", "of nf_conntrack_max", COUNTER_FILL},
     FROM_SYSCTL,
     0,
     "net.netfilter.nf_conntrack_count",
     "net.netfilter.nf_conntrack_max"},
    {{"orphaned sockets", "orphan", "of tcp_max_orphans", COUNTER_FILL},
     FROM_SOCKSTAT,
     0,
     "orphan",
     "net.ipv4.tcp_max_orphans"},
    {{"TCP memory, pages", "pages", "of the last number of tcp_mem", COUNTER_FILL},
     FROM_SOCKSTAT,
     2,
     "mem",
     "net.ipv4.tcp_mem"},
    {{"open files", "files", "of fs.file-max", COUNTER_FILL},
     FROM_SYSCTL,
     0,
     "fs.file-nr",
     "fs.file-max"},
    {{"TCP sockets", "socks", "in use in this network namespace", COUNTER_SIZE},
     FROM_SOCKSTAT,
     0,
     "inuse",
     NULL},
};

#define ROW_COUNT (sizeof(rows) / sizeof(rows[0]))
static_assert(ROW_COUNT <= COUNTERS_MAX, "struct counters has a place for each");

const struct counter_info *counter_info(size_t index)
{
    return index < ROW_COUNT ? &rows[index].info : NULL;
}

static FILE *open_lines(const struct machine *machine, const char *path, enum host_reading *outcome)
{
    char full[HOST_PATH_MAX];
    FILE *file = host_path(machine->root, path, full) ? fopen(full, "re") : NULL;

    *outcome = file ? HOST_READ : errno == ENOENT ? HOST_ABSENT : HOST_UNREADABLE;
    return file;
}

/* The word of that number, counted from 0; size 0: there is none. */
static struct slice word_at(const char *line, uint32_t index)
{
    const char *at = line + strspn(line, " \t\n");

    for (uint32_t i = 0; i < index && *at != '\0'; i++) {
        at += strcspn(at, " \t\n");
        at += strspn(at, " \t\n");
    }
    return slice_from(at, strcspn(at, " \t\n"));
}

/* NONE when it is not in the line. */
static uint32_t word_find(const char *line, const char *name)
{
    for (uint32_t i = 0;; i++) {
        const struct slice word = word_at(line, i);
        if (word.size == 0) {
            return NONE;
        }
        if (slice_equal(word, slice_text(name))) {
            return i;
        }
    }
}

static bool parse_word(struct slice word, int base, uint64_t *out)
{
    char digits[32];
    char *end = NULL;

    if (word.size == 0 || word.size >= sizeof(digits)) {
        return false;
    }
    memcpy(digits, word.data, word.size);
    digits[word.size] = '\0';
    *out = strtoull(digits, &end, base);
    return *end == '\0' && digits[0] != '-';
}

/* "TcpExt: NAME ..." and below it "TcpExt: VALUE ...". */
static enum host_reading read_netstat(const struct machine *machine, const char *name,
                                      uint64_t *value)
{
    enum host_reading outcome;
    char names[LINE_SIZE];
    char values[LINE_SIZE];
    FILE *file = open_lines(machine, "/proc/net/netstat", &outcome);

    if (!file) {
        return outcome;
    }
    outcome = HOST_ABSENT;
    while (fgets(names, sizeof(names), file) && fgets(values, sizeof(values), file)) {
        const uint32_t index = strncmp(names, "TcpExt:", 7) == 0 ? word_find(names, name) : NONE;
        if (index != NONE) {
            outcome = parse_word(word_at(values, index), 10, value) ? HOST_READ : HOST_UNREADABLE;
            break;
        }
    }
    (void)fclose(file);
    return outcome;
}

/* Lines "NAME VALUE" or "TCP: NAME VALUE NAME VALUE". */
static enum host_reading read_named(const struct machine *machine, const char *path,
                                    const char *prefix, const char *name, uint64_t *value)
{
    enum host_reading outcome;
    char line[LINE_SIZE];
    FILE *file = open_lines(machine, path, &outcome);

    if (!file) {
        return outcome;
    }
    outcome = HOST_ABSENT;
    while (outcome == HOST_ABSENT && fgets(line, sizeof(line), file)) {
        const uint32_t index =
            strncmp(line, prefix, strlen(prefix)) == 0 ? word_find(line, name) : NONE;
        if (index != NONE) {
            outcome = parse_word(word_at(line, index + 1), 10, value) ? HOST_READ : HOST_UNREADABLE;
        }
    }
    (void)fclose(file);
    return outcome;
}

/* A column of hexadecimal numbers, over all CPUs. has_names: the first line names the columns. */
static enum host_reading read_columns(const struct machine *machine, const char *path,
                                      const char *column, bool has_names, uint64_t *value)
{
    enum host_reading outcome;
    char line[LINE_SIZE];
    uint64_t one = 0;
    uint32_t index = has_names ? NONE : (uint32_t)strtoul(column, NULL, 10);
    FILE *file = open_lines(machine, path, &outcome);

    if (!file) {
        return outcome;
    }
    outcome = HOST_ABSENT;
    if (has_names && fgets(line, sizeof(line), file)) {
        index = word_find(line, column);
    }
    *value = 0;
    while (index != NONE && outcome != HOST_UNREADABLE && fgets(line, sizeof(line), file)) {
        outcome = parse_word(word_at(line, index), 16, &one) ? HOST_READ : HOST_UNREADABLE;
        *value += one;
    }
    (void)fclose(file);
    return outcome;
}

static enum host_reading read_sysctl_number(const struct machine *machine, const char *key,
                                            uint32_t index, uint64_t *value)
{
    char text[HOST_TEXT_MAX];
    const enum host_reading outcome = host_read_sysctl(machine->root, key, text);

    if (outcome != HOST_READ) {
        return outcome;
    }
    return parse_word(word_at(text, index), 10, value) ? HOST_READ : HOST_UNREADABLE;
}

static enum host_reading read_file_number(const struct machine *machine, const char *path,
                                          uint64_t *value)
{
    char text[HOST_TEXT_MAX];
    const enum host_reading outcome = host_read_text(machine->root, path, text);

    if (outcome != HOST_READ) {
        return outcome;
    }
    return parse_word(slice_text(text), 10, value) ? HOST_READ : HOST_UNREADABLE;
}

static enum host_reading read_row(const struct machine *machine, const struct row *row,
                                  uint64_t *value)
{
    char path[HOST_PATH_MAX + 64];

    switch (row->source) {
    case FROM_NETSTAT:
        return read_netstat(machine, row->place, value);
    case FROM_SOCKSTAT:
        return read_named(machine, "/proc/net/sockstat", "TCP:", row->place, value);
    case FROM_SOFTNET:
        return read_columns(machine, "/proc/net/softnet_stat", row->place, false, value);
    case FROM_CONNTRACK:
        return read_columns(machine, "/proc/net/stat/nf_conntrack", row->place, true, value);
    case FROM_CGROUP:
        if (machine->cgroup[0] == '\0') {
            return HOST_ABSENT;
        }
        (void)snprintf(path, sizeof(path), "/sys/fs/cgroup%s/memory.events", machine->cgroup);
        return read_named(machine, path, row->place, row->place, value);
    case FROM_NIC:
        if (machine->nic[0] == '\0') {
            return HOST_ABSENT;
        }
        (void)snprintf(path, sizeof(path), "/sys/class/net/%s/statistics/%s", machine->nic,
                       row->place);
        return read_file_number(machine, path, value);
    case FROM_DRIVER:
        return machine->nic[0] == '\0' || machine->root[0] != '\0'
                   ? HOST_ABSENT
                   : nic_stats_read(machine->nic, row->place, value);
    case FROM_SYSCTL:
        return read_sysctl_number(machine, row->place, 0, value);
    }
    return HOST_ABSENT;
}

void counters_read(const struct machine *machine, struct counters *counters)
{
    *counters = (struct counters){0};
    for (size_t i = 0; i < ROW_COUNT; i++) {
        counters->values[i].outcome = read_row(machine, &rows[i], &counters->values[i].value);
        if (rows[i].max_sysctl && counters->values[i].outcome == HOST_READ &&
            read_sysctl_number(machine, rows[i].max_sysctl, rows[i].max_index,
                               &counters->values[i].max) != HOST_READ) {
            counters->values[i].max = 0;
        }
    }
}

uint64_t counters_grown(const struct counters *before, const struct counters *after, size_t index)
{
    ASSERT(index < ROW_COUNT);
    if (before->values[index].outcome != HOST_READ || after->values[index].outcome != HOST_READ ||
        after->values[index].value < before->values[index].value) {
        return 0;
    }
    return after->values[index].value - before->values[index].value;
}
