"""What systemd is told (sd_notify), by a socket in its place: ready, reloading, stopping, and that the shards go on."""

import os
import signal
import socket
import tempfile
import unittest

from limpet import PATIENCE, Server, main


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

    def test_nobody_asks(self):
        server = self.enterContext(Server(env={"NOTIFY_SOCKET": os.path.join(os.path.dirname(self.supervisor.path), "no")}))
        self.assertEqual(server.metric("limpet_connections_open"), 0)


if __name__ == "__main__":
    main()
