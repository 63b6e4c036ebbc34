"""Drain: not ready at once, nobody new, the oldest go first and at a pace, progress, undo; and the stop in its midst."""

import json
import select
import signal
import subprocess
import unittest
import urllib.error
import urllib.request

from limpet import LIMPET, PATIENCE, Server, main, wait_until

COME_BACK = 1012  # service restart: clients of all kinds connect again
GOING_AWAY = 1001


class Drain(unittest.TestCase):
    def server(self, *flags, **options):
        server = self.enterContext(Server(*flags, **options))
        server.wait_metric("limpet_connections_open", 0)
        return server

    def limpet(self, server, *words, status=0):
        """`limpet drain WORDS` to its end; what it printed."""
        ran = subprocess.run([LIMPET, "drain", "--state", server.state, *words], capture_output=True, text=True,
                             timeout=3 * PATIENCE, check=False)
        self.assertEqual(ran.returncode, status, ran.stdout + ran.stderr)
        return ran.stdout if status == 0 else ran.stderr

    def status(self, server):
        return json.loads(self.limpet(server, "--status", "--json"))

    def health(self, server):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{server.admin_port}/health/ready", timeout=PATIENCE) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def is_refused(self, server):
        try:
            server.connect().close()
        except ConnectionRefusedError:
            return True
        return False

    def clients(self, server, count):
        """One after the other: the first is the oldest."""
        return [server.websocket() for _ in range(count)]

    def code_of(self, client):
        return int.from_bytes(client.receive()[1][:2], "big")

    def test_the_whole_of_it(self):
        server = self.server(shards=1)
        self.assertEqual(self.health(server), (200, "ready\n"))
        self.assertEqual(self.status(server)["state"], "none")
        clients = self.clients(server, 12)
        self.limpet(server, "--over", "4s", "--no-wait")
        status, text = self.health(server)
        self.assertEqual(status, 503)
        self.assertIn("draining", text)
        wait_until(lambda: self.is_refused(server), "nobody is let in")
        # Looked at from the newest to the oldest: when one has been told, so have all that are older.
        told = []
        while len(told) < len(clients):
            told = []
            for number, client in reversed(list(enumerate(clients))):
                if select.select([client.sock], [], [], 0)[0]:
                    told.append(number)
                else:
                    self.assertEqual(told, [], f"{number} has not been told, but {told} have")
            select.select([clients[-1].sock], [], [], 0.02)
        for client in clients:
            self.assertEqual(self.code_of(client), COME_BACK)
            client.close()
        wait_until(lambda: self.status(server)["state"] == "drained", lambda: self.status(server))
        status = self.status(server)
        self.assertEqual((status["closed"], status["remaining"], status["over_ms"]), (12, 0, 4000))
        server.wait_metric("limpet_closed_total", 12, cause="drain")
        server.wait_for_log("drained")
        self.assertIsNone(server.process.poll(), "it stays up")
        self.assertEqual(self.health(server)[0], 503)

    def test_oldest_first_at_an_even_pace(self):
        """How many are left, looked at all along, follows the line from all to none."""
        server = self.server(shards=2)
        clients = self.clients(server, 300)
        self.limpet(server, "--over", "6s", "--no-wait")
        seen = []

        def is_done():
            now = self.status(server)
            seen.append(now)
            return now["state"] == "drained"

        wait_until(is_done, lambda: seen[-1])
        codes = [self.code_of(client) for client in clients]
        self.assertEqual(set(codes), {COME_BACK})
        # The line by the server's own clock: a third of the crowd is far more than any noise.
        for now in seen:
            if now["state"] == "draining":
                due = 300 * max(0, 1 - now["elapsed_ms"] / now["over_ms"])
                self.assertLess(abs(now["remaining"] - due), 100, now)
        self.assertGreater(len([now for now in seen if 30 < now["remaining"] < 270]), 2, "it went in one go")

    def test_undo(self):
        server = self.server(shards=2)
        clients = self.clients(server, 20)
        self.limpet(server, "--over", "10m", "--no-wait")
        wait_until(lambda: self.is_refused(server), "nobody is let in")
        self.assertIn("not draining", self.limpet(server, "--undo"))
        self.assertEqual(self.health(server), (200, "ready\n"))
        wait_until(lambda: not self.is_refused(server), "it listens again")
        newcomer = server.websocket()
        left = self.status(server)
        self.assertEqual(left["state"], "none")
        self.assertGreaterEqual(left["open"], 15, "ten minutes are a long time")
        newcomer.close()
        self.assertIn("not draining", self.limpet(server, "--undo", status=1))
        # And once more, at once.
        self.assertIn("drained", self.limpet(server, "--over", "0"))
        for client in clients:
            self.assertEqual(self.code_of(client), COME_BACK)

    def test_another_pace(self):
        server = self.server()
        clients = self.clients(server, 10)
        self.limpet(server, "--over", "1h", "--no-wait")
        self.assertIn("drained", self.limpet(server, "--over", "1s"))
        for client in clients:
            self.assertEqual(self.code_of(client), COME_BACK)

    def test_nobody_is_there(self):
        server = self.server()
        said = self.limpet(server, "--over", "1s")
        self.assertIn("drained", said)
        self.assertIn("0 closed", said)

    def test_stop_in_its_midst(self):
        server = self.server("--deadlines.shutdown", "5s")
        clients = self.clients(server, 50)
        self.limpet(server, "--over", "1h", "--no-wait")
        wait_until(lambda: self.status(server)["state"] == "draining", "it drains")
        server.process.send_signal(signal.SIGTERM)
        codes = [self.code_of(client) for client in clients]
        self.assertLessEqual(set(codes), {COME_BACK, GOING_AWAY})
        self.assertGreater(codes.count(GOING_AWAY), 40)
        for client in clients:
            client.close()
        self.assertEqual(server.process.wait(PATIENCE), 0)

    def test_who_does_not_answer_is_gone_all_the_same(self):
        server = self.server("--deadlines.close", "1s")
        clients = self.clients(server, 5)  # which read nothing, and answer nothing
        self.assertIn("drained", self.limpet(server, "--over", "1s"))
        server.wait_metric("limpet_connections_held", 0)
        self.assertEqual({self.code_of(client) for client in clients}, {COME_BACK})

    def test_half_way_in(self):
        """Who is not open yet when it begins gets a 503, or the end: never a connection."""
        server = self.server()
        waiting = server.tls()
        raw = server.connect()
        server.wait_metric("limpet_connections_held", 2)
        self.limpet(server, "--over", "10s", "--no-wait")
        wait_until(lambda: self.is_refused(server), "it drains")
        waiting.sendall(server.request(token=server.token()))
        self.assertTrue(waiting.recv(1000).startswith(b"HTTP/1.1 503 "))
        raw.close()
        wait_until(lambda: self.status(server)["state"] == "drained", lambda: self.status(server))

    def test_words_that_cannot_be(self):
        server = self.server()
        for words in ((), ("--over", "soon"), ("--over", "25h"), ("--over", "-1s"), ("--over", "1s", "--undo"),
                      ("--status", "--over", "1s")):
            ran = subprocess.run([LIMPET, "drain", "--state", server.state, *words], capture_output=True, text=True,
                                 timeout=PATIENCE, check=False)
            self.assertNotEqual(ran.returncode, 0, words)
            self.assertIn("limpet drain", ran.stderr)
        self.assertEqual(self.status(server)["state"], "none")

    def test_no_server(self):
        for where in (("--state", "/nowhere"), ("--control", "/nowhere/control")):
            ran = subprocess.run([LIMPET, "drain", *where, "--over", "1s"], capture_output=True, text=True,
                                 timeout=PATIENCE, check=False)
            self.assertEqual(ran.returncode, 1)
            self.assertIn("/nowhere", ran.stderr)


if __name__ == "__main__":
    main()
