#include "tests/unit/io/loopback.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#define NS_PER_MS          1000000ull
#define SOCKET_BUFFER_SIZE 16384

const struct ring_options loopback_options = {
    .sockets_max = 16,
    .buffer_count = 4,
    .buffer_size = 64,
    .submit_max = 64,
    .complete_max = 256,
};

void loopback_open(struct loopback *loopback, const struct ring_options *options, const char *text)
{
    /* Small buffers: a send of a few times that size has to wait. */
    struct listener_options listener = {
        .backlog = 128,
        .receive_buffer_size = SOCKET_BUFFER_SIZE,
        .send_buffer_size = SOCKET_BUFFER_SIZE,
    };
    char message[512] = "";
    int error = 0;

    *loopback = (struct loopback){.listener_fd = -1};
    loopback->ring = ring_open(options, &error, message, sizeof(message));
    if (loopback->ring == NULL) {
        fail_msg("ring_open: %s", message);
    }
    assert_int_equal(address_parse(slice_text(text), &listener.address), 0);
    loopback->listener_fd = listener_open(&listener, message, sizeof(message));
    if (loopback->listener_fd < 0) {
        fail_msg("listener_open: %s", message);
    }
    loopback->address = listener.address;
    loopback->address.sin6_port = htons(listener_port(loopback->listener_fd));
    ring_accept(loopback->ring, loopback->listener_fd, LISTENER);
}

void loopback_close(struct loopback *loopback)
{
    ring_close(loopback->ring);
    assert_int_equal(close(loopback->listener_fd), 0);
}

int loopback_connect(const struct loopback *loopback)
{
    const int size = SOCKET_BUFFER_SIZE;
    struct timeval limit = {.tv_sec = AWAIT_MS / 1000};
    int fd = socket(loopback->address.sin6_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)), 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)), 0);
    assert_int_equal(
        connect(fd, (const struct sockaddr *)&loopback->address, address_size(&loopback->address)),
        0);
    return fd;
}

int loopback_accepted(struct loopback *loopback, uint32_t *number)
{
    int fd = loopback_connect(loopback);
    struct ring_event event = loopback_await(loopback, RING_ACCEPT, LISTENER);

    assert_true(event.result >= 0);
    assert_true(event.more);
    *number = (uint32_t)event.result;
    return fd;
}

static void take_events(struct loopback *loopback, uint64_t timeout_ns)
{
    const uint32_t room =
        (uint32_t)(sizeof(loopback->held) / sizeof(loopback->held[0])) - loopback->held_count;
    uint64_t now_ns = 0;

    assert_true(room > 0);
    loopback->held_count +=
        ring_wait(loopback->ring, timeout_ns, loopback->held + loopback->held_count, room, &now_ns);
}

static uint32_t find(const struct loopback *loopback, enum ring_operation operation,
                     uint32_t number)
{
    for (uint32_t i = 0; i < loopback->held_count; i++) {
        if (loopback->held[i].operation == operation && loopback->held[i].number == number) {
            return i;
        }
    }
    return NONE;
}

struct ring_event loopback_await(struct loopback *loopback, enum ring_operation operation,
                                 uint32_t number)
{
    uint32_t found = find(loopback, operation, number);

    for (int wait = 0; wait < AWAIT_MS / 100 && found == NONE; wait++) {
        take_events(loopback, 100 * NS_PER_MS);
        found = find(loopback, operation, number);
    }
    if (found == NONE) {
        fail_msg("no event %d of number %u", (int)operation, number);
    }
    struct ring_event event = loopback->held[found];
    loopback->held_count--;
    memmove(loopback->held + found, loopback->held + found + 1,
            (loopback->held_count - found) * sizeof(event));
    return event;
}

void loopback_turn(struct loopback *loopback)
{
    take_events(loopback, 0);
}

bool loopback_has(struct loopback *loopback, enum ring_operation operation, uint32_t number)
{
    take_events(loopback, 0);
    return find(loopback, operation, number) != NONE;
}

void loopback_reset(int fd)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};

    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
    assert_int_equal(close(fd), 0);
}

int loopback_read_byte(int fd)
{
    uint8_t byte = 0;
    ssize_t size = recv(fd, &byte, 1, 0);

    if (size < 0) {
        return -errno - 1000;
    }
    return size == 0 ? -1 : byte;
}

bool loopback_is_quiet(int fd)
{
    uint8_t byte = 0;

    return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

int loopback_setup(void **state)
{
    static struct loopback loopback;

    loopback_open(&loopback, &loopback_options, "127.0.0.1:0");
    *state = &loopback;
    return 0;
}

int loopback_teardown(void **state)
{
    loopback_close(*state);
    return 0;
}

void loopback_put(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}
