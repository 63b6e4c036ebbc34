#include "bench/scrape.h"

#include "io/listener.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define BODY_SIZE_MAX (16u << 20)
#define STEP_S_MAX    3

static int connect_to(const struct sockaddr_in6 *address)
{
    const struct timeval limit = {.tv_sec = STEP_S_MAX};
    socklen_t size =
        address->sin6_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    int fd = socket(address->sin6_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) == 0 &&
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) == 0 &&
        connect(fd, (const struct sockaddr *)address, size) == 0) {
        return fd;
    }
    int error = errno;
    if (fd >= 0) {
        (void)close(fd);
    }
    return -error;
}

/* Everything until the end of the stream, terminated; NULL when there is no memory or too much. */
static char *read_all(int fd)
{
    size_t room = 65536;
    size_t size = 0;
    char *text = malloc(room);

    while (text) {
        ssize_t taken = recv(fd, text + size, room - size - 1, 0);
        if (taken <= 0) {
            text[size] = '\0';
            return text;
        }
        size += (size_t)taken;
        if (size + 1 == room) {
            room *= 2;
            char *larger = room > BODY_SIZE_MAX ? NULL : realloc(text, room);
            if (!larger) {
                free(text);
            }
            text = larger;
        }
    }
    return NULL;
}

int scrape_get(const struct sockaddr_in6 *address, const char *path, char **body)
{
    char request[256];
    char host[ADDRESS_TEXT_SIZE];
    int status = 0;
    int fd = connect_to(address);

    if (body) {
        *body = NULL;
    }
    if (fd < 0) {
        return fd;
    }
    address_format(address, host);
    int size = snprintf(request, sizeof(request),
                        "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", path, host);
    if (send(fd, request, (size_t)size, MSG_NOSIGNAL) != size) {
        (void)close(fd);
        return -EPIPE;
    }
    char *text = read_all(fd);
    (void)close(fd);
    if (!text || sscanf(text, "HTTP/1.%*d %d", &status) != 1) {
        free(text);
        return -EPROTO;
    }
    const char *start = strstr(text, "\r\n\r\n");
    if (body && start) {
        *body = strdup(start + 4);
    }
    free(text);
    return status;
}

double scrape_sum(const char *text, const char *name)
{
    size_t name_size = strlen(name);
    double sum = NAN;

    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n' ? 1 : 0;
        if (strncmp(line, name, name_size) != 0) {
            continue;
        }
        const char *value = line + name_size;
        if (*value == '{') {
            /* Label values of ours hold no brace; the last one of the line ends the labels. */
            const char *end = line + strcspn(line, "\n");
            while (end > value && *end != '}') {
                end--;
            }
            value = end + 1;
        } else if (*value != ' ') {
            continue; /* a longer name */
        }
        sum = (isnan(sum) ? 0 : sum) + strtod(value, NULL);
    }
    return sum;
}
