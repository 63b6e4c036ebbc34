"""Starting under bad conditions (S36): limits, options, files. Each gives a message that names what is wrong and how
to cure it, and a status that is not 0; what is good starts."""

import json
import os
import resource
import subprocess
import tempfile
import unittest

from keys import Folder
from limpet import BAD_OPTIONS, LIMPET, PATIENCE, Server, main

GOOD = """
listen: ["127.0.0.1:0"]
tls:
  certificates:
    - {{certificate: {certificate}, key: {key}}}
token:
  keys:
    - {{algorithm: HS256, path: {secret}}}
"""


class Limits(unittest.TestCase):
    def resident_bytes(self, server):
        with open(f"/proc/{server.process.pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * resource.getpagesize()

    def test_descriptors(self):
        """No table is sized by the limit itself; what bounds the server is said at the start."""
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        for soft, limit in ((1024, 1024), (256, hard), (hard, hard)):
            with self.subTest(soft=soft, hard=limit):
                with Server(shards=2, prefix=("prlimit", f"--nofile={soft}:{limit}")) as server:
                    line = server.wait_for_log("bounded_by")
                    self.assertIn("RLIMIT_NOFILE", line)
                    self.assertLessEqual(server.metric("limpet_connections_capacity"), 2 * limit)
                    self.assertGreaterEqual(server.metric("limpet_connections_capacity"), 2 * limit * 7 // 8)
                    self.assertLess(self.resident_bytes(server), 400 << 20 if os.environ.get("SANITIZE") else 60 << 20)
                    server.websocket().close()

    def test_a_huge_limit(self):
        huge = 1073741816
        with open("/proc/sys/fs/nr_open", encoding="ascii") as file:
            nr_open = int(file.read())
        allowed = min(huge, nr_open)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, allowed))
        except (ValueError, PermissionError):
            self.skipTest("the hard limit of descriptors cannot be raised here")
        with Server("--shards", 1, shards=1) as server:
            self.assertLess(self.resident_bytes(server), 100 << 20)
            server.websocket().close()

    def run_limpet(self, *arguments, prefix=()):
        result = subprocess.run([*prefix, LIMPET, *arguments], capture_output=True, text=True, timeout=PATIENCE,
                                check=False)
        return result.returncode, result.stdout + result.stderr

    def test_limits_that_are_too_low(self):
        with tempfile.TemporaryDirectory(prefix="limpet-state-") as state:
            serve = ("serve", "--state", state, "--listen", "127.0.0.1:0", "--admin.listen", "")
            for nofile, flags, parts in (
                    (64, (), ("RLIMIT_NOFILE is 64", "ulimit -n", "LimitNOFILE=")),
                    (1024, ("--limits.connections-max", "100000", "--shards", "2"),
                     ("limits.connections_max 100000", "RLIMIT_NOFILE is 1024", "LimitNOFILE=", "--shards"))):
                with self.subTest(nofile=nofile):
                    status, output = self.run_limpet(*serve, *flags, prefix=("prlimit", f"--nofile={nofile}:{nofile}"))
                    self.assertEqual(status, 1)
                    for part in parts:
                        self.assertIn(part, output)
                    self.assertEqual(len(output.strip().splitlines()), 1, output)

    def test_a_backlog_that_the_kernel_cuts(self):  # S38
        with open("/proc/sys/net/core/somaxconn", encoding="ascii") as file:
            somaxconn = int(file.read())
        if somaxconn >= 65535:
            self.skipTest("somaxconn is above every backlog")
        with tempfile.TemporaryDirectory(prefix="limpet-state-") as state:
            for backlog, cut in ((somaxconn, False), (somaxconn + 1, True)):
                with self.subTest(backlog=backlog):
                    status, output = self.run_limpet("check", "--state", state, "--listen-backlog", str(backlog))
                    self.assertEqual(status, 0, output)
                    self.assertEqual(f"somaxconn={somaxconn} " in output, cut, output)

    def test_check_says_what_bounds(self):
        with tempfile.TemporaryDirectory(prefix="limpet-state-") as state:
            status, output = self.run_limpet("check", "--state", state, prefix=("prlimit", "--nofile=1024:1024"))
            self.assertEqual(status, 0, output)
            self.assertRegex(output, r"holds up to \d+ connections; bounded by RLIMIT_NOFILE")


class Options(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = Folder(cls.enterClassContext(tempfile.TemporaryDirectory(prefix="limpet-keys-")))
        secret = cls.folder.write("secret", b"a secret of at least thirty-two bytes")
        cls.good = GOOD.format(certificate=cls.folder.certificate("tls"), key=cls.folder.key("tls"), secret=secret)

    def run_limpet(self, *arguments):
        result = subprocess.run([LIMPET, *arguments], capture_output=True, text=True, timeout=PATIENCE, check=False)
        return result.returncode, result.stdout + result.stderr

    def refused(self, path, *parts, arguments=(), is_for_good=True):
        """By `check` and by `serve` alike; not for good when another file than the options has to change."""
        for command in (("check", path), ("serve", "--options", path)):
            status, output = self.run_limpet(*command, *arguments)
            self.assertEqual(status, BAD_OPTIONS[command[0]] if is_for_good else 1, output)
            for part in parts:
                self.assertIn(part, output)
            self.assertNotIn("thirty-two", output)

    def test_good(self):
        path = self.folder.write("good.yaml", self.good)
        status, output = self.run_limpet("check", path)
        self.assertEqual(status, 0, output)
        self.assertIn(f"{path}: ok", output)

    def test_bad_yaml(self):
        cases = {
            "an unknown key": ("heartbeat:\n  ping_intervall: 25s\n", ":9: ", "ping_intervall", "did you mean"),
            "an unknown section": ("hearts:\n  x: 1\n", ":8: ", "hearts"),
            "no unit": ("heartbeat:\n  ping_interval: 25\n", ":9: ", "heartbeat.ping_interval"),
            "out of range": ("limits:\n  receive_buffer_count: 1\n", ":9: ", "limits.receive_buffer_count", "8"),
            "a list for a number": ("limits:\n  handshakes_max: [1]\n", ":9: ", "limits.handshakes_max"),
            "a number for a section": ("limits: 5\n", ":8: ", "limits"),
            "twice": ("shards: 1\nshards: 2\n", ":9: ", "shards"),
            "a tab": ("limits:\n\thandshakes_max: 1\n", ":9:"),
            "not closed": ("limits: {handshakes_max: 1\n", ":"),
            "no text": ("upgrade:\n  path: chat\n", ":9: ", "upgrade.path"),
            "crossed": ("limits:\n  queue_bytes_max: 4KB\n", ":9: ", "limits.queue_bytes_max", "allowed"),
        }
        for name, (text, *parts) in cases.items():
            with self.subTest(name):
                path = self.folder.write("bad.yaml", self.good.lstrip("\n") + text)
                self.refused(path, path if parts[0].startswith(":") else "", *parts)

    def test_files_that_are_none(self):
        for name, path, part in (("missing", self.folder.at("none.yaml"), "No such file"),
                                 ("a folder", self.folder.path, "directory"),
                                 ("empty", self.folder.write("empty.yaml", ""), "tls.certificates"),
                                 ("binary", self.folder.write("binary.yaml", bytes(range(256))), "binary.yaml"),
                                 ("endless", "/dev/zero", "/dev/zero")):
            with self.subTest(name):
                self.refused(path, part)

    def test_bad_keys(self):
        self.folder.key("rsa", "rsa:2048")
        write = self.folder.write
        for name, entry, part in (
                ("missing", "{algorithm: HS256, path: /nonexistent}", "/nonexistent"),
                ("short secret", f"{{algorithm: HS256, path: {write('short', 'short')}}}", "short"),
                ("empty secret", f"{{algorithm: HS256, path: {write('nothing', '')}}}", "nothing"),
                ("unknown algorithm", f"{{algorithm: HS1, path: {write('s1', 's' * 40)}}}", "HS1"),
                ("none", f"{{algorithm: none, path: {write('s2', 's' * 40)}}}", "none"),
                ("key of another kind", f"{{algorithm: ES256, path: {self.folder.public_key('rsa')}}}", "rsa.pub"),
                ("a private key", f"{{algorithm: RS256, path: {self.folder.key('rsa')}}}", "rsa.key"),
                ("no JSON", f"{{path: {write('set1.json', '{')}}}", "set1.json"),
                ("an empty set", f"{{path: {write('set2.json', json.dumps({'keys': []}))}}}", "set2.json"),
                ("two of one kid", f"{{path: {self.two_of_one_kid()}}}", "kid"),
                ("no path", "{algorithm: HS256}", "path")):
            with self.subTest(name):
                text = self.good[:self.good.index("    - {algorithm")] + f"    - {entry}\n"
                path = write("keys.yaml", text)
                self.refused(path, part, is_for_good=name == "no path")

    def two_of_one_kid(self):
        keys = [self.folder.jwk(name, kid="same", alg="ES256") for name in ("tls", "other")]
        return self.folder.write("set3.json", json.dumps({"keys": keys}))

    def test_bad_flags(self):
        path = self.folder.write("good.yaml", self.good)
        for flags, part in ((("--heartbeat.ping-interval", "soon"), "heartbeat.ping-interval"),
                            (("--limits.handshakes-max", "-1"), "limits.handshakes-max"),
                            (("--listen", "localhost"), "listen"), (("--shards", "1000"), "shards"),
                            (("--tls.certificates", "x"), "tls.certificates")):
            with self.subTest(flags):
                status, output = self.run_limpet("serve", "--options", path, *flags)
                self.assertEqual(status, BAD_OPTIONS["serve"])
                self.assertIn(part, output.replace("_", "-") if "-" in part else output)
        self.assertEqual(self.run_limpet("serve", "--no-such-flag")[0], 64)
        self.assertNotEqual(self.run_limpet("nothing")[0], 0)

    def test_addresses_in_use(self):
        path = self.folder.write("good.yaml", self.good)
        with Server() as server:
            for flags, part in ((("--admin.listen", f"127.0.0.1:{server.admin_port}"), "admin port"),
                                (("--listen", f"127.0.0.1:{server.admin_port}", "--admin.listen", ""),
                                 f"{server.admin_port}"),
                                (("--listen", f"127.0.0.1:{server.port}", "--admin.listen", ""),
                                 "another program listens there"),  # SO_REUSEPORT would let it in
                                (("--listen", "192.0.2.1:8443", "--admin.listen", ""), "192.0.2.1")):
                with self.subTest(flags):
                    status, output = self.run_limpet("serve", "--options", path, *flags)
                    self.assertEqual(status, 1)
                    self.assertIn(part, output)
            server.websocket().close()

    def test_check_tells_every_problem(self):
        path = self.folder.write("bad.yaml", GOOD.format(certificate="/nowhere.pem", key="/nowhere.key",
                                                         secret="/nowhere.secret"))
        status, output = self.run_limpet("check", path, "--limits.connections-max", "100000000")
        self.assertEqual(status, 1)
        for part in ("limits.connections_max", "/nowhere.pem", "/nowhere.secret"):
            self.assertIn(part, output)

    def test_a_token_of_a_new_state_says_so(self):
        folder = self.folder.at("fresh")
        status, output = self.run_limpet("token", "--state", folder)
        self.assertEqual(status, 0)
        self.assertIn("no running server has its secret", output)
        status, output = self.run_limpet("token", "--state", folder)
        self.assertEqual(status, 0)
        self.assertNotIn("secret", output)

    def test_ticket_key_files(self):
        path = self.folder.write("good.yaml", self.good)
        for name, content in (("short", b"x" * 47), ("odd", b"x" * 49), ("empty", b""), ("too many", b"x" * 48 * 4)):
            with self.subTest(name):
                file = self.folder.write("tickets", content)
                os.chmod(file, 0o600)
                self.refused(path, "tickets", arguments=("--tls.ticket-key-file", file), is_for_good=False)

    def test_the_log_as_json(self):
        path = self.folder.write("good.yaml", self.good + "log:\n  format: json\n")
        process = subprocess.Popen([LIMPET, "serve", "--options", path, "--admin.listen", ""], stderr=subprocess.PIPE,
                                   text=True)
        with process:
            for event in ("listener", "listening"):
                line = json.loads(process.stderr.readline())
                self.assertEqual((line["level"], line["event"]), ("info", event))
            process.terminate()
            rest = [json.loads(line) for line in process.stderr]
        self.assertEqual([line["event"] for line in rest], ["stopping", "stopped"])
        self.assertEqual(process.returncode, 0)


if __name__ == "__main__":
    main()
