"""Who may come by the network of its address: bans, the list of those allowed, files, reload; before any TLS."""

import os
import socket
import subprocess
import tempfile
import unittest

from limpet import BAD_OPTIONS, LIMPET, PATIENCE, TEXT, Server, main


class Bans(unittest.TestCase):
    def server(self, *flags, **options):
        return self.enterContext(Server(*flags, **options))

    def file(self, text):
        folder = self.enterContext(tempfile.TemporaryDirectory(prefix="limpet-networks-"))
        path = os.path.join(folder, "networks")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def may_come(self, server, source):
        """Whether a handshake with the server goes through; refused ones are closed without a byte."""
        try:
            server.tls(source=source).close()
            return True
        except (ConnectionResetError, BrokenPipeError, EOFError, OSError):
            return False

    def test_banned(self):
        server = self.server("--limits.banned", "127.0.1.0/24,127.0.2.7")
        for source, may in (("127.0.0.1", True), ("127.0.1.1", False), ("127.0.1.254", False),
                            ("127.0.2.6", True), ("127.0.2.7", False), ("127.0.2.8", True)):
            self.assertEqual(self.may_come(server, source), may, source)
        self.assertEqual(server.metric("limpet_refused_total", limit="banned"), 3)
        line = server.wait_for_log("connection refused by its network")
        self.assertIn("option=limits.banned", line)
        self.assertIn("peer=127.0.", line)

    def test_before_a_byte_is_read(self):
        server = self.server("--limits.banned", "127.0.3.0/24")
        with server.connect(source="127.0.3.1") as sock:
            self.assertEqual(sock.recv(100), b"")
        self.assertEqual(server.metric("limpet_refused_total", limit="banned"), 1, "not by a deadline")
        self.assertEqual(server.metric("limpet_handshakes_in_flight"), 0)

    def test_allowed(self):
        server = self.server("--limits.allowed", "127.0.0.0/16", "--limits.banned", "127.0.9.0/24")
        self.assertTrue(self.may_come(server, "127.0.0.1"))
        self.assertTrue(self.may_come(server, "127.0.255.1"))
        self.assertFalse(self.may_come(server, "127.1.0.1"))
        self.assertFalse(self.may_come(server, "127.0.9.1"), "a ban wins")
        self.assertEqual(server.metric("limpet_refused_total", limit="not_allowed"), 1)
        self.assertEqual(server.metric("limpet_refused_total", limit="banned"), 1)

    def test_ipv6(self):
        server = self.server("--listen", "[::1]:0,127.0.0.1:0", "--limits.banned", "::/0")
        try:
            with socket.create_connection(("::1", server.port), PATIENCE) as sock:
                self.assertEqual(sock.recv(100), b"")
        except OSError as error:
            if not isinstance(error, ConnectionResetError):
                self.skipTest(f"no IPv6 here: {error}")
        self.assertEqual(server.metric("limpet_refused_total", limit="banned"), 1)

    def test_a_file_and_reload(self):
        path = self.file("# nobody yet\n")
        server = self.server("--limits.banned-file", path, "--plain.publish-channel", "")
        client = server.websocket(token=server.token(), connect={"source": "127.0.4.1"})

        def reload(status=0):
            ran = subprocess.run([LIMPET, "reload", "--state", server.state], capture_output=True, text=True, timeout=PATIENCE,
                                 check=False)
            self.assertEqual(ran.returncode, status, ran.stdout + ran.stderr)
            return ran.stderr

        def rewrite(text):
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)

        rewrite("127.0.4.0/24 # an attack\n")
        self.assertTrue(self.may_come(server, "127.0.4.2"), "nobody has asked for it yet")
        reload()
        self.assertFalse(self.may_come(server, "127.0.4.2"))
        client.send(TEXT, "open connections stay")
        self.assertEqual(client.receive_data(), (TEXT, b"open connections stay"))
        rewrite("127.0.4.0/24\n127.0.5.0/44\n")
        self.assertIn(f"{path}:2: no network", reload(status=1))
        self.assertFalse(self.may_come(server, "127.0.4.2"))
        self.assertTrue(self.may_come(server, "127.0.5.2"))
        rewrite("")
        reload()
        self.assertTrue(self.may_come(server, "127.0.4.2"))

    def test_many(self):
        lines = [f"10.{i >> 8 & 255}.{i & 255}.0/25\n" for i in range(65536)] + ["127.0.6.0/24\n"]
        server = self.server("--limits.banned-file", self.file("".join(lines)))
        self.assertFalse(self.may_come(server, "127.0.6.1"))
        self.assertTrue(self.may_come(server, "127.0.7.1"))

    def test_a_pipe_is_no_file(self):
        """Who reads it would wait for ever."""
        with tempfile.TemporaryDirectory() as state:
            os.mkfifo(os.path.join(state, "pipe"))
            ran = subprocess.run([LIMPET, "check", "--state", state, "--limits.banned-file", os.path.join(state, "pipe")],
                                 capture_output=True, text=True, timeout=PATIENCE, check=False)
        self.assertEqual(ran.returncode, 1)
        self.assertIn("pipe", ran.stderr)

    def test_words_that_cannot_be(self):
        with tempfile.TemporaryDirectory() as state:
            for flag, value, part in (("--limits.banned", "127.0.0.1/33", "192.0.2.0/24"), ("--limits.allowed", "here", "192.0.2.0/24"),
                                      ("--limits.banned-file", "/nowhere", "/nowhere"), ("--limits.allowed-file", "/proc", "/proc")):
                for verb in ("check", "serve"):
                    ran = subprocess.run([LIMPET, verb, "--state", state, "--listen", "127.0.0.1:0", "--admin.listen", "", flag,
                                          value], capture_output=True, text=True, timeout=PATIENCE, check=False)
                    status = 1 if flag.endswith("-file") else BAD_OPTIONS[verb]  # a file may be there later
                    self.assertEqual(ran.returncode, status, (verb, flag, ran.stdout, ran.stderr))
                    self.assertIn(part, ran.stderr)


if __name__ == "__main__":
    main()
