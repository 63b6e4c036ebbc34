"""Chaos: hostile clients in numbers, all at once, against a server whose limits are tiny.

Whatever they do, nothing may break that is not theirs: the server stays up, gives back all that they held (every gauge
returns to what it was at the start), serves a good client, and ends with status 0, also when SIGTERM comes in the
middle of it. The seed decides what each client does; it is printed. The order in which threads run is the machine's:
the same seed brings the same mixture, not the same run.

Environment: CHAOS_SEED, CHAOS_SECONDS (of each of the three storms; default 5).
"""

import os
import random
import signal
import socket
import ssl
import struct
import sys
import threading
import time
import unittest

from limpet import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Server, frame, main, tls_context
from wire import Wire, client_hello, extension, hello_extensions, in_records, record

SEED = int(os.environ.get("CHAOS_SEED", random.SystemRandom().randrange(1 << 32)))
SECONDS = float(os.environ.get("CHAOS_SECONDS", 5))
THREADS = 24
TIMEOUT = 0.4  # of one operation on a socket: a client waits no longer for an answer that may not come
GAUGES = ("connections_open", "connections_held", "handshakes_in_flight", "handshakes_waiting", "arena_bytes",
          "tls_heap_bytes", "channels", "subscriptions", "timers")
FLAGS = ("--limits.connections-max", 40, "--limits.connections-per-user-max", 12, "--limits.handshakes-max", 2,
         "--limits.handshakes-per-tick-max", 2, "--limits.arena-size", "1MB", "--limits.receive-buffer-count", 8,
         "--limits.receive-buffer-size", 512, "--limits.message-size-max", 20000, "--limits.queue-bytes-max", "64KB",
         "--limits.mailbox-size", "64KB", "--limits.channels-max", 8, "--limits.subscriptions-max", 64,
         "--socket-send-size", "4KB", "--tcp-user-timeout", "1s", "--heartbeat.ping-interval", "150ms",
         "--heartbeat.pong-timeout", "300ms", "--deadlines.handshake", "800ms", "--deadlines.upgrade", "800ms",
         "--deadlines.close", "300ms", "--deadlines.age-max", "2s")


class Hostile(threading.Thread):
    """One thread of clients, one after the other, until the storm is over."""

    def __init__(self, server, number, end):
        super().__init__()
        self.server = server
        self.random = random.Random(SEED * 1000 + number)
        self.end = end
        self.clients = 0
        self.trouble = None

    def run(self):
        ways = [value for name, value in sorted(vars(Hostile).items()) if name.startswith("way_")]
        try:
            while time.monotonic() < self.end:
                self.clients += 1
                try:
                    self.random.choice(ways)(self)
                except (OSError, EOFError, ssl.SSLError):
                    pass  # refused, reset or left waiting: that is what these clients are for
        except Exception as error:  # pylint: disable=broad-exception-caught
            self.trouble = error

    # --- what all of them use ------------------------------------------------------------------------------------------

    def flip(self, chance=0.5):
        return self.random.random() < chance

    def pause(self, seconds_max=0.02):
        time.sleep(self.random.random() * seconds_max)

    def connect(self):
        sock = self.server.connect(receive_size=self.random.choice((None, 1024, 4096)))
        sock.settimeout(TIMEOUT)
        return sock

    def leave(self, sock):
        """With a FIN, a reset, half a close, or after a while."""
        way = self.random.randrange(4)
        try:
            if way == 1:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            elif way == 2:
                sock.shutdown(socket.SHUT_WR)
                self.swallow(sock)
            elif way == 3:
                self.pause(TIMEOUT)
        finally:
            sock.close()

    def swallow(self, sock, size=65536):
        """Reads what comes until nothing does."""
        end = time.monotonic() + TIMEOUT
        while time.monotonic() < end and sock.recv(size):
            pass

    def send_cut(self, sock, data):
        """In pieces, some of them slowly, perhaps not to the end."""
        stop = self.random.randrange(len(data) + 1) if self.flip(0.2) else len(data)
        at = 0
        while at < stop:
            size = self.random.choice((1, 3, 100, 600, 5000, len(data)))
            sock.sendall(data[at:min(at + size, stop)])
            at += size
            if self.flip(0.1):
                self.pause()

    def handshake(self):
        """A client after its TLS handshake; its socket is wire.sock."""
        context = tls_context(maximum=ssl.TLSVersion.TLSv1_2 if self.flip(0.2) else None)
        wire = Wire(self.server, context)
        wire.sock.settimeout(TIMEOUT)
        if self.flip(0.3):
            wire.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        try:
            send = (lambda data: self.send_cut(wire.sock, data)) if self.flip(0.3) else wire.sock.sendall
            end = time.monotonic() + 2 * TIMEOUT
            is_over = False
            while not is_over:
                flight, is_over = wire.step()
                if flight:
                    send(flight)
                if not is_over and (not wire.read_more() or time.monotonic() > end):
                    raise EOFError("no handshake")
            return wire
        except BaseException:
            self.leave(wire.sock)
            raise

    def upgraded(self):
        """A client that has asked for its upgrade; mostly it has the answer too."""
        wire = self.handshake()
        try:
            channels = self.random.sample("abcdefghij", self.random.randrange(4))
            token = self.server.token(sub=f"user{self.random.randrange(6)}", channels=channels)
            wire.sendall(self.server.request(token=token))
            if self.flip(0.9) and not wire.recv(2000).startswith(b"HTTP/1.1 101"):
                raise EOFError("refused")
            return wire
        except BaseException:
            self.leave(wire.sock)
            raise

    def frames(self, count):
        """Messages as the protocol has them: whole, in fragments, with control frames between."""
        data = b""
        for _ in range(count):
            size = self.random.choice((0, 1, 125, 126, 1000, 5000, 20000))
            payload = b"x" * size
            opcode = self.random.choice((TEXT, BINARY))
            cut = self.random.randrange(size + 1)
            if self.flip():
                data += frame(opcode, payload)
            else:
                data += frame(opcode, payload[:cut], fin=False)
                if self.flip():
                    data += frame(PING, b"between")
                data += frame(CONTINUATION, payload[cut:])
        return data

    # --- ways to be hostile --------------------------------------------------------------------------------------------

    def way_silent(self):
        self.leave(self.connect())

    def way_garbage(self):
        sock = self.connect()
        self.send_cut(sock, self.random.randbytes(self.random.choice((1, 5, 100, 3000))))
        self.leave(sock)

    def way_plain_http(self):
        sock = self.connect()
        self.send_cut(sock, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self.leave(sock)

    def way_broken_hello(self):
        sock = self.connect()
        hello = bytearray(client_hello(extensions=hello_extensions() + self.random.choice(
            ([], [extension(42, b"")], [extension(0, b"\0")], [extension(21, bytes(9000))]))))
        if self.flip():
            hello[self.random.randrange(len(hello))] ^= 1 << self.random.randrange(8)
        cuts = sorted(self.random.sample(range(1, len(hello)), self.random.randrange(5)))
        data = in_records(bytes(hello), *cuts) + self.random.choice((b"", record(23, bytes(400)), record(20, b"\1")))
        self.send_cut(sock, data)
        if self.flip():
            self.swallow(sock)
        self.leave(sock)

    def way_hello_in_crumbs(self):
        sock = self.connect()
        hello = client_hello(extensions=hello_extensions() + [extension(21, bytes(5000))])
        sock.sendall(b"".join(record(22, hello[at:at + 1]) for at in range(self.random.randrange(len(hello)))))
        self.leave(sock)

    def way_handshake_only(self):
        self.leave(self.handshake().sock)

    def way_half_a_handshake(self):
        wire = Wire(self.server)
        wire.sock.settimeout(TIMEOUT)
        flight, _ = wire.step()
        wire.sock.sendall(flight)
        self.leave(wire.sock)

    def way_broken_record(self):
        wire = self.upgraded() if self.flip() else self.handshake()
        sealed = bytearray(wire.seal(self.frames(2)))
        way = self.random.randrange(4)
        if way == 0:
            sealed[self.random.randrange(len(sealed))] ^= 1 << self.random.randrange(8)
        elif way == 1:
            sealed = sealed[:self.random.randrange(len(sealed))]
        elif way == 2:
            sealed = bytearray(self.random.randbytes(3)) + sealed
        else:
            sealed = sealed + sealed
        self.send_cut(wire.sock, bytes(sealed))
        if self.flip():
            self.swallow(wire.sock)
        self.leave(wire.sock)

    def way_held_record(self):
        """The beginning of the largest record, and then nothing: its room is taken until a deadline."""
        wire = self.upgraded() if self.flip() else self.handshake()
        wire.sock.sendall(b"\x17\x03\x03\x41\x00" + self.random.randbytes(self.random.choice((0, 1, 5000))))
        self.pause(2 * TIMEOUT)
        self.leave(wire.sock)

    def way_broken_request(self):
        wire = self.handshake()
        request = bytearray(self.server.request(token=self.random.choice(("a.b.c", "x" * 9000, ""))))
        for _ in range(self.random.randrange(3)):
            request[self.random.randrange(len(request))] = self.random.randrange(256)
        if self.flip(0.3):
            request = request[:self.random.randrange(len(request))]
        for at in range(0, len(request), 50):
            wire.sendall(bytes(request[at:at + 50]))
        if self.flip():
            wire.recv(1000)
        self.leave(wire.sock)

    def way_random_frames(self):
        wire = self.upgraded()
        for _ in range(self.random.randrange(1, 20)):
            opcode, fin, rsv = self.random.randrange(16), self.flip(0.8), 0 if self.flip(0.9) else 1
            wire.sendall(frame(opcode, self.random.randbytes(self.random.randrange(200)), fin=fin, rsv=rsv))
        self.leave(wire.sock)

    def way_messages(self):
        wire = self.upgraded()
        for _ in range(self.random.randrange(1, 6)):
            self.send_cut(wire.sock, wire.seal(self.frames(3)))
            if self.flip():
                wire.recv(5000)
        self.leave(wire.sock)

    def way_never_reads(self):
        """Pings or messages whose answers are not taken."""
        wire = self.upgraded()
        data = frame(PING, b"") * 2000 if self.flip() else frame(BINARY, bytes(4000)) * 4
        for _ in range(self.random.randrange(1, 30)):
            wire.sock.sendall(wire.seal(data))
        self.leave(wire.sock)

    def way_half_a_message(self):
        wire = self.upgraded()
        for _ in range(self.random.randrange(1, 5)):
            wire.sendall(frame(BINARY, bytes(self.random.choice((0, 10, 4500))), fin=False))
            wire.sendall(frame(PING, b"p" * 125)[:self.random.randrange(131)])
            self.pause(0.1)
        self.leave(wire.sock)

    def way_close(self):
        """A close frame, good or bad, with something behind it; or a close_notify alone."""
        wire = self.upgraded()
        if self.flip(0.3):
            wire.sock.sendall(wire.close_notify())
        else:
            payload = self.random.choice((b"", b"\3", b"\3\xe8", b"\3\xed", b"\3\xe8\xff", b"\x13\x88bye"))
            wire.sendall(frame(CLOSE, payload) + self.random.choice((b"", self.frames(1), b"\xff" * 9)))
        if self.flip():
            self.swallow(wire)
        self.leave(wire.sock)

    def way_listen(self):
        """Stays, reads and answers pings now and then, until it is sent away."""
        wire = self.upgraded()
        end = min(self.end, time.monotonic() + self.random.random() * 3)
        while time.monotonic() < end and wire.recv(5000):
            if self.flip(0.7):
                wire.sendall(frame(PONG, b""))
        self.leave(wire.sock)


class Chaos(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        print(f"chaos: seed {SEED} (CHAOS_SEED={SEED} for the same mixture)", file=sys.stderr, flush=True)

    def gauges(self, server):
        return {name: server.metric(f"limpet_{name}") for name in GAUGES}

    def storm(self, server, seconds=SECONDS):
        end = time.monotonic() + seconds
        clients = [Hostile(server, number, end) for number in range(THREADS)]
        for client in clients:
            client.start()
        return clients

    def join(self, clients):
        for client in clients:
            client.join()
            if client.trouble:
                raise client.trouble
        return sum(client.clients for client in clients)

    def check_after(self, server, before):
        server.wait_metric("limpet_connections_held", 0)
        self.assertEqual(self.gauges(server), before)
        with server.tls() as sock:
            sock.sendall(server.request())
            self.assertTrue(sock.recv(1000).startswith(b"HTTP/1.1 101"))
        server.wait_metric("limpet_connections_held", 0)
        self.assertEqual(server.stop(), 0)

    def weather(self, *flags):
        server = self.enterContext(Server(*FLAGS, *flags, shards=3))
        server.wait_metric("limpet_arena_bytes", 3 * 64)  # every shard has made its ping, and looked at its gauges
        before = self.gauges(server)
        count = self.join(self.storm(server))
        opened = int(server.metric("limpet_upgrades_total", reason="ok"))
        print(f"chaos: {count} clients, {opened} opened", file=sys.stderr, flush=True)
        self.assertGreater(opened, 0)
        self.check_after(server, before)

    def test_echo(self):
        self.weather()

    def test_fan_out(self):
        """What a client sends goes to whoever has channel a, on every shard."""
        self.weather("--plain.publish-channel", "a")

    def test_stop_in_the_middle(self):
        server = self.enterContext(Server(*FLAGS, "--plain.publish-channel", "a", "--deadlines.shutdown", "3s", shards=3))
        clients = self.storm(server)
        threading.Event().wait(SECONDS / 2)
        server.process.send_signal(signal.SIGTERM)
        self.assertEqual(server.process.wait(3 + SECONDS + 10), 0)
        self.join(clients)
        self.assertEqual(server.stop(), 0)


if __name__ == "__main__":
    main()
