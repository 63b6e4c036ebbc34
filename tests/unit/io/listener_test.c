/*
 * Goal: a listener sets what its options say, accepted sockets inherit it, several listeners share
 * a port, and each refusal of the system says what to do.
 */
#include "io/listener.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define SKIPPED 77

static struct listener_options options_of(const char *text)
{
    struct listener_options options = {.backlog = 16};

    assert_int_equal(address_parse(slice_text(text), &options.address), 0);
    return options;
}

static int open_listener(const struct listener_options *options)
{
    char message[512] = "";
    int fd = listener_open(options, message, sizeof(message));

    if (fd < 0) {
        fail_msg("%s", message);
    }
    assert_string_equal(message, "");
    return fd;
}

static int connect_to(const struct sockaddr_in6 *address, uint16_t port)
{
    struct sockaddr_in6 target = *address;
    int fd = socket(address->sin6_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    target.sin6_port = htons(port);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&target, address_size(&target)), 0);
    return fd;
}

static int option_of(int fd, int level, int name)
{
    int value = -1;
    socklen_t size = sizeof(value);

    assert_int_equal(getsockopt(fd, level, name, &value, &size), 0);
    return value;
}

static void test_port_0_lets_the_kernel_choose(void **state)
{
    const struct listener_options options = options_of("127.0.0.1:0");
    int fd = open_listener(&options);

    (void)state;
    assert_true(listener_port(fd) != 0);
    int client = connect_to(&options.address, listener_port(fd));
    assert_int_equal(close(client), 0);
    assert_int_equal(close(fd), 0);
    assert_int_equal(listener_port(fd), 0); /* no socket */
}

static void test_accepted_sockets_inherit_the_options(void **state)
{
    struct listener_options options = options_of("127.0.0.1:0");

    (void)state;
    options.user_timeout_ms = 12345;
    options.receive_buffer_size = 20000;
    options.send_buffer_size = 30000;
    int fd = open_listener(&options);
    int client = connect_to(&options.address, listener_port(fd));
    int accepted = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
    assert_true(accepted >= 0);
    assert_int_equal(option_of(accepted, IPPROTO_TCP, TCP_NODELAY), 1);
    assert_int_equal(option_of(accepted, IPPROTO_TCP, TCP_NOTSENT_LOWAT), 16384);
    assert_int_equal(option_of(accepted, IPPROTO_TCP, TCP_USER_TIMEOUT), 12345);
    assert_int_equal(option_of(accepted, SOL_SOCKET, SO_RCVBUF), 40000); /* the kernel doubles */
    assert_int_equal(option_of(accepted, SOL_SOCKET, SO_SNDBUF), 60000);
    assert_int_equal(close(accepted), 0);
    assert_int_equal(close(client), 0);
    assert_int_equal(close(fd), 0);
}

static void test_options_of_0_leave_the_kernels(void **state)
{
    const struct listener_options options = options_of("127.0.0.1:0");
    int fd = open_listener(&options);
    int plain = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)state;
    assert_int_equal(option_of(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 0);
    assert_int_equal(option_of(fd, SOL_SOCKET, SO_RCVBUF), option_of(plain, SOL_SOCKET, SO_RCVBUF));
    assert_int_equal(option_of(fd, SOL_SOCKET, SO_SNDBUF), option_of(plain, SOL_SOCKET, SO_SNDBUF));
    assert_int_equal(close(plain), 0);
    assert_int_equal(close(fd), 0);
}

static void test_listeners_of_several_shards_share_a_port(void **state)
{
    struct listener_options options = options_of("127.0.0.1:0");
    int first = open_listener(&options);

    (void)state;
    options.address.sin6_port = htons(listener_port(first));
    int second = open_listener(&options);
    assert_int_equal(listener_port(second), listener_port(first));
    assert_int_equal(close(first), 0);
    int client = connect_to(&options.address, listener_port(second));
    assert_int_equal(close(client), 0);
    assert_int_equal(close(second), 0);
}

static void test_a_bare_port_takes_both_families(void **state)
{
    const struct listener_options options = options_of("0");
    const struct sockaddr_in6 ipv4 = options_of("127.0.0.1:0").address;
    const struct sockaddr_in6 ipv6 = options_of("[::1]:0").address;
    int fd = open_listener(&options);

    (void)state;
    int a = connect_to(&ipv4, listener_port(fd));
    int b = connect_to(&ipv6, listener_port(fd));
    assert_int_equal(close(a), 0);
    assert_int_equal(close(b), 0);
    assert_int_equal(close(fd), 0);
}

static void check_refusal(const struct listener_options *options, int error, const char *wanted)
{
    char message[512] = "";

    assert_int_equal(listener_open(options, message, sizeof(message)), error);
    if (strstr(message, wanted) == NULL) {
        fail_msg("no \"%s\" in: %s", wanted, message);
    }
}

static void test_a_port_in_use_is_named_with_its_fix(void **state)
{
    struct listener_options options = options_of("127.0.0.1:0");
    int other = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); /* without SO_REUSEPORT */
    char place[ADDRESS_TEXT_SIZE];

    (void)state;
    assert_true(other >= 0);
    assert_int_equal(
        bind(other, (const struct sockaddr *)&options.address, address_size(&options.address)), 0);
    assert_int_equal(listen(other, 1), 0);
    options.address.sin6_port = htons(listener_port(other));
    address_format(&options.address, place);
    check_refusal(&options, -EADDRINUSE, place);
    check_refusal(&options, -EADDRINUSE, "EADDRINUSE");
    check_refusal(&options, -EADDRINUSE, "ss -ltnp");
    assert_int_equal(close(other), 0);
}

static void test_an_address_of_no_interface(void **state)
{
    const struct listener_options options = options_of("192.0.2.1:1234");

    (void)state;
    check_refusal(&options, -EADDRNOTAVAIL, "no interface of this host has that address");
}

static void test_an_option_that_the_kernel_refuses_is_named(void **state)
{
    struct listener_options options = options_of("127.0.0.1:0");

    (void)state;
    options.user_timeout_ms = UINT32_MAX; /* negative as the kernel reads it */
    check_refusal(&options, -EINVAL, "TCP_USER_TIMEOUT");
}

/* In the child. Returns 0 when a low port is refused with the right advice. */
static int low_port_without_rights(void)
{
    const struct listener_options options = options_of("127.0.0.1:443");
    char message[512] = "";

    if (setresuid(65534, 65534, 65534) != 0) {
        return SKIPPED;
    }
    int fd = listener_open(&options, message, sizeof(message));
    if (fd >= 0) {
        return SKIPPED; /* sysctl net.ipv4.ip_unprivileged_port_start is low here */
    }
    return fd == -EACCES && strstr(message, "CAP_NET_BIND_SERVICE") != NULL ? 0 : 1;
}

static void test_a_low_port_needs_a_capability(void **state)
{
    int status = -1;

    (void)state;
    pid_t child = fork();
    if (child == 0) {
        _exit(low_port_without_rights());
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == SKIPPED) {
        skip();
    }
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_both_wildcards_side_by_side(void **state)
{
    struct listener_options ipv4 = options_of("0.0.0.0:0");
    struct listener_options ipv6 = options_of("[::]:0");
    char message[512];

    (void)state;
    int first = open_listener(&ipv4);
    ipv6.address.sin6_port = htons(listener_port(first));
    ipv6.ipv6_only = true;
    assert_int_equal(listener_probe(&ipv6, message, sizeof(message)), 0);
    int second = open_listener(&ipv6);
    assert_int_equal(option_of(second, IPPROTO_IPV6, IPV6_V6ONLY), 1);
    close(second);
    ipv6.ipv6_only = false; /* takes IPv4, too: and that is taken */
    assert_int_equal(listener_probe(&ipv6, message, sizeof(message)), -EADDRINUSE);
    close(first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_wildcards_side_by_side),
        cmocka_unit_test(test_port_0_lets_the_kernel_choose),
        cmocka_unit_test(test_accepted_sockets_inherit_the_options),
        cmocka_unit_test(test_options_of_0_leave_the_kernels),
        cmocka_unit_test(test_listeners_of_several_shards_share_a_port),
        cmocka_unit_test(test_a_bare_port_takes_both_families),
        cmocka_unit_test(test_a_port_in_use_is_named_with_its_fix),
        cmocka_unit_test(test_an_address_of_no_interface),
        cmocka_unit_test(test_an_option_that_the_kernel_refuses_is_named),
        cmocka_unit_test(test_a_low_port_needs_a_capability),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
