"""The PROXY protocol, versions 1 and 2, before TLS and without: by hand, wherever it is cut, and from HAProxy and nginx."""

import os
import socket
import ssl
import struct
import subprocess
import tempfile
import unittest

from fronts import make_pair, needs_haproxy, needs_nginx_stream, run_haproxy, run_nginx
from limpet import BAD_OPTIONS, LIMPET, PATIENCE, TEXT, Server, WebSocket, main, tls_context

V2 = b"\r\n\r\n\0\r\nQUIT\n"
LINE = b"PROXY TCP4 192.0.2.33 198.51.100.7 40000 443\r\n"


def v2(source="192.0.2.33", port=40000, command=0x21, more=b""):
    body = socket.inet_aton(source) + socket.inet_aton("198.51.100.7") + struct.pack("!HH", port, 443) + more
    return V2 + bytes([command, 0x11]) + struct.pack("!H", len(body)) + body


def v2_ipv6(source):
    body = socket.inet_pton(socket.AF_INET6, source) + bytes(16) + struct.pack("!HH", 40000, 443)
    return V2 + bytes([0x21, 0x21]) + struct.pack("!H", len(body)) + body


class Case(unittest.TestCase):
    def server(self, listen, *flags, trusted="127.0.0.1"):
        trust = ["--proxy.trusted", trusted] if trusted else []
        return self.enterContext(Server("--listen", listen, "--plain.publish-channel", "", *trust, *flags, shards=1))

    def open(self, server, sock):
        """A WebSocket on what is connected, with TLS or without."""
        client = WebSocket(sock)
        client.sock.sendall(server.request(token=server.token()))
        self.assertEqual(client.read_head()[0], 101)
        client.send(TEXT, "hello")
        self.assertEqual(client.receive_data(), (TEXT, b"hello"))
        return client

    def is_closed(self, sock):
        sock.settimeout(PATIENCE)
        try:
            return sock.recv(100) == b""
        except (ConnectionResetError, BrokenPipeError):
            return True


class Headers(Case):
    def test_every_kind_before_tls(self):
        server = self.server("127.0.0.1:0?proxy=any")
        for header in (LINE, b"PROXY UNKNOWN\r\n", b"PROXY TCP6 2001:db8::7 ::1 1 2\r\n", v2(), v2(more=b"\x04" + bytes(300)),
                       v2_ipv6("2001:db8::8"), V2 + b"\x20\x00\0\0", V2 + b"\x21\x00\0\0"):
            with self.subTest(header):
                sock = server.connect()
                sock.sendall(header)
                self.open(server, tls_context().wrap_socket(sock, server_hostname="localhost")).close()

    def test_together_with_the_first_bytes(self):
        """In one segment with the ClientHello, or with the request where there is no TLS."""
        server = self.server("127.0.0.1:0?proxy=v2")
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = tls_context().wrap_bio(incoming, outgoing, server_hostname="localhost")
        with self.assertRaises(ssl.SSLWantReadError):
            tls.do_handshake()
        sock = server.connect()
        sock.sendall(v2() + outgoing.read())
        self.assertEqual(sock.recv(1), b"\x16", "a ServerHello")
        plain = self.server("ws://127.0.0.1:0?proxy=v1")
        sock = plain.connect()
        client = WebSocket(sock)
        sock.sendall(LINE + plain.request(token=plain.token()))
        self.assertEqual(client.read_head()[0], 101)

    def test_cut_anywhere(self):
        server = self.server("ws://127.0.0.1:0?proxy=any")
        request = server.request(token=server.token())
        for header in (LINE, v2()):
            whole = header + request
            for cut in range(1, len(header) + 2):
                sock = server.connect()
                sock.sendall(whole[:cut])
                server.wait_metric("limpet_connections_held", 1)
                sock.sendall(whole[cut:])
                client = WebSocket(sock)
                self.assertEqual(client.read_head()[0], 101, cut)
                client.close()
                server.wait_metric("limpet_connections_held", 0)
        self.assertEqual(server.metric("limpet_refused_total", limit="proxy_header"), 0)

    def test_what_is_no_header(self):
        server = self.server("127.0.0.1:0?proxy=v1")
        bad = (b"GET / HTTP/1.1\r\n", b"\x16\x03\x01\x02\x00", v2(), b"PROXY TCP4 1.2.3.4 5.6.7.8 1 65536\r\n", b"PROXY " + b"x" * 200,
               b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n")
        for number, header in enumerate(bad, 1):
            with self.subTest(header):
                sock = server.connect()
                sock.sendall(header)
                self.assertTrue(self.is_closed(sock))
                self.assertEqual(server.metric("limpet_refused_total", limit="proxy_header"), number)
        self.assertIn("no good header", server.wait_for_log("PROXY protocol"))
        server2 = self.server("127.0.0.1:0?proxy=v2")
        for header in (LINE, v2(command=0x31), V2 + b"\x21\x11\x00\x04abcd", V2 + b"\x21\x11\xff\xff"):
            sock = server2.connect()
            sock.sendall(header)
            self.assertTrue(self.is_closed(sock), header)
        self.assertEqual(server2.metric("limpet_refused_total", limit="proxy_header"), 4)

    def test_who_is_not_trusted(self):
        server = self.server("127.0.0.1:0?proxy=any", trusted="127.0.5.0/24")
        with server.connect() as sock:
            self.assertTrue(self.is_closed(sock))
        line = server.wait_for_log("a proxy that is not trusted")
        self.assertIn("option=proxy.trusted", line)
        self.assertIn("peer=127.0.0.1:", line)
        self.assertEqual(server.metric("limpet_refused_total", limit="proxy_not_trusted"), 1)
        sock = server.connect(source="127.0.5.9")
        sock.sendall(LINE)
        self.open(server, tls_context().wrap_socket(sock, server_hostname="localhost"))

    def test_too_slow(self):
        server = self.server("127.0.0.1:0?proxy=any", "--deadlines.handshake", "1s")
        with server.connect() as sock:
            sock.sendall(LINE[:20])
            self.assertTrue(self.is_closed(sock))

    def test_probes_are_not_logged(self):  # S41
        server = self.server("127.0.0.1:0?proxy=any")
        for _ in range(50):
            server.connect().close()
            with server.connect() as sock:
                sock.sendall(V2 + b"\x20\x00\0\0")
        server.wait_metric("limpet_connections_held", 0)
        self.assertNotIn("no good header", server.log_text())
        self.assertNotIn("error", server.log_text())

    def test_limits_and_bans_are_the_clients(self):
        server = self.server("ws://127.0.0.1:0?proxy=any", "--limits.connections-per-address-max", "2", "--limits.banned",
                             "192.0.2.66,127.0.0.1")
        clients = []
        for source in ("192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.2.3"):
            sock = server.connect()
            sock.sendall(v2(source))
            clients.append(self.open(server, sock))
        for source, limit in (("192.0.2.1", "address"), ("192.0.2.66", "banned")):
            sock = server.connect()
            sock.sendall(v2(source))
            self.assertTrue(self.is_closed(sock))
            self.assertEqual(server.metric("limpet_refused_total", limit=limit), 1)
        # A client whom the proxy does not know comes by the proxy's address, which is banned here; a probe may come.
        sock = server.connect()
        sock.sendall(b"PROXY UNKNOWN\r\n")
        self.assertTrue(self.is_closed(sock))
        self.assertEqual(server.metric("limpet_refused_total", limit="banned"), 2, "not by a deadline")
        sock = server.connect()
        sock.sendall(V2 + b"\x20\x00\0\0")
        self.open(server, sock).close()
        clients[0].close()
        server.wait_metric("limpet_connections_held", 3)
        sock = server.connect()
        sock.sendall(v2("192.0.2.1"))
        self.open(server, sock)
        # The log names the client, and not the proxy.
        sock = server.connect()
        sock.sendall(v2("192.0.2.77") + server.request(token="x.y.z"))
        self.assertIn(b" 401 ", sock.recv(1000))
        self.assertIn("peer=192.0.2.77:40000", server.wait_for_log("token refused"))

    def test_unix_sockets_are_trusted(self):
        with tempfile.TemporaryDirectory(prefix="limpet-test-") as folder:
            path = os.path.join(folder, "ws.sock")
            server = self.server(f"127.0.0.1:0,ws+unix:{path}?proxy=v1", "--limits.banned", "192.0.2.33", trusted=None)
            with socket.socket(socket.AF_UNIX) as sock:
                sock.settimeout(PATIENCE)
                sock.connect(path)
                sock.sendall(b"PROXY TCP4 192.0.2.34 198.51.100.7 1 2\r\n")
                self.open(server, sock)
            with socket.socket(socket.AF_UNIX) as sock:
                sock.connect(path)
                sock.sendall(LINE)
                self.assertTrue(self.is_closed(sock))
            self.assertEqual(server.metric("limpet_refused_total", limit="banned"), 1)

    def test_nobody_trusted_is_an_error(self):
        for verb in ("check", "serve"):
            with tempfile.TemporaryDirectory() as state:
                ran = subprocess.run([LIMPET, verb, "--state", state, "--listen", "127.0.0.1:0?proxy=v2"], capture_output=True,
                                     text=True, timeout=PATIENCE, check=False)
            self.assertEqual(ran.returncode, BAD_OPTIONS[verb])
            self.assertIn("proxy.trusted", ran.stderr)


class Proxies(Case):
    """The real ones, as README has them."""

    def through(self, server, port, context):
        """A client by way of the proxy, from an address of its own; the name of the peer that the server logs."""
        def connect(source):
            sock = socket.create_connection(("127.0.0.1", port), PATIENCE, source_address=(source, 0))
            return context.wrap_socket(sock, server_hostname="localhost") if context else sock

        self.open(server, connect("127.0.7.1")).close()
        with connect("127.0.7.2") as sock:
            sock.sendall(server.request(token="x.y.z"))
            self.assertIn(b" 401 ", sock.recv(1000))
        self.assertIn("peer=127.0.7.2:", server.wait_for_log("token refused"))

    @needs_haproxy
    def test_haproxy_in_front_of_tls(self):
        for send in ("send-proxy", "send-proxy-v2"):
            with self.subTest(send):
                server = self.server("127.0.0.1:0?proxy=any")
                self.through(server, run_haproxy(self, "", f"127.0.0.1:{server.port} {send}"), tls_context())

    @needs_haproxy
    def test_haproxy_ends_tls(self):
        server = self.server("ws://127.0.0.1:0?proxy=v2")
        port = run_haproxy(self, f"ssl crt {make_pair(self, server)}", f"127.0.0.1:{server.port} send-proxy-v2")
        self.through(server, port, tls_context())

    @needs_nginx_stream
    def test_nginx_in_front_of_tls(self):
        server = self.server("127.0.0.1:0?proxy=v1")
        port = run_nginx(self, f"""
        listen 127.0.0.1:PORT;
        proxy_pass 127.0.0.1:{server.port};
        proxy_protocol on;
        proxy_timeout 1h;""", "stream")
        self.through(server, port, tls_context())


if __name__ == "__main__":
    main()
