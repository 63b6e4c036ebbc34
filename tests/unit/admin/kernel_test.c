/*
 * Goal: what is told of the kernel is what the kernel tells; it is read once a second and no more
 * often; an accept queue is shown as long as its socket listens, with what waits in it.
 */
#include "admin/kernel.h"

#include "admin/procfs.h"

#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static char *render(const struct kernel *kernel)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    assert_non_null(out);
    kernel_write(kernel, out);
    assert_int_equal(fclose(out), 0);
    return text;
}

/* -1: there is no such sample. */
static double sample(const struct kernel *kernel, const char *name)
{
    char wanted[128];
    char *text = render(kernel);

    (void)snprintf(wanted, sizeof(wanted), "\n%s ", name);
    const char *line = strstr(text, wanted);
    double value = line ? strtod(line + strlen(wanted), NULL) : -1;
    free(text);
    return value;
}

static uint64_t netstat(const char *name)
{
    char bytes[PROCFS_SIZE_MAX];
    uint64_t value = 0;

    assert_true(
        procfs_column(procfs_read("/proc/self/net/netstat", bytes), "TcpExt:", name, &value));
    return value;
}

/* Others may overflow a listener meanwhile: between the two looks lies what is told. */
static void test_counters_are_the_kernels(void **state)
{
    static const struct {
        const char *name;
        const char *metric;
    } pairs[] = {{"ListenOverflows", "limpet_listen_overflows_total"},
                 {"ListenDrops", "limpet_listen_drops_total"},
                 {"TCPAbortOnTimeout", "limpet_tcp_events_total{event=\"abort_on_timeout\"}"}};

    (void)state;
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        struct kernel kernel = {0};
        double before = (double)netstat(pairs[i].name);
        kernel_read(&kernel, 1000);
        double after = (double)netstat(pairs[i].name);
        double told = sample(&kernel, pairs[i].metric);
        assert_true(told >= before);
        assert_true(told <= after);
    }
}

static void test_limits_are_in_bytes(void **state)
{
    char bytes[PROCFS_SIZE_MAX];
    struct kernel kernel = {0};
    uint64_t pages = 0;
    double page_size = (double)sysconf(_SC_PAGESIZE);

    (void)state;
    kernel_read(&kernel, 1000);
    assert_true(procfs_number(procfs_read("/proc/sys/net/ipv4/tcp_mem", bytes), 2, &pages));
    assert_true(sample(&kernel, "limpet_tcp_memory_limit_bytes{limit=\"max\"}") ==
                (double)pages * page_size);
    assert_true(sample(&kernel, "limpet_tcp_memory_limit_bytes{limit=\"min\"}") > 0);
    assert_true(sample(&kernel, "limpet_tcp_memory_bytes") >= 0);
    assert_true(sample(&kernel, "limpet_tcp_orphans") >= 0);
    assert_true(sample(&kernel, "limpet_tcp_orphans_limit") > 0);
    assert_true(sample(&kernel, "limpet_host_files") > 0);
    assert_true(sample(&kernel, "limpet_host_files") < sample(&kernel, "limpet_host_files_limit"));
    assert_true(sample(&kernel, "limpet_tcp_sockets") >= 0);
    double per_socket = sample(&kernel, "limpet_kernel_bytes_per_socket");
    assert_true(per_socket == -1 || per_socket >= 4200);
}

static void test_what_is_not_there_is_left_out(void **state)
{
    const struct kernel nothing = {0};
    struct kernel some = {0};
    char *text = render(&nothing);

    (void)state;
    assert_string_equal(text, "");
    free(text);
    some.has[KERNEL_TRACKED] = true;
    some.values[KERNEL_TRACKED] = 5;
    text = render(&some);
    assert_memory_equal(text, "# HELP limpet_conntrack_entries ", 32);
    assert_non_null(strstr(text, "\nlimpet_conntrack_entries 5\n"));
    assert_null(strstr(text, "limit"));
    free(text);
}

static void test_it_is_read_every_five_seconds(void **state)
{
    struct kernel kernel = {0};

    (void)state;
    kernel_read(&kernel, 5000);
    assert_true(kernel.values[KERNEL_FILES_MAX] > 0);
    kernel.values[KERNEL_FILES_MAX] = 1; /* not what the kernel says */
    kernel_read(&kernel, 9999);
    assert_int_equal(kernel.values[KERNEL_FILES_MAX], 1);
    kernel_read(&kernel, 10000);
    assert_int_not_equal(kernel.values[KERNEL_FILES_MAX], 1);
}

static void test_accept_queues(void **state)
{
    const struct sockaddr_in any = {.sin_family = AF_INET,
                                    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in address;
    socklen_t size = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    int clients[2];

    (void)state;
    assert_int_equal(bind(fd, (const struct sockaddr *)&any, sizeof(any)), 0);
    assert_int_equal(listen(fd, 7), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    const struct kernel_listener listeners[] = {{.fd = fd, .shard = 3, .number = 1}};
    struct kernel kernel = {.listeners = listeners, .listener_count = 1};
    assert_true(sample(&kernel, "limpet_accept_queue{shard=\"3\",listener=\"1\"}") == 0);
    assert_true(sample(&kernel, "limpet_accept_queue_size{shard=\"3\",listener=\"1\"}") == 7);
    for (size_t i = 0; i < 2; i++) {
        clients[i] = socket(AF_INET, SOCK_STREAM, 0);
        assert_int_equal(connect(clients[i], (struct sockaddr *)&address, size), 0);
    }
    assert_true(sample(&kernel, "limpet_accept_queue{shard=\"3\",listener=\"1\"}") == 2);
    int taken = accept(fd, NULL, NULL);
    assert_true(taken >= 0);
    assert_true(sample(&kernel, "limpet_accept_queue{shard=\"3\",listener=\"1\"}") == 1);
    const struct kernel_listener others[] = {{.fd = taken}, {.fd = STDIN_FILENO}, {.fd = -1}};
    kernel.listeners = others; /* its number was given out again: to no listener */
    kernel.listener_count = 3;
    assert_true(sample(&kernel, "limpet_accept_queue{shard=\"0\",listener=\"0\"}") == -1);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(close(clients[i]), 0);
    }
    assert_int_equal(close(taken), 0);
    assert_int_equal(close(fd), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counters_are_the_kernels),
        cmocka_unit_test(test_limits_are_in_bytes),
        cmocka_unit_test(test_what_is_not_there_is_left_out),
        cmocka_unit_test(test_it_is_read_every_five_seconds),
        cmocka_unit_test(test_accept_queues),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
