"""Several listeners at once: TLS on IPv4 and IPv6, without TLS, and Unix sockets, which all shards accept from."""

import asyncio
import os
import socket
import stat
import subprocess
import tempfile
import unittest

import websockets

from limpet import BINARY, CLOSE, LIMPET, PATIENCE, PING, PONG, TEXT, Server, WebSocket, main, tls_context

HERE = os.path.dirname(os.path.abspath(__file__))
SIZES = (0, 1, 125, 126, 65535, 65536)


class Listeners(unittest.TestCase):
    def setUp(self):
        self.folder = self.enterContext(tempfile.TemporaryDirectory(prefix="limpet-test-"))
        self.path = os.path.join(self.folder, "ws.sock")
        self.tls_path = os.path.join(self.folder, "wss.sock")

    def start(self, *listen, flags=(), **options):
        """A server, and the address that each of its listeners has."""
        server = self.enterContext(Server("--listen", ",".join(listen), *flags, **options))
        lines = [line for line in server.log if line and "info listener " in line]
        self.assertEqual(len(lines), len(listen))
        addresses = [dict(field.split("=", 1) for field in line.split() if "=" in field)["address"] for line in lines]
        return server, addresses

    def open_unix(self, path=None):
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(PATIENCE)
        sock.connect(path or self.path)
        self.addCleanup(sock.close)
        return sock

    def upgrade(self, server, sock, **options):
        client = WebSocket(sock)
        sock.sendall(server.request(**options))
        self.assertEqual(client.read_head()[0], 101)
        return client

    def exchange(self, client):
        for size in SIZES:
            payload = bytes(i * 7 % 251 for i in range(size))
            client.send(BINARY, payload)
            self.assertEqual(client.receive_data(), (BINARY, payload))
        client.send(PING, b"are you there")
        self.assertEqual(client.receive(), (PONG, b"are you there"))
        client.send(CLOSE, b"\x03\xe8bye")
        self.assertEqual(client.receive(), (CLOSE, b"\x03\xe8"))
        self.assertTrue(client.at_end())

    def test_every_kind_at_once_with_clients_that_people_have(self):
        server, addresses = self.start("wss://127.0.0.1:0", "[::1]:0", "ws://127.0.0.1:0", f"ws+unix:{self.path}",
                                       f"wss+unix:{self.tls_path}")
        urls = [f"wss://{addresses[0]}/", f"wss://{addresses[1]}/", f"ws://{addresses[2]}/"]
        token = server.token()
        for url in [*urls, f"ws+unix:{self.path}:/"]:  # ws has no name for TLS on a Unix socket
            with self.subTest(client="ws", url=url):
                result = subprocess.run(["node", "echo.js", url, token], cwd=HERE, check=False, capture_output=True,
                                        text=True, timeout=PATIENCE)
                self.assertEqual(result.stdout.split(), ["grüße", "1000"], result.stdout + result.stderr)

        async def talk(connect, *place, **option):
            async with connect(*place, **option) as client:
                await client.send("grüße")
                return await client.recv()

        name = "additional_headers" if int(websockets.__version__.split(".")[0]) >= 14 else "extra_headers"
        headers = {name: {"Authorization": f"Bearer {token}"}}
        for url in urls:
            option = {"ssl": tls_context()} if url.startswith("wss") else {}
            with self.subTest(client="websockets", url=url):
                self.assertEqual(asyncio.run(talk(websockets.connect, url, **option, **headers)), "grüße")
        for path, option in ((self.path, {"uri": "ws://localhost/"}),
                             (self.tls_path, {"uri": "wss://localhost/", "ssl": tls_context(), "server_hostname": "localhost"})):
            with self.subTest(client="websockets", path=path):
                answer = asyncio.run(talk(websockets.unix_connect, path, **option, **headers))
                self.assertEqual(answer, "grüße")
        server.wait_metric("limpet_connections_held", 0)
        self.assertEqual(server.metric("limpet_closed_total", cause="client"), 9)
        self.assertNotIn("tokens go in clear", server.log_text())

    def test_without_tls_everything_is_as_with_it(self):
        server, _ = self.start("ws://127.0.0.1:0")
        self.exchange(self.upgrade(server, server.connect()))
        with self.subTest("byte by byte, and frames right behind the request"):
            sock = server.connect()
            client = WebSocket(sock)
            request = server.request() + b"\x81\x82\x00\x00\x00\x00hi"
            for at in range(len(request)):
                sock.sendall(request[at:at + 1])
            self.assertEqual(client.read_head()[0], 101)
            self.assertEqual(client.receive_data(), (TEXT, b"hi"))
            sock.close()
        with self.subTest("a request that is refused is answered"):
            with server.connect() as sock:
                sock.sendall(server.request(token="no.token.here"))
                self.assertEqual(WebSocket(sock).read_head()[0], 401)
            with server.connect() as sock:
                sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                status, _, body = WebSocket(sock).read_head()
                self.assertEqual(status, 426)
                self.assertNotEqual(body, b"")
        with self.subTest("TLS, where none is spoken"):
            with server.connect() as sock:
                sock.sendall(b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03\r\n\r\n")
                self.assertEqual(WebSocket(sock).read_head()[0], 400)
        with self.subTest("a frame that breaks the rules"):
            client = self.upgrade(server, server.connect())
            client.send(TEXT, b"unmasked", mask=None)
            self.assertEqual(client.close_code(), 1002)
        server.wait_metric("limpet_connections_held", 0)

    def test_publications_without_tls_and_a_peer_that_does_not_read(self):
        server, _ = self.start("ws://127.0.0.1:0", "wss://127.0.0.1:0",
                               flags=("--plain.publish-channel", "a", "--limits.queue-bytes-max", "128KB"), shards=1)
        slow = self.upgrade(server, server.connect(receive_size=4096))
        reader = self.upgrade(server, server.connect())
        writer = self.upgrade(server, server.connect())
        payload = b"x" * 50000
        sent = 0
        while server.metric("limpet_closed_total", cause="slow_consumer") == 0:
            writer.send(BINARY, payload)
            sent += 1
            self.assertEqual(reader.receive_data(), (BINARY, payload))
            self.assertEqual(writer.receive_data(), (BINARY, payload))
            self.assertLess(sent, 1000)
        slow.close()

    def test_shards_take_turns_on_a_unix_socket(self):
        server, _ = self.start(f"ws+unix:{self.path}", shards=3)
        clients = [self.upgrade(server, self.open_unix()) for _ in range(30)]
        shares = [server.metric("limpet_connections_open", shard=str(number)) for number in range(3)]
        self.assertEqual(sum(shares), 30)
        self.assertLess(max(shares), 30, shares)  # who is busy takes fewer, but none takes all
        for client in clients[:3]:
            self.exchange(client)

    def test_a_unix_socket_from_start_to_end(self):
        with self.subTest("its mode, and its end"):
            with Server("--listen", f"ws+unix:{self.path}?mode=0600") as server:
                self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), 0o600)
                self.exchange(self.upgrade(server, self.open_unix()))
            self.assertFalse(os.path.exists(self.path))
        with self.subTest("one that was left over is replaced"):
            left_over = socket.socket(socket.AF_UNIX)
            left_over.bind(self.path)
            left_over.listen()
            left_over.close()
            with Server("--listen", f"ws+unix:{self.path}") as server:
                self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), 0o660)
                self.exchange(self.upgrade(server, self.open_unix()))
        with self.subTest("one that somebody else made meanwhile stays"):
            with Server("--listen", f"ws+unix:{self.path}"):
                os.unlink(self.path)
                with socket.socket(socket.AF_UNIX) as other:
                    other.bind(self.path)
            self.assertTrue(os.path.exists(self.path))
        os.unlink(self.path)
        for name, make in (("one that is alive", self.make_live), ("a file of another kind", self.make_file)):
            with self.subTest(name):
                made = make()
                result = self.fail_to_start(f"ws+unix:{self.path}")
                self.assertIn(f"cannot listen on {self.path}: bind: EADDRINUSE", result)
                self.assertTrue(os.path.exists(self.path))
                made.close()
                os.unlink(self.path)
        with self.subTest("no such folder"):
            self.assertIn("there is no such folder", self.fail_to_start(f"ws+unix:{self.folder}/no/ws.sock"))

    def make_live(self):
        live = socket.socket(socket.AF_UNIX)
        live.bind(self.path)
        live.listen()
        return live

    def make_file(self):
        return open(self.path, "w", encoding="ascii")

    def fail_to_start(self, *listen, flags=()):
        result = subprocess.run([LIMPET, "serve", "--state", os.path.join(self.folder, "state"), "--admin.listen",
                                 "127.0.0.1:0", "--listen", ",".join(listen), *flags], check=False,
                                capture_output=True, text=True, timeout=PATIENCE)
        self.assertNotEqual(result.returncode, 0)
        self.assertNotIn("assertion failed", result.stderr)
        return result.stdout + result.stderr

    def test_clear_tokens_on_the_network_are_warned_of(self):
        server, _ = self.start("ws://0.0.0.0:0")
        self.assertIn("tokens go in clear", server.log_text())

    def test_what_no_listener_can_be_is_refused(self):
        for text in ("http://127.0.0.1:1", "ws+unix:relative.sock", "ws+unix:/" + 107 * "x", "8443?proxy=v3",
                     "8443?mode=0600", f"ws+unix:{self.path}?mode=1777", "8443?", "ws://"):
            with self.subTest(text):
                self.assertIn("allowed: PORT, A.B.C.D:PORT", self.fail_to_start(text))
        self.assertIn("listen: the same address twice", self.fail_to_start("wss://127.0.0.1:1", "ws://127.0.0.1:1"))

    def test_no_certificate_is_wanted_without_tls(self):
        options = f"listen: [\"ws+unix:{self.path}\"]\ntoken:\n  required: false\nplain:\n  publish_channel: \"\"\n"
        server = self.enterContext(Server("--listen", f"ws+unix:{self.path}", options=options))
        sock = self.open_unix()
        sock.sendall(server.request(drop=["Authorization"]))
        client = WebSocket(sock)
        self.assertEqual(client.read_head()[0], 101)
        self.exchange(client)

    def test_probes_without_tls_are_counted_apart(self):
        server, _ = self.start("ws://127.0.0.1:0")
        for _ in range(5):
            server.connect().close()
        server.wait_metric("limpet_handshakes_total", 5, outcome="silent")
        server.wait_metric("limpet_connections_held", 0)
        self.assertEqual([line for line in server.log if line and (" warn " in line or " error " in line)], [])


if __name__ == "__main__":
    main()
