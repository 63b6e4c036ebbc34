/*
 * Goal: what a host may refuse. A disk that is full at any point, /etc, /var or /proc/sys mounted
 * read-only, a kernel that refuses a value or lacks it: nothing is changed, and it is said why. On
 * the real kernel, in a network namespace, apply and revert set real values; the host keeps its
 * own. Needs root; skipped without.
 */
#include "base/bytes.h"
#include "tests/unit/tuning/killer.h"
#include "tuning/drop_in.h"
#include "tuning/live.h"
#include "tuning/revert.h"
#include "tuning/store.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cmocka.h>

#define PAGE_SIZE    4096
#define DISK_SIZE    "1m"
#define PAGES_MAX    64
#define VALUE_SIZE   128
#define SKIPPED      77
#define SOMAXCONN    "/proc/sys/net/core/somaxconn"
#define TCP_RMEM     "/proc/sys/net/ipv4/tcp_rmem"
#define SOMAXCONN_TO "3210"
#define TCP_RMEM_TO  "4096 131072 4190208"

/* The host's own values: opened before this process leaves the host's network namespace. */
static int host_fds[2];
static char host_values[2][VALUE_SIZE];

static void unmount(const char *path)
{
    assert_int_equal(umount2(path, MNT_DETACH), 0);
}

/* A disk of its own for the whole root. */
static void mount_disk(const struct replica *replica, const char *options)
{
    assert_int_equal(mount("none", replica->root, "tmpfs", 0, options), 0);
    replica_populate(replica);
}

/* Takes all room but that many pages. */
static void fill(const struct replica *replica, int pages_left)
{
    static const char page[PAGE_SIZE];
    int fd = open(replica_path(replica, "/filler"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(lseek(fd, 0, SEEK_END), 0);
    while (write(fd, page, sizeof(page)) == (ssize_t)sizeof(page)) {
    }
    assert_int_equal(errno, ENOSPC);
    off_t size = lseek(fd, 0, SEEK_CUR);
    assert_int_equal(ftruncate(fd, size - (off_t)pages_left * PAGE_SIZE), 0);
    assert_int_equal(close(fd), 0);
}

static void expect_full(struct replica *replica)
{
    char *before = replica_snapshot(replica);

    if (replica_apply(replica) == 0) {
        assert_int_equal(replica_revert(replica), 0);
    } else {
        const char *said = replica_said(replica);
        if (!strstr(said, "No space left on device") || !strstr(said, "nothing ")) {
            fail_msg("not said: %s", said);
        }
        if (strstr(said, "could not be set back")) {
            fail_msg("said of what is as it was: %s", said);
        }
    }
    replica_expect_snapshot(replica, before, "with a full disk");
    free(before);
}

static void test_full_disk(void **state)
{
    struct replica *replica = *state;
    int pages = 0;
    bool was_full = true;

    while (was_full) {
        mount_disk(replica, "size=" DISK_SIZE);
        fill(replica, pages);
        expect_full(replica);
        was_full = replica_apply(replica) != 0;
        unmount(replica->root);
        assert_true(++pages < PAGES_MAX);
    }
    print_message("full with 0 to %d pages left\n", pages - 2);
    assert_true(pages > 4);
}

/* The same with the disk's count of files. */
static void test_no_inodes(void **state)
{
    struct replica *replica = *state;
    struct statvfs disk;
    char options[64];
    unsigned spare = 0;
    bool was_full = true;

    mount_disk(replica, "size=" DISK_SIZE);
    assert_int_equal(statvfs(replica->root, &disk), 0);
    unmount(replica->root);
    while (was_full) {
        (void)snprintf(options, sizeof(options), "size=" DISK_SIZE ",nr_inodes=%u",
                       (unsigned)(disk.f_files - disk.f_ffree) + spare);
        mount_disk(replica, options);
        expect_full(replica);
        was_full = replica_apply(replica) != 0;
        unmount(replica->root);
        assert_true(++spare < PAGES_MAX);
    }
    print_message("full with room for 0 to %u files\n", spare - 2);
    assert_true(spare > 4);
}

/* A folder of the root cannot be written to. */
static void expect_read_only(struct replica *replica, const char *path, const char *said)
{
    char full[128];
    char *before = replica_snapshot(replica);

    (void)snprintf(full, sizeof(full), "%s", replica_path(replica, path));
    assert_int_equal(mount(full, full, NULL, MS_BIND, NULL), 0);
    assert_int_equal(mount(NULL, full, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL), 0);
    replica_expect_refused(replica, replica_apply(replica), said, before);
    unmount(full);
    free(before);
}

static void test_read_only(void **state)
{
    struct replica *replica = *state;

    expect_read_only(replica, "/etc", "is on a read-only file system");
    expect_read_only(replica, "/etc/sysctl.d", "is on a read-only file system");
    expect_read_only(replica, "/proc/sys", "in a container it belongs to the host");
    expect_read_only(replica, "/var/lib", STORE_FOLDER ": Read-only file system");
}

/* Revert meets a read-only /etc: what it could not do it says, and does the next time. */
static void test_revert_read_only(void **state)
{
    struct replica *replica = *state;
    char *before = replica_snapshot(replica);
    char etc[128];

    (void)snprintf(etc, sizeof(etc), "%s", replica_path(replica, "/etc"));
    assert_int_equal(replica_apply(replica), 0);
    assert_int_equal(mount(etc, etc, NULL, MS_BIND, NULL), 0);
    assert_int_equal(mount(NULL, etc, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL), 0);
    assert_int_equal(replica_revert(replica), -1);
    replica_expect_said(replica, "run limpet-tune revert again");
    unmount(etc);
    assert_int_equal(replica_revert(replica), 0);
    replica_expect_snapshot(replica, before, "after the second revert");
    free(before);
}

/* ---------------------------------------------------------------------------------------------- */

static void read_live(const char *path, char out[VALUE_SIZE])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    ssize_t size = read(fd, out, VALUE_SIZE - 1);
    assert_true(size > 0);
    out[size] = '\0';
    assert_int_equal(close(fd), 0);
}

static void expect_live(const char *path, const char *value)
{
    char now[VALUE_SIZE];

    read_live(path, now);
    assert_true(live_equal(now, value));
}

static int set_up_kernel(void **state)
{
    struct replica *replica;

    (void)replica_set_up(state);
    replica = *state;
    assert_int_equal(mount("/proc/sys", replica_path(replica, "/proc/sys"), NULL, MS_BIND, NULL),
                     0);
    return 0;
}

static int tear_down_kernel(void **state)
{
    unmount(replica_path(*state, "/proc/sys"));
    return replica_tear_down(state);
}

static const struct change kernel_changes[] = {
    {CHANGE_SYSCTL, false, "net.core.somaxconn", SOMAXCONN_TO, "", "a test"},
    {CHANGE_SYSCTL, false, "net.ipv4.tcp_rmem", TCP_RMEM_TO, "", "a test"},
    {CHANGE_SYSCTL, true, "net.ipv4.no_such_key", "1", "", "a test"},
};

static void test_kernel(void **state)
{
    struct replica *replica = *state;
    char before[2][VALUE_SIZE];

    read_live(SOMAXCONN, before[0]);
    read_live(TCP_RMEM, before[1]);
    if (apply_run(&replica->options, kernel_changes, 3) != 0) {
        fail_msg("%s", replica_said(replica));
    }
    replica_expect_said(replica, "no_such_key = 1: absent from this kernel");
    expect_live(SOMAXCONN, SOMAXCONN_TO);
    expect_live(TCP_RMEM, TCP_RMEM_TO);
    assert_int_equal(replica_revert(replica), 0);
    expect_live(SOMAXCONN, before[0]);
    expect_live(TCP_RMEM, before[1]);
    replica_expect_absent(replica, DROP_IN_SYSCTL);
}

static int apply_to_kernel(struct replica *replica)
{
    return apply_run(&replica->options, kernel_changes, 2);
}

/* Killed at every step, as below a scratch root; here each value is set by one write. */
static void test_kernel_killed(void **state)
{
    struct replica *replica = *state;
    char before[2][VALUE_SIZE];
    unsigned step = 1;

    read_live(SOMAXCONN, before[0]);
    read_live(TCP_RMEM, before[1]);
    while (killer_run(replica, apply_to_kernel, step)) {
        assert_int_equal(replica_revert(replica), 0);
        expect_live(SOMAXCONN, before[0]);
        expect_live(TCP_RMEM, before[1]);
        replica_expect_absent(replica, DROP_IN_SYSCTL);
        replica_expect_absent(replica, STORE_FOLDER);
        assert_true(++step < KILLER_STEPS_MAX);
    }
    expect_live(SOMAXCONN, SOMAXCONN_TO);
    assert_true(step > 20);
    assert_int_equal(replica_revert(replica), 0);
    print_message("on the kernel: killed at each of %u steps\n", step - 1);
}

/* The kernel takes the first number of a vector before it refuses the second. */
static void test_kernel_refuses(void **state)
{
    struct replica *replica = *state;
    char before[2][VALUE_SIZE];
    const struct change changes[] = {
        {CHANGE_SYSCTL, false, "net.core.somaxconn", SOMAXCONN_TO, "", "a test"},
        {CHANGE_SYSCTL, false, "net.ipv4.tcp_rmem", "5000 abc 7000", "", "a test"},
    };

    read_live(SOMAXCONN, before[0]);
    read_live(TCP_RMEM, before[1]);
    assert_int_equal(apply_run(&replica->options, changes, 2), -1);
    const char *said = replica_said(replica);
    assert_non_null(strstr(said, "net.ipv4.tcp_rmem: Invalid argument (this kernel refuses"));
    assert_non_null(strstr(said, "nothing is changed"));
    expect_live(SOMAXCONN, before[0]);
    expect_live(TCP_RMEM, before[1]);
    replica_expect_absent(replica, DROP_IN_SYSCTL);
    replica_expect_absent(replica, STORE_FOLDER);
}

/* What belongs to the host cannot be set in a namespace of the network, not even by root. */
static void test_kernel_forbids(void **state)
{
    struct replica *replica = *state;
    const struct change changes[] = {
        {CHANGE_SYSCTL, false, "net.core.somaxconn", SOMAXCONN_TO, "", "a test"},
        {CHANGE_SYSCTL, false, "net.core.rmem_max", "123456", "", "a test"},
    };
    char before[VALUE_SIZE];

    read_live(SOMAXCONN, before);
    if (access("/proc/sys/net/core/rmem_max", W_OK) == 0) {
        skip(); /* a kernel that lets it */
    }
    assert_int_equal(apply_run(&replica->options, changes, 2), -1);
    replica_expect_said(replica, "cannot be");
    expect_live(SOMAXCONN, before);
    replica_expect_absent(replica, STORE_FOLDER);
}

static void test_host_untouched(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        char now[VALUE_SIZE];
        ssize_t size = pread(host_fds[i], now, sizeof(now) - 1, 0);
        assert_true(size > 0);
        now[size] = '\0';
        assert_string_equal(now, host_values[i]);
    }
}

static bool leave_host(void)
{
    static const char *const paths[] = {SOMAXCONN, TCP_RMEM};

    for (size_t i = 0; i < 2; i++) {
        host_fds[i] = open(paths[i], O_RDONLY | O_CLOEXEC);
        if (host_fds[i] < 0 || pread(host_fds[i], host_values[i], VALUE_SIZE - 1, 0) <= 0) {
            return false;
        }
    }
    return geteuid() == 0 && unshare(CLONE_NEWNS | CLONE_NEWNET) == 0 &&
           mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

#define TEST(name)        cmocka_unit_test_setup_teardown(name, replica_set_up, replica_tear_down)
#define KERNEL_TEST(name) cmocka_unit_test_setup_teardown(name, set_up_kernel, tear_down_kernel)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_full_disk),
        TEST(test_no_inodes),
        TEST(test_read_only),
        TEST(test_revert_read_only),
        KERNEL_TEST(test_kernel),
        KERNEL_TEST(test_kernel_killed),
        KERNEL_TEST(test_kernel_refuses),
        KERNEL_TEST(test_kernel_forbids),
        cmocka_unit_test(test_host_untouched),
    };

    if (!leave_host()) {
        print_message("skipped: needs root, and namespaces of its own\n");
        return SKIPPED;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
