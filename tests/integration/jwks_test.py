"""Key sets by URL (S25): fetched over checked TLS, rotated, asked for when a token names a key that is unknown, but never
more often than the cool-down says; a host that is away, slow, or answers with rubbish changes nothing."""

import http.server
import json
import os
import ssl
import subprocess
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.request

from keys import Folder
from limpet import LIMPET, PATIENCE, Server, b64url, main, sign, wait_until


class Host:
    """An HTTPS server whose answer is what the test says."""

    def __init__(self, folder, port=0):
        host = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                with host.lock:
                    host.count += 1
                host.answer(self)

            def log_message(self, *_):
                pass

        self.lock = threading.Lock()
        self.count = 0
        self.leave = threading.Event()
        self.answer = None
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder.at("host.pem"), folder.key("host"))
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        self.url = f"https://localhost:{self.port}/keys"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def give(self, body, status=200, headers=()):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()

        def answer(request):
            request.send_response(status)
            for name, value in headers:
                request.send_header(name, value)
            request.send_header("Content-Length", str(len(body)))
            request.end_headers()
            try:
                request.wfile.write(body)
            except OSError:
                pass  # it had enough

        self.answer = answer

    def give_nothing(self):
        self.answer = lambda request: self.leave.wait(PATIENCE)

    def close(self):
        self.leave.set()
        self.server.shutdown()
        self.server.server_close()


class KeySets(unittest.TestCase):
    def setUp(self):
        self.folder = Folder(self.enterContext(tempfile.TemporaryDirectory(prefix="limpet-jwks-")))
        self.folder.certificate("ca", ["Test CA"], is_issuer=True)
        self.folder.certificate("host", ["localhost"], issuer="ca")
        self.folder.certificate("server", ["localhost"])
        self.host = Host(self.folder)
        self.addCleanup(lambda: self.host.close())  # the one of that time
        self.host.give(self.set_of("one"))

    def set_of(self, *names):
        return {"keys": [self.folder.jwk(name, kid=name, alg="ES256") for name in names]}

    def options(self, more="", url=None):
        return f"""
tls: {{certificates: [{{certificate: {self.folder.at("server.pem")}, key: {self.folder.key("server")}}}]}}
token:
  keys: [{{path: "{url or self.host.url}"}}]
  jwks_ca_file: {self.folder.at("ca.pem")}
  jwks_timeout: 2s
  {more}
admin: {{control: {self.folder.at("control")}}}
"""

    def serve(self, more="jwks_cooldown: 1s"):
        return self.enterContext(Server(options=self.options(more)))

    def status(self, server, name, kid=None):
        header = {"alg": "ES256", "kid": kid or name}
        token = self.folder.sign(name, header, {"sub": "a", "exp": int(time.time()) + 600})
        return server.status_of(server.request(token=token))[0]

    def health(self, server, probe="ready"):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{server.admin_port}/health/{probe}",
                                        timeout=PATIENCE) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def reload(self):
        ran = subprocess.run([LIMPET, "reload", "--control", self.folder.at("control")], capture_output=True,
                             text=True, timeout=PATIENCE, check=False)
        return ran.returncode, ran.stdout + ran.stderr

    def test_rotation_by_an_unknown_key(self):
        server = self.serve()
        self.assertEqual(self.status(server, "one"), 101)
        self.host.give(self.set_of("one", "two"))
        wait_until(lambda: self.status(server, "two") == 101, "the new key is fetched")
        self.assertEqual(self.status(server, "one"), 101)
        self.host.give(self.set_of("two"))
        wait_until(lambda: self.status(server, "one", "none") == 401 and self.status(server, "one") == 401,
                   "the old key is gone")

    def test_forged_kids_do_not_hammer_the_host(self):
        server = self.serve("jwks_cooldown: 1h")
        before = self.host.count
        for i in range(50):
            self.assertEqual(self.status(server, "one", f"../../forged-{i}"), 401)
        self.assertEqual(self.host.count, before)  # it was asked less than an hour ago
        self.assertEqual(self.status(server, "one"), 101)

    def test_refresh_by_time_and_by_its_word(self):
        server = self.serve("jwks_cooldown: 1s\n  jwks_refresh: 1h")
        self.host.give(self.set_of("one", "two"), headers=[("Cache-Control", "public, max-age=1")])
        wait_until(lambda: self.status(server, "two") == 101, "fetched once for an unknown key")
        count = self.host.count
        wait_until(lambda: self.host.count > count, "fetched again after max-age, with no token to ask for it")

    def test_bad_answers_change_nothing(self):
        server = self.serve()
        private = self.folder.read("one.key")
        for name, give in (("500", lambda: self.host.give(b"no", status=500)),
                           ("10 MB", lambda: self.host.give(b" " * 10_000_000)),
                           ("nothing", self.host.give_nothing),
                           ("empty", lambda: self.host.give(b"")),
                           ("garbage", lambda: self.host.give(b"\xff\x00{]")),
                           ("no keys", lambda: self.host.give({"keys": []})),
                           ("two of one kid", lambda: self.host.give({"keys": 2 * self.set_of("one")["keys"]})),
                           ("a private key", lambda: self.host.give(private)),
                           ("elsewhere", lambda: self.host.give(b"", 302, [("Location", self.host.url)]))):
            with self.subTest(name):
                give()
                failed = server.metric("limpet_jwks_fetches_total", result="failed")
                wait_until(lambda before=failed: (self.status(server, "one", "unknown") == 401 and
                                                  server.metric("limpet_jwks_fetches_total", result="failed") > before),
                           "the fetch failed")
                self.assertEqual(self.status(server, "one"), 101)
        self.host.give(self.set_of("two"))
        wait_until(lambda: self.status(server, "two") == 101, "a good answer is taken again")

    def test_a_host_that_is_away_at_the_start(self):
        port = self.host.port
        self.host.close()
        server = self.serve()
        server.wait_for_log("a key set is not there")
        self.assertEqual(self.status(server, "one"), 503)
        status, text = self.health(server)
        self.assertEqual(status, 503)
        self.assertIn(f"not ready: the key set of localhost:{port} has not come yet", text)
        self.assertNotIn("/keys", text)
        self.assertEqual(self.health(server, "live")[0], 200, "a new start would not bring it")
        self.assertEqual(server.metric("limpet_jwks_missing"), 1)
        self.host = Host(self.folder, port)
        self.host.give(self.set_of("one"))
        wait_until(lambda: self.status(server, "one") == 101, "the keys have come")
        self.assertEqual(self.status(server, "two"), 401)
        wait_until(lambda: self.health(server) == (200, "ready\n"), lambda: self.health(server))
        self.assertEqual(server.metric("limpet_jwks_missing"), 0)

    def test_a_start_from_the_cache(self):
        cache = os.path.join(self.folder.path, "cache")
        os.mkdir(cache, 0o700)
        more = f"jwks_cooldown: 1s\n  jwks_cache: {cache}"
        with Server(options=self.options(more)) as server:
            self.assertEqual(self.status(server, "one"), 101)
            wait_until(lambda: [name for name in os.listdir(cache) if name.endswith(".jwks")], "it is kept")
        (name,) = os.listdir(cache)
        path = os.path.join(cache, name)
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        port = self.host.port
        self.host.close()
        with Server(options=self.options(more)) as server:
            server.wait_for_log("a key set is from the cache until its host can be reached")
            self.assertRegex(server.log_text(), rf"url=\S*localhost:{port}/keys\S* age_s=\d+")
            self.assertEqual(self.status(server, "one"), 101)
            self.assertEqual(self.status(server, "two"), 401)
            self.assertEqual(self.health(server), (200, "ready\n"))
            self.assertEqual([server.metric(f"limpet_jwks_{name}") for name in ("from_cache", "missing")], [1, 0])
            self.host = Host(self.folder, port)
            self.host.give(self.set_of("two"))
            wait_until(lambda: self.status(server, "two") == 101, server.log_text)
            self.assertEqual(server.metric("limpet_jwks_from_cache"), 0)
            wait_until(lambda: b'"two"' in self.folder.read(path), "the new one is kept")
        self.host.close()
        with open(path, "r+b") as file:
            file.truncate(os.path.getsize(path) - 1)
        with Server(options=self.options(more)) as server:
            server.wait_for_log("a key set in the cache is of no use")
            server.wait_for_log("a key set is not there")
            self.assertIn(path, server.log_text())
            self.assertEqual(self.status(server, "two"), 503)
            self.assertEqual(self.health(server)[0], 503)
        status, output = self.check(self.options(more))
        self.assertEqual(status, 1, "`limpet check` asks the host, and not the cache")
        self.assertIn(self.host.url, output)

    def test_a_cache_that_cannot_be_written(self):
        server = self.serve("jwks_cooldown: 1s\n  jwks_refresh: 1s\n  jwks_cache: /nowhere/at/all")
        server.wait_for_log("a key set cannot be kept on disk")
        self.assertIn("token.jwks_cache has to be a folder", server.log_text())
        wait_until(lambda: server.metric("limpet_jwks_fetches_total", result="good") > 3, server.metrics_text)
        self.assertEqual(self.status(server, "one"), 101)
        self.assertEqual(server.log_text().count("cannot be kept on disk"), 1, "said once")

    def test_ready_while_an_old_set_goes_on(self):
        server = self.serve()
        self.host.give(b"", status=500)
        wait_until(lambda: self.status(server, "one", "unknown") == 401 and
                   server.metric("limpet_jwks_fetches_total", result="failed") > 0, server.log_text)
        self.assertEqual(self.health(server), (200, "ready\n"))

    def test_ready_waits_for_each_set(self):
        """Also beside a file whose keys are good already."""
        path = self.folder.write("file.json", json.dumps(self.set_of("file")))
        self.host.give(b"", status=500)
        server = self.enterContext(Server(options=self.options("jwks_cooldown: 1s").replace(
            f'[{{path: "{self.host.url}"}}]', f'[{{path: {path}}}, {{path: "{self.host.url}"}}]')))
        self.assertEqual([self.status(server, name) for name in ("file", "one")], [101, 503])
        self.assertEqual(self.health(server)[0], 503)
        self.host.give(self.set_of("one"))
        wait_until(lambda: self.health(server)[0] == 200, lambda: self.health(server))
        self.assertEqual(self.status(server, "one"), 101)

    def test_new_keys_are_not_lost_for_a_file_that_is_bad_then(self):
        """All token keys are read when a key set has changed: one that cannot be just then only puts it off."""
        secret = self.folder.write("secret", b"a secret of at least thirty-two bytes")
        keys = f'[{{path: "{self.host.url}"}}, {{algorithm: HS256, kid: file, path: {secret}}}]'
        server = self.enterContext(Server(options=self.options("jwks_cooldown: 1s").replace(
            f'[{{path: "{self.host.url}"}}]', keys)))
        self.assertEqual(self.status(server, "one"), 101)
        self.folder.write("secret", b"")
        self.host.give(self.set_of("one", "two"))
        wait_until(lambda: self.status(server, "two") != 101 and "cannot be used" in server.log_text(), server.log_text)
        self.assertEqual(self.status(server, "one"), 101)
        self.folder.write("secret", b"a secret of at least thirty-two bytes")
        wait_until(lambda: self.status(server, "two") == 101, server.log_text)
        self.assertEqual(server.log_text().count("cannot be used"), 1, "said once")

    def test_a_kid_of_a_file_is_not_to_be_had_by_url(self):
        path = self.folder.write("file.json", json.dumps(self.set_of("file")))
        both = f'[{{path: "{self.host.url}"}}, {{path: {path}}}]'
        server = self.enterContext(Server(options=self.options("jwks_cooldown: 1s").replace(
            f'[{{path: "{self.host.url}"}}]', both)))
        self.assertEqual(self.status(server, "file"), 101)
        self.host.give({"keys": self.set_of("two")["keys"] + [self.folder.jwk("one", kid="file", alg="ES256")]})
        wait_until(lambda: self.status(server, "two") != 101 and
                   server.metric("limpet_jwks_fetches_total", result="clashing") > 0, server.log_text)
        server.wait_for_log('two keys have the kid')
        self.assertEqual(self.status(server, "one", "file"), 401, "who serves the set has no say over the file's key")
        self.assertEqual([self.status(server, name) for name in ("one", "file")], [101, 101])
        self.assertEqual(self.reload()[0], 0, "nor does it stand in the way of a reload")
        self.host.give(self.set_of("two"))
        wait_until(lambda: self.status(server, "two") == 101, server.log_text)

    def test_secrets_are_not_taken_from_a_url(self):
        secret = b"a secret of at least thirty-two bytes"
        oct_key = {"kty": "oct", "alg": "HS256", "kid": "public", "k": b64url(secret)}
        self.host.give({"keys": [oct_key, *self.set_of("one")["keys"]]})
        server = self.serve()
        server.wait_for_log("symmetric keys in a key set by URL are left out")
        self.assertEqual(server.metric("limpet_jwks_symmetric_keys_total"), 1)
        self.assertEqual(self.status(server, "one"), 101)
        token = sign({"alg": "HS256", "kid": "public"}, {"sub": "a", "exp": int(time.time()) + 600}, secret)
        self.assertEqual(server.status_of(server.request(token=token))[0], 401)
        self.host.give({"keys": [oct_key]})
        wait_until(lambda: self.status(server, "one", "unknown") == 401 and "only symmetric keys" in server.log_text(),
                   server.log_text)
        self.assertEqual(self.status(server, "one"), 101, "the last good set stays")
        self.assertNotIn(b64url(secret), server.log_text())

    def test_a_reload_while_the_host_is_away_since_the_start(self):
        port = self.host.port
        self.host.close()
        server = self.serve()
        self.assertEqual(self.reload()[0], 0, "other things can change meanwhile")
        self.host = Host(self.folder, port)
        self.host.give(self.set_of("one"))
        wait_until(lambda: self.status(server, "one") == 101, "the keys have come")

    def test_a_password_in_a_url_is_refused(self):
        with tempfile.TemporaryDirectory() as state:
            for url in ("https://me:pass@localhost/keys", "https://pass@localhost:1"):
                ran = subprocess.run([LIMPET, "check", "--state", state, "--token.keys", url], capture_output=True, text=True,
                                     timeout=PATIENCE, check=False)
                self.assertEqual(ran.returncode, 1)
                self.assertIn("would stand in logs", ran.stderr)
                self.assertNotIn("pass@", ran.stderr)

    def test_reload(self):
        server = self.serve()
        path = os.path.join(server.folder.name, "options.yaml")
        self.assertEqual(self.reload()[0], 0)
        with open(path, "w", encoding="utf-8") as file:
            file.write(self.options(url="https://localhost:1/keys"))
        status, output = self.reload()
        self.assertEqual(status, 1)
        self.assertIn("https://localhost:1/keys", output)
        self.assertEqual(self.status(server, "one"), 101)
        other = Host(self.folder)
        self.addCleanup(other.close)
        other.give(self.set_of("two"))
        with open(path, "w", encoding="utf-8") as file:
            file.write(self.options(url=other.url))
        self.assertEqual(self.reload()[0], 0)
        self.assertEqual(self.status(server, "two"), 101)
        self.assertEqual(self.status(server, "one"), 401)

    def check(self, options):
        ran = subprocess.run([LIMPET, "check", self.folder.write("checked.yaml", options)], capture_output=True,
                             text=True, timeout=PATIENCE, check=False)
        return ran.returncode, ran.stdout + ran.stderr

    def test_who_the_host_is_gets_checked(self):
        self.assertEqual(self.check(self.options())[0], 0)
        self.folder.certificate("stranger", ["Another CA"], is_issuer=True)
        for options, words in ((self.options().replace("ca.pem", "stranger.pem"), "certificate"),
                               (self.options(url=self.host.url.replace("localhost", "127.0.0.1")), "127.0.0.1"),
                               (self.options(url="http://localhost/keys"), "allowed: https")):
            status, output = self.check(options)
            self.assertEqual(status, 1, output)
            self.assertIn(words, output)


if __name__ == "__main__":
    main()
