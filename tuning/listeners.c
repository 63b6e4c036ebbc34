#include "tuning/listeners.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define INODES_MAX       4096u /* sockets that are descriptors: listeners, bells, the broker */
#define BUFFER_SIZE      32768u
#define TCP_LISTEN_STATE 10

struct inodes {
    uint32_t numbers[INODES_MAX];
    uint32_t count;
};

/* The process's sockets: links that read "socket:[12345]". */
static void read_inodes(pid_t pid, struct inodes *inodes)
{
    char path[64];
    char link[64];
    struct dirent *entry;

    inodes->count = 0;
    (void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    DIR *folder = opendir(path);
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): a stream of its own. */
    while (folder && inodes->count < INODES_MAX && (entry = readdir(folder)) != NULL) {
        ssize_t size = readlinkat(dirfd(folder), entry->d_name, link, sizeof(link) - 1);
        if (size > 8) {
            link[size] = '\0';
            if (strncmp(link, "socket:[", 8) == 0) {
                inodes->numbers[inodes->count++] = (uint32_t)strtoul(link + 8, NULL, 10);
            }
        }
    }
    if (folder) {
        (void)closedir(folder);
    }
}

static bool has_inode(const struct inodes *inodes, uint32_t number)
{
    for (uint32_t i = 0; i < inodes->count; i++) {
        if (inodes->numbers[i] == number) {
            return true;
        }
    }
    return false;
}

static int ask(int fd, uint8_t family)
{
    struct {
        struct nlmsghdr head;
        struct inet_diag_req_v2 request;
    } message = {
        .head = {.nlmsg_len = sizeof(message),
                 .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                 .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
        .request = {.sdiag_family = family,
                    .sdiag_protocol = IPPROTO_TCP,
                    .idiag_states = 1u << TCP_LISTEN_STATE},
    };

    return send(fd, &message, sizeof(message), 0) == (ssize_t)sizeof(message) ? 0 : -1;
}

/* Of a listening socket the kernel tells the accept queue: its length and its bound. */
static uint32_t add(struct listening *rows, uint32_t count, const struct inet_diag_msg *socket)
{
    const uint16_t port = ntohs(socket->id.idiag_sport);
    uint32_t i = 0;

    while (i < count && rows[i].port != port) {
        i++;
    }
    if (i == LISTENERS_MAX) {
        return count;
    }
    if (i == count) {
        rows[count++] = (struct listening){.port = port, .backlog = UINT32_MAX};
    }
    rows[i].count++;
    rows[i].queued += socket->idiag_rqueue;
    rows[i].backlog =
        socket->idiag_wqueue < rows[i].backlog ? socket->idiag_wqueue : rows[i].backlog;
    return count;
}

static uint32_t read_answers(int fd, const struct inodes *inodes, struct listening *rows,
                             uint32_t count)
{
    static _Alignas(struct nlmsghdr) uint8_t buffer[BUFFER_SIZE];

    for (;;) {
        ssize_t received = recv(fd, buffer, sizeof(buffer), 0);
        if (received <= 0) {
            return count;
        }
        size_t left = (size_t)received;
        for (struct nlmsghdr *head = (struct nlmsghdr *)buffer; NLMSG_OK(head, left);
             head = NLMSG_NEXT(head, left)) {
            if (head->nlmsg_type != SOCK_DIAG_BY_FAMILY) { /* the end, or an error */
                return count;
            }
            const struct inet_diag_msg *socket = NLMSG_DATA(head);
            if (has_inode(inodes, socket->idiag_inode)) {
                count = add(rows, count, socket);
            }
        }
    }
}

uint32_t listeners_read(pid_t pid, struct listening rows[LISTENERS_MAX])
{
    static const uint8_t families[] = {AF_INET, AF_INET6};
    static struct inodes inodes;
    const struct timeval patience = {.tv_sec = 2};
    uint32_t count = 0;

    read_inodes(pid, &inodes);
    int fd = inodes.count > 0 ? socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG) : -1;
    if (fd < 0) {
        return 0;
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
        if (ask(fd, families[i]) == 0) {
            count = read_answers(fd, &inodes, rows, count);
        }
    }
    (void)close(fd);
    return count;
}
