"""The load tool's fanout and echo: every message counted once, through each way to publish; what a server skips, repeats
or swaps is told; those who cannot publish say why."""

import base64
import hashlib
import json
import os
import socket
import subprocess
import tempfile
import threading
import unittest

from limpet import LIMPET, PATIENCE, SANITIZED, TEXT, Server, main
from redis_servers import MISSING, TOOL, Redis, free_port

BENCH = os.environ.get("LIMPET_BENCH", "build/release/limpet-bench")
NAMES = ["deliveries", "lost", "reordered", "duplicated", "deliveries_per_second", "server_cpu_us_per_delivery",
         "latency_ms_p50", "latency_ms_p99", "latency_ms_max"]
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Run:
    """One run to its end: its status, its JSON, what it said."""

    def __init__(self, scenario, *words, after=()):
        with tempfile.TemporaryDirectory(prefix="limpet-bench-test-") as folder:
            path = os.path.join(folder, "run.json")
            command = [BENCH, scenario, *map(str, words), "--hold", "0", "--reference", "0", "--json", path,
                       *map(str, after)]
            ended = subprocess.run(command, capture_output=True, text=True, timeout=6 * PATIENCE, check=False)
            self.status = ended.returncode
            self.said = ended.stdout + ended.stderr
            self.figures = None
            if os.path.exists(path):
                with open(path, encoding="utf-8") as file:
                    self.figures = json.load(file)


class Case(unittest.TestCase):
    def run_spawned(self, scenario, *words, after=()):
        return Run(scenario, "--spawn", "--limpet", LIMPET, *words, after=after)

    def assert_counts(self, run, status=0, **expected):
        self.assertEqual(run.status, status, run.said)
        self.assertEqual({name: run.figures[name] for name in expected}, expected, run.said)

    def assert_whole(self, run, publications, deliveries):
        self.assert_counts(run, publications=publications, deliveries=deliveries, deliveries_expected=deliveries,
                           publications_refused=0, lost=0, reordered=0, duplicated=0, foreign=0)
        for name in NAMES:
            self.assertIsInstance(run.figures[name], (int, float), name)
        self.assertGreater(run.figures["deliveries_per_second"], 0)
        self.assertGreater(run.figures["latency_ms_p50"], 0)
        self.assertLessEqual(run.figures["latency_ms_p50"], run.figures["latency_ms_p99"])
        self.assertLessEqual(run.figures["latency_ms_p99"], run.figures["latency_ms_max"])


class Fanout(Case):
    def test_by_a_client(self):
        run = self.run_spawned("fanout", "-n", 100, "--messages", 30)
        self.assert_whole(run, 30, 3000)
        self.assertEqual(run.figures["scenario"], "fanout")
        self.assertEqual(run.figures["messages"]["via"], "client")
        self.assertIsNone(run.figures["server_cpu_us_per_delivery_net"], "nothing was held: it cannot be known")

    def test_several_publishers_threads_and_sizes(self):
        for size in (48, 16000):
            with self.subTest(size=size):
                run = self.run_spawned("fanout", "-n", 20, "--messages", 30, "--publishers", 3, "--threads", 2,
                                       "--size", size, "--window", 2,
                                       after=["--", "--limits.message-size-max", "16KB"])
                self.assert_whole(run, 30, 600)

    def test_by_http(self):
        run = self.run_spawned("fanout", "-n", 50, "--messages", 40, "--via", "http", "--publishers", 2)
        self.assert_whole(run, 40, 2000)

    def test_many_channels(self):
        """10 channels, each with 20 of the 100 subscribers, who have two each."""
        run = self.run_spawned("fanout", "-n", 100, "--messages", 50, "--via", "http", "--channels", 10,
                               "--channels-each", 2)
        self.assert_whole(run, 50, 1000)

    def test_a_rate_and_a_duration(self):
        run = self.run_spawned("fanout", "-n", 10, "--messages", 0, "--duration", 2, "--message-rate", 50)
        self.assert_whole(run, run.figures["publications"], 10 * run.figures["publications"])
        self.assertLessEqual(run.figures["publications"], 101)
        if not SANITIZED:
            self.assertGreaterEqual(run.figures["publications"], 95)

    def test_arrivals_meanwhile(self):
        run = self.run_spawned("fanout", "-n", 50, "--messages", 0, "--duration", 2, "--message-rate", 20,
                               "--arrivals", 30)
        self.assert_whole(run, run.figures["publications"], 50 * run.figures["publications"])
        self.assertGreater(run.figures["arrivals_opened"], 10)
        self.assertEqual(run.figures["arrivals_failed"], 0)
        self.assertEqual(run.figures["pong_deadlines_missed"], 0)
        self.assertGreater(run.figures["arrivals_latency_ms"]["p99"], 0)


class Echo(Case):
    def test_each_gets_its_own(self):
        run = self.run_spawned("echo", "-n", 60, "--messages", 500)
        self.assert_whole(run, 500, 500)
        self.assertEqual(run.figures["scenario"], "echo")

    def test_with_threads_and_a_rate(self):
        run = self.run_spawned("echo", "-n", 9, "--messages", 101, "--threads", 3, "--message-rate", 200)
        self.assert_whole(run, 101, 101)


@unittest.skipUnless(TOOL, MISSING)
class ThroughRedis(Case):
    def setUp(self):
        self.redis = self.enterContext(Redis())
        self.words = ["--via", "redis", "--redis", f"127.0.0.1:{self.redis.port}"]
        self.broker = ["--", "--broker.kind", "redis", "--redis.nodes", f"127.0.0.1:{self.redis.port}"]

    def test_it_reaches_every_subscriber(self):
        run = self.run_spawned("fanout", "-n", 50, "--messages", 200, *self.words, after=self.broker)
        self.assert_whole(run, 200, 10000)

    def test_each_has_a_channel(self):
        run = self.run_spawned("fanout", "-n", 40, "--channels", 40, "--messages", 300, "--message-rate", 300,
                               "--publishers", 2, *self.words, after=self.broker)
        self.assert_whole(run, 300, 300)

    def test_a_prefix(self):
        run = self.run_spawned("fanout", "-n", 5, "--messages", 20, "--redis-prefix", "other:", *self.words,
                               after=[*self.broker, "--redis.prefix", "other:"])
        self.assert_whole(run, 20, 100)

    def test_a_server_that_does_not_listen_there_loses_all(self):
        """It has the memory broker: Redis accepts what nobody gets."""
        run = self.run_spawned("fanout", "-n", 5, "--messages", 20, "--drain", 1, *self.words)
        self.assert_counts(run, status=1, publications=20, deliveries=0, lost=100)
        self.assertIsNone(run.figures["latency_ms_p50"])

    def test_refused(self):
        """A user who may not publish: each is counted, and none is expected."""
        self.redis("ACL", "SETUSER", "default", "-publish")
        run = self.run_spawned("fanout", "-n", 5, "--messages", 20, "--drain", 1, *self.words)
        self.assert_counts(run, status=1, publications=20, publications_refused=20, lost=0)


class Faulty:
    """A server without TLS, by the book until a message comes: then each subscriber gets what distort(messages) makes
    of all that was published, once the last is there. Those who ask for /publish are publishers."""

    def __init__(self, count, distort):
        self.count, self.distort = count, distort
        self.subscribers, self.published = [], []
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, sock):
        data = b""
        while not data.endswith(b"\r\n\r\n"):
            data += sock.recv(65536)
        key = next(line.split(b": ", 1)[1] for line in data.split(b"\r\n") if line.startswith(b"Sec-WebSocket-Key"))
        accept = base64.b64encode(hashlib.sha1(key + GUID).digest())
        with self.lock:
            sock.sendall(b"HTTP/1.1 101 Yes\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                         b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
            if not data.startswith(b"GET /publish "):
                self.subscribers.append(sock)
        while (payload := self.receive(sock)) is not None:
            with self.lock:
                self.published.append(payload)
                if len(self.published) == self.count:
                    for subscriber in self.subscribers:
                        for message in self.distort(self.published):
                            subscriber.sendall(bytes([0x80 | TEXT, len(message)]) + message)

    @staticmethod
    def receive(sock):
        """The next message of up to 125 bytes; None at the end."""
        def take(size):
            data = b""
            while len(data) < size:
                more = sock.recv(size - len(data))
                if not more:
                    raise EOFError
                data += more
            return data

        try:
            head = take(2)
            mask = take(4)
            payload = bytes(byte ^ mask[i % 4] for i, byte in enumerate(take(head[1] & 0x7F)))
        except (EOFError, OSError):
            return None
        return payload if head[0] & 0x0F == TEXT else None

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        with self.lock:
            for subscriber in self.subscribers:
                subscriber.close()


class Faults(Case):
    """3 subscribers, 10 messages."""

    def run_faulty(self, distort):
        with Faulty(10, distort) as server:
            url = f"ws://127.0.0.1:{server.port}/"
            return Run("fanout", "--url", url, "--publish-url", url + "publish", "-n", 3, "--messages", 10,
                       "--message-rate", 1000, "--drain", 1, "--server-pid", os.getpid())

    def test_none(self):
        self.assert_counts(self.run_faulty(lambda sent: sent), deliveries=30, lost=0, reordered=0, duplicated=0)

    def test_skipped(self):
        run = self.run_faulty(lambda sent: sent[:3] + sent[4:])
        self.assert_counts(run, status=1, deliveries=27, lost=3, reordered=0, duplicated=0)

    def test_the_last_one_skipped(self):
        self.assert_counts(self.run_faulty(lambda sent: sent[:-1]), status=1, deliveries=27, lost=3)

    def test_repeated(self):
        run = self.run_faulty(lambda sent: sent[:5] + sent[4:])
        self.assert_counts(run, status=1, deliveries=30, lost=0, reordered=0, duplicated=3)

    def test_swapped(self):
        run = self.run_faulty(lambda sent: sent[:6] + [sent[7], sent[6]] + sent[8:])
        self.assert_counts(run, status=1, deliveries=30, lost=0, reordered=3, duplicated=0)

    def test_all_of_it(self):
        run = self.run_faulty(lambda sent: [sent[0], sent[0], sent[2], sent[1], *sent[4:]])
        self.assert_counts(run, status=1, deliveries=27, lost=3, reordered=3, duplicated=3)

    def test_what_is_not_ours(self):
        run = self.run_faulty(lambda sent: [b"hello", *sent])
        self.assert_counts(run, deliveries=30, lost=0, foreign=3)


class CannotPublish(Case):
    def test_nobody_listens_there(self):
        for words in (["--via", "redis", "--redis"], ["--via", "http", "--api"]):
            run = self.run_spawned("fanout", "-n", 2, *words, f"127.0.0.1:{free_port()}")
            self.assertNotEqual(run.status, 0)
            self.assertIn("nobody to publish to", run.said)
            self.assertIsNone(run.figures)

    def test_the_wrong_key(self):
        run = self.run_spawned("fanout", "-n", 2, "--via", "http", "--api-key", "wrong", "--drain", 1)
        self.assertEqual(run.status, 1, run.said)
        self.assertGreater(run.figures["publications_refused"], 0)
        self.assertEqual(run.figures["deliveries"], 0)

    def test_no_redis_there(self):
        """What answers is an HTTP port."""
        with Server() as server:
            run = self.run_spawned("fanout", "-n", 2, "--via", "redis", "--redis", f"127.0.0.1:{server.admin_port}",
                                   "--drain", 1)
        self.assertEqual(run.status, 1, run.said)
        self.assertIn("the connection to publish on was lost", run.said)

    def test_a_client_who_may_not(self):
        with Server() as server:
            url = f"wss://127.0.0.1:{server.port}/"
            run = Run("fanout", "--url", url, "--token", server.token(channels=["bench"]), "-n", 2, "--messages", 5,
                      "--drain", 1, "--server-pid", server.process.pid)
            self.assert_counts(run, status=1, deliveries=0)


if __name__ == "__main__":
    main()
