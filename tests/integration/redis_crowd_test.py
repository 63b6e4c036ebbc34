"""S31: Redis is killed under a crowd of clients and started again: nobody is closed, every subscription comes back, and each
client gets what was accepted, in order and once. The crowd is smaller under a sanitizer.

Environment: CROWD, clients; AWAY_SECONDS, from the kill to the start (default 0: until a few publications were refused).
"""

import os
import selectors
import ssl
import sys
import threading
import time

from limpet import PING, PONG, SANITIZED, TEXT, frame, main, wait_until
from redis_servers import MISSING, TOOL
from redis_test import Case, flags

CROWD = int(os.environ.get("CROWD", 400 if SANITIZED else 5000))
AWAY_SECONDS = float(os.environ.get("AWAY_SECONDS", 0))
CHANNELS = 50
NAMESPACES = "n:history_size=10000:history_age=1h"


class Crowd:
    """Clients that are read together; client i has channel i % CHANNELS."""

    def __init__(self, server):
        self.selector = selectors.DefaultSelector()
        self.clients = []
        self.got = {}
        tokens = [server.token(channels=[name(number)]) for number in range(CHANNELS)]
        for number in range(CROWD):
            client = server.websocket(token=tokens[number % CHANNELS])
            client.sock.setblocking(False)
            self.selector.register(client.sock, selectors.EVENT_READ, client)
            self.clients.append(client)
            self.got[client] = []
            if number % 100 == 0:
                self.step()  # pings are answered meanwhile

    def _take(self, client):
        try:
            while data := client.sock.recv(65536):
                client.buffer += data
            raise EOFError("a client was closed")
        except ssl.SSLWantReadError:
            pass
        while len(client.buffer) >= 2 and len(client.buffer) >= 2 + client.buffer[1]:
            opcode, payload = client.buffer[0] & 0x0F, client.buffer[2:2 + client.buffer[1]]
            client.buffer = client.buffer[2 + len(payload):]
            if opcode == PING:
                client.sock.send(frame(PONG, payload))
            else:
                assert opcode == TEXT, opcode
                self.got[client].append(int(payload))

    def step(self, seconds=0.0):
        for key, _ in self.selector.select(seconds):
            self._take(key.data)

    def close(self):
        for client in self.clients:
            client.close()
        self.selector.close()


def name(number):
    return f"n:{number}"


class Publisher(threading.Thread):
    """Publishes to one channel after the other until it is told to stop, whatever becomes of it."""

    def __init__(self, case, server):
        super().__init__()
        self.case, self.server = case, server
        self.accepted = [[] for _ in range(CHANNELS)]
        self.failed = [set() for _ in range(CHANNELS)]  # those of which it is not known whether they were published, too
        self.count = self.failures = 0
        self.stopping = threading.Event()

    def run(self):
        while not self.stopping.is_set():
            channel = self.count % CHANNELS
            if "result" in self.case.api(self.server, "publish", channel=name(channel), data=self.count):
                self.accepted[channel].append(self.count)
            else:
                self.failed[channel].add(self.count)
                self.failures += 1
            self.count += 1


class Killed(Case):
    def wait(self, crowd, condition, what):
        wait_until(lambda: crowd.step(0.02) or condition(), what)

    def test_nobody_is_closed_and_nothing_lost(self):
        redis = self.redis("appendonly yes", "appendfsync always")
        server = self.server(*flags(redis, "--namespaces", NAMESPACES, "--admin.api-key-file", self.key_file(),
                                    "--heartbeat.ping-interval", "20s", "--heartbeat.pong-timeout", "60s"))
        crowd = Crowd(server)
        self.addCleanup(crowd.close)
        names = [f"limpet:{name(number)}" for number in range(CHANNELS)]
        self.wait_subscribed(redis, *names)
        publisher = Publisher(self, server)
        publisher.start()
        try:
            for _ in range(2):
                count, failures = publisher.count, publisher.failures
                self.wait(crowd, lambda count=count: publisher.count >= count + 2 * CHANNELS, "each channel has some")
                redis.kill()
                back = time.monotonic() + AWAY_SECONDS
                self.wait(crowd, lambda failures=failures, back=back: publisher.failures > failures + 5 and
                          time.monotonic() >= back, "some are refused")
                self.assertEqual(server.metric("limpet_broker_up"), 0)
                redis.start()
                self.wait(crowd, lambda: server.metric("limpet_broker_up") == 1, server.log_text)
                self.wait(crowd, lambda: self.channels(redis) == {each.encode() for each in names}, "all are followed again")
            count = publisher.count
            self.wait(crowd, lambda: publisher.count >= count + 2 * CHANNELS, "each channel has some more")
        finally:
            publisher.stopping.set()
            publisher.join()
        last = [accepted[-1] for accepted in publisher.accepted]
        self.wait(crowd, lambda: all(got and got[-1] == last[i % CHANNELS] for i, got in enumerate(crowd.got.values())),
                  "each has its last one")
        for number, got in enumerate(crowd.got.values()):
            channel = number % CHANNELS
            self.assertEqual([each for each in got if each not in publisher.failed[channel]], publisher.accepted[channel])
            self.assertEqual(got, sorted(set(got)), "in order, each once")
        self.assertEqual(server.metric("limpet_connections_open"), CROWD)
        self.assertEqual(server.metric("limpet_closed_total"), 0)
        self.assertEqual(server.metric("limpet_broker_gaps_total"), 0)
        self.assertGreaterEqual(server.metric("limpet_broker_reconnects_total"), 2)
        print(f"{CROWD} clients: {sum(map(len, publisher.accepted))} accepted, {publisher.failures} refused, "
              f"{sum(map(len, crowd.got.values()))} delivered", file=sys.stderr, flush=True)


if __name__ == "__main__":
    if not TOOL:
        print(f"skipped: {MISSING}")
        sys.exit(77)
    main()
