"""Greed: what one client takes for itself is not missing elsewhere."""

import ssl
import threading
import unittest

from limpet import BINARY, PING, Server, frame, main
from wire import Wire


class Greed(unittest.TestCase):
    def server(self, *flags, **options):
        return self.enterContext(Server(*flags, **options))

    def test_tiny_messages_count_as_what_they_take(self):
        """Pings whose answers are not read: 2 bytes each, but a node and a block of memory."""
        server = self.server("--limits.connections-max", 4, "--socket-send-size", "4KB", shards=1)
        other = server.websocket()
        greedy = server.websocket(connect={"receive_size": 4096})
        try:
            while not server.metric("limpet_closed_total", cause="slow_consumer"):
                greedy.send_bytes(frame(PING) * 2000)
                self.assertLess(server.metric("limpet_arena_bytes"), 1 << 20)
        except (ssl.SSLError, OSError):
            pass
        server.wait_metric("limpet_connections_held", 1)
        self.assertEqual(server.metric("limpet_closed_total", cause="slow_consumer"), 1)
        self.assertEqual(server.metric("limpet_refused_total", limit="memory"), 0)
        other.send(BINARY, b"still here")
        self.assertEqual(other.receive_data(), (BINARY, b"still here"))

    def test_strangers_leave_memory_to_the_open(self):
        """Whoever has no token yet may begin large records, but not fill the memory with them."""
        server = self.server("--limits.arena-size", "1MB", "--limits.queue-bytes-max", "64KB",
                             "--limits.message-size-max", "20000", shards=1)
        client = server.websocket()
        strangers = []
        while not server.metric("limpet_refused_total", limit="memory"):
            try:
                stranger = Wire(server).handshake()
                stranger.sock.sendall(b"\x17\x03\x03\x41\x00" + bytes(100))
                strangers.append(stranger)
            except (ssl.SSLError, OSError):
                pass  # refused already
        self.assertLess(server.metric("limpet_arena_bytes"), (1 << 19) + (1 << 16))
        client.send(BINARY, b"x" * 20000)
        self.assertEqual(client.receive_data(), (BINARY, b"x" * 20000))
        for stranger in strangers:
            stranger.close()
        server.wait_metric("limpet_connections_held", 1)

    def test_slow_handshakes_give_way(self):
        """All places are held by clients that wait: the oldest leave after 2 s, as many as others want a place."""
        server = self.server("--limits.handshakes-max", 4, "--limits.handshakes-per-tick-max", 4,
                             "--deadlines.handshake", "60s", shards=1)
        slow = [Wire(server) for _ in range(4)]
        for count, wire in enumerate(slow, 1):
            wire.sock.sendall(wire.step()[0])
            server.wait_metric("limpet_handshakes_in_flight", count)
        threading.Event().wait(3)  # nobody wants their places: they keep them
        self.assertEqual(server.metric("limpet_handshakes_in_flight"), 4)
        slow.pop().handshake().close()  # and may go on
        server.wait_metric("limpet_handshakes_total", 1, outcome="full")
        slow.append(Wire(server))
        slow[-1].sock.sendall(slow[-1].step()[0])
        server.wait_metric("limpet_handshakes_in_flight", 4)
        first, second = server.websocket(), server.websocket()
        for client in (first, second):
            client.send(BINARY, b"in")
            self.assertEqual(client.receive_data(), (BINARY, b"in"))
        gave_way = server.metric("limpet_handshakes_total", outcome="gave_way")
        self.assertIn(gave_way, (1, 2))  # the first may have been through before the second came
        server.wait_metric("limpet_handshakes_in_flight", 4 - gave_way)
        slow.pop().handshake()  # the youngest was not disturbed
        self.assertEqual(server.metric("limpet_handshakes_total", outcome="timeout"), 0)
        for wire in slow:
            wire.close()

    def test_who_dies_waiting_for_a_handshake_leaves_at_once(self):
        server = self.server("--limits.handshakes-max", 1, "--limits.handshakes-per-tick-max", 1,
                             "--deadlines.handshake", "2s", shards=1)
        waiting, slow = Wire(server), None
        threading.Event().wait(1)
        slow = Wire(server)
        slow.sock.sendall(slow.step()[0])
        server.wait_metric("limpet_handshakes_in_flight", 1)
        waiting.sock.sendall(waiting.step()[0])
        server.wait_metric("limpet_handshakes_waiting", 1)
        server.wait_metric("limpet_connections_held", 1)
        self.assertEqual(server.metric("limpet_handshakes_in_flight"), 1)
        self.assertFalse(waiting.read_more())
        slow.close()


if __name__ == "__main__":
    main()
