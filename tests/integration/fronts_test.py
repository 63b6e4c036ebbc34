"""HAProxy and nginx that end TLS, or pass it on, to listeners without TLS and to Unix sockets: clients that people have
come through, the server knows who they are as far as the proxy tells it, and heartbeats keep what the proxy would
forget."""

import asyncio
import os
import socket
import ssl
import subprocess
import tempfile
import unittest

import websockets

from fronts import make_pair, needs_haproxy, needs_nginx, needs_nginx_stream, run_haproxy, run_nginx
from limpet import PATIENCE, SANITIZED, TEXT, Server, WebSocket, main, tls_context

HERE = os.path.dirname(os.path.abspath(__file__))
FORGET_S = 5 if SANITIZED else 2  # what the proxies allow a silent connection
PINGS = 10  # twice as long, at five a limit


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = self.enterContext(tempfile.TemporaryDirectory(prefix="limpet-test-"))
        self.path = os.path.join(self.folder, "ws.sock")

    def server(self, listen, *flags):
        """The TLS listener is there for the certificate that the proxy gets."""
        return self.enterContext(Server("--listen", f"127.0.0.1:0,{listen}", "--plain.publish-channel", "",
                                        "--heartbeat.ping-interval", f"{1000 * FORGET_S // 5}ms", *flags, shards=1))

    def connect(self, port, source):
        sock = socket.create_connection(("127.0.0.1", port), PATIENCE, source_address=(source, 0))
        return tls_context().wrap_socket(sock, server_hostname="localhost")

    def open(self, server, port, source):
        client = WebSocket(self.connect(port, source))
        self.addCleanup(client.close)
        client.sock.sendall(server.request(token=server.token()))
        self.assertEqual(client.read_head()[0], 101)
        client.send(TEXT, "hello")
        self.assertEqual(client.receive_data(), (TEXT, b"hello"))
        return client

    def is_turned_away(self, server, port, source):
        """No TLS with the server, the end where the proxy has TLS, or 502 from one that speaks HTTP."""
        try:
            with self.connect(port, source) as sock:
                sock.sendall(server.request(token=server.token()))
                answer = sock.recv(1000)
        except (ConnectionResetError, BrokenPipeError, ssl.SSLError):
            return True
        return answer == b"" or b" 502 " in answer

    def check_clients(self, server, port):
        """Two that people have; one of them waits for longer than the proxy does."""
        url, token = f"wss://127.0.0.1:{port}/", server.token()
        result = subprocess.run(["node", "echo.js", url, token], cwd=HERE, check=False, capture_output=True, text=True,
                                timeout=PATIENCE)
        self.assertEqual(result.stdout.split(), ["grüße", "1000"], result.stdout + result.stderr)
        server.wait_metric("limpet_connections_held", 0)
        before = server.metric("limpet_pings_sent_total")

        def wait_for_pings():
            server.wait_metric("limpet_pings_sent_total", before + PINGS)

        async def talk():
            name = "additional_headers" if int(websockets.__version__.split(".")[0]) >= 14 else "extra_headers"
            headers = {name: {"Authorization": f"Bearer {token}"}}
            async with websockets.connect(url, ssl=tls_context(), ping_interval=None, **headers) as client:
                await asyncio.to_thread(wait_for_pings)
                await client.send("grüße")
                return await client.recv()

        self.assertEqual(asyncio.run(talk()), "grüße")
        server.wait_metric("limpet_connections_held", 0)
        self.assertEqual(server.metric("limpet_accepted_total"), server.metric("limpet_closed_total", cause="client") +
                         server.metric("limpet_handshakes_total", outcome="silent"), "nobody was lost on the way")

    def check_is_known(self, server, port):
        """By their own addresses, in limits and in the log."""
        self.open(server, port, "127.0.7.1")
        self.assertTrue(self.is_turned_away(server, port, "127.0.7.1"))
        server.wait_metric("limpet_refused_total", 1, limit="address")
        self.open(server, port, "127.0.7.2").close()
        with self.connect(port, "127.0.7.3") as sock:
            sock.sendall(server.request(token="x.y.z"))
            self.assertIn(b" 401 ", sock.recv(1000))
        self.assertIn("peer=127.0.7.3:", server.wait_for_log("token refused"))


ONE_EACH = ("--limits.connections-per-address-max", "1")


@needs_haproxy
class HaproxyToUnixSockets(Case):
    def start(self, kind, *flags):
        path = os.path.join(self.folder, f"{kind}.sock")
        server = self.server(f"{kind}+unix:{path}?proxy=v2", *flags)
        tls = f"ssl crt {make_pair(self, server)}" if kind == "ws" else ""
        return server, run_haproxy(self, tls, f"unix@{path} send-proxy-v2", f"{FORGET_S}s")

    def test_clients(self):
        for kind in ("ws", "wss"):
            with self.subTest(kind):
                self.check_clients(*self.start(kind))

    def test_who_they_are(self):
        for kind in ("ws", "wss"):
            with self.subTest(kind):
                self.check_is_known(*self.start(kind, *ONE_EACH))


class NginxEndsTls(Case):
    def start(self, listen, *flags):
        server = self.server(listen, *flags)
        line = [line for line in server.log if line and "info listener " in line][1]
        target = f"unix:{self.path}" if "unix" in listen else line.partition("address=")[2].split()[0]
        pair = make_pair(self, server)
        return server, run_nginx(self, f"""
        listen 127.0.0.1:PORT ssl;
        ssl_certificate {pair};
        ssl_certificate_key {pair};
        location / {{
            proxy_pass http://{target};
            proxy_http_version 1.1;
            proxy_set_header Host $host;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $http_connection;
            proxy_read_timeout {FORGET_S}s;
            proxy_send_timeout {FORGET_S}s;
        }}""")

    @needs_nginx
    def test_clients(self):
        for listen in ("ws://127.0.0.1:0", f"ws+unix:{self.path}"):
            with self.subTest(listen):
                self.check_clients(*self.start(listen))

    @needs_nginx
    def test_they_are_the_proxy(self):
        """Its HTTP tells us of no client: all of them share one address, or have none on a Unix socket."""
        server, port = self.start("ws://127.0.0.1:0", *ONE_EACH)
        self.open(server, port, "127.0.7.1")
        self.assertTrue(self.is_turned_away(server, port, "127.0.7.2"))
        server.wait_metric("limpet_refused_total", 1, limit="address")

        server, port = self.start(f"ws+unix:{self.path}", *ONE_EACH)
        for source in ("127.0.7.1", "127.0.7.1", "127.0.7.2"):
            self.open(server, port, source)
        with self.connect(port, "127.0.7.3") as sock:
            sock.sendall(server.request("X-Forwarded-For: 127.0.7.3", token="x.y.z"))
            self.assertIn(b" 401 ", sock.recv(1000))
        self.assertIn("peer=unix", server.wait_for_log("token refused"))
        self.assertEqual(server.metric("limpet_refused_total", limit="address"), 0)

    @needs_nginx_stream
    def test_its_stream_tells_who_they_are(self):
        server = self.server(f"ws+unix:{self.path}?proxy=v1", *ONE_EACH)
        pair = make_pair(self, server)
        self.check_is_known(server, run_nginx(self, f"""
        listen 127.0.0.1:PORT ssl;
        ssl_certificate {pair};
        ssl_certificate_key {pair};
        proxy_pass unix:{self.path};
        proxy_protocol on;
        proxy_timeout {FORGET_S}s;""", "stream"))

    @needs_nginx
    def test_without_heartbeats_in_time_it_forgets(self):
        """That the test's time is long enough."""
        server, port = self.start("ws://127.0.0.1:0", "--heartbeat.ping-interval", "1h")
        client = self.open(server, port, "127.0.7.1")
        self.assertTrue(client.at_end())
        server.wait_metric("limpet_connections_held", 0)
        self.assertEqual(server.metric("limpet_pings_sent_total"), 0)


if __name__ == "__main__":
    main()
