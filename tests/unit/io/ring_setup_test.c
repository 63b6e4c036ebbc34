/*
 * Goal: whatever keeps a ring from opening is told with its cause and its fix. Each case runs in a
 * child process, which takes the limits and filters with it when it ends.
 */
#include "io/ring.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define SKIPPED 77
#define NOBODY  65534u

static const struct ring_options small = {
    .sockets_max = 16,
    .buffer_count = 4,
    .buffer_size = 64,
    .submit_max = 64,
    .complete_max = 128,
};

/* A case: changes the process, then opens a ring. */
struct refusal {
    int (*prepare)(void); /* 0, or SKIPPED */
    uint32_t sockets_max;
    int error;
    const char *wanted[3]; /* parts of the message */
};

/* In the child. Returns 0 when the refusal is as it should be. */
static int try_refusal(const struct refusal *refusal)
{
    struct ring_options options = small;
    char message[1024] = "";
    int error = 0;
    int prepared = refusal->prepare();

    if (prepared != 0) {
        return prepared;
    }
    options.sockets_max = refusal->sockets_max;
    struct ring *ring = ring_open(&options, &error, message, sizeof(message));
    if (ring != NULL) {
        ring_close(ring);
        (void)fprintf(stderr, "the ring opened\n");
        return 1;
    }
    int status = error == refusal->error ? 0 : 1;
    for (size_t i = 0; i < 3; i++) {
        if (refusal->wanted[i] != NULL && strstr(message, refusal->wanted[i]) == NULL) {
            status = 1;
        }
    }
    if (status != 0) {
        (void)fprintf(stderr, "error %d: %s\n", error, message);
    }
    return status;
}

static void check_refusal(const struct refusal *refusal)
{
    int status = -1;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        _exit(try_refusal(refusal));
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == SKIPPED) {
        skip();
    }
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* --- limits -------------------------------------------------------------------------------------
 */

static int limit_files(rlim_t soft)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return 1;
    }
    limit.rlim_cur = soft;
    return setrlimit(RLIMIT_NOFILE, &limit) == 0 ? 0 : 1;
}

static int limit_files_to_100(void)
{
    return limit_files(100);
}

static int limit_files_to_0(void)
{
    return limit_files(0);
}

static int nothing(void)
{
    return 0;
}

static void test_a_table_above_the_soft_limit_of_files(void **state)
{
    const struct refusal refusal = {
        .prepare = limit_files_to_100,
        .sockets_max = 101,
        .error = -EMFILE,
        .wanted = {"101 connections a shard", "RLIMIT_NOFILE, which is 100", "LimitNOFILE="},
    };

    (void)state;
    check_refusal(&refusal);
}

static int open_exactly_100(void)
{
    struct ring_options options = small;
    struct rlimit limit = {0};
    char message[1024] = "";
    int error = 0;

    options.sockets_max = 100;
    if (limit_files(100) != 0) {
        return 1;
    }
    struct ring *ring = ring_open(&options, &error, message, sizeof(message));
    (void)fprintf(stderr, "%s", message);
    ring_close(ring);
    /* Nobody raised the limit behind the operator's back. */
    return ring != NULL && getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur == 100 ? 0 : 1;
}

static void test_a_table_of_exactly_the_soft_limit_opens(void **state)
{
    int status = -1;
    pid_t child = fork();

    (void)state;
    if (child == 0) {
        _exit(open_exactly_100());
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_a_table_above_the_kernels_own_limit(void **state)
{
    const struct refusal refusal = {
        .prepare = nothing,
        .sockets_max = (1u << 20) + 1,
        .error = -EMFILE,
        .wanted = {"1048576", "use more shards"},
    };

    (void)state;
    check_refusal(&refusal);
}

static void test_no_descriptor_left_for_the_ring(void **state)
{
    const struct refusal refusal = {
        .prepare = limit_files_to_0,
        .sockets_max = 16,
        .error = -EMFILE,
        .wanted = {"opening a ring", "too many open files", "RLIMIT_NOFILE"},
    };

    (void)state;
    check_refusal(&refusal);
}

/* The kernel accounts rings of those who may not lock memory freely. */
static int become_nobody_without_locked_memory(void)
{
    const struct rlimit limit = {.rlim_cur = 4096, .rlim_max = 4096};

    if (geteuid() != 0) {
        return SKIPPED;
    }
    return setrlimit(RLIMIT_MEMLOCK, &limit) == 0 && setresuid(NOBODY, NOBODY, NOBODY) == 0 ? 0 : 1;
}

static void test_too_little_locked_memory(void **state)
{
    const struct refusal refusal = {
        .prepare = become_nobody_without_locked_memory,
        .sockets_max = 16,
        .error = -ENOMEM,
        .wanted = {"RLIMIT_MEMLOCK", "4 KiB", "LimitMEMLOCK=infinity"},
    };

    (void)state;
    check_refusal(&refusal);
}

/* --- refused system calls -----------------------------------------------------------------------
 */

static int filter(uint32_t call, uint32_t error)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {
        .len = (unsigned short)(sizeof(code) / sizeof(code[0])),
        .filter = code,
    };

    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
                   prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0
               ? 0
               : 1;
}

static int forbid_setup(void)
{
    return filter(SYS_io_uring_setup, EPERM);
}

static int hide_setup(void)
{
    return filter(SYS_io_uring_setup, ENOSYS);
}

static int refuse_flags(void)
{
    return filter(SYS_io_uring_setup, EINVAL);
}

static int run_out_of_files(void)
{
    return filter(SYS_io_uring_setup, ENFILE);
}

static int forbid_register(void)
{
    return filter(SYS_io_uring_register, EPERM);
}

static int forbid_enter(void)
{
    return filter(SYS_io_uring_enter, EPERM);
}

static int break_setup(void)
{
    return filter(SYS_io_uring_setup, EIO);
}

static void test_system_calls_that_are_refused(void **state)
{
    static const struct refusal refusals[] = {
        {forbid_setup, 16, -EPERM, {"seccomp", "io_uring_setup", "SystemCallFilter=@io-event"}},
        {forbid_register, 16, -EPERM, {"seccomp", "io_uring_register"}},
        {forbid_enter, 16, -EPERM, {"seccomp", "io_uring_enter"}},
        {hide_setup, 16, -ENOSYS, {"no io_uring", "Linux 6.7", "CONFIG_IO_URING"}},
        {refuse_flags, 16, -EINVAL, {"too old", "DEFER_TASKRUN", "Linux 6.7"}},
        {run_out_of_files, 16, -ENFILE, {"fs.file-max"}},
        {break_setup, 16, -EIO, {"opening a ring", "EIO"}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        check_refusal(&refusals[i]);
    }
}

/* As if the sysctl were 2, for this process alone: a file of our own covers it. */
static int switch_off(void)
{
    char path[] = "/tmp/io_uring_disabled.XXXXXX";
    int result = SKIPPED;
    int fd = mkstemp(path);

    if (fd < 0) {
        return 1;
    }
    if (write(fd, "2\n", 2) == 2 && unshare(CLONE_NEWNS) == 0 &&
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
        mount(path, "/proc/sys/kernel/io_uring_disabled", NULL, MS_BIND, NULL) == 0) {
        result = forbid_setup();
    }
    (void)close(fd);
    (void)unlink(path);
    return result;
}

static void test_io_uring_switched_off_by_sysctl(void **state)
{
    const struct refusal refusal = {
        .prepare = switch_off,
        .sockets_max = 16,
        .error = -EPERM,
        .wanted = {"kernel.io_uring_disabled is 2", "Set it to 0", "kernel.io_uring_group"},
    };

    (void)state;
    check_refusal(&refusal);
}

static void test_a_message_is_cut_to_its_place(void **state)
{
    struct ring_options options = small;
    char message[8] = "xxxxxxx";
    int error = 0;

    (void)state;
    options.sockets_max = (1u << 20) + 1;
    assert_null(ring_open(&options, &error, message, sizeof(message)));
    assert_string_equal(message, "1048577");
    ring_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_table_above_the_soft_limit_of_files),
        cmocka_unit_test(test_a_table_of_exactly_the_soft_limit_opens),
        cmocka_unit_test(test_a_table_above_the_kernels_own_limit),
        cmocka_unit_test(test_no_descriptor_left_for_the_ring),
        cmocka_unit_test(test_too_little_locked_memory),
        cmocka_unit_test(test_system_calls_that_are_refused),
        cmocka_unit_test(test_io_uring_switched_off_by_sysctl),
        cmocka_unit_test(test_a_message_is_cut_to_its_place),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
