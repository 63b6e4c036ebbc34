#include "io/listener.h"

#include "base/log.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

struct socket_option {
    int level;
    int name;
    int value;
    bool wanted;
    const char *text;
};

/* What to do about an error of bind or listen. */
static const char *advice(int error, bool is_unix)
{
    if (is_unix) {
        switch (error) {
        case EADDRINUSE:
            return "another program listens there (ss -lxp names it), or it is a file of another "
                   "kind: stop it, remove it, or choose another path";
        case EACCES:
        case EPERM:
            return "the server may not write to the folder: change its owner or mode";
        case ENOENT:
        case ENOTDIR:
            return "there is no such folder: make it (RuntimeDirectory= in the unit)";
        default:
            return "the system refused";
        }
    }
    switch (error) {
    case EADDRINUSE:
        return "another program listens there (ss -ltnp names it): stop it, or choose another port";
    case EACCES:
        return "ports below 1024 need CAP_NET_BIND_SERVICE (AmbientCapabilities= in the unit)";
    case EADDRNOTAVAIL:
        return "no interface of this host has that address (ip address lists them)";
    case EAFNOSUPPORT:
        return "IPv6 is switched off here: give an IPv4 address, such as 0.0.0.0:8443";
    case EMFILE:
        return "too many open files: raise RLIMIT_NOFILE (ulimit -n, LimitNOFILE=)";
    default:
        return "the system refused";
    }
}

static int set_options(int fd, const struct listener_options *options, bool is_shared,
                       const char **failed)
{
    bool is_tcp = options->address.sin6_family != AF_UNIX;
    const struct socket_option wanted[] = {
        /* A restart must not wait for the old connections' TIME_WAIT. */
        {SOL_SOCKET, SO_REUSEADDR, 1, is_tcp, "SO_REUSEADDR"},
        /* Every shard listens on the same port and the kernel spreads connections by their hash. */
        {SOL_SOCKET, SO_REUSEPORT, 1, is_shared, "SO_REUSEPORT"},
        /* Whether the wildcard takes IPv4 as well is ours to say, whatever net.ipv6.bindv6only is.
         */
        {IPPROTO_IPV6, IPV6_V6ONLY, options->ipv6_only, options->address.sin6_family == AF_INET6,
         "IPV6_V6ONLY"},
        /* A frame goes out at once: we gather what belongs together ourselves, once a tick. */
        {IPPROTO_TCP, TCP_NODELAY, 1, is_tcp, "TCP_NODELAY"},
        /* What the network cannot take yet waits with us, where it is bounded and shared, and a
         * ping is not behind it: not in a buffer of up to 4 MB. A record's worth keeps the network
         * busy. */
        {IPPROTO_TCP, TCP_NOTSENT_LOWAT, 16384, is_tcp, "TCP_NOTSENT_LOWAT"},
        /* Unacknowledged bytes end a connection after this, not after 15 minutes of retries. */
        {IPPROTO_TCP, TCP_USER_TIMEOUT, (int)options->user_timeout_ms,
         is_tcp && options->user_timeout_ms != 0, "TCP_USER_TIMEOUT"},
        /* Before listen: the window scale is chosen when a connection is made. Switches off the
         * kernel's own tuning of the size. */
        {SOL_SOCKET, SO_RCVBUF, (int)options->receive_buffer_size,
         options->receive_buffer_size != 0, "SO_RCVBUF"},
        {SOL_SOCKET, SO_SNDBUF, (int)options->send_buffer_size, options->send_buffer_size != 0,
         "SO_SNDBUF"},
    };

    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        if (wanted[i].wanted && setsockopt(fd, wanted[i].level, wanted[i].name, &wanted[i].value,
                                           sizeof(wanted[i].value)) != 0) {
            *failed = wanted[i].text;
            return -errno;
        }
    }
    return 0;
}

/* Nobody accepts from the socket of this file. */
static bool is_left_over(const struct sockaddr_un *address)
{
    struct stat status;
    bool is_refused = false;

    if (lstat(address->sun_path, &status) != 0 || !S_ISSOCK(status.st_mode)) {
        return false;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0) {
        is_refused = connect(fd, (const struct sockaddr *)address, sizeof(*address)) != 0 &&
                     errno == ECONNREFUSED;
        (void)close(fd);
    }
    return is_refused;
}

static int bind_unix(int fd, const struct listener_options *options)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t size = strlen(options->path);

    ASSERT(size < sizeof(address.sun_path));
    memcpy(address.sun_path, options->path, size);
    int error = bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0 ? 0 : -errno;
    if (error == -EADDRINUSE && is_left_over(&address)) {
        (void)unlink(options->path);
        error = bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0 ? 0 : -errno;
    }
    /* Before listen: nobody gets in while the mode is still that of the umask. */
    if (error == 0 && chmod(options->path, (mode_t)options->mode) != 0) {
        error = -errno;
        (void)unlink(options->path);
    }
    return error;
}

static int bind_to(int fd, const struct listener_options *options)
{
    if (options->address.sin6_family == AF_UNIX) {
        return bind_unix(fd, options);
    }
    return bind(fd, (const struct sockaddr *)&options->address, address_size(&options->address)) ==
                   0
               ? 0
               : -errno;
}

/* A socket that listens on the address. Returns it, or -errno with a message. */
static int open_listening(const struct listener_options *options, bool is_shared, char *message,
                          size_t message_size)
{
    const char *failed = "socket";
    bool is_unix = options->address.sin6_family == AF_UNIX;
    char address[ADDRESS_TEXT_SIZE];
    int error = 0;
    int fd = socket(options->address.sin6_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        error = -errno;
    } else {
        error = set_options(fd, options, is_shared, &failed);
    }
    if (error == 0) {
        failed = "bind";
        error = bind_to(fd, options);
    }
    if (error == 0) {
        failed = "listen";
        error = listen(fd, (int)options->backlog) == 0 ? 0 : -errno;
    }
    if (error == 0) {
        return fd;
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    address_format(&options->address, address);
    (void)snprintf(message, message_size, "cannot listen on %s: %s: %s. %s",
                   is_unix ? options->path : address, failed, strerrorname_np(-error),
                   advice(-error, is_unix));
    return error;
}

int listener_open(const struct listener_options *options, char *message, size_t message_size)
{
    const bool is_unix = options->address.sin6_family == AF_UNIX;
    const int fd = open_listening(options, !is_unix, message, message_size);

    if (fd < 0 || is_unix || options->address.sin6_port != 0) {
        return fd;
    }
    /* Over a pause a socket keeps only a port that it was bound to by its number. */
    struct listener_options numbered = *options;
    numbered.address.sin6_port = htons(listener_port(fd));
    const int lasting_fd = open_listening(&numbered, true, message, message_size);
    (void)close(fd);
    return lasting_fd;
}

int listener_probe(const struct listener_options *options, char *message, size_t message_size)
{
    int fd = open_listening(options, false, message, message_size);

    if (fd >= 0) {
        (void)close(fd);
    }
    return fd >= 0 ? 0 : fd;
}

uint16_t listener_port(int fd)
{
    struct sockaddr_in6 address = {0};
    socklen_t size = sizeof(address);

    if (getsockname(fd, (struct sockaddr *)&address, &size) != 0) {
        return 0;
    }
    return ntohs(address.sin6_port); /* in the same place for both families */
}

bool listener_read_queue(int fd, struct listener_queue *queue)
{
    struct tcp_info info = {0};
    socklen_t size = sizeof(info);

    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0 || info.tcpi_state != TCP_LISTEN) {
        return false;
    }
    /* What these two stand for in a listener. */
    *queue = (struct listener_queue){.count = info.tcpi_unacked, .size = info.tcpi_sacked};
    return true;
}

void listener_file_note(struct listener_file *file, const char *path)
{
    struct stat status;

    *file = (struct listener_file){.path = ""};
    if (lstat(path, &status) == 0) {
        (void)snprintf(file->path, sizeof(file->path), "%s", path);
        file->device = status.st_dev;
        file->number = status.st_ino;
    }
}

void listener_file_remove(const struct listener_file *file)
{
    struct stat status;

    if (file->path[0] != '\0' && lstat(file->path, &status) == 0 && status.st_dev == file->device &&
        status.st_ino == file->number) {
        (void)unlink(file->path);
    }
}

/* The kernel cuts a longer backlog without a word, and then drops clients in a storm. */
void listener_warn_of_backlog(uint32_t backlog)
{
    FILE *file = fopen("/proc/sys/net/core/somaxconn", "re");
    char text[16] = "";

    if (file) {
        if (!fgets(text, sizeof(text), file)) {
            text[0] = '\0';
        }
        (void)fclose(file);
    }
    unsigned long somaxconn = strtoul(text, NULL, 10);
    if (somaxconn > 0 && somaxconn < backlog) {
        LOG(LOG_WARN, "listen_backlog is cut to net.core.somaxconn",
            log_number("listen_backlog", backlog), log_number("somaxconn", (int64_t)somaxconn),
            log_text("fix",
                     "sysctl -w net.core.somaxconn=<listen_backlog>, or lower listen_backlog"));
    }
}
