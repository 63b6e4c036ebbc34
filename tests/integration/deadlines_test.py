"""Deadlines: each ends in its close code or is counted, and whoever keeps its promises stays."""

import unittest

from limpet import BINARY, CLOSE, PING, PONG, Server, WebSocket, main


class Deadlines(unittest.TestCase):
    def server(self, *flags, **options):
        return self.enterContext(Server(*flags, **options))

    def test_ping_is_answered_and_the_connection_stays(self):
        server = self.server("--heartbeat.ping-interval", "100ms", "--heartbeat.pong-timeout", "5s")
        client = server.websocket()
        for _ in range(5):
            self.assertEqual(client.receive(), (PING, b""))
            client.send(PONG)
        self.assertGreaterEqual(server.metric("limpet_pings_sent_total"), 5)
        self.assertEqual(server.metric("limpet_connections_open"), 1)

    def test_any_byte_counts_as_life(self):
        server = self.server("--heartbeat.ping-interval", "100ms", "--heartbeat.pong-timeout", "2s")
        client = server.websocket()
        for _ in range(5):
            self.assertEqual(client.receive(), (PING, b""))
            client.send(BINARY, b"not a pong")
            self.assertEqual(client.receive(), (BINARY, b"not a pong"))
        self.assertEqual(server.metric("limpet_closed_total", cause="pong_timeout"), 0)

    def test_no_pong_closes_with_3008(self):
        server = self.server("--heartbeat.ping-interval", "100ms", "--heartbeat.pong-timeout", "100ms")
        client = server.websocket()
        self.assertEqual(client.close_code(), 3008)
        server.wait_metric("limpet_closed_total", 1, cause="pong_timeout")
        server.wait_metric("limpet_connections_held", 0)

    def test_a_silent_client_is_gone_after_the_close_deadline(self):
        server = self.server("--heartbeat.ping-interval", "100ms", "--heartbeat.pong-timeout", "100ms",
                             "--deadlines.close", "200ms")
        client = server.websocket()
        server.wait_metric("limpet_close_timeouts_total", 1)
        server.wait_metric("limpet_connections_held", 0)
        client.close()

    def test_token_expiry_closes_with_3000(self):
        server = self.server("--token.leeway", "0s")
        client = server.websocket(token=server.token(ttl=1))
        self.assertEqual(client.close_code(), 3000)
        server.wait_metric("limpet_closed_total", 1, cause="token_expired")

    def test_age_closes_with_1012(self):
        server = self.server("--deadlines.age-max", "1s", "--deadlines.age-jitter-percent", "0")
        client = server.websocket()
        self.assertEqual(client.close_code(), 1012)
        server.wait_metric("limpet_closed_total", 1, cause="age")

    def test_handshake_deadline(self):
        server = self.server("--deadlines.handshake", "200ms")
        silent = server.connect()
        started = server.connect()
        started.sendall(b"\x16\x03\x01\x02\x00\x01\x00")
        self.assertEqual(silent.recv(1), b"")
        self.assertEqual(started.recv(1), b"")
        server.wait_metric("limpet_handshakes_total", 1, outcome="silent")
        server.wait_metric("limpet_handshakes_total", 1, outcome="timeout")
        server.wait_metric("limpet_connections_held", 0)

    def test_upgrade_deadline(self):
        server = self.server("--deadlines.upgrade", "200ms")
        client = server.tls()
        client.sendall(b"GET / HTTP/1.1\r\nHost: loc")
        server.wait_metric("limpet_upgrade_timeouts_total", 1)
        server.wait_metric("limpet_connections_held", 0)

    def test_shutdown_says_1001_and_exits(self):
        server = self.server("--deadlines.shutdown", "20s")
        clients = [server.websocket() for _ in range(20)]
        opening = server.tls()  # has not asked for anything yet
        opening.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
        server.wait_metric("limpet_connections_held", 21)
        server.process.terminate()
        for client in clients:
            self.assertEqual(client.close_code(), 1001)
        opening.sendall(server.request()[len(b"GET / HTTP/1.1\r\nHost: localhost\r\n"):])
        status, headers, _ = WebSocket(opening).read_head()
        self.assertEqual(status, 503)
        self.assertIn("Retry-After", dict(headers))
        opening.close()
        self.assertEqual(server.process.wait(10), 0)

    def test_shutdown_does_not_wait_for_those_who_do_not_listen(self):
        server = self.server("--deadlines.shutdown", "500ms", "--deadlines.close", "60s")
        deaf = [server.websocket(), server.connect()]
        server.process.terminate()
        server.process.terminate()
        self.assertEqual(server.process.wait(10), 0)
        for client in deaf:
            client.close()

    def test_close_code_of_the_client_comes_back(self):
        server = self.server()
        for payload, answer in ((b"", b""), (b"\x03\xe8", b"\x03\xe8"), (b"\x0f\xa0why", b"\x0f\xa0")):
            client = server.websocket()
            client.send(CLOSE, payload)
            self.assertEqual(client.receive(), (CLOSE, answer))
            self.assertTrue(client.at_end())


if __name__ == "__main__":
    main()
