"""Real Redis servers for tests: each on a free port of its own, in a folder of its own, ended with the test. Whatever
runs on 6379 is left alone.

Environment: REDIS_SERVER, the program to test with (a name or path, such as valkey-server); without it, redis-server,
else valkey-server.
"""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading

from limpet import PATIENCE, wait_until

NAMES = (os.environ["REDIS_SERVER"],) if os.environ.get("REDIS_SERVER") else ("redis-server", "valkey-server")
TOOL = next(filter(None, map(shutil.which, NAMES)), None)
MISSING = f"{' or '.join(NAMES)} is not installed"
CLI = shutil.which("redis-cli") or shutil.which("valkey-cli")
# Ends with the test, whatever ends that.
WITH_US = (shutil.which("setpriv"), "--pdeathsig", "KILL") if shutil.which("setpriv") else ()


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def free_cluster_port():
    """A cluster's node also listens 10,000 above its port."""
    while True:
        port = free_port()
        if port > 55000:
            continue
        with socket.socket() as sock:
            try:
                sock.bind(("127.0.0.1", port + 10000))
            except OSError:
                continue
        return port


def encode(arguments):
    parts = [argument if isinstance(argument, bytes) else str(argument).encode() for argument in arguments]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


class RedisError(Exception):
    pass


class Client:
    """As much of a client as tests need: a command, its answer."""

    def __init__(self, port, host="127.0.0.1"):
        self.sock = socket.create_connection((host, port), PATIENCE)
        self.file = self.sock.makefile("rb")

    def __call__(self, *arguments):
        self.sock.sendall(encode(arguments))
        return self.read()

    def read(self):
        line = self.file.readline()
        if not line:
            raise EOFError("Redis closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"-":
            raise RedisError(rest.decode())
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if int(rest) < 0 else self.file.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return None if int(rest) < 0 else [self.read() for _ in range(int(rest))]
        return rest

    def close(self):
        self.file.close()
        self.sock.close()


class Redis:
    """redis-server with these lines of configuration; commands by calling it."""

    def __init__(self, *lines, port=None, host="127.0.0.1", command=(TOOL,), sentinel=False):
        self.folder = tempfile.mkdtemp(prefix="limpet-redis-")
        self.host, self.port = host, port or free_port()
        self.lines, self.command, self.sentinel = lines, command, sentinel
        self.process = None
        self.client = None
        self.start()

    def start(self, must_answer=True):
        path = os.path.join(self.folder, "redis.conf")
        if not os.path.exists(path):
            standard = [f"port {self.port}", f"bind {self.host}", f"dir {self.folder}", "daemonize no"]
            if not self.sentinel:
                standard += ["save \"\"", "appendonly no"]
            with open(path, "w", encoding="utf-8") as file:
                file.write("\n".join([*standard, *self.lines]) + "\n")
        with open(os.path.join(self.folder, "log"), "ab") as log:
            # pylint: disable-next=consider-using-with
            self.process = subprocess.Popen([*WITH_US, *self.command, path, *(["--sentinel"] if self.sentinel else [])], stdout=log,
                                            stderr=subprocess.STDOUT)
        if must_answer and not any(line.startswith("port 0") for line in self.lines):
            try:
                wait_until(self.answers, lambda: f"Redis answers on {self.port}: {self.log_text()}")
            except AssertionError:
                self.kill()
                raise

    def answers(self):
        try:
            client = Client(self.port, self.host)
        except OSError:
            return False
        try:
            client("PING")
        except RedisError as error:
            if str(error).startswith("LOADING"):
                return False
        except (EOFError, OSError):
            return False
        finally:
            client.close()
        return True

    def log_text(self):
        with open(os.path.join(self.folder, "log"), encoding="utf-8", errors="replace") as file:
            return file.read()[-2000:]

    def __call__(self, *arguments):
        if not self.client:
            self.client = Client(self.port, self.host)
        return self.client(*arguments)

    free_port = staticmethod(free_port)

    def subscriber(self, channel):
        """A client that has subscribed: read() gives its messages."""
        client = Client(self.port, self.host)
        client("SUBSCRIBE", channel)
        return client

    def drop_client(self):
        if self.client:
            self.client.close()
            self.client = None

    def kill(self):
        self.drop_client()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        self.process.wait()

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


class FakeRedis:
    """A listener whose every connection is answered by answer(arguments) -> bytes, or None to close."""

    def __init__(self, answer):
        self.answer = answer
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        file = sock.makefile("rb")
        try:
            while True:
                line = file.readline()
                if not line:
                    return
                arguments = []
                for _ in range(int(line[1:])):
                    size = int(file.readline()[1:])
                    arguments.append(file.read(size + 2)[:-2])
                answer = self.answer(arguments)
                if answer is None:
                    return
                sock.sendall(answer)
        except (OSError, ValueError):
            pass
        finally:
            file.close()
            sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.listener.close()
