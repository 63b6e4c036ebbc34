"""Plain mode: what a client sends reaches every subscriber of the channel, on every shard, in order."""

import unittest

from limpet import BINARY, CLOSE, TEXT, Server, main


class Channels(unittest.TestCase):
    def server(self, *flags, **options):
        return self.enterContext(Server(*flags, **options))

    def test_across_shards(self):
        server = self.server("--plain.publish-channel", "news", shards=4)
        clients = [server.websocket(token=server.token(channels=["news", "other"])) for _ in range(24)]
        held = [server.metric("limpet_connections_open", shard=str(i)) for i in range(4)]
        self.assertEqual(sum(held), 24)
        self.assertGreater(sum(1 for count in held if count), 1, "all on one shard")
        for i in range(100):
            clients[i % 24].send(TEXT if i % 2 else BINARY, f"message {i}")
            for client in clients:
                self.assertEqual(client.receive_data(), (TEXT if i % 2 else BINARY, f"message {i}".encode()))
        self.assertEqual(server.metric("limpet_mailbox_full_total"), 0)

    def test_order_of_one_sender_and_nothing_lost(self):
        server = self.server("--plain.publish-channel", "a", shards=2)
        sender = server.websocket(token=server.token(channels=[]))
        readers = [server.websocket() for _ in range(8)]
        for i in range(1000):
            sender.send(TEXT, str(i))
        for reader in readers:
            for i in range(1000):
                self.assertEqual(reader.receive_data(), (TEXT, str(i).encode()))

    def test_only_subscribers(self):
        server = self.server("--plain.publish-channel", "a")
        inside, outside = server.websocket(), server.websocket(token=server.token(channels=["b"]))
        inside.send(TEXT, "for a")
        self.assertEqual(inside.receive_data(), (TEXT, b"for a"))
        outside.send(CLOSE, b"\x03\xe8")
        self.assertEqual(outside.receive(), (CLOSE, b"\x03\xe8"))  # nothing came before

    def test_subscriptions_end_with_the_connection(self):
        server = self.server("--plain.publish-channel", "a")
        clients = [server.websocket(token=server.token(channels=["a", "b", "c"])) for _ in range(10)]
        self.assertEqual(server.metric("limpet_subscriptions"), 30)
        for client in clients[1:]:
            client.close()
        server.wait_metric("limpet_connections_held", 1)
        self.assertEqual(server.metric("limpet_subscriptions"), 3)
        clients[0].send(TEXT, "alone")
        self.assertEqual(clients[0].receive_data(), (TEXT, b"alone"))

    def test_a_client_that_may_not_publish(self):
        server = self.server(options=None)
        server.stop()
        options = f"""
tls:
  certificates:
    - certificate: {server.state}/certificate.pem
      key: {server.state}/key.pem
token:
  keys:
    - algorithm: HS256
      path: {server.state}/secret
"""
        strict = self.server(options=options)
        client = strict.websocket(token=server.token())
        client.send(TEXT, "hello")
        self.assertEqual(client.close_code(), 1008)
        strict.wait_metric("limpet_closed_total", 1, cause="policy")

    def test_slow_consumer(self):
        server = self.server("--limits.queue-bytes-max", "64KB", "--limits.message-size-max", "60KB",
                             "--socket-send-size", "4KB")
        stopped = server.websocket(connect={"receive_size": 4096})
        with self.assertRaises((OSError, EOFError)):  # cut off, with what it sends
            for _ in range(400):  # echoed, and never read
                stopped.send(BINARY, b"x" * 60000)
        server.wait_metric("limpet_closed_total", 1, cause="slow_consumer")
        server.wait_metric("limpet_connections_held", 0)


if __name__ == "__main__":
    main()
