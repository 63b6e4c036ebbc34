"""TLS by hand for the integration tests: records that the test itself puts on the wire, and ClientHellos of any shape."""

import os
import random
import ssl
import struct

from limpet import tls_context

ALERT, HANDSHAKE, DATA = 21, 22, 23
UNEXPECTED_MESSAGE, RECORD_OVERFLOW, HANDSHAKE_FAILURE, DECODE_ERROR, PROTOCOL_VERSION = 10, 22, 40, 50, 70

X25519, P256, X25519MLKEM768 = 0x001D, 0x0017, 0x11EC
ECDSA_P256, RSA_PSS, RSA_SHA1, ECDSA_SHA1 = 0x0403, 0x0804, 0x0201, 0x0203
HELLO_RETRY = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")


class Wire:
    """A TLS client over memory: what it would send can be had as bytes, to be cut, delayed or dropped.
    It has recv, sendall and close as a socket does."""

    def __init__(self, server, context=None, name="localhost", session=None, **connect):
        self.sock = server.connect(**connect)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = (context or tls_context()).wrap_bio(self.incoming, self.outgoing, server_hostname=name,
                                                       session=session)

    def step(self):
        """One step of the handshake: what is to be sent, and whether it is over."""
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            return self.outgoing.read(), False
        return self.outgoing.read(), True

    def read_more(self):
        data = self.sock.recv(65536)
        if data:
            self.incoming.write(data)
        else:
            self.incoming.write_eof()
        return bool(data)

    def handshake(self, send=None):
        """To its end; send gets each flight. The last one is sent too."""
        send = send or self.sock.sendall
        while True:
            flight, is_over = self.step()
            send(flight)
            if is_over:
                return self
            self.read_more()

    def seal(self, data):
        self.tls.write(data)
        return self.outgoing.read()

    def sendall(self, data):
        self.sock.sendall(self.seal(data))

    def recv(self, size):
        while True:
            try:
                data = self.tls.read(size)
            except ssl.SSLWantReadError:
                if self.outgoing.pending:  # an answer to a KeyUpdate, perhaps
                    self.sock.sendall(self.outgoing.read())
                if self.read_more():
                    continue
                data = b""
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return b""
            return data

    def close_notify(self):
        """The bytes of our close_notify."""
        try:
            self.tls.unwrap()
        except (ssl.SSLWantReadError, ssl.SSLSyscallError):
            pass
        return self.outgoing.read()

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()


def vector(size_bytes, data):
    return len(data).to_bytes(size_bytes, "big") + data


def numbers(values):
    return b"".join(struct.pack(">H", value) for value in values)


def record(kind, body, version=0x0301):
    return struct.pack(">BHH", kind, version, len(body)) + body


def extension(number, data):
    return struct.pack(">H", number) + vector(2, data)


def server_name(*names):
    return extension(0, vector(2, b"".join(b"\0" + vector(2, name) for name in names)))


def share(group, key):
    return struct.pack(">H", group) + vector(2, key)


def hybrid_share():
    """A share that passes the check of FIPS 203, section 7.2: 768 numbers below 3,329 in 12 bits each, and a seed; then
    X25519's, a number below 2^255 as every client makes it."""
    coefficients = sum(random.randrange(3329) << 12 * i for i in range(768))
    return share(X25519MLKEM768, coefficients.to_bytes(1152, "little") + os.urandom(32 + 31) + b"\x70")


def hello_extensions(versions=(0x0304, 0x0303), groups=(X25519, P256), shares=None, signatures=(ECDSA_P256, RSA_PSS),
                     alpn=()):
    """The extensions of an ordinary hello as a list; None leaves one out."""
    shares = [share(X25519, os.urandom(32))] if shares is None else shares
    parts = []
    if versions is not None:
        parts.append(extension(43, vector(1, numbers(versions))))
    if groups is not None:
        parts.append(extension(10, vector(2, numbers(groups))))
    if signatures is not None:
        parts.append(extension(13, vector(2, numbers(signatures))))
    if versions is not None and any(version == 0x0304 for version in versions):
        parts.append(extension(51, vector(2, b"".join(shares))))
        parts.append(extension(45, vector(1, b"\1")))
    if alpn:
        parts.append(extension(16, vector(2, b"".join(vector(1, name) for name in alpn))))
    return parts


def client_hello(suites=(0x1301, 0x1302, 0xC02B, 0xC02F), extensions=None, legacy=0x0303, session_id=b"",
                 compressions=b"\0"):
    """A ClientHello message, without a record around it."""
    parts = hello_extensions() if extensions is None else extensions
    body = struct.pack(">H", legacy) + os.urandom(32) + vector(1, session_id) + vector(2, numbers(suites)) + \
        vector(1, compressions)
    if parts:
        body += vector(2, b"".join(parts))
    return b"\1" + vector(3, body)


def in_records(message, *cuts):
    """The message as records, cut at these places."""
    places = [0, *cuts, len(message)]
    return b"".join(record(HANDSHAKE, message[start:end]) for start, end in zip(places, places[1:]))


def suites_of(data):
    """The cipher suites of the ClientHello that these bytes begin with; its first record holds them."""
    at = 5 + 4 + 2 + 32
    at += 1 + data[at]
    size = int.from_bytes(data[at:at + 2], "big")
    return struct.unpack(f">{size // 2}H", data[at + 2:at + 2 + size])


def read_exactly(sock, size):
    data = b""
    while len(data) < size:
        more = sock.recv(size - len(data))
        if not more:
            raise EOFError(f"end of stream after {data!r}")
        data += more
    return data


def read_record(sock):
    """(type, body) of the next record."""
    kind, _, size = struct.unpack(">BHH", read_exactly(sock, 5))
    return kind, read_exactly(sock, size)


def alert_of(sock):
    """The fatal alert in clear that the server answers with; then it closes."""
    kind, body = read_record(sock)
    if kind != ALERT or body[0] != 2:
        raise AssertionError(f"no fatal alert but record {kind}: {body[:80].hex()}")
    return body[1]


class ServerHello:
    """What the server chose."""

    def __init__(self, sock):
        kind, body = read_record(sock)
        if kind != HANDSHAKE or body[0] != 2:
            raise AssertionError(f"no ServerHello but record {kind}: {body[:80].hex()}")
        self.is_retry = body[6:38] == HELLO_RETRY
        at = 39 + body[38]
        self.suite = int.from_bytes(body[at:at + 2], "big")
        self.version, self.group = 0x0303, None
        rest = body[at + 5:4 + int.from_bytes(body[1:4], "big")]
        while rest:
            number, size = struct.unpack(">HH", rest[:4])
            data, rest = rest[4:4 + size], rest[4 + size:]
            if number == 43:
                self.version = int.from_bytes(data, "big")
            elif number == 51:
                self.group = int.from_bytes(data[:2], "big")


def rest_of(sock):
    """All bytes until the server ends the stream, or resets it."""
    data = b""
    try:
        while more := sock.recv(65536):
            data += more
    except ConnectionResetError:
        pass
    return data
