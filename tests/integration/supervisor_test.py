"""What systemd is told (sd_notify), by a socket in its place: ready, reloading, stopping, and that the shards go on."""

import ctypes
import os
import signal
import socket
import tempfile
import unittest
import urllib.error
import urllib.request

from limpet import PATIENCE, Server, main, wait_until


class Held:
    """A thread of a child that stands still. False when that is not allowed."""

    SEIZE, INTERRUPT, DETACH, ALL = 0x4206, 0x4207, 17, 0x40000000  # ptrace(2), waitpid(2)

    def __init__(self, pid, name):
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.thread = next(int(tid) for tid in os.listdir(f"/proc/{pid}/task") if self.name(pid, tid).startswith(name))

    @staticmethod
    def name(pid, tid):
        with open(f"/proc/{pid}/task/{tid}/comm", encoding="ascii") as file:
            return file.read()

    def ptrace(self, request):
        return self.libc.ptrace(request, ctypes.c_long(self.thread), None, None) == 0

    def __enter__(self):
        if not self.ptrace(self.SEIZE):
            return False
        self.ptrace(self.INTERRUPT)
        os.waitpid(self.thread, self.ALL)
        return True

    def __exit__(self, *exception):
        self.ptrace(self.DETACH)


class Supervisor:
    """The socket that systemd would listen on, and what came by it."""

    def __init__(self, folder):
        self.path = os.path.join(folder, "notify")
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(self.path)
        self.sock.settimeout(PATIENCE)

    def next(self):
        """One message as its lines."""
        return dict(line.split("=", 1) for line in self.sock.recv(4096).decode().splitlines())

    def until(self, name):
        """The first message that has the line, and all that came before."""
        before = []
        while True:
            message = self.next()
            if name in message:
                return message, before
            before.append(message)


class Notify(unittest.TestCase):
    def setUp(self):
        self.supervisor = Supervisor(self.enterContext(tempfile.TemporaryDirectory(prefix="limpet-test-")))
        self.addCleanup(self.supervisor.sock.close)

    def server(self, **env):
        return self.enterContext(Server(env={"NOTIFY_SOCKET": self.supervisor.path, **env}))

    def test_the_life_of_a_service(self):
        server = self.server()
        self.assertEqual(self.supervisor.next()["READY"], "1")
        server.process.send_signal(signal.SIGHUP)
        reloading = self.supervisor.next()
        self.assertEqual(reloading["RELOADING"], "1")
        self.assertGreater(int(reloading["MONOTONIC_USEC"]), 0)
        self.assertEqual(self.supervisor.next()["READY"], "1")
        server.process.send_signal(signal.SIGTERM)
        stopping, before = self.supervisor.until("STOPPING")
        self.assertEqual(stopping["STOPPING"], "1")
        self.assertGreaterEqual(int(stopping["EXTEND_TIMEOUT_USEC"]), 10_000_000, "deadlines.shutdown, and more")
        self.assertEqual(before, [], "no watchdog was asked for")

    def test_the_watchdog_is_fed(self):
        self.server(WATCHDOG_USEC="30000000")
        _, before = self.supervisor.until("WATCHDOG")
        self.assertEqual([message.get("READY") for message in before], ["1"])
        self.assertEqual(self.supervisor.until("WATCHDOG")[0]["WATCHDOG"], "1")

    def test_a_shard_that_hangs_starves_the_watchdog(self):
        """One thread is held, as a bug would hold it; all others go on."""
        server = self.server(WATCHDOG_USEC="30000000")
        self.supervisor.until("WATCHDOG")
        with Held(server.process.pid, "shard") as held:
            if not held:
                self.skipTest("a child's thread may not be held here (ptrace)")
            wait_until(lambda: self.live(server) == 503, "the shard is taken for dead")
            self.assertEqual(self.messages_within(3), [], "who does not tick is not vouched for")
        wait_until(lambda: self.live(server) == 200, "it ticks again")
        self.assertEqual(self.supervisor.until("WATCHDOG")[0]["WATCHDOG"], "1")

    def live(self, server):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{server.admin_port}/health/live", timeout=PATIENCE) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code

    def messages_within(self, seconds):
        """What comes now: what waited is taken out first."""
        self.supervisor.sock.settimeout(0)
        try:
            while True:
                self.supervisor.next()
        except BlockingIOError:
            pass
        self.supervisor.sock.settimeout(seconds)
        try:
            return [self.supervisor.next()]
        except TimeoutError:
            return []
        finally:
            self.supervisor.sock.settimeout(PATIENCE)

    def test_nobody_asks(self):
        server = self.enterContext(Server(env={"NOTIFY_SOCKET": os.path.join(os.path.dirname(self.supervisor.path), "no")}))
        self.assertEqual(server.metric("limpet_connections_open"), 0)


if __name__ == "__main__":
    main()
