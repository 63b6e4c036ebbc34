"""The metrics page (S39): well-formed whatever clients are called, bounded, and true under a burst of connects (S38)."""

import re
import socket
import subprocess
import unittest
import urllib.request

from limpet import PATIENCE, TEXT, Server, main
from queues_test import listen_overflows

NAMES = ["quote\"", "back\\slash", "a\"} 1\nevil{x=\"".replace("\n", " "), "é🌍", "x" * 255, "{}", "#"]
SAMPLE = re.compile(r'^([a-z_0-9]+)(\{[a-z_]+="(?:[^"\\\n]|\\[\\"n])*"(?:,[a-z_]+="(?:[^"\\\n]|\\[\\"n])*")*\})? '
                    r'(?:[0-9.]+(?:e[+-]?[0-9]+)?|\+Inf|NaN)$')


class Labels(unittest.TestCase):
    def test_exposition(self):
        with Server(shards=2) as server:
            clients = [server.websocket(token=server.token(sub=name, channels=NAMES)) for name in NAMES]
            server.status_of(server.request(target="/evil\"}%0a", token="x\"} 1"))
            before = self.read(server)
            clients[0].send(TEXT, "x")
            self.assertEqual(clients[0].receive_data(), (TEXT, b"x"))
            for name in NAMES[:-2]:
                self.assertNotIn(name, before)
            self.assertNotIn("evil", before)
            again = self.read(server)  # whatever clients do, the samples are the same ones
            self.assertEqual(len(before.splitlines()), len(again.splitlines()))
            for client in clients:
                client.close()

    def read(self, server):
        """The page, checked line by line as text exposition format 0.0.4."""
        with urllib.request.urlopen(f"http://127.0.0.1:{server.admin_port}/metrics", timeout=PATIENCE) as answer:
            self.assertIn("version=0.0.4", answer.headers["Content-Type"])
            text = answer.read().decode()
        self.assertTrue(text.endswith("\n"))
        kinds, family, seen, samples = {}, None, set(), set()
        for line in text.splitlines():
            if line.startswith("# "):
                word, name, rest = line[2:].split(" ", 2)
                self.assertIn(word, ("HELP", "TYPE"))
                if word == "TYPE":
                    self.assertIn(rest, ("counter", "gauge", "histogram"))
                    self.assertNotIn(name, kinds, "one TYPE a family")
                    kinds[name] = rest
                    family = name
                continue
            match = SAMPLE.match(line)
            self.assertTrue(match, line)
            name = match.group(1)
            base = re.sub("_(bucket|sum|count)$", "", name) if kinds.get(family) == "histogram" else name
            self.assertEqual(base, family, "the samples of a family stand together")
            if kinds[family] == "counter":
                self.assertTrue(name.endswith("_total"), name)
            key = line.rsplit(" ", 1)[0]
            self.assertNotIn(key, samples)
            samples.add(key)
            seen.add(family)
        self.assertEqual(seen, set(kinds))
        return text

    def test_a_burst_of_connects(self):
        """2,000 at once, for a shard that is busy with handshakes: none is lost while the backlog holds them."""
        with Server(shards=1) as server:
            self.assertIn("limpet_listen_overflows_total ", server.metrics_text())
            overflows = listen_overflows()
            socks = []
            for _ in range(2000):
                sock = socket.socket()
                sock.setblocking(False)
                sock.connect_ex(("127.0.0.1", server.port))
                socks.append(sock)
            server.wait_metric("limpet_accepted_total", 2000)
            self.assertEqual(listen_overflows(), overflows)
            for sock in socks:
                sock.close()
            server.wait_metric("limpet_connections_held", 0)
            server.websocket().close()


if __name__ == "__main__":
    main()
