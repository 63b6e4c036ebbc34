"""S26: a balancer on the way that forgets silent connections, without a word to either end."""

import ssl
import unittest

from limpet import BINARY, PING, PONG, SANITIZED, Server, main, wait_until
from proxy import Proxy

FORGET_S = 3 if SANITIZED else 1


class Balancers(unittest.TestCase):
    def server(self, ping_interval_s, *flags):
        interval = f"{round(1000 * ping_interval_s)}ms"
        return self.enterContext(Server("--heartbeat.ping-interval", interval, *flags, shards=1))

    def client(self, server):
        """A client behind a balancer, and its flow there."""
        proxy = self.enterContext(Proxy(server.port, FORGET_S))
        client = server.websocket(connect={"port": proxy.port})
        self.addCleanup(client.close)
        return client, proxy.flows[0]

    def test_heartbeats_below_its_limit_keep_a_connection(self):
        server = self.server(FORGET_S / 2, "--heartbeat.pong-timeout", "10s")
        client, flow = self.client(server)
        for _ in range(8):  # four times the limit
            self.assertEqual(client.receive(), (PING, b""))
            client.send(PONG)
        self.assertFalse(flow.is_forgotten)
        client.send(BINARY, b"still here")
        self.assertEqual(client.receive_data(), (BINARY, b"still here"))
        self.assertEqual(server.metric("limpet_connections_open"), 1)

    def test_forgotten_connections_are_found_by_the_pong_deadline(self):
        server = self.server(4 * FORGET_S, "--heartbeat.pong-timeout", "300ms", "--deadlines.close", "300ms")
        client, flow = self.client(server)
        wait_until(lambda: flow.is_forgotten, "the balancer forgets")
        client.send(BINARY, b"into the void")  # the client does not know either
        received = server.metric("limpet_received_bytes_total")
        server.wait_metric("limpet_closed_total", 1, cause="pong_timeout")
        server.wait_metric("limpet_connections_held", 0)
        self.assertEqual(server.metric("limpet_received_bytes_total"), received)
        self.assertEqual(server.metric("limpet_pings_sent_total"), 1)
        client.sock.settimeout(0)
        with self.assertRaises(ssl.SSLWantReadError):
            client.receive()  # neither the ping nor the 3008 came through: only its own heartbeat can tell it


if __name__ == "__main__":
    main()
