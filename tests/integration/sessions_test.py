"""The life of a TLS session from outside: resumption, key updates, and every way to end it."""

import os
import re
import signal
import socket
import ssl
import struct
import subprocess
import tempfile
import threading
import unittest

from keys import Folder
from limpet import (BINARY, CLOSE, PATIENCE, PING, PONG, TEXT, Server, WebSocket, frame, main, tls_context,
                    wait_until)
from wire import Wire, rest_of

VERSIONS = (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2)


def reset(sock):
    """Ends a connection with RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


class Resumption(unittest.TestCase):  # S18
    def session(self, server, context, name="localhost", session=None, token=None):
        """One connection, as far as a ticket: (its session, was it resumed)."""
        sock = context.wrap_socket(server.connect(), server_hostname=name, session=session)
        client = WebSocket(sock)
        sock.sendall(server.request(token=token))
        status = client.read_head()[0]
        if status == 101:
            client.send(PING, b"p")
            self.assertEqual(client.receive(), (PONG, b"p"))
        result = sock.session, sock.session_reused, status
        sock.close()
        return result

    def test_across_shards(self):
        with Server(shards=4) as server:
            for version in VERSIONS:
                with self.subTest(version=version):
                    context = tls_context(minimum=version, maximum=version)
                    before = server.metric("limpet_handshakes_total", outcome="resumed")
                    session, reused, _ = self.session(server, context)
                    self.assertFalse(reused)
                    for _ in range(20):
                        self.assertTrue(self.session(server, context, session=session)[1])
                    self.assertEqual(server.metric("limpet_handshakes_total", outcome="resumed"), before + 20)
            shards = [shard for shard in range(4)
                      if server.metric("limpet_handshakes_total", outcome="resumed", shard=shard) > 0]
            self.assertGreater(len(shards), 1)

    def test_the_token_is_checked_again(self):
        with Server() as server:
            context = tls_context()
            session, _, _ = self.session(server, context)
            _, reused, status = self.session(server, context, session=session, token=server.token(ttl=-100))
            self.assertEqual((reused, status), (True, 401))

    def test_twice_at_once_and_by_another_name(self):
        with Server() as server:
            context = tls_context()
            session, _, _ = self.session(server, context)
            socks = [context.wrap_socket(server.connect(), server_hostname=name, session=session)
                     for name in ("localhost", "localhost", "other.example", "LOCALHOST")]
            for sock in socks:
                sock.sendall(server.request())
                self.assertEqual(WebSocket(sock).read_head()[0], 101)
            self.assertEqual([sock.session_reused for sock in socks], [True, True, False, True])
            for sock in socks:
                sock.close()

    def test_another_certificate(self):
        """A session under one name is not gone on with under another (RFC 6066, section 3; S18), whatever the version."""
        folder = Folder(self.enterContext(tempfile.TemporaryDirectory(prefix="limpet-keys-")))
        for name in ("a", "b"):
            folder.certificate(name, [f"{name}.example"])
        pairs = ", ".join(f"{{certificate: {folder.at(name + '.pem')}, key: {folder.at(name + '.key')}}}" for name in ("a", "b"))
        server = self.enterContext(Server(options=f"tls: {{certificates: [{pairs}]}}\ntoken: {{required: false}}"))
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = tls_context(minimum=version, maximum=version)

            def connect(name, session=None, context=context):
                with context.wrap_socket(server.connect(), server_hostname=name, session=session) as sock:
                    sock.sendall(server.request(drop=["Authorization"]))
                    self.assertEqual(WebSocket(sock).read_head()[0], 101)
                    return sock.session, sock.session_reused, sock.getpeercert(binary_form=True)

            session, _, certificate = connect("a.example")
            self.assertTrue(connect("A.EXAMPLE", session)[1])
            for other in ("b.example", "other.example", None):
                self.assertFalse(connect(other, session)[1], other)
            self.assertNotEqual(connect("b.example", session)[2], certificate)

    def test_a_ticket_of_another_version(self):
        with Server() as server:
            context = tls_context(minimum=ssl.TLSVersion.TLSv1_2, maximum=ssl.TLSVersion.TLSv1_2)
            session, _, _ = self.session(server, context)
            context.maximum_version = ssl.TLSVersion.TLSv1_3
            self.assertEqual(self.session(server, context, session=session)[2], 101)

    def test_switched_off(self):
        with Server("--tls.tickets", "false") as server:
            for version in VERSIONS:
                context = tls_context(minimum=version, maximum=version)
                session, _, _ = self.session(server, context)
                if session is not None and session.has_ticket:
                    self.assertFalse(self.session(server, context, session=session)[1])
            self.assertEqual(server.metric("limpet_handshakes_total", outcome="resumed"), 0)

    def test_after_restarts_with_a_key_file(self):
        with tempfile.TemporaryDirectory(prefix="limpet-keys-") as path:
            keys = [os.urandom(48) for _ in range(4)]
            file = os.path.join(path, "tickets")

            def write(*entries):
                with open(file, "wb") as out:
                    os.fchmod(out.fileno(), 0o600)
                    out.write(b"".join(entries))

            contexts = [tls_context(minimum=version, maximum=version) for version in VERSIONS]
            sessions = []
            # The key of the tickets is the newest, then rotated once, twice, and gone.
            for age, entries in enumerate((keys[:1], keys[1::-1], keys[2::-1], keys[:0:-1])):
                write(*entries)
                with Server("--tls.ticket-key-file", file) as server:  # each start makes a new certificate
                    if age == 0:
                        sessions = [self.session(server, context)[0] for context in contexts]
                    for context, session in zip(contexts, sessions):
                        _, reused, status = self.session(server, context, session=session)
                        self.assertEqual((age, reused, status), (age, age < 3, 101))
                    for entry in entries:
                        self.assertNotIn(entry[16:].hex(), server.log_text())
            with Server() as server:  # keys of its own
                for context, session in zip(contexts, sessions):
                    self.assertEqual(self.session(server, context, session=session)[1:], (False, 101))


    def test_keys_of_a_file_turn_without_a_restart(self):
        with tempfile.TemporaryDirectory(prefix="limpet-keys-") as path:
            old, new = os.urandom(48), os.urandom(48)
            file = os.path.join(path, "tickets")

            def write(data):
                with open(file, "wb") as out:
                    os.fchmod(out.fileno(), 0o600)
                    out.write(data)

            write(old)
            context = tls_context()
            with Server("--tls.ticket-key-file", file) as one, Server("--tls.ticket-key-file", file) as two:
                session = self.session(one, context)[0]
                self.assertTrue(self.session(two, context, session=session)[1])  # another host, the same file
                write(b"x" * 47)  # half written: refused whole, the old key stays
                one.process.send_signal(signal.SIGHUP)
                one.wait_for_log("not reloaded, nothing has changed")
                self.assertTrue(self.session(one, context, session=session)[1])
                write(new)
                one.process.send_signal(signal.SIGHUP)
                one.wait_for_log("info reloaded ")
                self.assertFalse(self.session(one, context, session=session)[1])
                self.assertTrue(self.session(two, context, session=session)[1])


class Updates(unittest.TestCase):  # S16
    def test_key_updates_while_messages_come(self):
        """s_client asks for updates (K) and makes some (k), among 1,000 messages a second and its own."""
        with Server("--plain.publish-channel", "news", shards=2) as server:
            subscriber = subprocess.Popen(
                ["openssl", "s_client", "-tls1_3", "-connect", f"127.0.0.1:{server.port}"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            output, errors = Reader(subscriber.stdout), Reader(subscriber.stderr)
            try:
                self.type(subscriber, server.request(token=server.token(channels=["news"])))
                output.wait_for(b"101 Switching")
                publisher = server.websocket(token=server.token(channels=[]))
                sent = 0
                for round_number in range(20):
                    for _ in range(50):
                        publisher.send(TEXT, f"m{sent:06d}")
                        sent += 1
                    self.type(subscriber, b"K\n" if round_number % 2 else b"k\n")
                    errors.wait_count(b"KEYUPDATE", round_number + 1)
                    self.type(subscriber, frame(TEXT, f"from-the-subscriber-{round_number:02d}"))
                    output.wait_for(f"from-the-subscriber-{round_number:02d}".encode())
                output.wait_for(f"m{sent - 1:06d}".encode())
                numbers = [int(number) for number in re.findall(rb"\x81\x07m(\d{6})", output.data)]
                self.assertEqual(numbers, list(range(sent)))  # none lost, none twice, in order
                self.assertEqual(server.metric("limpet_closed_total", cause="tls"), 0)
                publisher.close()
            finally:
                subscriber.kill()
                subscriber.wait()
                for stream in (subscriber.stdin, subscriber.stdout, subscriber.stderr):
                    stream.close()

    def type(self, process, data):
        process.stdin.write(data)
        process.stdin.flush()


class Reader:
    """Collects what a program prints."""

    def __init__(self, stream):
        self.data = b""
        self.stream = stream
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        try:
            while chunk := os.read(self.stream.fileno(), 65536):
                self.data += chunk
        except (OSError, ValueError):
            pass

    def wait_for(self, part):
        wait_until(lambda: part in self.data, f"{part!r} in {self.data[-500:]!r}")

    def wait_count(self, part, count):
        wait_until(lambda: self.data.count(part) >= count, f"{count} of {part!r} in {self.data[-500:]!r}")


class Ends(unittest.TestCase):  # S17
    @classmethod
    def setUpClass(cls):
        # With these, a slot that waits for a heartbeat or a deadline fails the test.
        cls.server = cls.enterClassContext(Server("--deadlines.handshake", "10m", "--deadlines.upgrade", "10m",
                                                  "--deadlines.close", "10m", "--heartbeat.ping-interval", "10m"))

    def tearDown(self):
        self.server.wait_metric("limpet_connections_held", 0)
        self.assertEqual(self.server.metric("limpet_connections_open"), 0)
        self.server.websocket().close()
        self.server.wait_metric("limpet_connections_held", 0)

    def wires(self):
        """A client of each version, one after the other; each must be gone from the server before the next comes."""
        for version in VERSIONS:
            wire = Wire(self.server, tls_context(minimum=version, maximum=version)).handshake()
            yield wire
            self.server.wait_metric("limpet_connections_held", 0)
            wire.close()

    def test_all_in_one_segment_and_close_notify(self):
        for wire in self.wires():
            before = self.server.metric("limpet_pings_received_total")
            data = wire.seal(self.server.request() + frame(PING, b"still answered"))
            wire.sock.sendall(data + wire.close_notify())
            # OpenSSL does not read behind its own close_notify: the size of what comes must do.
            self.assertGreater(len(rest_of(wire.sock)), len("HTTP/1.1 101 ") + 100 + len("still answered"))
            self.assertEqual(self.server.metric("limpet_pings_received_total"), before + 1)

    def test_close_notify_is_answered(self):
        """What was asked before it is answered, then close_notify comes back, then the end."""
        for version in VERSIONS:
            with self.subTest(version=version):
                context = tls_context(minimum=version, maximum=version)
                client = self.server.websocket(context=context)
                client.send(BINARY, b"last words")
                self.assertEqual(client.receive(), (BINARY, b"last words"))
                client.sock.settimeout(PATIENCE)
                plain = client.sock.unwrap()  # sends close_notify and wants one back
                self.assertEqual(plain.recv(1), b"")
                plain.close()
                self.server.wait_metric("limpet_connections_held", 0)

    def test_half_close_without_close_notify(self):
        for wire in self.wires():
            wire.sendall(self.server.request() + frame(PING, b"a") + frame(BINARY, b"b"))
            wire.sock.shutdown(socket.SHUT_WR)
            client = WebSocket(wire)
            self.assertEqual(client.read_head()[0], 101)
            self.assertEqual(client.receive(), (PONG, b"a"))
            self.assertEqual(client.receive(), (BINARY, b"b"))
            self.assertTrue(client.at_end())  # the server's close_notify

    def test_half_close_inside_a_record(self):
        for wire in self.wires():
            wire.sendall(self.server.request())
            self.assertEqual(WebSocket(wire).read_head()[0], 101)
            wire.sock.sendall(wire.seal(frame(BINARY, b"never whole"))[:-5])
            wire.sock.shutdown(socket.SHUT_WR)
            rest_of(wire.sock)

    def test_half_close_inside_a_request_and_a_hello(self):
        for wire in self.wires():
            wire.sendall(self.server.request()[:50])
            wire.sock.shutdown(socket.SHUT_WR)
            rest_of(wire.sock)
        with Wire(self.server) as wire:
            wire.sock.sendall(wire.step()[0][:50])
            wire.sock.shutdown(socket.SHUT_WR)
            rest_of(wire.sock)

    def test_reset(self):
        before = self.server.metric("limpet_closed_total", cause="reset")
        for wire in self.wires():
            wire.sendall(self.server.request() + frame(BINARY, b"x" * 10000) * 5)
            self.assertEqual(WebSocket(wire).read_head()[0], 101)
            reset(wire.sock)
        self.server.wait_metric("limpet_closed_total", before + 2, cause="reset")

    def test_unread_input_does_not_eat_the_last_answer(self):
        """The server closes while the client still sends: its answer is not lost in a reset."""
        for _ in range(20):
            with Wire(self.server).handshake() as wire:
                wire.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\n\r\n" + b"x" * 300000)
                self.assertEqual(WebSocket(wire).read_head()[0], 405)
            client = self.server.websocket()
            client.send_bytes(frame(TEXT, b"x", rsv=4) + frame(BINARY, b"x" * 60000) * 5)
            self.assertEqual(client.receive(), (CLOSE, b"\x03\xea"))
            client.close()

    def test_broken_records(self):
        """Each ends in its alert, sealed, and is counted; nothing of the record is used."""
        for name, spoil, alert in (("a bit of the tag", lambda data: data[:-1] + bytes([data[-1] ^ 1]), 20),
                                   ("a bit of the text", lambda data: data[:5] + bytes([data[5] ^ 1]) + data[6:], 20),
                                   ("in clear", lambda data: b"\x17\x03\x03\x00\x01x", 20),
                                   ("too long", lambda data: b"\x17\x03\x03\x48\x01" + b"x", 22),
                                   ("unknown type", lambda data: b"\x63\x03\x03\x00\x20" + bytes(32), 10)):
            for wire in self.wires():
                with self.subTest(name):
                    wire.sendall(self.server.request())
                    self.assertEqual(WebSocket(wire).read_head()[0], 101)
                    before = self.server.metric("limpet_closed_total", cause="tls")
                    wire.sock.sendall(spoil(wire.seal(frame(BINARY, b"spoilt"))))
                    with self.assertRaises(ssl.SSLError) as caught:
                        while wire.recv(100):
                            pass
                    self.assertIn({20: "bad record mac", 22: "record overflow", 10: "unexpected message"}[alert],
                                  str(caught.exception).lower().replace("_", " "))
                    wire.close()
                    self.server.wait_metric("limpet_closed_total", before + 1, cause="tls")


if __name__ == "__main__":
    main()
