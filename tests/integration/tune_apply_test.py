"""limpet-tune apply and revert, as an operator runs them, below a scratch root: there and back, at every step killed, two
at once, not root, with and without a terminal. Nothing here changes the host."""

import os
import pty
import shutil
import signal
import stat
import subprocess
import tempfile
import unittest

import tracer
from limpet import PATIENCE, main
from tune_test import OTHER_USERS, TUNE, Host, tune

if os.access("/dev/shm", os.W_OK):
    tempfile.tempdir = "/dev/shm"  # each step waits for the disk
DROP_INS = ("etc/sysctl.d/90-limpet.conf", "etc/systemd/system/limpet.service.d/90-limpet.conf")
STEPS_MAX = 1000


def snapshot(host):
    """Every name below the root, with its kind, mode, owner and content."""
    tree = {}
    for folder, folders, files in os.walk(host.root):
        for name in folders + files:
            path = os.path.join(folder, name)
            status = os.lstat(path)
            content = None
            if stat.S_ISLNK(status.st_mode):
                content = os.readlink(path)
            elif stat.S_ISREG(status.st_mode):
                with open(path, "rb") as file:
                    content = file.read()
            tree[os.path.relpath(path, host.root)] = (status.st_mode, status.st_uid, status.st_gid, content)
    return tree


class Applying(unittest.TestCase):
    def setUp(self):
        self.host = Host(self)
        os.makedirs(self.host.root / "var/lib")
        self.host.write("etc/sysctl.conf", "# nothing\n")
        self.host.write("proc/812/limits", "Max open files            1024                 524288\n")
        self.before = snapshot(self.host)

    def apply(self, *flags, connections=1000000):
        return tune("apply", "--connections", connections, "--root", self.host.root, *flags)

    def revert(self, *flags):
        return tune("revert", "--root", self.host.root, *flags)

    def live(self, key):
        return (self.host.root / "proc/sys" / key.replace(".", "/")).read_text(encoding="utf-8").split()

    def expect_as_before(self):
        self.maxDiff = None
        self.assertEqual(snapshot(self.host), self.before)

    def expect_refused(self, result, message):
        status, _, err = result
        self.assertEqual(status, 2, err)
        self.assertIn(message, err)
        self.expect_as_before()

    def test_there_and_back(self):
        status, out, err = self.apply("--yes")
        self.assertEqual((status, err), (0, ""))
        self.assertIn("net.core.somaxconn: 4096 -> 16384", out)
        self.assertEqual(self.live("net.core.somaxconn"), ["16384"])
        self.assertEqual(self.live("net.ipv4.tcp_mem"), ["625000", "833333", "1250000"])
        for path in DROP_INS:
            self.assertIn("1,000,000 connections", (self.host.root / path).read_text(encoding="utf-8"))
        _, _, states, _ = self.host.check("--connections", 1000000)
        self.assertEqual(states["net.core.somaxconn"]["state"], "ok")
        self.assertEqual(states["net.ipv4.tcp_mem"]["state"], "ok")
        applied = snapshot(self.host)
        status, out, _ = self.apply("--yes")
        self.assertEqual(status, 0)
        self.assertIn("nothing to do", out)
        self.assertEqual(snapshot(self.host), applied)
        status, out, err = self.revert("--yes")
        self.assertEqual((status, err), (0, ""))
        self.expect_as_before()
        status, out, _ = self.revert("--yes")
        self.assertEqual(status, 0)
        self.assertIn("nothing to take back", out)

    def test_every_size(self):
        for connections in (1000, 100000, 5000000):
            self.assertEqual(self.apply("--yes", connections=connections)[0], 0)
        self.assertEqual(self.apply("--yes", "--load-host")[0], 0)
        self.assertEqual(self.revert("--yes")[0], 0)
        self.expect_as_before()

    def test_dry_run(self):
        status, out, err = self.apply("--dry-run")
        self.assertEqual((status, err), (0, ""))
        self.assertIn("net.core.somaxconn = 16384\n", out)
        self.expect_as_before()

    def test_no_terminal(self):
        self.expect_refused(self.apply(), "say --yes")

    @unittest.skipUnless(tracer.STEPS, "this processor's system calls are not in the table")
    def test_killed_at_every_step(self):
        apply = [TUNE, "apply", "--connections", "1000000", "--root", str(self.host.root), "--yes"]
        revert = [TUNE, "revert", "--root", str(self.host.root), "--yes"]
        counts = []
        for command in (apply, revert):
            for step in range(1, STEPS_MAX):
                if command is revert:
                    self.assertEqual(self.apply("--yes")[0], 0)
                status = tracer.kill_at(command, step)
                if step % 10 == 0 and command is apply:
                    _, _, err = tune("check", "--root", self.host.root, "--interval", 0.05)
                    interrupted = (self.host.root / "var/lib/limpet-tune/journal").exists()
                    self.assertEqual("was interrupted" in err, interrupted, err)
                status_after, out, err = self.revert("--yes")
                self.assertEqual(status_after, 0, (step, out, err))
                self.expect_as_before()
                if status is not None:
                    self.assertEqual(status, 0)
                    counts.append(step - 1)
                    break
        self.assertEqual(len(counts), 2)
        self.assertGreater(min(counts), 20)
        print(f"killed at each of {counts[0]} steps of apply and {counts[1]} of revert")

    def test_asks_and_locks(self):
        master, slave = pty.openpty()
        with subprocess.Popen([TUNE, "apply", "--connections", "1000000", "--root", self.host.root], stdin=slave,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as first:
            os.close(slave)
            said = ""
            while not said.endswith("[y/N] "):
                said += first.stdout.read(1)
            self.expect_refused(self.apply("--yes"), f"process {first.pid} (limpet-tune) is at work on")
            self.expect_refused(self.revert("--yes"), "wait for its end")
            os.write(master, b"y\n")
            out, err = first.communicate(timeout=PATIENCE)
            self.assertEqual((first.returncode, err), (0, ""), out)
        os.close(master)
        self.assertEqual(self.live("net.core.somaxconn"), ["16384"])
        self.assertEqual(self.revert("--yes")[0], 0)
        self.expect_as_before()

    def test_interrupt_while_it_asks(self):
        master, slave = pty.openpty()
        with subprocess.Popen([TUNE, "apply", "--connections", "1000000", "--root", self.host.root], stdin=slave,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            said = ""
            while not said.endswith("[y/N] "):
                said += process.stdout.read(1)
            process.send_signal(signal.SIGINT)
            self.assertEqual(process.wait(PATIENCE), -signal.SIGINT)
        os.close(slave)
        os.close(master)
        self.expect_as_before()

    @unittest.skipUnless(os.geteuid() == 0, "is not root to begin with")
    def test_not_root(self):
        user = {"user": "nobody", "group": "nogroup", "extra_groups": []}
        folder = self.enterContext(tempfile.TemporaryDirectory(prefix="limpet-test-"))  # where anybody gets at it
        os.chmod(folder, 0o755)
        program = shutil.copy(TUNE, folder)
        os.chmod(self.host.root, 0o755)
        self.before = snapshot(self.host)
        for arguments, message in ((("--root", self.host.root), "run this as root"), ((), "run it as root")):
            result = subprocess.run([program, "apply", "--connections", "1000000", "--yes", *arguments], check=False,
                                    capture_output=True, text=True, timeout=PATIENCE, env=OTHER_USERS, **user)
            self.expect_refused((result.returncode, result.stdout, result.stderr), message)

    def test_wrong_root(self):
        status, _, err = tune("apply", "--root", "/nonexistent", "--yes")
        self.assertEqual(status, 2)
        self.assertIn("/nonexistent", err)
        os.rmdir(self.host.root / "var/lib")
        self.before = snapshot(self.host)
        self.expect_refused(self.apply("--yes"), "there is no folder")

    def test_broken_state(self):
        self.assertEqual(self.apply("--yes")[0], 0)
        state = self.host.root / "var/lib/limpet-tune/state"
        good = state.read_bytes()
        for bad in (b"", b"\0" * 100, good[:-1], good[:len(good) // 2], good.replace(b"4096", b"4095", 1)):
            state.write_bytes(bad)
            self.before = snapshot(self.host)
            self.expect_refused(self.revert("--yes"), "cannot be used")
            self.expect_refused(self.apply("--yes", connections=5000000), "cannot be used")


if __name__ == "__main__":
    main()
