/*
 * Goal: numbers are found in the kernel's three forms of text, and only whole ones in their own
 * place: what is cut, out of step, no number, too large or not there is not found.
 */
#include "admin/procfs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define MISSING UINT64_MAX

static uint64_t column(const char *text, const char *name)
{
    uint64_t value = 0;

    return procfs_column(slice_text(text), "TcpExt:", name, &value) ? value : MISSING;
}

static uint64_t field(const char *text, const char *name)
{
    uint64_t value = 0;

    return procfs_field(slice_text(text), "TCP:", name, &value) ? value : MISSING;
}

static uint64_t number(const char *text, uint32_t place)
{
    uint64_t value = 0;

    return procfs_number(slice_text(text), place, &value) ? value : MISSING;
}

static void test_columns(void **state)
{
    const char *text = "TcpExt: SyncookiesSent ListenOverflows ListenDrops\n"
                       "TcpExt: 1 22 18446744073709551614\n"
                       "IpExt: InNoRoutes ListenDrops\n"
                       "IpExt: 7 8\n";

    (void)state;
    assert_int_equal(column(text, "SyncookiesSent"), 1);
    assert_int_equal(column(text, "ListenOverflows"), 22);
    assert_int_equal(column(text, "ListenDrops"), 18446744073709551614u);
    assert_int_equal(column(text, "InNoRoutes"), MISSING); /* another group's */
    assert_int_equal(column(text, "Listen"), MISSING);
    assert_int_equal(column(text, "TcpExt:"), MISSING);
    assert_int_equal(column("IpExt: A\nIpExt: 1\nTcpExt: A\nTcpExt: 2", "A"), 2);
}

static void test_columns_of_garbage(void **state)
{
    (void)state;
    assert_int_equal(column("", "A"), MISSING);
    assert_int_equal(column("\n\n\n", "A"), MISSING);
    assert_int_equal(column("TcpExt: A", "A"), MISSING);
    assert_int_equal(column("TcpExt: A\n", "A"), MISSING);
    assert_int_equal(column("TcpExt: A\nTcpExt:", "A"), MISSING);
    assert_int_equal(column("TcpExt: A\nIpExt: 1\n", "A"), MISSING);
    assert_int_equal(column("TcpExt: B A\nTcpExt: 1\n", "A"), MISSING); /* fewer values */
    assert_int_equal(column("TcpExt: A\nTcpExt: -1\n", "A"), MISSING);
    assert_int_equal(column("TcpExt: A\nTcpExt: 1x\n", "A"), MISSING);
    assert_int_equal(column("TcpExt: A\nTcpExt: 18446744073709551616\n", "A"), MISSING);
    assert_int_equal(column("TcpExt: A\nTcpExt: 99999999999999999999999\n", "A"), MISSING);
    assert_int_equal(column("x\nTcpExt: A\nTcpExt: 1\n", "A"), MISSING); /* out of step */
}

static void test_fields(void **state)
{
    const char *text = "sockets: used 294\n"
                       "TCP: inuse 35 orphan 2 tw 4 alloc 59 mem 9\n"
                       "TCPX: mem 1\n"
                       "UDP: inuse 4 mem 3\n";

    (void)state;
    assert_int_equal(field(text, "inuse"), 35);
    assert_int_equal(field(text, "mem"), 9);
    assert_int_equal(field(text, "used"), MISSING);
    assert_int_equal(field(text, "35"), MISSING); /* a value is no name */
    assert_int_equal(field("TCP: inuse", "inuse"), MISSING);
    assert_int_equal(field("TCP: mem -4\n", "mem"), MISSING);
    assert_int_equal(field("TCP:mem 4\n", "mem"), MISSING);
    assert_int_equal(field("", "mem"), MISSING);
}

static void test_places(void **state)
{
    (void)state;
    assert_int_equal(number("188811\t251749\t377622\n", 0), 188811);
    assert_int_equal(number("188811\t251749\t377622\n", 2), 377622);
    assert_int_equal(number("188811\t251749\t377622\n", 3), MISSING);
    assert_int_equal(number("\n", 0), MISSING);
    assert_int_equal(number("", 0), MISSING);
    assert_int_equal(number("max\n", 0), MISSING);
    assert_int_equal(number("1 x 3", 1), MISSING);
    assert_int_equal(number("18446744073709551615", 0), UINT64_MAX);
}

static void test_files(void **state)
{
    static char bytes[PROCFS_SIZE_MAX];
    static char large[2 * PROCFS_SIZE_MAX];
    char path[] = "/tmp/limpet-procfs-XXXXXX";
    int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(procfs_read(path, bytes).size, 0); /* empty */
    assert_int_equal(write(fd, "12 13\n", 6), 6);
    struct slice text = procfs_read(path, bytes);
    assert_int_equal(text.size, 6);
    assert_memory_equal(text.data, "12 13\n", 6);
    memset(large, '7', sizeof(large));
    assert_int_equal(write(fd, large, sizeof(large)), sizeof(large));
    assert_int_equal(procfs_read(path, bytes).size, PROCFS_SIZE_MAX);
    assert_int_equal(close(fd), 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(procfs_read(path, bytes).size, 0); /* gone */
    assert_int_equal(procfs_read("/proc/self", bytes).size, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_columns), cmocka_unit_test(test_columns_of_garbage),
        cmocka_unit_test(test_fields),  cmocka_unit_test(test_places),
        cmocka_unit_test(test_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
