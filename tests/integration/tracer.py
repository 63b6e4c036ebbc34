"""Kills a program from outside at its n-th step, by ptrace. A step is a system call that changes files or writes."""

import ctypes
import os
import platform
import signal
import struct
import subprocess

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
LIBC.ptrace.restype = ctypes.c_long
TRACEME, SYSCALL, SETOPTIONS, GET_SYSCALL_INFO = 0, 24, 0x4200, 0x420E
SYSGOOD, EXITKILL, ENTRY = 1, 0x100000, 1
# write, pwrite64, openat, mkdirat, linkat, unlinkat, renameat, renameat2, fsync, fdatasync, ftruncate, fchmod, fchmodat,
# fchown, flock, utimensat
STEPS = {
    "x86_64": {1, 18, 257, 258, 265, 263, 264, 316, 74, 75, 77, 91, 268, 93, 73, 280},
    "aarch64": {64, 68, 56, 34, 37, 35, 38, 276, 82, 83, 46, 52, 53, 55, 32, 88},
}.get(platform.machine())


def ptrace(request, pid, address, data):
    result = LIBC.ptrace(request, pid, address, data)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def kill_at(command, step, env=None):
    """Runs a command and kills it just before its step-th step, from 1. None when it was killed, else its status."""
    environment = {**os.environ, **(env or {})}
    # The leak check of a sanitized program traces that program itself.
    environment["ASAN_OPTIONS"] = environment.get("ASAN_OPTIONS", "") + ":detect_leaks=0"
    info = ctypes.create_string_buffer(88)
    steps = 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
                          env=environment, preexec_fn=lambda: LIBC.ptrace(TRACEME, 0, None, None)) as process:
        _, status = os.waitpid(process.pid, 0)  # stopped at its exec
        ptrace(SETOPTIONS, process.pid, None, SYSGOOD | EXITKILL)
        while True:
            ptrace(SYSCALL, process.pid, None, None)
            _, status = os.waitpid(process.pid, 0)
            if not os.WIFSTOPPED(status):
                process.returncode = os.waitstatus_to_exitcode(status)
                return process.returncode
            if os.WSTOPSIG(status) != signal.SIGTRAP | 0x80:
                continue
            ptrace(GET_SYSCALL_INFO, process.pid, len(info), ctypes.cast(info, ctypes.c_void_p))
            kind, number = info.raw[0], struct.unpack_from("=Q", info.raw, 24)[0]
            steps += kind == ENTRY and number in STEPS
            if steps == step:
                process.kill()
                _, status = os.waitpid(process.pid, 0)
                process.returncode = os.waitstatus_to_exitcode(status)
                return None
