"""Storms: who is admitted to a TLS handshake when more come than may, who is turned away, and how all come back."""

import json
import os
import subprocess
import tempfile
import unittest

from limpet import LIMPET, PATIENCE, Server, WebSocket, main, tls_context
from wire import Wire

BENCH = os.environ.get("LIMPET_BENCH", "build/release/limpet-bench")
FLOOD, FEW = 60, 6


def session_of(server, context):
    """The ticket of a client that was there before."""
    wire = Wire(server, context=context).handshake()
    wire.sendall(server.request())
    assert WebSocket(wire).read_head()[0] == 101
    session = wire.tls.session
    wire.close()
    return session


def begin(server, context=None, session=None):
    """A client whose ClientHello is sent."""
    wire = Wire(server, context=context, session=session)
    wire.sock.sendall(wire.step()[0])
    return wire


def finish(wire):
    """Its handshake to the end."""
    wire.read_more()
    return wire.handshake()


class Admission(unittest.TestCase):
    def server(self, *flags, **options):
        return self.enterContext(Server(*flags, **{"shards": 1, **options}))

    def admitted(self, server, name):
        return sum(server.metric("limpet_admissions_total", **{"class": name, "outcome": outcome})
                   for outcome in ("admitted", "delayed"))

    def check_share(self, flood_returns):
        """A flood of one class and a few of the other, all there at once: they take turns."""
        server = self.server("--limits.admissions-per-s", 20, "--limits.admission-burst", 1, "--deadlines.handshake",
                             "120s", "--deadlines.admission-wait", "120s")
        context = tls_context()
        session = session_of(server, context)
        flood_class, few_class = ("returning", "new") if flood_returns else ("new", "returning")
        before = {name: self.admitted(server, name) for name in ("new", "returning")}
        server.pause()
        flood = [begin(server, context, session if flood_returns else None) for _ in range(FLOOD)]
        few = [begin(server, context, None if flood_returns else session) for _ in range(FEW)]
        server.go_on()
        for wire in few:
            self.assertEqual(finish(wire).tls.session_reused, not flood_returns)
        floods = self.admitted(server, flood_class) - before[flood_class]
        server.wait_metric("limpet_admissions_total", 0, outcome="refused")
        self.assertEqual(self.admitted(server, few_class) - before[few_class], FEW)
        # Turns: as many of each; some more may have begun before the last of the few was there, or since.
        self.assertLess(floods, FLOOD / 2)
        self.assertGreaterEqual(floods, FEW - 1)
        for wire in flood + few:
            wire.close()

    def test_a_flood_of_new_clients_leaves_returning_ones_their_share(self):
        self.check_share(flood_returns=False)

    def test_a_flood_of_returning_clients_leaves_new_ones_their_share(self):
        self.check_share(flood_returns=True)

    def test_who_waits_too_long_is_closed_without_a_word(self):
        server = self.server("--limits.admissions-per-s", 1, "--limits.admission-burst", 1,
                             "--deadlines.admission-wait", "100ms")
        server.pause()
        wires = [begin(server) for _ in range(4)]
        server.go_on()
        answers = [wire.sock.recv(1) for wire in wires]
        self.assertEqual(answers.count(b""), 3)  # the other one has the server's flight
        server.wait_metric("limpet_refused_total", 3, limit="admission")
        server.wait_metric("limpet_admissions_total", 3, **{"class": "new", "outcome": "refused"})
        self.assertEqual(self.admitted(server, "new"), 1)
        server.wait_for_log("more clients come than can be admitted")
        for wire in wires:
            wire.close()
        server.wait_metric("limpet_connections_held", 0)

    def test_who_can_wait_gets_in(self):
        server = self.server("--limits.admissions-per-s", 10, "--limits.admission-burst", 2,
                             "--deadlines.admission-wait", "60s", "--deadlines.handshake", "60s")
        server.pause()
        wires = [begin(server) for _ in range(8)]
        server.go_on()
        for wire in wires:
            finish(wire).close()
        self.assertEqual(self.admitted(server, "new"), 8)
        self.assertGreaterEqual(server.metric("limpet_admissions_total", outcome="delayed"), 4)
        self.assertEqual(server.metric("limpet_refused_total"), 0)
        self.assertEqual(server.metric("limpet_admission_seconds_count"), 8)

    def test_without_a_rate_all_are_admitted(self):
        server = self.server()
        wires = [begin(server) for _ in range(50)]
        for wire in wires:
            finish(wire).close()
        self.assertEqual(self.admitted(server, "new"), 50)
        self.assertEqual(server.metric("limpet_refused_total"), 0)

    def test_without_tls_a_request_beyond_the_rate_is_answered_503(self):
        server = self.server("--listen", "ws://127.0.0.1:0", "--limits.admissions-per-s", 1,
                             "--limits.admission-burst", 3)
        server.pause()
        clients = [WebSocket(server.connect()) for _ in range(20)]
        for client in clients:
            client.sock.sendall(server.request())
        server.go_on()
        heads = [client.read_head() for client in clients]
        refused = [dict(headers) for status, headers, _ in heads if status == 503]
        self.assertEqual(sorted(status for status, _, _ in heads), [101] * (20 - len(refused)) + [503] * len(refused))
        self.assertIn(len(refused), range(1, 18))  # 17, unless it takes seconds
        self.assertTrue(all("Retry-After" in headers for headers in refused))
        self.assertEqual(server.metric("limpet_refused_total", limit="admission"), len(refused))
        for client in clients:
            client.sock.close()

    def test_a_503_says_when_to_try_again_and_not_to_all_the_same(self):
        server = self.server("--limits.connections-max", 1)
        client = server.websocket()
        waits = set()
        for _ in range(30):
            status, headers, _ = server.status_of(server.request())
            self.assertEqual(status, 503)
            waits.add(int(dict(headers)["Retry-After"]))
        self.assertLessEqual(set(waits), set(range(5, 16)))
        self.assertGreater(len(waits), 1)
        client.sock.close()


class Storm(unittest.TestCase):
    """limpet-bench storm: all come back."""

    def storm(self, *words, after=()):
        with tempfile.TemporaryDirectory(prefix="limpet-storm-test-") as folder:
            path, page = os.path.join(folder, "run.json"), os.path.join(folder, "run.html")
            ended = subprocess.run([BENCH, "storm", "--spawn", "--limpet", LIMPET, "--hold", "0", "--json", path,
                                    "--html", page, *map(str, words), "--", *map(str, after)],
                                   capture_output=True, text=True, timeout=10 * PATIENCE, check=False)
            self.assertEqual(ended.returncode, 0, ended.stdout + ended.stderr)
            with open(page, encoding="utf-8") as file:
                self.assertIn("Connections back over time", file.read())
            with open(path, encoding="utf-8") as file:
                return json.load(file)["storms"]

    def check(self, storm, count):
        self.assertEqual((storm["cut_off"], storm["back"]), (count, count))
        self.assertEqual((storm["timed_out"], storm["failed_here"]), (0, 0))
        self.assertEqual(storm["resumed_share"], 1 if storm["tickets"] else 0)
        self.assertLessEqual(storm["seconds_to_50"], storm["seconds_to_100"])
        self.assertGreater(storm["server_cpu_us_per_return"], 0)

    def test_all_come_back(self):
        for cut in ("client", "server"):
            with self.subTest(cut=cut):
                storms = self.storm("-n", 300, "--cut", cut, "--timeout", 60, "--threads", 2)
                self.assertEqual([storm["tickets"] for storm in storms], [True, False])
                for storm in storms:
                    self.check(storm, 300)

    def test_all_come_back_when_most_are_turned_away_at_first(self):
        (storm,) = self.storm("-n", 200, "--no-full", "--timeout", 60, "--rate", 50, after=[
            "--limits.admissions-per-s", 60, "--limits.admission-burst", 20, "--deadlines.admission-wait", "300ms"])
        self.check(storm, 200)
        self.assertGreater(storm["refused"], 50)
        self.assertEqual(storm["tries"], 200 + storm["refused"])

    def test_what_does_not_fit_together(self):
        for words, said in [(["--no-tickets", "--no-full"], "give either"), (["--tls", "1.2"], "tickets are those"),
                            (["--cut", "nobody"], "neither client nor server")]:
            ended = subprocess.run([BENCH, "storm", "--spawn", *words], capture_output=True, text=True,
                                   timeout=PATIENCE, check=False)
            self.assertEqual(ended.returncode, 64)
            self.assertIn(said, ended.stderr)


if __name__ == "__main__":
    main()
