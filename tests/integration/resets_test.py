"""Storms and slow clients: half-open connections by the thousand, a reset or a silence at every stage, full tables,
an empty buffer ring, probes. Each is counted, all memory comes back, and the next client is served."""

import resource
import socket
import struct
import unittest
import urllib.request
from contextlib import ExitStack

from limpet import BINARY, PATIENCE, PING, PONG, SANITIZED, Server, WebSocket, frame, main, wait_until
from wire import Wire, client_hello, extension, hello_extensions, in_records

HALF_OPEN = 2000 if SANITIZED else 10000


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def raise_descriptors():
    """As many as the hard limit allows; how many that is."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


class Case(unittest.TestCase):
    def server(self, *flags, **options):
        return self.enterContext(Server(*flags, **options))

    def is_served(self, server):
        """A client like any other gets its echo."""
        client = server.websocket()
        client.send(BINARY, b"next, please")
        self.assertEqual(client.receive_data(), (BINARY, b"next, please"))
        client.close()


class Storms(Case):
    def test_half_open_connections(self):
        """TCP only, hello begun, request begun: from many addresses, with a working client among them."""
        self.assertGreater(raise_descriptors(), HALF_OPEN + 500)
        server = self.server("--deadlines.handshake", "10m", "--deadlines.upgrade", "10m", shards=2)
        client = server.websocket()
        hello = Wire(server).step()[0]
        sockets = []
        with ExitStack() as stack:
            for i in range(HALF_OPEN):
                sock = stack.enter_context(server.connect(source=f"127.0.{1 + i % 8}.{1 + i // 8 % 250}"))
                if i % 4 == 1:
                    sock.sendall(hello[:1 + i % len(hello)])
                elif i % 4 == 2:
                    sock.sendall(hello)  # and never the Finished
                sockets.append(sock)
            server.wait_metric("limpet_accepted_total", HALF_OPEN + 2)  # the client and the first Wire
            self.assertEqual(server.metric("limpet_accept_errors_total"), 0)
            in_flight = server.metric("limpet_handshakes_in_flight")
            self.assertLessEqual(in_flight, 2 * 1024)
            client.send(PING, b"are you there")
            self.assertEqual(client.receive(), (PONG, b"are you there"))
        server.wait_metric("limpet_connections_held", 1)
        self.is_served(server)
        for gauge in ("limpet_handshakes_in_flight", "limpet_handshakes_waiting", "limpet_tls_heap_bytes"):
            server.wait_metric(gauge, 0)
        client.send(PING, b"still")
        self.assertEqual(client.receive(), (PONG, b"still"))

    def test_waiting_handshakes_are_answered_in_their_turn(self):
        server = self.server("--limits.handshakes-max", 4, "--limits.handshakes-per-tick-max", 4, shards=1)
        wires = [Wire(server) for _ in range(60)]
        for wire in wires:
            wire.sock.sendall(wire.step()[0])
        for wire in wires:  # each finishes, so the next may start
            wire.read_more()
            wire.handshake()
        server.wait_metric("limpet_handshakes_total", 60, outcome="full")
        for wire in wires:
            wire.close()
        self.is_served(server)

    def test_a_reset_at_every_stage(self):
        server = self.server(shards=2)
        hello = Wire(server).step()[0]

        def after_tcp(wire):
            pass

        def in_hello(wire):
            wire.sock.sendall(hello[:100])

        def after_hello(wire):
            wire.sock.sendall(wire.step()[0])

        def with_the_answer_unread(wire):
            after_hello(wire)
            wire.sock.recv(1, socket.MSG_PEEK)

        def after_the_handshake(wire):
            wire.handshake()

        def in_the_request(wire):
            wire.handshake().sendall(server.request()[:60])

        def after_the_request(wire):
            wire.handshake().sendall(server.request())

        def after_a_refusal(wire):
            wire.handshake().sendall(server.request(token="bad"))

        def opened(wire):
            after_the_request(wire)
            client = WebSocket(wire)
            self.assertEqual(client.read_head()[0], 101)
            return client

        def in_a_frame(wire):
            opened(wire).send_bytes(frame(BINARY, b"x" * 1000)[:500])

        def in_a_message(wire):
            opened(wire).send(BINARY, b"x" * 1000, fin=False)

        def with_an_echo_on_its_way(wire):
            opened(wire).send(BINARY, b"x" * 60000)

        def in_the_close(wire):
            opened(wire).send(0x8, b"\x03\xe8")

        stages = [after_tcp, in_hello, after_hello, with_the_answer_unread, after_the_handshake, in_the_request,
                  after_the_request, after_a_refusal, opened, in_a_frame, in_a_message, with_an_echo_on_its_way,
                  in_the_close]
        for end in (reset, socket.socket.close):
            for stage in stages:
                with self.subTest(stage=stage.__name__, end=end.__name__):
                    for _ in range(5):
                        wire = Wire(server)
                        stage(wire)
                        end(wire.sock)
                    server.wait_metric("limpet_connections_held", 0)
                    self.is_served(server)
        server.wait_metric("limpet_connections_held", 0)
        for gauge in ("limpet_handshakes_in_flight", "limpet_tls_heap_bytes", "limpet_subscriptions", "limpet_timers",
                      "limpet_connections_open"):
            server.wait_metric(gauge, 0)
        for outcome in ("silent", "reset"):
            self.assertGreaterEqual(server.metric("limpet_handshakes_total", outcome=outcome), 5)

    def test_the_arena_is_empty_again(self):
        server = self.server(shards=1)
        self.is_served(server)
        server.wait_metric("limpet_connections_held", 0)
        empty = server.metric("limpet_arena_bytes")  # the shared ping
        for _ in range(3):
            wires = [Wire(server).handshake() for _ in range(50)]
            for wire in wires:
                wire.sendall(server.request() + frame(BINARY, b"x" * 50000, fin=False))
                wire.sock.sendall(wire.seal(b"\x00" * 100)[:60])
            server.wait_metric("limpet_connections_open", 50)
            self.assertGreater(server.metric("limpet_arena_bytes"), empty + 50 * 50000)
            for wire in wires:
                reset(wire.sock)
            server.wait_metric("limpet_connections_held", 0)
            server.wait_metric("limpet_arena_bytes", empty)


class Slow(Case):
    """Clients that stop at each stage: gone at that stage's deadline, not before, and counted as what they were."""

    def test_stages(self):
        server = self.server("--deadlines.handshake", "300ms", "--deadlines.upgrade", "300ms", shards=1)
        hello = Wire(server).step()[0]
        fast = server.websocket()

        def silent(wire):
            pass

        def hello_begun(wire):
            wire.sock.sendall(hello[:3])

        def hello_sent(wire):
            wire.sock.sendall(wire.step()[0])

        def no_request(wire):
            wire.handshake()

        def request_begun(wire):
            wire.handshake().sendall(b"GET / HTTP/1.1\r\nHos")

        timeouts = {"silent": ("limpet_handshakes_total", {"outcome": "silent"}),
                    "timeout": ("limpet_handshakes_total", {"outcome": "timeout"}),
                    "upgrade": ("limpet_upgrade_timeouts_total", {})}
        for stage, kind in ((silent, "silent"), (hello_begun, "timeout"), (hello_sent, "timeout"),
                            (no_request, "upgrade"), (request_begun, "upgrade")):
            with self.subTest(stage.__name__):
                name, labels = timeouts[kind]
                server.wait_metric("limpet_connections_held", 1)
                before = server.metric(name, **labels)
                wires = [Wire(server) for _ in range(10)]
                for wire in wires:
                    stage(wire)
                server.wait_metric(name, before + 10, **labels)
                for wire in wires:
                    while wire.sock.recv(65536):
                        pass
                    wire.close()
                self.is_served(server)
        fast.send(PING, b"p")
        self.assertEqual(fast.receive(), (PONG, b"p"))

    def test_a_drop_now_and_then_does_not_move_the_deadline(self):
        """Slow loris: a byte at a time keeps neither a handshake nor a request alive."""
        server = self.server("--deadlines.handshake", "400ms", "--deadlines.upgrade", "400ms")
        hello = in_records(client_hello(extensions=[*hello_extensions(), extension(21, bytes(2000))]))  # a byte is a drop
        request = server.request()[:-2] + b"X: " + b"a" * 2000
        with self.subTest("hello"), Wire(server) as wire:
            self.assertTrue(self.ends_before_the_last(wire.sock, (bytes([byte]) for byte in hello)))
            server.wait_metric("limpet_handshakes_total", 1, outcome="timeout")
        with self.subTest("request"), Wire(server).handshake() as wire:
            self.assertTrue(self.ends_before_the_last(wire.sock, (wire.seal(bytes([byte])) for byte in request)))
            server.wait_metric("limpet_upgrade_timeouts_total", 1)
        self.assertEqual(server.metric("limpet_connections_held"), 0)
        self.is_served(server)

    def ends_before_the_last(self, sock, drops):
        sock.settimeout(0.02)
        for drop in drops:
            try:
                sock.sendall(drop)
                if sock.recv(4096) == b"":
                    return True
            except TimeoutError:
                continue
            except (BrokenPipeError, ConnectionResetError):
                return True
        return False

    def test_a_client_that_reads_nothing(self):  # S28
        """Its queue ends at its bound, the message counted in; the others get theirs."""
        bound = 64 * 1024
        flags = ("--limits.queue-bytes-max", "64KB", "--limits.message-size-max", "60KB", "--plain.publish-channel",
                 "news", "--socket-send-size", "16KB")
        server = self.server(*flags, shards=1)
        wait_until(lambda: server.metric("limpet_ticks_total") > 0, "a tick")
        before = server.metric("limpet_arena_bytes")
        reader = server.websocket(token=server.token(channels=["news"]))
        writer = server.websocket(token=server.token(channels=[]))
        stopped = server.websocket(token=server.token(channels=["news"]), connect={"receive_size": 4096})
        sent = 0
        highest = 0
        while server.metric("limpet_closed_total", cause="slow_consumer") == 0:
            writer.send(BINARY, b"x" * 60000)
            self.assertEqual(reader.receive_data(), (BINARY, b"x" * 60000))
            sent += 1
            highest = max(highest, server.metric("limpet_arena_bytes") - before)
            wait_until(lambda: server.metric("limpet_queue_bytes") <= bound, "the gauge is within the bound")
            self.assertLess(sent, 200, "the queue of the stopped client never fills")
        # What waits and what is being sent: at most the bound and one block of the arena each.
        self.assertLess(highest, 4 * bound)
        server.wait_metric("limpet_connections_open", 2)
        writer.send(BINARY, b"after")
        self.assertEqual(reader.receive_data(), (BINARY, b"after"))
        for client in (stopped, reader, writer):
            client.close()
        server.wait_metric("limpet_arena_bytes", before)

    def test_a_message_that_no_queue_can_hold(self):  # S28
        result = self.enterContext(Server("--limits.queue-bytes-max", "64KB", "--limits.message-size-max", "65472"))
        client = result.websocket()
        client.send(BINARY, b"x" * 65472)
        self.assertEqual(client.receive_data(), (BINARY, b"x" * 65472))
        client.send(BINARY, b"x" * 65473)
        self.assertEqual(client.close_code(), 1009)


class Full(Case):
    """The machine's tables and ours: full, then not."""

    def test_the_table_of_descriptors(self):
        """RLIMIT_NOFILE of 300 for the server, 600 clients: the rest waits in the backlog."""
        server = self.server(shards=1, prefix=("prlimit", "--nofile=300:300"))
        capacity = int(server.metric("limpet_sockets_max"))
        self.assertLessEqual(capacity, 300)
        with ExitStack() as stack:
            sockets = [stack.enter_context(server.connect()) for _ in range(600)]
            server.wait_metric("limpet_connections_held", capacity)
            self.assertEqual(server.process.poll(), None)
            self.assertGreater(int(server.metric("limpet_ticks_total")), 0)  # the admin port answers
            ticks = server.metric("limpet_ticks_total")
            for sock in sockets[:capacity]:
                sock.close()
            # An accept that finds the table full takes its client down with it: few, and all are counted.
            wait_until(lambda: server.metric("limpet_accepted_total") + server.metric("limpet_accept_errors_total") ==
                       600, "all are accepted or counted")
            self.assertLess(server.metric("limpet_accept_errors_total"), 60)
            self.assertLess(server.metric("limpet_ticks_total") - ticks, 20000)  # it did not spin meanwhile
        server.wait_metric("limpet_connections_held", 0)
        self.is_served(server)

    def test_an_empty_ring_of_receive_buffers(self):
        """8 buffers and a burst of 64 clients at once: each receive that found none is done again."""
        server = self.server("--limits.receive-buffer-count", 8, "--limits.receive-buffer-size", "1KB", shards=1)
        clients = [server.websocket() for _ in range(64)]
        for round_number in range(4):
            server.pause()
            for client in clients:
                client.send(BINARY, bytes([round_number]) * 5000)
            server.go_on()
            for client in clients:
                self.assertEqual(client.receive_data(), (BINARY, bytes([round_number]) * 5000))
        self.assertGreater(server.metric("limpet_receive_no_buffer_total"), 0)
        for client in clients:
            client.close()
        server.wait_metric("limpet_connections_held", 0)

    def test_a_full_arena(self):
        """1 MB for all that waits: clients whose messages find no room go, the others live on."""
        flags = ("--limits.arena-size", "1MB", "--limits.message-size-max", "250KB", "--limits.queue-bytes-max", "256KB")
        server = self.server(*flags, shards=1)
        calm = server.websocket()
        clients = [server.websocket() for _ in range(12)]
        for client in clients:
            try:
                client.send(BINARY, b"x" * 120000, fin=False)
            except OSError:
                pass  # turned away while it was sending
        wait_until(lambda: server.metric("limpet_refused_total", limit="memory") > 0, "an arena without room")
        calm.send(PING, b"p")
        self.assertEqual(calm.receive(), (PONG, b"p"))
        for client in clients:
            client.close()
        server.wait_metric("limpet_connections_held", 1)
        calm.send(BINARY, b"y" * 250000)
        self.assertEqual(calm.receive_data(), (BINARY, b"y" * 250000))


class Probes(Case):  # S41
    def test_probes_are_counted_apart_and_hardly_logged(self):
        server = self.server(shards=1)
        for _ in range(50):
            server.connect().close()
            sock = server.connect()
            sock.shutdown(socket.SHUT_WR)
            self.assertEqual(sock.recv(1), b"")
            sock.close()
            reset(server.connect())
        server.wait_metric("limpet_handshakes_total", 150, outcome="silent")
        for _ in range(20):
            server.tls().close()
            status, _, body = server.status_of(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            self.assertEqual(status, 426)
            self.assertTrue(body)
        server.wait_metric("limpet_connections_held", 0)
        for outcome in ("failed", "reset", "timeout"):
            self.assertEqual(server.metric("limpet_handshakes_total", outcome=outcome), 0)
        self.assertEqual(server.metric("limpet_upgrades_total", reason="not_upgrade"), 20)
        self.is_served(server)
        server.stop()
        lines = [line for line in server.log if line and " info " in line or line and " warn " in line]
        self.assertEqual(len([line for line in lines if "not_upgrade" in line]), 1)
        self.assertLessEqual(len(lines), 5, lines)  # listener, listening, that one, stopping, stopped

    def test_readiness(self):
        server = self.server()
        for path, text in (("/health/ready", b"ready\n"), ("/health/live", b"live\n")):
            with urllib.request.urlopen(f"http://127.0.0.1:{server.admin_port}{path}", timeout=PATIENCE) as answer:
                self.assertEqual((answer.status, answer.read()), (200, text))


if __name__ == "__main__":
    main()
