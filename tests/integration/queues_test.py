"""S37, S38: the queues of a connection attempt, full, then not: the server's accept queue and the load tool's ports.

Not provoked here: net.core.somaxconn and fs.nr_open below what is wanted (the machine's, not ours to change; options_test and
budget_test look at what we say then), a SYN queue overflow (it is as long as the accept queue, which fills first as no ACK
is lost on loopback), and an old kernel that takes a backlog of 65,536 as 0 (ours stops at 65,535).
"""

import json
import os
import selectors
import socket
import subprocess
import sys
import tempfile
import time
import unittest

from limpet import BINARY, LIMPET, PATIENCE, SANITIZED, Server, WebSocket, main, tls_context, wait_until

BENCH = os.environ.get("LIMPET_BENCH", "build/release/limpet-bench")
BACKLOG = 8
INSIDE = "LIMPET_TEST_NETWORK"


def listen_overflows():
    with open("/proc/net/netstat", encoding="ascii") as file:
        names, values = [line.split() for line in file if line.startswith("TcpExt:")]
    return int(values[names.index("ListenOverflows")])


class AcceptQueue(unittest.TestCase):
    def setUp(self):
        self.server = self.enterContext(Server("--listen-backlog", BACKLOG, shards=1))

    def connecting(self):
        sock = socket.socket()
        self.addCleanup(sock.close)
        sock.setblocking(False)
        sock.connect_ex(("127.0.0.1", self.server.port))
        return sock

    def test_who_finds_it_full_gets_through_later(self):
        """40 clients while the server is stopped: the kernel keeps 9, drops the SYNs of the others, and they ask again."""
        told, overflows = self.server.metric("limpet_listen_overflows_total"), listen_overflows()
        self.server.pause()
        start = time.monotonic()
        clients = [self.connecting() for _ in range(40)]
        wait_until(lambda: listen_overflows() >= overflows + 40 - BACKLOG - 1, "31 drops")
        self.server.go_on()
        selector, seconds = selectors.DefaultSelector(), []
        for client in clients:
            selector.register(client, selectors.EVENT_WRITE)
        while len(seconds) < len(clients):
            ready = selector.select(PATIENCE)
            self.assertTrue(ready, f"{len(seconds)} are connected")
            for key, _ in ready:
                self.assertEqual(key.fileobj.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), 0)
                selector.unregister(key.fileobj)
                seconds.append(time.monotonic() - start)
        selector.close()
        self.assertGreaterEqual(sum(each > 0.9 for each in seconds), 40 - BACKLOG - 1, seconds)  # a SYN's first timeout
        for client in clients:
            client.settimeout(PATIENCE)
            websocket = WebSocket(tls_context().wrap_socket(client, server_hostname="localhost"))
            websocket.sock.sendall(self.server.request())
            self.assertEqual(websocket.read_head()[0], 101)
            websocket.send(BINARY, b"late")
            self.assertEqual(websocket.receive_data(), (BINARY, b"late"))
            self.addCleanup(websocket.close)
        wait_until(lambda: self.server.metric("limpet_listen_overflows_total") >= told + 40 - BACKLOG - 1,
                   "the drops are told: what is the host's is read every few seconds")
        self.assertEqual(self.server.metric("limpet_accept_errors_total"), 0)

    def test_the_load_tool_shows_it(self):
        """Repeated SYNs are a step of its connect times, and the overflows are told."""
        with tempfile.TemporaryDirectory(prefix="limpet-queues-") as folder:
            path = os.path.join(folder, "run.json")
            command = [BENCH, "idle", "--url", f"wss://127.0.0.1:{self.server.port}/", "--token", self.server.token(),
                       "-n", "64", "--hold", "0", "--reference", "0", "--json", path]
            self.server.pause()
            overflows = listen_overflows()
            with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as bench:
                try:
                    wait_until(lambda: listen_overflows() >= overflows + 64 - BACKLOG - 1, "55 drops")
                finally:
                    self.server.go_on()
                said = bench.stdout.read()
            self.assertEqual(bench.returncode, 0, said)
            with open(path, encoding="utf-8") as file:
                figures = json.load(file)
        self.assertEqual(figures["connections_open"], 64)
        self.assertGreaterEqual(figures["listen_overflows"], 64 - BACKLOG - 1)
        self.assertIn("listen overflows", said)
        self.assertGreater(figures["latency_ms"]["connect"]["p50"], 900)


NETWORK = """
ip link set lo up
echo 40000 40063 > /proc/sys/net/ipv4/ip_local_port_range
exec "$@"
"""

TAKE_PORTS = """
import socket, subprocess, sys
listener = socket.create_server(("127.0.0.1", 30000))
taken = []
for port in range(40000, 40032):  # half of them, as another program's connections
    sock = socket.socket()
    sock.bind(("127.0.0.1", port))
    sock.connect(("127.0.0.1", 30000))
    taken.append(sock)
sys.exit(subprocess.run(sys.argv[1:]).returncode)
"""


def has_networks():
    return subprocess.run(["unshare", "-n", "ip", "link", "set", "lo", "up"], capture_output=True, check=False).returncode == 0


@unittest.skipUnless(has_networks(), "no network namespace of our own: 28,232 ports are too many to use up")
class Ports(unittest.TestCase):
    """In a network of our own with 64 ports."""

    def bench(self, *words, before=()):
        with tempfile.TemporaryDirectory(prefix="limpet-queues-") as folder:
            path = os.path.join(folder, "run.json")
            command = ["unshare", "-n", "sh", "-c", NETWORK, "sh", *before, BENCH, "idle", "--spawn", "--limpet", LIMPET,
                       *map(str, words), "--hold", "0", "--reference", "0", "--json", path]
            ended = subprocess.run(command, capture_output=True, text=True, timeout=6 * PATIENCE, check=False)
            figures = None
            if os.path.exists(path):
                with open(path, encoding="utf-8") as file:
                    figures = json.load(file)
            return ended.returncode, ended.stdout + ended.stderr, figures

    def test_more_connections_than_ports_are_told_first(self):
        status, said, figures = self.bench("-n", 65, "--source", "127.0.0.1")
        self.assertEqual(status, 69, said)
        self.assertIn("ports x addresses", said)
        self.assertIsNone(figures)

    def test_ports_that_run_out_on_the_way_are_named(self):
        """Others hold half of them, which no plan can know: our own failure, by name, and the rest is open."""
        status, said, figures = self.bench("-n", 60, "--source", "127.0.0.1", before=("python3", "-c", TAKE_PORTS))
        self.assertEqual(status, 1, said)
        self.assertIn("no free port on our source addresses", said)
        self.assertGreaterEqual(figures["outcomes"]["own_ports"], 28)
        self.assertEqual(figures["connections_failed_here"], figures["outcomes"]["own_ports"])
        self.assertEqual(figures["connections_failed"], figures["connections_failed_here"])  # none is the server's
        self.assertEqual(figures["connections_open"], 60 - figures["outcomes"]["own_ports"])
        self.assertGreater(figures["connections_open"], 20)

    def test_it_takes_more_addresses_by_itself(self):
        status, said, figures = self.bench("-n", 200 if SANITIZED else 500)
        self.assertEqual(status, 0, said)
        self.assertEqual(figures["connections_failed_here"], 0)


if __name__ == "__main__":
    if has_networks() and INSIDE not in os.environ:  # where nobody else's overflows are counted
        os.environ[INSIDE] = "1"
        os.execvp("unshare", ["unshare", "-n", "sh", "-c", "ip link set lo up && exec \"$@\"", "sh", sys.executable, *sys.argv])
    main()
