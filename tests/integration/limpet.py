"""What the integration tests share: a real server on free ports, raw TLS and WebSocket clients, its metrics.

Every wait is for an event with a deadline: a line of the server's log, bytes on a socket, a counter.
"""

import base64
import hashlib
import hmac
import json
import os
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.request

LIMPET = os.environ.get("LIMPET", "build/release/limpet")
SANITIZED = bool(os.environ.get("SANITIZE"))
PATIENCE = 60 if SANITIZED else 20  # seconds; only a broken server lets it pass
BAD_OPTIONS = {"check": 1, "serve": 78}  # the exit status of what will not do
KEY = "dGhlIHNhbXBsZSBub25jZQ=="

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA


def wait_until(condition, what, seconds=PATIENCE):
    """Looks until condition() is true: for what can only be asked for, such as a counter. what: a text, or what makes it
    at the end."""
    end = time.monotonic() + seconds
    pause = threading.Event()
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"did not come true in {seconds} s: {what() if callable(what) else what}")
        pause.wait(0.01)


def b64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Server:
    """`limpet serve` in dev mode with the given flags (or with an options file), on free ports."""

    def __init__(self, *flags, options=None, shards=2, env=None, prefix=()):
        self.folder = tempfile.TemporaryDirectory(prefix="limpet-test-")
        self.state = os.path.join(self.folder.name, "state")
        command = [*prefix, LIMPET, "serve", "--state", self.state, "--listen", "127.0.0.1:0",
                   "--admin.listen", "127.0.0.1:0", "--shards", str(shards)]
        if options is not None:
            path = os.path.join(self.folder.name, "options.yaml")
            with open(path, "w", encoding="utf-8") as file:
                file.write(options)
            command += ["--options", path]
        self.is_paused = False
        self.log = []
        self.changed = threading.Condition()
        # pylint: disable-next=consider-using-with
        self.process = subprocess.Popen([*command, *map(str, flags)], stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True, errors="replace",
                                        env={**os.environ, **(env or {})})
        self.reader = threading.Thread(target=self._read_log, daemon=True)
        self.reader.start()
        try:
            line = self.wait_for_log("info listening ")
        except AssertionError:
            self.process.kill()
            raise
        fields = dict(field.split("=", 1) for field in line.split() if "=" in field)
        self.port = int(fields["port"])
        self.admin_port = int(fields["admin_port"])

    def _read_log(self):
        for line in self.process.stdout:
            with self.changed:
                self.log.append(line.rstrip("\n"))
                self.changed.notify_all()
        with self.changed:
            self.log.append(None)  # the end
            self.changed.notify_all()

    def wait_for_log(self, part, seconds=PATIENCE):
        end = time.monotonic() + seconds
        with self.changed:
            while True:
                for line in self.log:
                    if line is not None and part in line:
                        return line
                if None in self.log or time.monotonic() > end:
                    raise AssertionError(f"no line with {part!r} in the log:\n" + self.log_text())
                self.changed.wait(0.1)

    def log_text(self):
        return "\n".join(line for line in self.log if line is not None)

    @property
    def secret(self):
        with open(os.path.join(self.state, "secret"), "rb") as file:
            return file.read().rstrip(b"\n")

    def token(self, sub="tester", channels=("a",), ttl=3600, header=None, **claims):
        """A token signed with the server's own secret; claims override, None leaves one out."""
        claims = {"sub": sub, "channels": list(channels), "exp": int(time.time()) + ttl, **claims}
        claims = {name: value for name, value in claims.items() if value is not None}
        header = header or {"alg": "HS256", "typ": "JWT"}
        return sign(header, claims, self.secret)

    def metrics_text(self):
        url = f"http://127.0.0.1:{self.admin_port}/metrics"
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
            return answer.read().decode()

    def metric(self, name, **labels):
        """The sum over all shards of the samples that carry these labels."""
        total = 0.0
        for line in self.metrics_text().splitlines():
            sample, _, value = line.rpartition(" ")
            if not sample.startswith(name) or line.startswith("#"):
                continue
            if sample[len(name):][:1] not in ("", "{"):
                continue
            if all(f'{key}="{value_}"' in sample for key, value_ in labels.items()):
                total += float(value)
        return total

    def wait_metric(self, name, value, **labels):
        wait_until(lambda: self.metric(name, **labels) == value,
                   lambda: f"{name}{labels} == {value}, it is {self.metric(name, **labels)}")

    def connect(self, source=None, receive_size=None, port=None):
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.settimeout(PATIENCE)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if receive_size:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_size)
        if source:
            sock.bind((source, 0))
        sock.connect(("127.0.0.1", port or self.port))
        return sock

    def tls(self, context=None, name="localhost", **options):
        return (context or tls_context()).wrap_socket(self.connect(**options), server_hostname=name)

    def request(self, *headers, token=None, target="/", drop=(), extra=b""):
        """An upgrade request as bytes; headers of the same name replace the defaults."""
        lines = {"Host": "localhost", "Connection": "Upgrade", "Upgrade": "websocket",
                 "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": KEY, "Authorization": None}
        for name in [*drop, *(header.split(":")[0] for header in headers)]:
            lines.pop(name, None)
        if "Authorization" in lines:
            lines["Authorization"] = f"Bearer {token if token is not None else self.token()}"
        head = [f"GET {target} HTTP/1.1", *(f"{name}: {value}" for name, value in lines.items()), *headers]
        return ("\r\n".join(head) + "\r\n\r\n").encode("latin-1") + extra

    def websocket(self, *headers, context=None, connect=None, **options):
        """A client after its 101."""
        client = WebSocket(self.tls(context, **(connect or {})))
        client.sock.sendall(self.request(*headers, **options))
        status, _, _ = client.read_head()
        if status != 101:
            raise AssertionError(f"status {status}")
        return client

    def status_of(self, request):
        """(status, headers, body) that a whole request gets."""
        with self.tls() as sock:
            sock.sendall(request)
            return WebSocket(sock).read_head()

    def _thread_states(self):
        for thread in os.listdir(f"/proc/{self.process.pid}/task"):
            with open(f"/proc/{self.process.pid}/task/{thread}/stat", encoding="ascii") as file:
                yield file.read().rpartition(")")[2].split()[0]

    def pause(self):
        """Stops every thread of it: what comes meanwhile is all there at once when it goes on."""
        self.is_paused = True
        self.process.send_signal(signal.SIGSTOP)
        wait_until(lambda: set(self._thread_states()) == {"T"}, "every thread has stopped")

    def go_on(self):
        self.is_paused = False
        self.process.send_signal(signal.SIGCONT)

    def stop(self, signal_number=signal.SIGTERM):
        """Ends it; returns the exit status. Raises when a sanitizer or an assertion has spoken."""
        if self.process.poll() is None:
            self.process.send_signal(signal_number)
            if self.is_paused:  # only then: a SIGCONT in the leak check at the exit would hang it
                self.go_on()
        status = self.process.wait(PATIENCE)
        self.reader.join(PATIENCE)
        text = self.log_text()
        for sign_of_trouble in ("Sanitizer", "runtime error:", "assertion failed"):
            if sign_of_trouble in text:
                raise AssertionError(text)
        return status

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        try:
            status = self.stop()
            if exception[0] is None and status != 0:
                raise AssertionError(f"exit status {status}\n{self.log_text()}")
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            self.process.stdout.close()
            self.folder.cleanup()


def sign(header, claims, secret, digest=hashlib.sha256):
    def part(value):
        return b64url(value if isinstance(value, bytes) else json.dumps(value).encode())

    body = f"{part(header)}.{part(claims)}"
    return f"{body}.{b64url(hmac.new(secret, body.encode(), digest).digest())}"


def tls_context(minimum=None, maximum=None, ciphers=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if minimum:
        context.minimum_version = minimum
    if maximum:
        context.maximum_version = maximum
    if ciphers:
        context.set_ciphers(ciphers)
    return context


def frame(opcode, payload=b"", fin=True, rsv=0, mask=b"\x11\x22\x33\x44", length_bytes=None):
    """One client frame as bytes. mask None: not masked; length_bytes 2 or 8 forces a longer form."""
    if isinstance(payload, str):
        payload = payload.encode()
    size = len(payload)
    masked = 0x80 if mask is not None else 0
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    if length_bytes == 8 or size > 0xFFFF:
        head += bytes([masked | 127]) + struct.pack(">Q", size)
    elif length_bytes == 2 or size > 125:
        head += bytes([masked | 126]) + struct.pack(">H", size)
    else:
        head += bytes([masked | size])
    if mask is None:
        return head + payload
    return head + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))


class WebSocket:
    """A client by hand: what it sends is what the test says, right or wrong."""

    def __init__(self, sock):
        self.sock = sock
        self.buffer = b""
        self.rsv = 0  # the reserved bits of the frame that was received last

    def _more(self):
        data = self.sock.recv(65536)
        if not data:
            raise EOFError("end of stream")
        self.buffer += data

    def read_head(self):
        """The answer to a request: (status, headers as a list of pairs, body)."""
        while b"\r\n\r\n" not in self.buffer:
            self._more()
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        lines = head.decode("latin-1").split("\r\n")
        headers = [tuple(line.split(": ", 1)) for line in lines[1:]]
        size = next((int(value) for name, value in headers if name == "Content-Length"), 0)
        while len(self.buffer) < size:
            self._more()
        body, self.buffer = self.buffer[:size], self.buffer[size:]
        return int(lines[0].split()[1]), headers, body

    def send(self, opcode, payload=b"", **options):
        self.sock.sendall(frame(opcode, payload, **options))

    def send_bytes(self, data):
        self.sock.sendall(data)

    def receive(self):
        """The next frame: (opcode, payload). A server's frames are whole and not masked."""
        while len(self.buffer) < 2:
            self._more()
        assert self.buffer[0] & 0x80, "a server's frame is not fragmented"
        assert not self.buffer[1] & 0x80, "a server's frame is not masked"
        size, start = self.buffer[1] & 0x7F, 2
        if size >= 126:
            start = 4 if size == 126 else 10
            while len(self.buffer) < start:
                self._more()
            size = int.from_bytes(self.buffer[2:start], "big")
        while len(self.buffer) < start + size:
            self._more()
        opcode, payload = self.buffer[0] & 0x0F, self.buffer[start:start + size]
        self.rsv = self.buffer[0] >> 4 & 7
        self.buffer = self.buffer[start + size:]
        return opcode, payload

    def receive_data(self):
        """The next text or binary message; pings are answered on the way."""
        while True:
            opcode, payload = self.receive()
            if opcode == PING:
                self.send(PONG, payload)
            else:
                return opcode, payload

    def close_code(self):
        """Reads to the close frame: its code, None when it has none. Answers it."""
        while True:
            opcode, payload = self.receive()
            if opcode == CLOSE:
                self.send(CLOSE, payload)
                return int.from_bytes(payload[:2], "big") if payload else None

    def at_end(self):
        """True when the server closes without another frame."""
        try:
            self._more()
        except (EOFError, ConnectionResetError, ssl.SSLError):
            return True
        return False

    def close(self):
        self.sock.close()


def main():
    """Runs a test file; its last lines are unittest's own."""
    ran = unittest.main(exit=False, verbosity=2, warnings="ignore")
    sys.exit(not ran.result.wasSuccessful())
