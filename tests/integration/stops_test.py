"""The end of a server (S34), and the ends of clients that heartbeats find (S26, S27)."""

import os
import signal
import subprocess
import time
import unittest

from limpet import (BINARY, CLOSE, LIMPET, PATIENCE, PING, PONG, SANITIZED, Server, WebSocket, frame, main,
                    wait_until)
from wire import Wire, rest_of


class Stops(unittest.TestCase):
    def server(self, *flags, **options):
        return self.enterContext(Server(*flags, **options))

    def test_a_thousand_clients_in_every_state(self):
        server = self.server("--deadlines.shutdown", "2s", "--deadlines.close", "60s", shards=2)
        count = 100 if SANITIZED else 800
        reading = [server.websocket() for _ in range(count)]
        stopped = [server.websocket() for _ in range(count // 8)]
        tcp_only = [server.connect() for _ in range(10)]
        in_hello = [Wire(server) for _ in range(10)]
        for wire in in_hello:
            wire.sock.sendall(wire.step()[0][:50])
        in_handshake = [Wire(server) for _ in range(10)]
        for wire in in_handshake:
            wire.sock.sendall(wire.step()[0])
        in_request = [Wire(server).handshake() for _ in range(10)]
        for wire in in_request:
            wire.sendall(server.request()[:40])
        closing = [server.websocket() for _ in range(10)]
        for client in closing:
            client.send(CLOSE, b"\x03\xe8")
        server.wait_metric("limpet_connections_open", len(reading) + len(stopped))
        server.wait_metric("limpet_handshakes_in_flight", 10)
        request = server.request()
        server.process.send_signal(signal.SIGTERM)
        server.wait_for_log("info stopping ")
        for client in reading:
            self.assertEqual(client.close_code(), 1001)
            self.assertTrue(client.at_end())
        for client in closing:
            self.assertEqual(client.receive(), (CLOSE, b"\x03\xe8"))
        # Whoever was on the way in may still ask, and is sent elsewhere.
        for wire in in_request[:5]:
            wire.sendall(request[40:])
            status, headers, body = WebSocket(wire).read_head()
            self.assertEqual((status, body), (503, b"The server is stopping: connect again.\n"))
            self.assertIn("Retry-After", dict(headers))
        self.assertEqual(server.process.wait(PATIENCE), 0)  # whatever the stopped ones do
        server.wait_for_log("info stopped ")
        for wire in in_hello + in_handshake + in_request + stopped + tcp_only:
            wire.close()

    def test_a_second_signal_ends_it_sooner_and_does_no_harm(self):
        server = self.server("--deadlines.shutdown", "1h", "--deadlines.close", "1h", shards=2)
        reading = [server.websocket() for _ in range(100)]
        deaf = server.websocket()
        server.process.send_signal(signal.SIGTERM)
        server.wait_for_log("info stopping ")
        server.process.send_signal(signal.SIGTERM)
        for client in reading:
            self.assertEqual(client.close_code(), 1001)
            self.assertTrue(client.at_end())
        self.assertEqual(server.process.wait(PATIENCE), 0)
        server.wait_for_log("info stopping at once")
        deaf.close()

    def test_nobody_is_accepted_any_more(self):
        server = self.server("--deadlines.shutdown", "2s", "--deadlines.close", "60s")
        stopped = server.websocket()
        server.process.send_signal(signal.SIGINT)
        self.assertEqual(stopped.receive(), (CLOSE, b"\x03\xe9"))
        try:
            with server.connect() as sock:
                self.assertEqual(rest_of(sock), b"")
        except ConnectionRefusedError:
            pass
        self.assertEqual(server.process.wait(PATIENCE), 0)
        stopped.close()

    def test_at_once_when_nobody_is_there(self):
        server = self.server("--deadlines.shutdown", "10m")
        server.websocket().close()
        server.wait_metric("limpet_connections_held", 0)
        self.assertEqual(server.stop(), 0)

    def test_what_was_echoed_before_still_comes(self):
        server = self.server()
        client = server.websocket()
        client.send_bytes(b"".join(frame(BINARY, bytes([i]) * 3000) for i in range(50)))
        self.assertEqual(client.receive_data(), (BINARY, b"\0" * 3000))
        server.wait_metric("limpet_messages_received_total", 50)
        server.process.send_signal(signal.SIGTERM)
        for i in range(1, 50):
            self.assertEqual(client.receive_data(), (BINARY, bytes([i]) * 3000))
        self.assertEqual(client.close_code(), 1001)


class Hearts(unittest.TestCase):
    def server(self, *flags, **options):
        return self.enterContext(Server(*flags, **options))

    def test_the_default_interval_is_below_every_balancer(self):  # S26
        text = subprocess.run([LIMPET, "options"], capture_output=True, text=True, check=True, timeout=PATIENCE).stdout
        line = next(line for line in text.splitlines() if line.startswith("heartbeat.ping_interval "))
        self.assertEqual(line.split()[1], "25s")  # never later than that, whatever is drawn: 60 s are the shortest limits

    def test_both_directions_see_traffic(self):  # S26: our ping goes one way, the client's pong the other
        server = self.server("--heartbeat.ping-interval", "100ms")
        client = server.websocket()
        pings = 0
        end = time.monotonic() + PATIENCE
        while pings < 3:  # without a pause: a ping that chatter puts off would never come
            client.send(BINARY, b"chatter")
            pings += client.receive()[0] == PING
            self.assertLess(time.monotonic(), end, "no pings among the chatter")
        client.close()

    def test_suspended_clients_give_their_places_back(self):  # S27
        """8 connections of one user, all allowed; the process with them is stopped; then the user comes back."""
        server = self.server("--limits.connections-per-user-max", 8, "--heartbeat.ping-interval", "200ms",
                             "--heartbeat.pong-timeout", "2s", "--deadlines.close", "200ms", shards=2)
        token = server.token(sub="ann")
        readable, writable = os.pipe()
        phone = os.fork()
        if phone == 0:  # the phone: opens its connections, answers pings, until it is stopped
            try:
                clients = [server.websocket(token=token) for _ in range(8)]
                os.write(writable, b"x")
                while True:
                    for client in clients:
                        if client.receive()[0] == PING:
                            client.send(PONG)
            finally:
                os._exit(1)
        os.close(writable)  # so that a phone that dies is seen
        try:
            self.assertEqual(os.read(readable, 1), b"x")
            wait_until(lambda: server.metric("limpet_pongs_received_total") >= 8, "pongs")
            self.assertEqual(server.metric("limpet_connections_open"), 8)
            extra = server.websocket(token=token)
            self.assertEqual(extra.close_code(), 1013)  # and says why not
            extra.close()
            os.kill(phone, signal.SIGSTOP)
            server.wait_metric("limpet_closed_total", 8, cause="pong_timeout")
            server.wait_metric("limpet_connections_held", 0)
            self.assertEqual(server.metric("limpet_closed_total", cause="reset"), 0)
            again = server.websocket(token=token)
            again.send(PING, b"back")
            self.assertIn(again.receive(), ((PONG, b"back"), (PING, b"")))
            again.close()
        finally:
            os.kill(phone, signal.SIGKILL)
            os.waitpid(phone, 0)
            os.close(readable)


if __name__ == "__main__":
    main()
