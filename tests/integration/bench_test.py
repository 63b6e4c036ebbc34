"""The load tool against real servers: its figures, its own limits first, and whose failure is whose."""

import json
import os
import signal
import socket
import subprocess
import tempfile
import threading
import unittest

from limpet import LIMPET, PATIENCE, SANITIZED, Server, main

BENCH = os.environ.get("LIMPET_BENCH", "build/release/limpet-bench")
STABLE_NAMES = ["connections_open", "connections_failed", "handshakes_per_second", "server_cpu_us_per_connection",
                "server_cpu_us_per_heartbeat", "user_bytes_per_connection", "kernel_bytes_per_connection",
                "server_pid", "seconds"]


class Run:
    """One run of `limpet-bench idle` to its end: its status, its JSON, what it said."""

    def __init__(self, *words, after=()):
        with tempfile.TemporaryDirectory(prefix="limpet-bench-test-") as folder:
            path = os.path.join(folder, "run.json")
            command = [BENCH, "idle", *map(str, words), "--reference", "0", "--json", path, *map(str, after)]
            ended = subprocess.run(command, capture_output=True, text=True, timeout=6 * PATIENCE, check=False)
            self.status = ended.returncode
            self.said = ended.stdout + ended.stderr
            self.figures = None
            if os.path.exists(path):
                with open(path, encoding="utf-8") as file:
                    self.figures = json.load(file)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


class Spawned(unittest.TestCase):
    """--spawn: the whole of it, with a server of its own."""

    def run_spawned(self, *words, after=()):
        return Run("--spawn", "--limpet", LIMPET, *words, after=after)

    def test_connections_are_opened_held_and_measured(self):
        run = self.run_spawned("-n", 2000, "--hold", 3, after=["--", "--heartbeat.ping-interval", "1s"])
        self.assertEqual(run.status, 0, run.said)
        for name in STABLE_NAMES:
            self.assertIn(name, run.figures)
        self.assertEqual(run.figures["connections_open"], 2000)
        self.assertEqual(run.figures["connections_failed"], 0)
        self.assertGreater(run.figures["server_pid"], 0)
        self.assertGreater(run.figures["heartbeats_in_hold"], 2000)
        self.assertEqual(run.figures["pongs_missed"], 0)
        self.assertEqual(run.figures["outcomes"]["lost_closed"], 0)
        if not SANITIZED:
            self.assertLess(run.figures["user_bytes_per_connection"], 10000)
            self.assertLess(run.figures["server_cpu_us_per_heartbeat"], 1000)
        for step in ("connect", "tls", "upgrade", "total"):
            latency = run.figures["latency_ms"][step]
            self.assertLessEqual(latency["p50"], latency["p99"])
            self.assertLessEqual(latency["p99"], latency["max"])

    def test_every_version_and_suite(self):
        for version in ("1.3", "1.2"):
            for suite in ("aes128", "aes256", "chacha20"):
                with self.subTest(version=version, suite=suite):
                    run = self.run_spawned("-n", 20, "--hold", 0, "--tls", version, "--suite", suite)
                    self.assertEqual(run.status, 0, run.said)

    def test_several_threads_and_a_rate(self):
        run = self.run_spawned("-n", 600, "--hold", 0, "--threads", 3, "--rate", 300)
        self.assertEqual(run.status, 0, run.said)
        self.assertGreater(run.figures["ramp_seconds"], 1.8)
        if not SANITIZED:
            self.assertLess(run.figures["ramp_seconds"], 6)

    def test_one_address_again_and_again(self):
        """No port of the run before waits in TIME_WAIT."""
        for _ in range(2):
            run = self.run_spawned("-n", 3000, "--hold", 0, "--source", "127.9.8.7")
            self.assertEqual(run.status, 0, run.said)
            self.assertEqual(run.figures["connections_failed_here"], 0)

    def test_a_server_that_cannot_start_says_why(self):
        run = self.run_spawned("-n", 10, after=["--", "--no-such-option", "1"])
        self.assertEqual(run.status, 69)
        self.assertIn("no-such-option", run.said)

    def test_interrupted_it_reports_what_it_has(self):
        with tempfile.TemporaryDirectory(prefix="limpet-bench-test-") as folder:
            path = os.path.join(folder, "run.json")
            command = [BENCH, "idle", "--spawn", "--limpet", LIMPET, "-n", "200", "--hold", "600",
                       "--reference", "0", "--json", path]
            with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
                for line in process.stdout:
                    if "hold" in line:
                        process.send_signal(signal.SIGINT)
                        break
                said = process.stdout.read()
                self.assertEqual(process.wait(PATIENCE), 0, said)
            with open(path, encoding="utf-8") as file:
                figures = json.load(file)
            self.assertTrue(figures["interrupted"])
            self.assertEqual(figures["connections_open"], 200)


class Limits(unittest.TestCase):
    def test_too_many_for_the_ports_is_told_first(self):
        run = Run("--url", "wss://127.0.0.1:1/", "--source", "127.9.8.7", "-n", 70000)
        self.assertEqual(run.status, 69)
        self.assertIn("ports x addresses", run.said)
        self.assertIn("--source", run.said)
        self.assertIsNone(run.figures)


class Failures(unittest.TestCase):
    """Each ends in the outcome that names it, and none of them as ours."""

    def assert_outcome(self, run, outcome, count):
        self.assertEqual(run.status, 1, run.said)
        self.assertEqual(run.figures["outcomes"][outcome], count, run.said)
        self.assertEqual(run.figures["connections_open"], 0)
        self.assertEqual(run.figures["connections_failed"], count)
        self.assertEqual(run.figures["connections_failed_here"], 0)

    def test_nobody_listens(self):
        run = Run("--url", f"wss://127.0.0.1:{free_port()}/", "-n", 20, "--hold", 0)
        self.assert_outcome(run, "connect_refused", 20)

    def test_an_address_that_is_not_ours(self):
        """192.0.2.1 is for documentation: binding to it fails here, which says nothing about the server."""
        run = Run("--url", f"wss://127.0.0.1:{free_port()}/", "-n", 20, "--hold", 0, "--source", "192.0.2.1")
        self.assertEqual(run.status, 1)
        self.assertEqual(run.figures["outcomes"]["own_ports"], 20)
        self.assertEqual(run.figures["connections_failed_here"], 20)

    def test_no_token_and_a_bad_one(self):
        with Server() as server:
            url = f"wss://127.0.0.1:{server.port}/"
            run = Run("--url", url, "-n", 10, "--hold", 0)
            self.assert_outcome(run, "upgrade_refused", 10)
            self.assertEqual(run.figures["http_status_refused"], 401)
            run = Run("--url", url, "-n", 10, "--hold", 0, "--token", "a.b.c")
            self.assert_outcome(run, "upgrade_refused", 10)

    def test_a_token_in_a_header_and_in_a_file(self):
        with Server() as server, tempfile.NamedTemporaryFile("w", prefix="limpet-bench-test-") as file:
            url = f"wss://127.0.0.1:{server.port}/"
            made = subprocess.run([LIMPET, "token", "--state", server.state, "--sub", "a", "--channels", "b",
                                   "--ttl", "1h", "--count", "3"], capture_output=True, text=True, check=True)
            file.write(made.stdout)
            file.flush()
            run = Run("--url", url, "-n", 10, "--hold", 0, "--tokens", file.name)
            self.assertEqual(run.status, 0, run.said)
            self.assertEqual(run.figures["server_pid"], server.process.pid)
            token = made.stdout.split()[0]
            run = Run("--url", url, "-n", 10, "--hold", 0, "--header", f"Authorization: Bearer {token}")
            self.assertEqual(run.status, 0, run.said)

    def serve_bytes(self, answer):
        """A TCP server that sends the same bytes to all, or nothing, and keeps them open."""
        listener = self.enterContext(socket.create_server(("127.0.0.1", 0), backlog=64))
        held = []

        def accept():
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                held.append(connection)
                if answer is None:
                    connection.close()
                else:
                    connection.sendall(answer)

        threading.Thread(target=accept, daemon=True).start()
        return listener.getsockname()[1]

    def test_no_tls_there(self):
        port = self.serve_bytes(b"SSH-2.0-OpenSSH_9.2\r\n")
        run = Run("--url", f"wss://127.0.0.1:{port}/", "-n", 10, "--hold", 0)
        self.assert_outcome(run, "tls_failed", 10)

    def test_closed_at_once(self):
        port = self.serve_bytes(None)
        run = Run("--url", f"wss://127.0.0.1:{port}/", "-n", 10, "--hold", 0)
        self.assert_outcome(run, "tls_closed", 10)

    def test_silence(self):
        port = self.serve_bytes(b"")
        run = Run("--url", f"wss://127.0.0.1:{port}/", "-n", 10, "--hold", 0, "--timeout", 1)
        self.assert_outcome(run, "tls_timeout", 10)


if __name__ == "__main__":
    main()
