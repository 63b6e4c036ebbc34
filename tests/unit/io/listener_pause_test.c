/*
 * Goal: a paused listener refuses whoever comes, resets whoever waited, leaves those who were
 * accepted alone and keeps its address from others; it then listens again with the backlog it is
 * given, as often as one likes; what the kernel refuses is told.
 */
#include "io/listener_pause.h"

#include "io/listener.h"

#include "loopback.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 16

static int open_listener(const char *text, struct sockaddr_in6 *address)
{
    char message[512] = "";
    struct listener_options options = {.backlog = BACKLOG};

    assert_int_equal(address_parse(slice_text(text), &options.address), 0);
    int fd = listener_open(&options, message, sizeof(message));
    if (fd < 0) {
        fail_msg("%s", message);
    }
    *address = options.address;
    address->sin6_port = htons(listener_port(fd));
    return fd;
}

/* The descriptor, or -errno. */
static int connect_to(const struct sockaddr_in6 *address)
{
    const struct timeval patience = {.tv_sec = AWAIT_MS / 1000};
    int fd = socket(address->sin6_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
    if (connect(fd, (const struct sockaddr *)address, address_size(address)) != 0) {
        const int error = errno;
        close(fd);
        return -error;
    }
    return fd;
}

static int accept_one(int listener)
{
    struct pollfd wait = {.fd = listener, .events = POLLIN};

    assert_int_equal(poll(&wait, 1, AWAIT_MS), 1);
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static void assert_serves(int listener, const struct sockaddr_in6 *address)
{
    const int client = connect_to(address);

    assert_true(client >= 0);
    const int accepted = accept_one(listener);
    assert_int_equal(close(accepted), 0);
    assert_int_equal(loopback_read_byte(client), -1);
    assert_int_equal(close(client), 0);
}

static void pause_and_resume(const char *text)
{
    struct sockaddr_in6 address;
    const int listener = open_listener(text, &address);
    struct listener_queue queue;

    assert_serves(listener, &address);
    for (uint32_t i = 0; i < 3; i++) {
        listener_pause(listener);
        assert_int_equal(connect_to(&address), -ECONNREFUSED);
        assert_false(listener_read_queue(listener, &queue));
        assert_int_equal(listener_resume(listener, BACKLOG), 0);
        assert_serves(listener, &address);
    }
    assert_int_equal(close(listener), 0);
}

static void test_refuses_and_listens_again(void **state)
{
    (void)state;
    pause_and_resume("127.0.0.1:0");
    pause_and_resume("[::1]:0");
}

static void test_who_waits_is_reset(void **state)
{
    struct sockaddr_in6 address;
    const int listener = open_listener("127.0.0.1:0", &address);
    const int early = connect_to(&address);
    const int accepted = accept_one(listener);
    const int waiting = connect_to(&address);
    struct listener_queue queue;

    (void)state;
    assert_true(early >= 0);
    assert_true(waiting >= 0);
    assert_true(listener_read_queue(listener, &queue));
    assert_int_equal(queue.count, 1);
    listener_pause(listener);
    assert_int_equal(loopback_read_byte(waiting), -ECONNRESET - 1000);
    assert_true(loopback_is_quiet(early));
    loopback_put(accepted, "x"); /* it is as it was */
    assert_int_equal(loopback_read_byte(early), 'x');
    assert_int_equal(listener_resume(listener, BACKLOG), 0);
    assert_true(listener_read_queue(listener, &queue));
    assert_int_equal(queue.count, 0);
    assert_int_equal(close(waiting), 0);
    assert_int_equal(close(accepted), 0);
    assert_int_equal(close(early), 0);
    assert_int_equal(close(listener), 0);
}

static void test_the_address_is_kept(void **state)
{
    struct sockaddr_in6 address;
    const int listener = open_listener("127.0.0.1:0", &address);
    const int other = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const uint16_t port = listener_port(listener);

    (void)state;
    listener_pause(listener);
    assert_int_equal(listener_port(listener), port);
    assert_true(other >= 0);
    assert_int_not_equal(bind(other, (const struct sockaddr *)&address, address_size(&address)), 0);
    assert_int_equal(errno, EADDRINUSE);
    assert_int_equal(listener_resume(listener, BACKLOG), 0);
    assert_int_equal(listener_port(listener), port);
    assert_int_equal(close(other), 0);
    assert_int_equal(close(listener), 0);
}

static void test_the_backlog_is_the_new_one(void **state)
{
    struct sockaddr_in6 address;
    const int listener = open_listener("127.0.0.1:0", &address);
    struct listener_queue queue;

    (void)state;
    listener_pause(listener);
    assert_int_equal(listener_resume(listener, 3), 0);
    assert_true(listener_read_queue(listener, &queue));
    assert_int_equal(queue.size, 3);
    assert_int_equal(close(listener), 0);
}

/* Two listeners of one address, as two shards have them: the other one gets all. */
static void test_the_other_shard_goes_on(void **state)
{
    struct sockaddr_in6 address;
    const int listener = open_listener("127.0.0.1:0", &address);
    struct listener_options options = {.address = address, .backlog = BACKLOG};
    char message[512] = "";
    const int other = listener_open(&options, message, sizeof(message));

    (void)state;
    assert_true(other >= 0);
    listener_pause(listener);
    for (uint32_t i = 0; i < 10; i++) {
        assert_serves(other, &address);
    }
    assert_int_equal(listener_resume(listener, BACKLOG), 0);
    listener_pause(other);
    for (uint32_t i = 0; i < 10; i++) {
        assert_serves(listener, &address);
    }
    assert_int_equal(close(other), 0);
    assert_int_equal(close(listener), 0);
}

/* The system's refusals come back as they are. */
static void test_what_cannot_listen(void **state)
{
    int pair[2];

    (void)state;
    assert_int_equal(listener_resume(-1, BACKLOG), -EBADF);
    assert_int_equal(pipe(pair), 0);
    assert_int_equal(listener_resume(pair[0], BACKLOG), -ENOTSOCK);
    assert_int_equal(close(pair[0]), 0);
    assert_int_equal(close(pair[1]), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refuses_and_listens_again),
        cmocka_unit_test(test_who_waits_is_reset),
        cmocka_unit_test(test_the_address_is_kept),
        cmocka_unit_test(test_the_backlog_is_the_new_one),
        cmocka_unit_test(test_the_other_shard_goes_on),
        cmocka_unit_test(test_what_cannot_listen),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
