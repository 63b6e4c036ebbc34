"""Upgrade requests from outside: each header check with its status, cut, oversized, smuggled; the counter and the
operator's line of each refusal, and the next client is served."""

import unittest

from limpet import BINARY, KEY, PING, PONG, Server, WebSocket, frame, main
from wire import Wire

VERSION_LINE = "Sec-WebSocket-Version: "
KEY_LINE = "Sec-WebSocket-Key: "


class Refusals(unittest.TestCase):
    def setUp(self):
        self.server = self.enterContext(Server())  # one each: the lines of refusals are bounded by the second
        self.token = self.server.token()

    def request(self, *headers, **options):
        return self.server.request(*headers, token=self.token, **options)

    def ask(self, request):
        status, headers, body = self.server.status_of(request)
        return status, dict(headers), body.decode()

    def check(self, request, status, reason):
        """The answer, its counter, the line for the operator; returns headers and body."""
        before = self.server.metric("limpet_upgrades_total", reason=reason)
        got, headers, body = self.ask(request)
        self.assertEqual(got, status, body)
        self.assertEqual(self.server.metric("limpet_upgrades_total", reason=reason), before + 1)
        if status != 101:
            self.assertEqual(body.count("\n"), 1)
            self.assertIn("close", headers["Connection"])
            self.assertNotIn(self.token, self.server.log_text())
        return headers, body

    def test_every_header(self):  # S01, S03, S04
        cases = {
            "Connection in a list": (["Connection: keep-alive, Upgrade"], 101, "ok"),
            "Connection without spaces": (["Connection: keep-alive,UPGRADE"], 101, "ok"),
            "Connection on two lines": (["Connection: keep-alive", "Connection: upgrade"], 101, "ok"),
            "Upgrade in other letters": (["Upgrade: WebSocket"], 101, "ok"),
            "Upgrade in a list": (["Upgrade: foo, websocket"], 101, "ok"),
            "version with white space": ([VERSION_LINE + "  13 \t"], 101, "ok"),
            "no such token": (["Connection: xUpgrade"], 426, "not_upgrade"),
            "Connection: close": (["Connection: close"], 426, "not_upgrade"),
            "Upgrade: h2c": (["Upgrade: h2c"], 426, "not_upgrade"),
            "Upgrade: websocketx": (["Upgrade: websocketx"], 426, "not_upgrade"),
            "version 8": ([VERSION_LINE + "8"], 426, "wrong_version"),
            "version 25": ([VERSION_LINE + "25"], 426, "wrong_version"),
            "two versions": ([VERSION_LINE + "13, 8"], 426, "wrong_version"),
            "two lines of versions": ([VERSION_LINE + "13", VERSION_LINE + "13"], 426, "wrong_version"),
            "version 013": ([VERSION_LINE + "013"], 426, "wrong_version"),
            "key of 32 bytes": ([KEY_LINE + "JCMCrKJENqcrTU9erFxGoiP5P8JhjeocERQs9vgR/Y4="], 400, "bad_key"),
            "key of 15 bytes": ([KEY_LINE + "AAAAAAAAAAAAAAAAAAAA"], 400, "bad_key"),
            "key of 17 bytes": ([KEY_LINE + "AAAAAAAAAAAAAAAAAAAAAAA="], 400, "bad_key"),
            "empty key": ([KEY_LINE], 400, "bad_key"),
            "key of a bad alphabet": ([KEY_LINE + "dGhlIHNhbXBsZSBub25j_Q=="], 400, "bad_key"),
            "= inside the key": ([KEY_LINE + "dGhl=HNhbXBsZSBub25jZQ=="], 400, "bad_key"),
            "two keys": ([KEY_LINE + KEY, KEY_LINE + KEY], 400, "bad_key"),
            "two hosts": (["Host: a", "Host: a"], 400, "no_host"),
            "empty host": (["Host:"], 400, "no_host"),
            "bad host": (["Host: a/b"], 400, "no_host"),
            "host with port": (["Host: [::1]:8443"], 101, "ok"),
        }
        for name, (headers, status, reason) in cases.items():
            with self.subTest(name):
                headers, body = self.check(self.request(*headers), status, reason)
                if status == 426:
                    self.assertEqual(headers["Sec-WebSocket-Version"], "13")
                    self.assertEqual(headers["Upgrade"], "websocket")
                    self.assertIn("Upgrade", headers["Connection"])
                if reason == "bad_key":
                    self.assertIn("Sec-WebSocket-Key", body)
        for dropped, status, reason in (("Host", 400, "no_host"), ("Upgrade", 426, "not_upgrade"),
                                        ("Connection", 426, "not_upgrade"),
                                        ("Sec-WebSocket-Version", 426, "wrong_version"),
                                        ("Sec-WebSocket-Key", 400, "bad_key"), ("Authorization", 401, "no_token")):
            with self.subTest(f"no {dropped}"):
                self.check(self.request(drop=[dropped]), status, reason)
        for reason in ("wrong_version", "bad_key", "no_host", "no_token"):
            self.server.wait_for_log(f"reason={reason} peer=127.0.0.1:")

    def test_accept_key(self):
        headers, _ = self.check(self.request(), 101, "ok")
        self.assertEqual(headers["Sec-WebSocket-Accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
        self.assertNotIn("Sec-WebSocket-Extensions", headers)

    def test_an_offered_extension_is_declined(self):
        headers, _ = self.check(self.request("Sec-WebSocket-Extensions: x-unknown; a=1"), 101, "ok")
        self.assertNotIn("Sec-WebSocket-Extensions", headers)

    def test_bodies(self):  # S02
        self.check(self.request("Content-Length: 0"), 101, "ok")
        pings = self.server.metric("limpet_pings_received_total")
        smuggled = frame(PING, b"smuggled") + self.request()
        for name, header, status, reason in (
                ("a body", f"Content-Length: {len(smuggled)}", 400, "has_body"),
                ("a short body", "Content-Length: 5", 400, "has_body"),
                ("chunked", "Transfer-Encoding: chunked", 400, "has_body"),
                ("chunked, obscured", "Transfer-Encoding: xchunked", 400, "has_body"),
                ("a large body", "Content-Length: 20000", 413, "body_too_large"),
                ("an endless body", "Content-Length: 99999999999999999999999999", 413, "body_too_large"),
                ("a negative body", "Content-Length: -1", 400, "malformed"),
                ("no number", "Content-Length: 5x", 400, "malformed")):
            with self.subTest(name):
                before = self.server.metric("limpet_upgrades_total")
                with self.server.tls() as sock:
                    sock.sendall(self.request(header, extra=smuggled))
                    client = WebSocket(sock)
                    self.assertEqual(client.read_head()[0], status)
                    self.assertTrue(client.at_end())
                self.assertEqual(self.server.metric("limpet_upgrades_total"), before + 1)
                self.assertEqual(self.server.metric("limpet_pings_received_total"), pings)
        two = self.request("Content-Length: 0", "Content-Length: 7", extra=b"GET / H")
        self.check(two, 400, "has_body")
        self.check(self.request("Content-Length: 5", "Transfer-Encoding: chunked", extra=b"0\r\n\r\n"), 400, "has_body")

    def test_http_that_is_none(self):
        good = self.request().decode("latin-1")
        cases = {
            "bare LF": (good.replace("\r\n", "\n"), 400, "malformed"),
            "bare CR": (good.replace("Host: localhost", "Host: local\rhost"), 400, "malformed"),
            "NUL": (good.replace("Host: localhost", "Host: local\0host"), 400, "malformed"),
            "folded": (good.replace("Host: localhost", "Host: localhost\r\n X: y"), 400, "malformed"),
            "space before the colon": (good.replace("Host:", "Host :"), 400, "malformed"),
            "no colon": (good.replace("Host: localhost", "Host"), 400, "malformed"),
            "empty name": (good.replace("Host: localhost", "Host: localhost\r\n: x"), 400, "malformed"),
            "two spaces": (good.replace("GET /", "GET  /"), 400, "malformed"),
            "no version": (good.replace(" HTTP/1.1", ""), 400, "malformed"),
            "white space in the target": (good.replace("GET / ", "GET /\t/ "), 400, "malformed"),
            "a fragment": (good.replace("GET / ", "GET /#x "), 400, "malformed"),
            "letters of another size": (good.replace("HTTP", "http"), 400, "malformed"),
            "HTTP/1.0": (good.replace("HTTP/1.1", "HTTP/1.0"), 426, "not_upgrade"),
            "HTTP/2 preface": ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 405, "wrong_method"),
            "POST": (good.replace("GET", "POST"), 405, "wrong_method"),
            "HEAD": (good.replace("GET", "HEAD"), 405, "wrong_method"),
            "get": (good.replace("GET", "get"), 405, "wrong_method"),
            "garbage": ("\x80\x01\x02\x03", 400, "malformed"),
            "a frame": (frame(PING, b"x").decode("latin-1"), 400, "malformed"),
        }
        for name, (text, status, reason) in cases.items():
            with self.subTest(name):
                headers, _ = self.check(text.encode("latin-1"), status, reason)
                if status == 405:
                    self.assertEqual(headers["Allow"], "GET")
        self.check(good.encode("latin-1"), 101, "ok")

    def test_targets(self):
        for target in ("/", "/any/path", "/?x=1&y", "//x", "http://localhost/", "wss://localhost:8443/chat?x",
                       "/%00%2e", "/\"<>^`{|}"):
            with self.subTest(target):
                self.check(self.request(target=target), 101, "ok")
        for target in ("*", "localhost:80", "ftp://localhost/", "/\x7f", "/\xff"):
            with self.subTest(target):
                self.check(self.request(target=target), 400, "malformed")

    def test_a_plain_get_is_told_what_this_is(self):  # S41
        headers, body = self.check(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n", 426, "not_upgrade")
        self.assertIn("WebSocket", body)
        self.assertEqual(headers["Content-Type"], "text/plain")

    def test_size_on_both_sides(self):
        limit = 16384
        base = len(self.request("X-Fill: "))
        self.check(self.request("X-Fill: " + "x" * (limit - base)), 101, "ok")
        self.check(self.request("X-Fill: " + "x" * (limit - base + 1)), 431, "too_large")
        self.check(self.request("X-Fill: " + "x" * 200000), 431, "too_large")
        self.check(self.request(target="/" + "x" * 200000), 431, "too_large")
        self.check(b"G" * 100000, 405, "wrong_method")
        self.server.wait_for_log("reason=too_large")

    def test_too_many_headers(self):
        self.check(self.request(*[f"X-{i}: y" for i in range(50)]), 101, "ok")
        self.check(self.request(*[f"X-{i}: y" for i in range(1000)]), 431, "too_large")

    def test_a_user_agent_cannot_write_the_log(self):
        self.check(self.request("User-Agent: a\\\"b\x9b=\xff\t" + "u" * 3000, drop=["Authorization"]), 401, "no_token")
        line = self.server.wait_for_log("uuuu")
        self.assertLess(len(line), 1000)
        self.assertRegex(line, r'user_agent="a\\\\\\"b\\x9b=\\xff\\x09u+\.\.\."')


class Pieces(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(Server())

    def test_byte_by_byte(self):
        client = WebSocket(self.server.tls())
        for byte in self.server.request():
            client.send_bytes(bytes([byte]))
        self.assertEqual(client.read_head()[0], 101)
        client.send(BINARY, b"as good as any other")
        self.assertEqual(client.receive_data(), (BINARY, b"as good as any other"))
        client.close()

    def test_refused_as_soon_as_it_is_hopeless(self):
        for start, status in ((b"POST ", 405), (b"GET / HTTP/1.1\nx", 400), (b"GET / HTTP/3.0\r\n", 426),
                              (b"\x16\x03\x01", 400)):
            with self.subTest(start), self.server.tls() as sock:
                sock.sendall(start)  # and nothing more
                self.assertEqual(WebSocket(sock).read_head()[0], status)

    def test_cut_at_every_place(self):
        """Two records: the first is counted before the second goes out."""
        request = self.server.request("Cookie: token=no", "Sec-WebSocket-Protocol: a, b")
        for cut in range(1, len(request), 23):
            handshakes = self.server.metric("limpet_handshakes_total", outcome="full")
            with self.subTest(cut=cut), Wire(self.server).handshake() as wire:
                self.server.wait_metric("limpet_handshakes_total", handshakes + 1, outcome="full")
                first, second = wire.seal(request[:cut]), wire.seal(request[cut:])
                received = self.server.metric("limpet_received_bytes_total")
                wire.sock.sendall(first)
                self.server.wait_metric("limpet_received_bytes_total", received + len(first))
                wire.sock.sendall(second)
                self.assertEqual(WebSocket(wire).read_head()[0], 101)

    def test_truncated_and_gone(self):
        request = self.server.request()
        for cut in (1, 20, len(request) - 1):
            with self.subTest(cut=cut), self.server.tls() as sock:
                sock.sendall(request[:cut])
        self.server.wait_metric("limpet_connections_held", 0)
        self.server.websocket().close()

    def test_frames_behind_the_request(self):
        client = self.server.websocket(extra=frame(PING, b"early") + frame(BINARY, b"bird"))
        self.assertEqual(client.receive(), (PONG, b"early"))
        self.assertEqual(client.receive(), (BINARY, b"bird"))
        client.close()


class Rules(unittest.TestCase):
    """What the operator can set for requests."""

    def server(self, *flags):
        return self.enterContext(Server(*flags))

    def status(self, server, *headers, **options):
        return server.status_of(server.request(*headers, **options))[0]

    def test_origins(self):
        server = self.server("--upgrade.origins", "https://app.example,https://b.example:8443")
        for origin, status in (("https://app.example", 101), ("https://b.example:8443", 101), (None, 101),
                               ("HTTPS://APP.example", 101), ("https://evil.example", 403),
                               ("https://app.example.evil", 403), ("http://app.example", 403), ("null", 403),
                               ("https://app.example:443", 403), ("https://b.example", 403), ("", 403)):
            with self.subTest(origin):
                headers = [] if origin is None else [f"Origin: {origin}"]
                self.assertEqual(self.status(server, *headers), status)
        self.assertEqual(self.status(server, "Origin: https://app.example", "Origin: https://evil.example"), 403)
        self.assertEqual(server.metric("limpet_upgrades_total", reason="origin_refused"), 8)
        server.wait_for_log("reason=origin_refused")

    def test_path(self):
        server = self.server("--upgrade.path", "/ws")
        for target, status in (("/ws", 101), ("/ws?token=x", 101), ("/", 404), ("/ws/", 404), ("/WS", 404),
                               ("/%77s", 404), ("/ws/../ws", 404), ("wss://localhost/ws", 101)):
            with self.subTest(target):
                self.assertEqual(self.status(server, target=target), status)
        self.assertEqual(server.metric("limpet_upgrades_total", reason="wrong_path"), 5)

    def protocols(self, server, *values, token=None):
        headers = [f"Sec-WebSocket-Protocol: {value}" for value in values]
        drop = [] if token is None else ["Authorization"]
        status, answer, _ = server.status_of(server.request(*headers, drop=drop))
        return status, [value for name, value in answer if name == "Sec-WebSocket-Protocol"]

    def test_subprotocols(self):
        server = self.server("--upgrade.protocols", "chat.v2,chat.v1")
        for values, chosen in ((["chat.v1"], "chat.v1"), (["chat.v1, chat.v2"], "chat.v1"),
                               (["x", "chat.v2"], "chat.v2"), (["unknown"], None), (["a, ,chat.v1,"], "chat.v1"),
                               (["Chat.v1"], None)):
            with self.subTest(values):
                self.assertEqual(self.protocols(server, *values), (101, [chosen] if chosen else []))
        for values in (["chat v1"], ["chat/v1"], ["\"chat\""]):
            with self.subTest(values):
                self.assertEqual(self.protocols(server, *values)[0], 400)

    def test_a_token_among_the_subprotocols(self):  # S05: the name comes back, the token does not
        server = self.server("--upgrade.protocols", "chat")
        token = server.token()
        for values, chosen in (([f"bearer,{token}"], "bearer"), ([f"bearer, {token}"], "bearer"),
                               (["bearer", token], "bearer"), ([f"Bearer, {token}"], "Bearer"),
                               ([f"chat, bearer, {token}"], "chat"), ([f"bearer, {token}, chat"], "chat"),
                               ([f"other, bearer , , {token}"], "bearer")):
            with self.subTest(values):
                self.assertEqual(self.protocols(server, *values, token=token), (101, [chosen]))
        for values in (["bearer"], [f"bearer, {token}, bearer, {token}"], [token], [f"{token}, bearer"]):
            with self.subTest(values):
                status, answer = self.protocols(server, *values, token=token)
                self.assertEqual((status, answer), (401, []))
        self.assertNotIn(token.split(".")[2], server.log_text())

    def test_cookies(self):  # S06
        server = self.server("--token.cookie-name", "session")
        token = server.token()
        for values, status in ((["a=1", f"session={token}"], 101), ([f"session=\"{token}\""], 101),
                               ([f"a=1; session={token}; b=2"], 101), ([f"a=1;session={token}"], 101),
                               ([f"xsession={token}"], 401), ([f"Session={token}"], 401), ([f"session{token}"], 401),
                               ([f"session=old; session={token}"], 401), ([f"session={token}", "session=old"], 401),
                               (["session="], 401), (["session=\"\""], 401)):
            with self.subTest(values):
                headers = [f"Cookie: {value}" for value in values]
                self.assertEqual(self.status(server, *headers, drop=["Authorization"]), status)
        # The first place that holds one wins, good or bad.
        self.assertEqual(self.status(server, f"Cookie: session={token}", "Authorization: Bearer bad"), 401)
        self.assertEqual(self.status(server, "Cookie: session=bad", f"Authorization: Bearer {token}"), 101)
        self.assertEqual(self.status(server, f"Cookie: session={token}", "Authorization: Basic eDp5"), 101)
        self.assertNotIn(token.split(".")[2], server.log_text())


if __name__ == "__main__":
    main()
