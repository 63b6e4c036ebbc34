"""Limits: each is refused at the edge with its defined answer and its counter, and the next client is served."""

import ssl
import unittest

from limpet import BINARY, TEXT, Server, WebSocket, frame, main


class Limits(unittest.TestCase):
    def server(self, *flags, **options):
        return self.enterContext(Server(*flags, **options))

    def test_connections_in_all(self):
        server = self.server("--limits.connections-max", 3, shards=2)
        clients = [server.websocket() for _ in range(3)]
        status, headers, body = server.status_of(server.request())
        self.assertEqual(status, 503)
        self.assertIn("Retry-After", dict(headers))
        self.assertTrue(body)
        self.assertEqual(server.metric("limpet_refused_total", limit="connections"), 1)
        clients.pop().close()
        server.wait_metric("limpet_connections_open", 2)
        clients.append(server.websocket())

    def test_connections_of_an_address(self):
        server = self.server("--limits.connections-per-address-max", 2, shards=3)
        clients = [server.websocket(connect={"source": "127.0.0.7"}) for _ in range(2)]
        with self.assertRaises((EOFError, OSError)):
            server.tls(source="127.0.0.7")
        server.wait_metric("limpet_refused_total", 1, limit="address")
        clients.append(server.websocket(connect={"source": "127.0.0.8"}))
        clients.pop(0).close()
        server.wait_metric("limpet_connections_held", 2)
        clients.append(server.websocket(connect={"source": "127.0.0.7"}))

    def test_connections_of_a_user(self):
        server = self.server("--limits.connections-per-user-max", 2, shards=3)
        clients = [server.websocket(token=server.token(sub="ann")) for _ in range(2)]
        third = server.websocket(token=server.token(sub="ann"))
        self.assertEqual(third.close_code(), 1013)
        server.wait_metric("limpet_refused_total", 1, limit="user")
        clients.append(server.websocket(token=server.token(sub="bob")))
        server.wait_metric("limpet_connections_held", 3)
        clients.pop(0).close()
        server.wait_metric("limpet_connections_held", 2)
        clients.append(server.websocket(token=server.token(sub="ann")))

    def test_message_size_on_both_sides(self):
        server = self.server("--limits.message-size-max", "1000")
        client = server.websocket()
        client.send(BINARY, b"x" * 1000)
        self.assertEqual(client.receive_data(), (BINARY, b"x" * 1000))
        client.send(BINARY, b"x" * 1001)
        self.assertEqual(client.close_code(), 1009)
        client = server.websocket()  # over all fragments
        client.send_bytes(frame(BINARY, b"x" * 600, fin=False) + frame(0, b"x" * 400))
        self.assertEqual(client.receive_data(), (BINARY, b"x" * 1000))
        client.send_bytes(frame(BINARY, b"x" * 600, fin=False) + frame(0, b"x" * 401))
        self.assertEqual(client.close_code(), 1009)
        server.wait_metric("limpet_closed_total", 2, cause="too_big")

    def test_handshakes_in_flight(self):
        server = self.server("--limits.handshakes-max", 2, "--limits.handshakes-per-tick-max", 2, shards=1)
        waiting = []
        for _ in range(6):  # a whole ClientHello each, and then silence
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            context = ssl.create_default_context()
            tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
            with self.assertRaises(ssl.SSLWantReadError):
                tls.do_handshake()
            sock = server.connect()
            sock.sendall(outgoing.read())
            waiting.append(sock)
        server.wait_metric("limpet_handshakes_in_flight", 2)
        server.wait_metric("limpet_handshakes_waiting", 4)
        self.assertTrue(waiting[0].recv(1))  # the oldest was answered first
        for sock in waiting:
            sock.close()
        server.wait_metric("limpet_connections_held", 0)
        server.websocket()

    def test_request_and_token_size(self):
        server = self.server("--upgrade.request-size-max", "4KB", "--token.size-max", "2KB")
        for size, status in ((3000, 101), (4200, 431)):
            with self.subTest(size=size):
                self.assertEqual(server.status_of(server.request("X-Fill: " + "x" * size))[0], status)
        for size, status in ((1000, 101), (2000, 431)):
            with self.subTest(token=size):
                token = server.token(fill="x" * size)
                self.assertEqual(server.status_of(server.request(token=token))[0], status)
        server.wait_for_log("token.size_max")

    def test_channels(self):
        server = self.server("--limits.channels-max", 2, shards=1)
        first = server.websocket(token=server.token(channels=["a", "b"]))
        status, _, _ = server.status_of(server.request(token=server.token(channels=["a", "c"])))
        self.assertEqual(status, 503)
        first.send(TEXT, "still here")
        self.assertEqual(first.receive_data(), (TEXT, b"still here"))
        server.wait_metric("limpet_subscriptions", 2)

    def test_table_of_sockets_full(self):
        # The smallest table: sockets of 1 connection, its handshakes and the spare ones.
        server = self.server("--limits.connections-max", 1, "--limits.handshakes-max", 1,
                             "--limits.handshakes-per-tick-max", 1, shards=1)
        capacity = int(server.metric("limpet_sockets_max"))
        sockets = [server.connect() for _ in range(capacity + 50)]
        server.wait_metric("limpet_connections_held", capacity)
        for sock in sockets:
            sock.close()
        server.wait_metric("limpet_connections_held", 0)
        client = WebSocket(server.tls())
        client.sock.sendall(server.request())
        self.assertEqual(client.read_head()[0], 101)


if __name__ == "__main__":
    main()
