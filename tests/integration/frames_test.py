"""Frames from outside: every violation of RFC 6455 ends in its close code and its counter, input may be
cut anywhere, and the next client is served."""

import time
import unittest

from limpet import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Server, WebSocket, frame, main, wait_until
from wire import Wire

GOOD_TEXT = bytes.fromhex("c3a9f09f9880")


def with_length(opcode, length, payload=b"", fin=True):
    """A frame whose header claims what it likes: length is the bytes after the first one, mask included."""
    return bytes([(0x80 if fin else 0) | opcode]) + length + payload


# What is sent, the close code for it, and the cause that is counted. Each on a connection of its own.
VIOLATIONS = {
    "RSV1": (frame(TEXT, b"x", rsv=4), 1002, "protocol"),
    "RSV2": (frame(TEXT, b"x", rsv=2), 1002, "protocol"),
    "RSV3": (frame(BINARY, b"x", rsv=1), 1002, "protocol"),
    "RSV1 on a ping": (frame(PING, b"x", rsv=4), 1002, "protocol"),
    "RSV1 on a continuation": (frame(TEXT, b"x", fin=False) + frame(CONTINUATION, b"y", rsv=4), 1002, "protocol"),
    "not masked": (frame(TEXT, b"x", mask=None), 1002, "protocol"),
    "ping not masked": (frame(PING, b"x", mask=None), 1002, "protocol"),
    "continuation of nothing": (frame(CONTINUATION, b"x"), 1002, "protocol"),
    "text inside a message": (frame(TEXT, b"x", fin=False) + frame(TEXT, b"y"), 1002, "protocol"),
    "binary inside a message": (frame(TEXT, b"x", fin=False) + frame(BINARY, b"y"), 1002, "protocol"),
    "continuation after the end": (frame(TEXT, b"", fin=False) + frame(CONTINUATION, b"") +
                                   frame(CONTINUATION, b""), 1002, "protocol"),
    "fragmented ping": (frame(PING, b"x", fin=False), 1002, "protocol"),
    "fragmented close": (frame(CLOSE, b"\x03\xe8", fin=False), 1002, "protocol"),
    "ping of 126 bytes": (frame(PING, b"x" * 126), 1002, "protocol"),
    "close of 126 bytes": (frame(CLOSE, b"\x03\xe8" + b"x" * 124), 1002, "protocol"),
    "pong with a 64-bit length": (with_length(PONG, b"\xff"), 1002, "protocol"),
    "16-bit length for 125": (frame(BINARY, b"x" * 125, length_bytes=2), 1002, "protocol"),
    "64-bit length for 65535": (frame(BINARY, b"x" * 65535, length_bytes=8), 1002, "protocol"),
    "64-bit length with the top bit": (with_length(BINARY, b"\xff\x80" + b"\0" * 7), 1002, "protocol"),
    "5 GB": (with_length(BINARY, b"\xff\0\0\0\1\x40\0\0\0"), 1009, "too_big"),
    "one byte over the limit": (with_length(BINARY, b"\xff\0\0\0\0\0\1\0\1"), 1009, "too_big"),
    "close of 1 byte": (frame(CLOSE, b"\x03"), 1002, "protocol"),
    "close reason is not UTF-8": (frame(CLOSE, b"\x03\xe8\xff"), 1007, "utf8"),
    "text c0 af": (frame(TEXT, b"a\xc0\xaf"), 1007, "utf8"),
    "text surrogate": (frame(TEXT, b"\xed\xa0\x80"), 1007, "utf8"),
    "text over U+10FFFF": (frame(TEXT, b"\xf4\x90\x80\x80"), 1007, "utf8"),
    "text f5": (frame(TEXT, b"\xf5"), 1007, "utf8"),
    "text lone continuation": (frame(TEXT, b"\x80"), 1007, "utf8"),
    "text ends inside a character": (frame(TEXT, b"x\xe2\x82"), 1007, "utf8"),
    "text ends inside a character, in fragments": (frame(TEXT, b"\xe2", fin=False) +
                                                   frame(CONTINUATION, b"\x82"), 1007, "utf8"),
}
VIOLATIONS |= {f"opcode {opcode}": (frame(opcode, b""), 1002, "protocol")
               for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)}
VIOLATIONS |= {f"close code {code}": (frame(CLOSE, code.to_bytes(2, "big")), 1002, "protocol")
               for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535)}


class Frames(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(Server())

    def tearDown(self):
        self.server.wait_metric("limpet_connections_held", 0)

    def echoes(self, client, payload=b"still here"):
        client.send(BINARY, payload)
        self.assertEqual(client.receive_data(), (BINARY, payload))

    def test_violations(self):
        for name, (data, code, cause) in VIOLATIONS.items():
            with self.subTest(name):
                before = self.server.metric("limpet_closed_total", cause=cause)
                client = self.server.websocket()
                client.send_bytes(data)
                self.assertEqual(client.close_code(), code)
                self.assertTrue(client.at_end())
                client.close()
                self.server.wait_metric("limpet_closed_total", before + 1, cause=cause)
        with self.server.websocket().sock as sock:
            self.assertTrue(sock)

    def test_violations_in_the_record_of_the_request(self):
        for name in ("not masked", "text c0 af", "5 GB", "opcode 3"):
            with self.subTest(name):
                data, code, _ = VIOLATIONS[name]
                client = self.server.websocket(extra=data)
                self.assertEqual(client.close_code(), code)
                client.close()

    def test_a_violation_after_a_good_frame_in_one_record(self):
        client = self.server.websocket()
        client.send_bytes(frame(PING, b"first") + frame(TEXT, b"second") + frame(TEXT, b"x", rsv=4) + b"never read")
        self.assertEqual(client.receive(), (PONG, b"first"))
        self.assertEqual(client.receive(), (TEXT, b"second"))
        self.assertEqual(client.close_code(), 1002)
        client.close()

    def test_nothing_is_read_behind_a_violation(self):
        client = self.server.websocket()
        pings = self.server.metric("limpet_pings_received_total")
        client.send_bytes(frame(TEXT, b"x", rsv=4) + frame(PING, b"p"))
        self.assertEqual(client.close_code(), 1002)
        self.assertTrue(client.at_end())
        self.assertEqual(self.server.metric("limpet_pings_received_total"), pings)
        client.close()

    def test_byte_by_byte(self):  # S30: a TLS record for each byte
        client = self.server.websocket()
        for data, answer in ((frame(PING, b"slow"), (PONG, b"slow")), (frame(TEXT, GOOD_TEXT), (TEXT, GOOD_TEXT)),
                             (frame(BINARY, bytes(200)), (BINARY, bytes(200)))):
            for at in range(len(data)):
                client.send_bytes(data[at:at + 1])
            self.assertEqual(client.receive(), answer)
        for byte in frame(CLOSE, b"\x03\xe8"):
            client.send_bytes(bytes([byte]))
        self.assertEqual(client.receive(), (CLOSE, b"\x03\xe8"))
        client.close()

    def test_records_cut_anywhere(self):
        """One TLS record in two TCP segments, cut at each interesting place."""
        with Wire(self.server).handshake() as wire:
            client = WebSocket(wire)
            client.send_bytes(self.server.request())
            self.assertEqual(client.read_head()[0], 101)
            for cut in (1, 2, 4, 5, 6, 12, 30):
                data = wire.seal(frame(PING, b"cut"))
                received = self.server.metric("limpet_received_bytes_total")
                wire.sock.sendall(data[:cut])
                self.server.wait_metric("limpet_received_bytes_total", received + cut)
                wire.sock.sendall(data[cut:])
                self.assertEqual(client.receive(), (PONG, b"cut"))

    def test_fragments_with_control_frames_between(self):  # S08
        client = self.server.websocket()
        for at in range(len(GOOD_TEXT)):
            client.send(CONTINUATION if at else TEXT, GOOD_TEXT[at:at + 1], fin=False)
            client.send(PING, bytes([at]))
            self.assertEqual(client.receive(), (PONG, bytes([at])))
            client.send(PONG, b"unasked")
        client.send(CONTINUATION, b"")
        self.assertEqual(client.receive(), (TEXT, GOOD_TEXT))
        client.send(TEXT, b"\xe2", fin=False)
        client.send(CLOSE, b"\x03\xe8")  # may come inside a message
        self.assertEqual(client.receive(), (CLOSE, b"\x03\xe8"))
        client.close()

    def test_bad_text_is_refused_as_soon_as_nothing_can_mend_it(self):  # S08: before its end
        for start in (b"\xc0", b"\xed\xa0", b"\xf4\x90", b"\xf5", b"\xe0\x80"):
            with self.subTest(start.hex()):
                client = self.server.websocket()
                client.send(TEXT, b"good so far", fin=False)
                client.send_bytes(frame(CONTINUATION, start + b"x" * 100)[:6 + len(start)])
                self.assertEqual(client.close_code(), 1007)
                client.close()

    def test_binary_is_not_checked(self):
        client = self.server.websocket()
        for data in (b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xf5", b"x\xe2\x82"):
            self.echoes(client, data)
        client.close()

    def test_a_pong_nobody_asked_for(self):  # S09
        client = self.server.websocket(extra=bytes.fromhex("8a8000000000") + frame(PONG, b"never sent"))
        client.send_bytes(bytes.fromhex("8a8000000000") + frame(PONG, b"x" * 125))
        self.echoes(client)  # the next frame that comes is this one: nothing was said to the pongs
        client.close()

    def test_closes(self):  # S07
        cases = {"empty, as browsers send it": (bytes.fromhex("888000000000"), b""),
                 "1000": (frame(CLOSE, b"\x03\xe8"), b"\x03\xe8"),
                 "with the longest reason": (frame(CLOSE, b"\x0f\xa0" + b"r" * 123), b"\x0f\xa0"),
                 "masked with zeros": (frame(CLOSE, b"\x0b\xb8", mask=bytes(4)), b"\x0b\xb8")}
        for code in (1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3999, 4999):
            cases[str(code)] = (frame(CLOSE, code.to_bytes(2, "big")), code.to_bytes(2, "big"))
        for name, (data, answer) in cases.items():
            with self.subTest(name):
                before = self.server.metric("limpet_closed_total", cause="client")
                client = self.server.websocket()
                client.send_bytes(data + frame(TEXT, b"after the close: not read"))
                self.assertEqual(client.receive(), (CLOSE, answer))
                self.assertTrue(client.at_end())
                client.close()
                self.server.wait_metric("limpet_closed_total", before + 1, cause="client")

    def test_a_client_that_just_goes_is_no_protocol_error(self):  # S07
        before = [self.server.metric("limpet_closed_total", cause=cause) for cause in ("reset", "protocol")]
        self.server.websocket().close()
        self.server.wait_metric("limpet_closed_total", before[0] + 1, cause="reset")
        self.assertEqual(self.server.metric("limpet_closed_total", cause="protocol"), before[1])

    def test_many_small_frames_in_one_record(self):
        client = self.server.websocket()
        client.send_bytes(b"".join(frame(BINARY, b"") + frame(PING, b"") for _ in range(500)))
        for _ in range(500):
            self.assertEqual(client.receive(), (BINARY, b""))
            self.assertEqual(client.receive(), (PONG, b""))
        client.close()

    def test_many_empty_fragments(self):
        client = self.server.websocket()
        client.send(BINARY, b"", fin=False)
        client.send_bytes(frame(CONTINUATION, b"", fin=False) * 2000)
        client.send(CONTINUATION, b"end")
        self.assertEqual(client.receive(), (BINARY, b"end"))
        client.close()


class Quiet(unittest.TestCase):
    """S30: what a timer may take for a slow client, and what not."""

    def test_a_header_that_never_ends(self):
        flags = ("--heartbeat.ping-interval", "200ms", "--heartbeat.pong-timeout", "200ms")
        with Server(*flags) as server:
            client = server.websocket()
            client.send_bytes(frame(BINARY, bytes(65536))[:13])  # 13 of the 14 bytes of header, then silence
            self.assertEqual(client.close_code(), 3008)
            server.wait_metric("limpet_closed_total", 1, cause="pong_timeout")
            client.close()

    def test_a_whole_message_and_then_quiet_beyond_every_deadline(self):
        flags = ("--deadlines.handshake", "100ms", "--deadlines.upgrade", "100ms", "--deadlines.close", "100ms",
                 "--heartbeat.ping-interval", "1s", "--heartbeat.pong-timeout", "20s")
        with Server(*flags) as server:
            client = server.websocket()
            data = frame(BINARY, b"in pieces")
            for at in range(len(data)):
                client.send_bytes(data[at:at + 1])
            self.assertEqual(client.receive_data(), (BINARY, b"in pieces"))
            start = time.monotonic()
            wait_until(lambda: server.metric("limpet_pings_sent_total") >= 1, "a ping")
            self.assertGreater(time.monotonic() - start, 0.4)  # so the deadlines above have long passed
            self.assertEqual(server.metric("limpet_connections_open"), 1)
            client.close()


if __name__ == "__main__":
    main()
