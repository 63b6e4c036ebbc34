"""The control socket: whose it is, what becomes of one that is left over, and how a command asks."""

import os
import socket
import stat
import subprocess
import tempfile
import unittest

from limpet import LIMPET, PATIENCE, Server, main


def limpet(*arguments):
    ran = subprocess.run([LIMPET, *arguments], capture_output=True, text=True, timeout=PATIENCE, check=False)
    return ran.returncode, ran.stdout + ran.stderr


def ask(path, head, body=b""):
    """The whole answer to one request, byte by byte ours."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(PATIENCE)
        sock.connect(path)
        sock.sendall(f"{head} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        answer = b""
        while True:
            piece = sock.recv(65536)
            if not piece:
                return int(answer.split()[1]), answer.partition(b"\r\n\r\n")[2].decode()
            answer += piece


class Control(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="limpet-control-")
        self.addCleanup(self.folder.cleanup)
        self.path = os.path.join(self.folder.name, "socket")

    def test_it_is_its_owners_alone_and_goes_with_the_server(self):
        with Server() as server:
            path = os.path.join(server.state, "control")
            self.assertEqual(stat.S_IMODE(os.lstat(path).st_mode), 0o600)
            self.assertIn(path, server.log_text())  # the banner
            status, _ = limpet("reload", "--state", server.state)
            self.assertEqual(status, 0)
            server.stop()
            self.assertFalse(os.path.exists(path))
            status, output = limpet("reload", "--state", server.state)
            self.assertEqual(status, 1)
            self.assertIn("is the server running", output)

    def test_none_is_wanted(self):
        with Server("--admin.control", "") as server:
            self.assertFalse(os.path.exists(os.path.join(server.state, "control")))

    def test_one_left_over_is_replaced(self):
        with socket.socket(socket.AF_UNIX) as left_over:
            left_over.bind(self.path)
        with Server("--admin.control", self.path):
            self.assertEqual(limpet("reload", "--control", self.path)[0], 0)

    def test_a_live_one_is_not(self):
        with Server("--admin.control", self.path):
            with tempfile.TemporaryDirectory() as state:
                status, output = limpet("serve", "--state", state, "--listen", "127.0.0.1:0", "--admin.listen", "",
                                        "--shards", "1", "--admin.control", self.path)
            self.assertEqual(status, 1)
            self.assertIn(f"{self.path}: a running server answers on it", output)
            self.assertEqual(limpet("reload", "--control", self.path)[0], 0)

    def test_places_where_none_can_be(self):
        with open(self.path, "w", encoding="ascii") as file:
            file.write("precious")
        for path, words in ((self.path, "something else"), (self.path + "/x", "Not a directory"),
                            (self.folder.name + "/none/x", "No such file"), ("/tmp/" + "x" * 200, "longer than")):
            with tempfile.TemporaryDirectory() as state:
                status, output = limpet("serve", "--state", state, "--listen", "127.0.0.1:0", "--admin.listen", "",
                                        "--shards", "1", "--admin.control", path)
            self.assertEqual(status, 1)
            self.assertIn(words, output)
            self.assertIn("admin.control", output)
        with open(self.path, encoding="ascii") as file:
            self.assertEqual(file.read(), "precious")

    def test_what_it_does_not_know(self):
        with Server("--admin.control", self.path):
            self.assertEqual(ask(self.path, "POST /none")[0], 404)
            self.assertEqual(ask(self.path, "PUT /reload"), (405, '{"error":"this path has no such method"}'))
            self.assertEqual(ask(self.path, "GET /reload")[0], 405)
            self.assertEqual(ask(self.path, "POST /reload", b"x" * 4096)[0], 200)
            self.assertEqual(ask(self.path, "POST /reload", b"x" * 4097)[0], 413)
            self.assertEqual(ask(self.path, "POST /reload?" + "a" * 255 + "=" + "b" * 255)[0], 200)
            self.assertEqual(ask(self.path, "POST /reload?a=" + "b" * 256)[0], 413)
            self.assertEqual(ask(self.path, "POST /reload?" + "a&" * 8)[0], 200)
            self.assertEqual(ask(self.path, "POST /reload?" + "a&" * 8 + "a")[0], 413)
            self.assertEqual(ask(self.path, "POST /" + "x" * 254)[0], 404)
            self.assertEqual(ask(self.path, "POST /" + "x" * 255)[0], 413)

    def test_whoever_says_nothing_holds_nobody_up(self):
        with Server("--admin.control", self.path):
            silent = [socket.socket(socket.AF_UNIX) for _ in range(4)]
            for sock in silent:
                sock.connect(self.path)
                sock.sendall(b"POST /reload HTTP/1.1\r\n")
            self.assertEqual(limpet("reload", "--control", self.path)[0], 0)
            for sock in silent:
                sock.close()


if __name__ == "__main__":
    main()
