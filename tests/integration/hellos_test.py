"""ClientHellos from outside: cut, large, odd, hopeless or no TLS at all. Each gets the alert that the RFC names, at
once, is counted by reason, and the next client is served."""

import os
import ssl
import unittest

from limpet import Server, WebSocket, main, tls_context
from wire import (ALERT, DECODE_ERROR, ECDSA_P256, ECDSA_SHA1, HANDSHAKE_FAILURE, P256, PROTOCOL_VERSION, RECORD_OVERFLOW,
                  RSA_PSS, RSA_SHA1, UNEXPECTED_MESSAGE, X25519, X25519MLKEM768, ServerHello, Wire, alert_of,
                  client_hello, extension, hello_extensions, hybrid_share, in_records, numbers, read_record, record,
                  server_name, share, vector)

NAMES = {UNEXPECTED_MESSAGE: "unexpected_message", HANDSHAKE_FAILURE: "handshake_failure", 47: "illegal_parameter",
         DECODE_ERROR: "decode_error", PROTOCOL_VERSION: "protocol_version"}
GREASE = [0x0A0A + 0x1010 * i for i in range(16)]
CBC_SUITES = [0xC009, 0xC00A, 0xC013, 0xC014, 0x002F, 0x0035, 0xC023, 0xC027]


class Hellos(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        # Deadlines so long that the test fails when an answer is left to one of them.
        cls.server = cls.enterClassContext(Server("--deadlines.handshake", "10m", shards=1))

    def tearDown(self):
        self.server.wait_metric("limpet_connections_held", 0)
        self.server.websocket().close()
        self.server.wait_metric("limpet_connections_held", 0)

    def refused(self, data, alert):
        """What data gets: this alert, then the end; and a count."""
        before = self.server.metric("limpet_handshakes_total", outcome="failed")
        reason = NAMES.get(alert, "other")
        reasons = self.server.metric("limpet_handshake_failures_total", reason=reason)
        with self.server.connect() as sock:
            sock.sendall(data)
            self.assertEqual(alert_of(sock), alert)
        self.assertEqual(self.server.metric("limpet_handshakes_total", outcome="failed"), before + 1)
        self.assertEqual(self.server.metric("limpet_handshake_failures_total", reason=reason), reasons + 1)

    def answered(self, data):
        with self.server.connect() as sock:
            sock.sendall(data)
            return ServerHello(sock)

    def test_garbage(self):
        for name, data, alert in (("zeros", bytes(100), UNEXPECTED_MESSAGE),
                                  ("noise", b"\xfe" + os.urandom(500), UNEXPECTED_MESSAGE),
                                  ("SSLv2 hello", bytes.fromhex("802e0100020015000000100700c0") + bytes(34), UNEXPECTED_MESSAGE),
                                  ("a message of RFC 4253", b"ssh-2.0-x\r\n", UNEXPECTED_MESSAGE),
                                  ("data first", record(23, b"x" * 50), UNEXPECTED_MESSAGE),
                                  ("change_cipher_spec first", record(20, b"\1") + in_records(client_hello()),
                                   UNEXPECTED_MESSAGE),
                                  ("an empty record", record(22, b""), UNEXPECTED_MESSAGE),
                                  ("another message", record(22, b"\2" + vector(3, bytes(40))), UNEXPECTED_MESSAGE),
                                  ("a record too long", b"\x16\x03\x01\x40\x01" + b"\1", RECORD_OVERFLOW),
                                  ("a hello too long", record(22, b"\1\1\0\0" + bytes(100)), DECODE_ERROR),
                                  ("a hello of nothing", record(22, b"\1\0\0\0"), DECODE_ERROR),
                                  ("a hello cut inside", record(22, b"\1" + vector(3, client_hello()[4:60])),
                                   DECODE_ERROR),
                                  ("bytes behind its end", record(22, client_hello() + b"\0"), UNEXPECTED_MESSAGE)):
            with self.subTest(name):
                self.refused(data, alert)

    def test_plain_http(self):  # S19
        before = self.server.metric("limpet_handshake_failures_total", reason="plain_http")
        for text in (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"POST / HTTP/1.0\r\n\r\n", b"PRI * HTTP/2.0\r\n"):
            with self.subTest(text), self.server.connect() as sock:
                sock.sendall(text)
                status, headers, body = WebSocket(sock).read_head()
                self.assertEqual(status, 400)
                self.assertIn(b"https://", body)
                self.assertEqual(dict(headers)["Connection"], "close")
        self.assertEqual(self.server.metric("limpet_handshake_failures_total", reason="plain_http"), before + 3)

    def test_an_alert_instead_of_a_hello(self):
        with self.server.connect() as sock:
            sock.sendall(record(21, b"\2\x28"))
            self.assertEqual(sock.recv(1), b"")
        self.server.wait_metric("limpet_handshake_failures_total", 1, reason="peer_alert")

    def test_no_common_ground(self):  # S19
        tls_1_2 = {"versions": None}
        for name, data, alert in (
                ("CBC only", client_hello(CBC_SUITES, hello_extensions(**tls_1_2)), HANDSHAKE_FAILURE),
                ("RSA key exchange only", client_hello([0x009C, 0x009D], hello_extensions(**tls_1_2)),
                 HANDSHAKE_FAILURE),
                ("unknown suites, 1.3", client_hello([0x13FF, 0x1304]), HANDSHAKE_FAILURE),
                ("SHA-1 only, 1.3", client_hello(extensions=hello_extensions(signatures=[RSA_SHA1, ECDSA_SHA1])),
                 HANDSHAKE_FAILURE),
                ("P-384 and P-521 only, 1.3", client_hello(extensions=hello_extensions(groups=[0x18, 0x19])), HANDSHAKE_FAILURE),
                ("P-521 only, 1.2", client_hello(extensions=hello_extensions(groups=[0x19], **tls_1_2)), HANDSHAKE_FAILURE),
                ("X448 only, 1.2", client_hello(extensions=hello_extensions(groups=[0x1E], **tls_1_2)), HANDSHAKE_FAILURE),
                ("TLS 1.1", client_hello(CBC_SUITES, [], legacy=0x0302), PROTOCOL_VERSION),
                ("TLS 1.0", client_hello(CBC_SUITES, [], legacy=0x0301), PROTOCOL_VERSION),
                ("SSL 3", client_hello(CBC_SUITES, [], legacy=0x0300), PROTOCOL_VERSION),
                ("1.1 only, in the list", client_hello(extensions=hello_extensions(versions=[0x0302, 0x0301])),
                 PROTOCOL_VERSION),
                ("no signature algorithms, 1.3", client_hello(extensions=hello_extensions(signatures=None)), 109)):
            with self.subTest(name):
                self.refused(in_records(data), alert)

    def test_old_but_good_enough(self):
        hello = self.answered(in_records(client_hello(extensions=hello_extensions(versions=None, signatures=None))))
        self.assertEqual((hello.version, hello.suite), (0x0303, 0xC02B))
        hello = self.answered(in_records(client_hello([0xC02B], [], legacy=0x0303)))
        self.assertEqual(hello.version, 0x0303)

    def test_tls_1_2_switched_off(self):
        with Server("--tls.tls-1-2", "false") as server:
            with self.assertRaises(ssl.SSLError):
                server.tls(tls_context(maximum=ssl.TLSVersion.TLSv1_2))
            self.assertEqual(server.metric("limpet_handshake_failures_total", reason="protocol_version"), 1)
            server.websocket().close()

    def test_grease(self):  # S12
        extensions = [extension(GREASE[0], b""), server_name(b"localhost"),
                      extension(43, vector(1, numbers([GREASE[1], 0x0304, GREASE[2], 0x0303]))),
                      extension(10, vector(2, numbers([GREASE[3], X25519, P256, GREASE[4]]))),
                      extension(13, vector(2, numbers([GREASE[5], ECDSA_P256, RSA_PSS]))),
                      extension(51, vector(2, share(GREASE[3], b"\0") + share(X25519, os.urandom(32)))),
                      extension(45, vector(1, b"\x0b\1\x2a")),
                      extension(16, vector(2, vector(1, b"\x0a\x0a") + vector(1, b"http/1.1"))),
                      extension(GREASE[6], b"\0"), extension(GREASE[7], os.urandom(300)), extension(GREASE[8], b"")]
        hello = self.answered(in_records(client_hello([GREASE[9], 0x1301, GREASE[10], 0xC02B], extensions)))
        self.assertEqual((hello.version, hello.suite, hello.group), (0x0304, 0x1301, X25519))
        extensions[2] = extension(43, vector(1, numbers([GREASE[1], 0x0303])))
        hello = self.answered(in_records(client_hello([GREASE[9], 0x1301, GREASE[10], 0xC02B], extensions)))
        self.assertEqual((hello.version, hello.suite), (0x0303, 0xC02B))

    def ask(self, groups, shares):
        return self.answered(in_records(client_hello(extensions=hello_extensions(groups=groups, shares=shares))))

    def post_quantum(self):  # 1,216 bytes of share first, as browsers send it
        shares = [hybrid_share(), share(X25519, os.urandom(32))]
        groups = [X25519MLKEM768, X25519, P256]
        return in_records(client_hello(extensions=hello_extensions(groups=groups, shares=shares)))

    def test_a_post_quantum_hello_in_segments(self):  # S11
        # The library has the hybrid group since 5.9; without it X25519 is taken, and no retry is needed.
        alone = self.ask([X25519MLKEM768, X25519], [hybrid_share()])
        group = X25519 if alone.is_retry else X25519MLKEM768
        counted = self.server.metric("limpet_hellos_hybrid_total")
        for cut in (0, 1, 3, 5, 9, 1300):
            with self.subTest(cut=cut), self.server.connect() as sock:
                data = self.post_quantum()
                before = self.server.metric("limpet_received_bytes_total")
                sock.sendall(data[:cut])
                self.server.wait_metric("limpet_received_bytes_total", before + cut)
                sock.sendall(data[cut:])
                hello = ServerHello(sock)
                self.assertEqual((hello.is_retry, hello.group, hello.version), (False, group, 0x0304))
        self.assertEqual(self.server.metric("limpet_hellos_hybrid_total"), counted + 6)
        self.ask([X25519], [share(X25519, os.urandom(32))])
        self.assertEqual(self.server.metric("limpet_hellos_hybrid_total"), counted + 6)

    def test_groups(self):
        hello = self.ask([P256], [])
        self.assertEqual((hello.is_retry, hello.group), (True, P256))
        hello = self.ask([0x001E, X25519], [share(0x001E, os.urandom(56))])
        self.assertEqual((hello.is_retry, hello.group), (True, X25519))
        hello = self.ask([X25519MLKEM768, X25519], [hybrid_share()])
        self.assertEqual(hello.group, X25519 if hello.is_retry else X25519MLKEM768)
        hello = self.ask([X25519MLKEM768, X25519], [share(X25519, os.urandom(32))])
        self.assertEqual((hello.is_retry, hello.group), (False, X25519))

    def test_a_hello_cut_into_records(self):
        for cuts in ((1,), (3,), (4,), (1, 2, 3, 4, 5, 6), tuple(range(1, 180))):
            with self.subTest(cuts=len(cuts)):
                self.assertEqual(self.answered(in_records(client_hello(), *cuts)).group, X25519)

    def test_large_hellos(self):  # S11: real handshakes, made large by names of protocols
        context = tls_context()
        context.set_alpn_protocols(["http/1.1"])
        plain_size = len(Wire(self.server, context).step()[0])  # some clients send a hybrid share of 1,216 bytes
        for size in (1900, 4096, 12000, 16000):
            for cut in (3, 5, 1448, size // 2):
                with self.subTest(size=size, cut=cut):
                    context = tls_context()
                    context.set_alpn_protocols(["http/1.1", *["p" * 250] * ((size - plain_size) // 251)])
                    wire = Wire(self.server, context)
                    hello, _ = wire.step()
                    self.assertGreater(len(hello), size - 560)
                    before = self.server.metric("limpet_received_bytes_total")
                    wire.sock.sendall(hello[:cut])
                    self.server.wait_metric("limpet_received_bytes_total", before + cut)
                    wire.sock.sendall(hello[cut:])
                    wire.read_more()
                    with wire.handshake():
                        wire.sendall(self.server.request())
                        self.assertEqual(WebSocket(wire).read_head()[0], 101)
        context = tls_context()
        context.set_alpn_protocols(["p" * 250] * 70)
        with Wire(self.server, context) as wire:
            hello, _ = wire.step()
            self.assertGreater(len(hello), 16500)
            wire.sock.sendall(hello)
            self.assertEqual(alert_of(wire.sock), DECODE_ERROR)

    def test_alpn(self):  # S15: the extension is ignored, as a server without ALPN does
        for offered in (["h2", "http/1.1"], ["http/1.1"], ["HTTP/1.1"], ["h2"], ["x"]):
            for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
                with self.subTest(offered=offered, version=version):
                    context = tls_context(minimum=version, maximum=version)
                    context.set_alpn_protocols(offered)
                    client = self.server.websocket(context=context)
                    self.assertIn(client.sock.selected_alpn_protocol(), (None, "http/1.1"))
                    client.close()
        self.server.wait_for_log("client offers only h2")
        self.assertEqual(self.server.metric("limpet_hellos_only_h2_total"), 2)
        self.assertEqual(self.server.log_text().count("only h2"), 1)  # once a minute, not each; S41
        for alpn in ([b""], [b"http/1.1", b""]):
            self.refused(in_records(client_hello(extensions=hello_extensions(alpn=alpn))), DECODE_ERROR)

    def test_server_names(self):  # S13: malformed ones end in an alert, odd ones get the default certificate
        def ask(*names):
            return in_records(client_hello(extensions=[server_name(*names), *hello_extensions()]))

        for name in (b"localhost", b"LOCALHOST", b"localhost.", b"127.0.0.1", b"x" * 255, b"a..b", b"_x", b"-"):
            with self.subTest(name):
                self.assertEqual(self.answered(ask(name)).version, 0x0304)
        for name, data, alert in (("an empty list", extension(0, vector(2, b"")), DECODE_ERROR),
                                  ("an empty name", server_name(b""), DECODE_ERROR),
                                  ("cut", extension(0, b"\0\7\0\0\5abc"), DECODE_ERROR),
                                  ("two names", server_name(b"a.example", b"b.example"), 47),
                                  ("256 characters", server_name(b"x" * 256), 112),
                                  ("NUL inside", server_name(b"a\0b"), 112), ("a space", server_name(b"a b"), 112),
                                  ("not ASCII", server_name(b"\xff"), 112), ("a dot", server_name(b"."), 112)):
            with self.subTest(name):
                self.refused(in_records(client_hello(extensions=[data, *hello_extensions()])), alert)

    def test_broken_extensions(self):
        good = hello_extensions()
        for name, parts, alert in (("twice", [*good, good[1]], 47), ("cut", [*good, b"\0\x2b\0\x09\2"], DECODE_ERROR),
                                   ("no key share", [part for part in good if part[:2] != b"\0\x33"], 109),
                                   ("no groups", [part for part in good if part[:2] != b"\0\x0a"], 109),
                                   ("empty versions", [extension(43, b"\0"), *good[1:]], DECODE_ERROR)):
            with self.subTest(name):
                self.refused(in_records(client_hello(extensions=parts)), alert)

    def test_bad_shares(self):
        """The library notices them after its ServerHello: what follows it is an alert, and no key is ever used."""
        before = self.server.metric("limpet_handshake_failures_total", reason="illegal_parameter")
        for name, key in (("31 bytes", b"x" * 31), ("33 bytes", b"x" * 33), ("zeros: no secret comes of it", bytes(32))):
            with self.subTest(name), self.server.connect() as sock:
                sock.sendall(in_records(client_hello(extensions=hello_extensions(shares=[share(X25519, key)]))))
                kinds = [read_record(sock)]
                while kinds[-1][0] != ALERT:
                    kinds.append(read_record(sock))
                self.assertEqual(kinds[-1][1], b"\2\x2f")
                self.assertLessEqual(len(kinds), 3)
        self.server.wait_metric("limpet_handshake_failures_total", before + 3, reason="illegal_parameter")


if __name__ == "__main__":
    main()
