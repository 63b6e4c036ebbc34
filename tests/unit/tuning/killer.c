#include "tests/unit/tuning/killer.h"

#include "base/bytes.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* A system call that changes files, or that says something about them: each is a step. */
static bool is_step(uint64_t number)
{
    static const long steps[] = {SYS_write,    SYS_openat,    SYS_renameat, SYS_renameat2,
                                 SYS_linkat,   SYS_unlinkat,  SYS_mkdirat,  SYS_fsync,
                                 SYS_fchown,   SYS_fchmod,    SYS_fchmodat, SYS_ftruncate,
                                 SYS_pwrite64, SYS_fdatasync, SYS_flock,    SYS_utimensat};

    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        if (number == (uint64_t)steps[i]) {
            return true;
        }
    }
    return false;
}

/* Lets a child do it and kills it before its step number step, from 1. False when it came to its
 * end before that, which must be a good one. */
bool killer_run(struct replica *replica, killer_action *act, unsigned step)
{
    struct __ptrace_syscall_info info;
    unsigned steps = 0;
    int status;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0 || raise(SIGSTOP) != 0) {
            _exit(99);
        }
        _exit(act(replica) == 0 ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSTOPPED(status));
    assert_int_equal(ptrace(PTRACE_SETOPTIONS, child, NULL, PTRACE_O_TRACESYSGOOD), 0);
    for (;;) {
        assert_int_equal(ptrace(PTRACE_SYSCALL, child, NULL, NULL), 0);
        assert_int_equal(waitpid(child, &status, 0), child);
        if (!WIFSTOPPED(status)) {
            assert_true(WIFEXITED(status));
            assert_int_equal(WEXITSTATUS(status), 0);
            return false;
        }
        if (WSTOPSIG(status) != (SIGTRAP | 0x80)) {
            continue;
        }
        assert_true(ptrace(PTRACE_GET_SYSCALL_INFO, child, sizeof(info), &info) > 0);
        if (info.op == PTRACE_SYSCALL_INFO_ENTRY && is_step(info.entry.nr) && ++steps == step) {
            break;
        }
    }
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    return true;
}
