"""Certificates from outside: which one a name gets, whole chains, and what is said about bad files."""

import os
import re
import subprocess
import tempfile
import unittest

from keys import Folder
from limpet import LIMPET, PATIENCE, Server, main

OPTIONS = """
tls:
  certificates:
{pairs}
token:
  keys:
    - {{algorithm: HS256, path: {secret}}}
"""


def options_for(folder, pairs):
    folder.write("secret", b"a secret of at least thirty-two bytes")
    lines = [f"    - {{certificate: {certificate}, key: {key}}}" for certificate, key in pairs]
    return OPTIONS.format(pairs="\n".join(lines), secret=folder.at("secret"))


def s_client(server, *flags):
    """What `openssl s_client` prints of a handshake."""
    result = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", *flags], input=b"",
                            capture_output=True, timeout=PATIENCE, check=False)
    return (result.stdout + result.stderr).decode(errors="replace")


class Certificates(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = Folder(cls.enterClassContext(tempfile.TemporaryDirectory(prefix="limpet-keys-")))

    def pair(self, name, *arguments, **options):
        return self.folder.certificate(name, *arguments, **options), self.folder.key(name)

    def test_names(self):  # S13
        pairs = [self.pair("default", ["default.example"]), self.pair("a", ["a.example", "other.example"]),
                 self.pair("wild", ["*.b.example"]), self.pair("exact", ["exact.b.example"]),
                 self.pair("rsa", ["a.example"], kind="rsa:2048")]
        server = self.enterContext(Server(options=options_for(self.folder, pairs)))

        def subject(*flags):
            found = re.search(r"subject=CN ?= ?(\S+)", s_client(server, *flags))
            return found.group(1) if found else None

        for name, wanted in (("a.example", "a.example"), ("A.EXAMPLE", "a.example"), ("a.example.", "a.example"),
                             ("other.example", "a.example"), ("x.b.example", "*.b.example"),
                             ("X.B.Example", "*.b.example"), ("exact.b.example", "exact.b.example"),
                             ("y.x.b.example", "default.example"), ("b.example", "default.example"),
                             (".b.example", "default.example"), ("unknown.example", "default.example"),
                             ("xa.example", "default.example"), ("127.0.0.1", "default.example"),
                             ("x" * 255, "default.example")):
            with self.subTest(name):
                self.assertEqual(subject("-servername", name), wanted)
        self.assertEqual(subject("-noservername"), "default.example")
        self.assertEqual(subject("-tls1_2", "-servername", "x.b.example"), "*.b.example")
        # Of two for a name: the one that the client can verify, ECDSA first.
        for flags, kind in (([], "(id-ecPublicKey|EC)"), (["-sigalgs", "RSA-PSS+SHA256"], "(rsaEncryption|RSA)"),
                            (["-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"], "(rsaEncryption|RSA)")):
            with self.subTest(flags):
                text = s_client(server, "-servername", "a.example", *flags)
                self.assertIn("Verify return code", text)
                self.assertRegex(text, f"PKEY: {kind},")

    def chain(self, name, parts):
        return self.folder.write(name + ".pem", b"".join(part if isinstance(part, bytes) else self.folder.read(part + ".pem")
                                                         for part in parts))

    def check(self, pairs):
        """`limpet check`: (status, everything it prints)."""
        path = self.folder.write("options.yaml", options_for(self.folder, pairs))
        result = subprocess.run([LIMPET, "check", path], capture_output=True, text=True, timeout=PATIENCE, check=False)
        return result.returncode, result.stdout + result.stderr

    def test_chains(self):  # S14
        self.folder.certificate("root", ["Root"], is_issuer=True)
        self.folder.certificate("middle", ["Middle"], issuer="root", is_issuer=True)
        self.folder.certificate("leaf", ["leaf.example"], issuer="middle")
        key = self.folder.key("leaf")
        text_before = b"Bag Attributes\r\n  friendlyName: leaf\r\n"
        crlf = self.folder.read("leaf.pem").replace(b"\n", b"\r\n")
        for name, parts, count, warning in (
                ("leaf alone", ["leaf"], 1, "certificate of its issuer is missing"),
                ("leaf and middle", ["leaf", "middle"], 2, None),
                ("root added", ["leaf", "middle", "root"], 3, None),
                ("wrong order", ["leaf", "root", "middle"], 3, "wrong order"),
                ("a stranger behind it", ["leaf", "root"], 2, "wrong order"),
                ("CRLF and text before", [text_before, crlf, text_before, "middle"], 2, None)):
            with self.subTest(name):
                path = self.chain("chain", parts)
                status, output = self.check([(path, key)])
                self.assertEqual(status, 0, output)
                self.assertEqual("warn certificate" in output, bool(warning), output)
                self.assertIn(warning or "ok", output)
                with Server(options=options_for(self.folder, [(path, key)])) as server:
                    for version in ("-tls1_3", "-tls1_2"):
                        text = s_client(server, version, "-showcerts", "-CAfile", self.folder.at("root.pem"))
                        self.assertEqual(text.count("BEGIN CERTIFICATE"), count)
                        if warning is None:
                            self.assertIn("Verify return code: 0 (ok)", text)

    def test_a_chain_of_several_records(self):  # S14: more than 8 KB
        self.folder.certificate("r0", ["R0"], kind="rsa:4096", is_issuer=True)
        names = [f"n{i}-{'x' * 50}.example" for i in range(60)]  # a large leaf: RSA keys take long to make
        self.folder.certificate("r1", ["R1"], kind="rsa:4096", issuer="r0", is_issuer=True)
        self.folder.certificate("r2", names, kind="rsa:2048", issuer="r1")
        path = self.chain("large", ["r2", "r1", "r0", "r0", "r0"])
        self.assertGreater(os.path.getsize(path) * 3 // 4, 9000)
        with Server(options=options_for(self.folder, [(path, self.folder.key("r2"))])) as server:
            for version in ("-tls1_3", "-tls1_2"):
                text = s_client(server, version, "-showcerts", "-CAfile", self.folder.at("r0.pem"))
                self.assertEqual(text.count("BEGIN CERTIFICATE"), 5)
                self.assertIn("Verify return code: 0 (ok)", text)

    def test_bad_files(self):  # S14, S36: each a message that names the file, and a status that is not 0
        certificate, key = self.pair("good")
        _, other = self.pair("other")
        write = self.folder.write
        encrypted = self.folder.at("encrypted.key")
        subprocess.run(["openssl", "pkey", "-in", key, "-aes128", "-passout", "pass:x", "-out", encrypted], check=True)
        cut = write("cut.pem", self.folder.read("good.pem")[:200])
        damaged = write("damaged.pem", self.folder.read("good.pem").replace(b"\nM", b"\nX", 1))
        p384, p384_key = self.pair("p384", kind="ec:P-384")
        for name, pair, part in (("missing", (self.folder.at("none.pem"), key), "No such file"),
                                 ("a folder", (self.folder.path, key), "directory"),
                                 ("empty", (write("empty.pem", ""), key), "no certificate in it"),
                                 ("a key for it", (key, key), "no certificate in it"),
                                 ("cut", (cut, key), "cut.pem"), ("damaged", (damaged, key), "damaged.pem"),
                                 ("key of another", (certificate, other), "not the key of"),
                                 ("no key", (certificate, certificate), "no private key in it"),
                                 ("empty key", (certificate, write("empty.key", "")), "no private key in it"),
                                 ("encrypted key", (certificate, encrypted), "encrypted"),
                                 ("another curve", (p384, p384_key), "neither ECDSA P-256 nor RSA")):
            with self.subTest(name):
                status, output = self.check([pair])
                self.assertEqual(status, 1)
                self.assertIn(part, output)
                self.assertTrue(pair[0] in output or pair[1] in output, output)
                serve = subprocess.run([LIMPET, "serve", "--options", self.folder.at("options.yaml"), "--listen",
                                        "127.0.0.1:0"], capture_output=True, text=True, timeout=PATIENCE, check=False)
                self.assertEqual(serve.returncode, 1)
                self.assertIn(part, serve.stderr)
                for secret in ("PRIVATE", self.folder.read("good.key").decode().split("\n")[1]):
                    self.assertNotIn(secret, output + serve.stdout + serve.stderr)

    def test_an_expired_certificate_is_served_with_a_warning(self):
        path, key = self.pair("expired", is_expired=True)
        status, output = self.check([(path, key)])
        self.assertEqual(status, 0)
        self.assertIn("has expired", output)
        self.assertIn(path, output)
        with Server(options=options_for(self.folder, [(path, key)])) as server:
            server.wait_for_log(f"warn certificate file={path} ")
            self.assertRegex(s_client(server), "CN ?= ?localhost")


if __name__ == "__main__":
    main()
