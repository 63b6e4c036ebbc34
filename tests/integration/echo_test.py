"""The thin path from end to end: TLS, upgrade, token, echo, ping, close, and a clean exit."""

import ssl
import unittest

from limpet import BINARY, CLOSE, PING, PONG, TEXT, Server, main, tls_context

SUITES_1_2 = ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384",
              "ECDHE-ECDSA-CHACHA20-POLY1305"]


class Echo(unittest.TestCase):
    def setUp(self):
        self.server = self.enterContext(Server())

    def exchange(self, client):
        for size in (0, 1, 125, 126, 127, 65535, 65536):
            payload = bytes(i * 7 % 251 for i in range(size))
            client.send(BINARY, payload)
            self.assertEqual(client.receive_data(), (BINARY, payload))
        client.send(TEXT, "grüße 🌍")
        self.assertEqual(client.receive_data(), (TEXT, "grüße 🌍".encode()))
        client.send(PING, b"are you there")
        self.assertEqual(client.receive(), (PONG, b"are you there"))
        client.send(CLOSE, b"\x03\xe8bye")
        self.assertEqual(client.receive(), (CLOSE, b"\x03\xe8"))
        self.assertTrue(client.at_end())

    def test_tls_1_3(self):
        with_1_3 = tls_context(minimum=ssl.TLSVersion.TLSv1_3)
        client = self.server.websocket(context=with_1_3)
        self.assertEqual(client.sock.version(), "TLSv1.3")
        self.exchange(client)
        self.server.wait_metric("limpet_connections_held", 0)
        self.assertEqual(self.server.metric("limpet_closed_total", cause="client"), 1)

    def test_tls_1_2(self):
        for suite in SUITES_1_2:
            with self.subTest(suite=suite):
                context = tls_context(maximum=ssl.TLSVersion.TLSv1_2, ciphers=suite)
                client = self.server.websocket(context=context)
                self.assertEqual(client.sock.cipher()[0], suite)
                self.exchange(client)
        self.server.wait_metric("limpet_connections_held", 0)


if __name__ == "__main__":
    main()
