"""Tokens from outside: every outcome with its counter and its line for the operator, in all four places, at all
sizes, and never a token or a key where it does not belong."""

import hashlib
import json
import re
import subprocess
import tempfile
import time
import unittest

from keys import Folder, decoded
from limpet import LIMPET, PATIENCE, Server, b64url, main, sign, wait_until

HS256 = {"alg": "HS256", "typ": "JWT"}
SECRET = b"a secret of at least thirty-two bytes"

OPTIONS = """
tls:
  certificates:
    - certificate: {certificate}
      key: {key}
token:
  in_cookie: true
  in_query: true
  keys:
{keys}
{rest}
"""


class Tokens(unittest.TestCase):
    """With an options file, as in production."""

    @classmethod
    def setUpClass(cls):
        cls.folder = Folder(cls.enterClassContext(tempfile.TemporaryDirectory(prefix="limpet-keys-")))
        cls.certificate = cls.folder.certificate("tls")
        cls.secret_path = cls.folder.write("secret", SECRET + b"\n")

    def server(self, keys=None, rest="", flags=()):
        keys = keys or [f"{{algorithm: HS256, path: {self.secret_path}}}"]
        text = OPTIONS.format(certificate=self.certificate, key=self.folder.key("tls"), rest=rest,
                              keys="\n".join(f"    - {entry}" for entry in keys))
        return self.enterContext(Server(*flags, options=text))

    def claims(self, **claims):
        claims = {"sub": "ann", "exp": int(time.time()) + 600, **claims}
        return {name: value for name, value in claims.items() if value is not None}

    def status(self, server, token, *headers, **options):
        return server.status_of(server.request(*headers, token=token, **options))[0]

    def check(self, server, token, outcome):
        """The status, the counter and the log line of a token."""
        before = server.metric("limpet_tokens_total", outcome=outcome)
        lines = server.log_text().count(f" reason={outcome} ")
        status = self.status(server, token)
        self.assertEqual(server.metric("limpet_tokens_total", outcome=outcome), before + 1, outcome)
        self.assertEqual(status, {"good": 101, "too_large": 431}.get(outcome, 401))
        if outcome != "good":
            wait_until(lambda: server.log_text().count(f" reason={outcome} ") == lines + 1, "a line in the log")
        for part in token.split("."):
            self.assertTrue(len(part) < 20 or part not in server.log_text(), "a token's part in the log")

    def hs(self, header=None, secret=SECRET, **claims):
        return sign({**HS256, **(header or {})}, self.claims(**claims), secret)

    def test_outcomes(self):
        server = self.server(rest="  issuer: https://issuer.example\n  audience: a\n  leeway: 0s\n")
        now = int(time.time())
        good = {"iss": "https://issuer.example", "aud": "a"}

        def token(header=None, **claims):
            return self.hs(header, **{**good, **claims})

        head, body, tail = token().split(".")
        none = b64url(json.dumps({"alg": "none"}).encode())
        cases = [
            ("good", token()),
            ("malformed", "x"), ("malformed", "a.b"), ("malformed", f"{head}.{body}.{tail}.{tail}"),
            ("malformed", f"{head}.{b64url(b'[1]')}.{tail}"), ("malformed", f"{head}.{body[:-3]}.{tail}"),
            ("malformed", f"{head}..{tail}"),
            ("algorithm", f"{none}.{body}."), ("algorithm", f"{none}.{body}.{tail}"),
            ("algorithm", sign({"alg": "HS512"}, self.claims(**good), SECRET, hashlib.sha512)),
            ("algorithm", token({"alg": "hs256"})), ("algorithm", token({"alg": None})),
            ("algorithm", token({"alg": "RS256"})),
            ("critical", token({"crit": ["exp"]})),
            ("unknown_key", token({"kid": 7})), ("unknown_key", token({"kid": "k" * 2000})),
            ("bad_signature", f"{head}.{body}.{tail[:-4]}AAAA"), ("bad_signature", f"{head}.{body}."),
            ("bad_signature", self.hs(secret=b"another secret of thirty-two bytes!!", **good)),
            ("bad_signature", f"{head}.{token(sub='root').split('.')[1]}.{tail}"),
            ("expired", token(exp=now - 1)), ("expired", token(exp=0)), ("expired", token(exp=-5)),
            ("not_yet", token(nbf=now + 600)),
            ("no_expiry", token(exp=None)),
            ("wrong_issuer", token(iss=None)), ("wrong_issuer", token(iss="https://issuer.example/")),
            ("bad_claim", token(iss=1)),
            ("bad_claim", token(exp=str(now + 600))), ("bad_claim", token(nbf="soon")), ("bad_claim", token(exp=True)),
            ("bad_claim", token(sub=5)), ("bad_claim", token(sub="s" * 256)), ("good", token(sub="s" * 255)),
            ("bad_claim", token(channels="a")), ("bad_claim", token(channels=["c"] * 129)),
            ("bad_claim", token(channels=[""])), ("bad_claim", token(channels=["c" * 256])),
            ("bad_claim", token(channels=["a\nb"])), ("bad_claim", token(channels=[1])),
            ("good", token(channels=[f"c{i}" for i in range(128)])), ("good", token(channels=["c" * 255])),
        ]
        for i, (outcome, text) in enumerate(cases):
            with self.subTest(i=i, outcome=outcome):
                self.check(server, text, outcome)
        # The client learns little, whatever it was.
        bodies = {server.status_of(server.request(token=text))[2] for outcome, text in cases
                  if outcome not in ("good", "too_large")}
        self.assertEqual(bodies, {b"The token was not accepted.\n"})

    def test_audience(self):  # S21
        server = self.server(rest="  audience: a\n")
        for audience, outcome in (("a", "good"), (["b", "a"], "good"), ([], "wrong_audience"), ("", "wrong_audience"),
                                  (["A"], "wrong_audience"), (["ab"], "wrong_audience"), ("ab", "wrong_audience"),
                                  (None, "wrong_audience"), ([1], "bad_claim"), ({"a": 1}, "bad_claim")):
            with self.subTest(audience=audience):
                self.check(server, self.hs(aud=audience), outcome)

    def test_times_as_floats(self):  # S20
        server = self.server()
        for text in ("1893456000.25", "1.893456E9", "1893456000.0", "1893456000", "1e300", "253402300799"):
            with self.subTest(text):
                raw = f'{{"exp":{text},"nbf":1.5e9,"iat":1500000000.25}}'.encode()
                self.check(server, sign(HS256, raw, SECRET), "good")

    def test_clocks(self):  # S22
        for leeway in (0, 5, 60):
            server = self.server(rest=f"  leeway: {leeway}s\n")
            for claim, offset, refused in (("exp", -3, "expired"), ("nbf", 4, "not_yet"), ("exp", -50, "expired"),
                                           ("nbf", 50, "not_yet"), ("exp", -70, "expired"), ("nbf", 70, "not_yet")):
                with self.subTest(leeway=leeway, claim=claim, offset=offset):
                    now = int(time.time())
                    outcome = "good" if abs(offset) < leeway else refused
                    self.check(server, self.hs(**{claim: now + offset}), outcome)
                    if outcome != "good":
                        server.wait_for_log(f"{claim}={now + offset} ")
            self.check(server, self.hs(iat=int(time.time()) + 3600), "good")  # in the future: no reason
            self.assertRegex(server.log_text(), r" exp=\d+ nbf=\d+ now=\d{10}")
            server.stop()

    def test_spelling_of_authorization(self):  # S23
        server = self.server()
        token = self.hs()
        for value, status in ((f"bearer {token}", 101), (f"BEARER  {token}", 101), (f"Bearer {token} ", 101),
                              (f"Bearer\t{token}", 401), ("Bearer", 401), ("Bearer ", 401),
                              (f"Bearer {token} y", 401), (f"Bearer {token},{token}", 401), (f"Token {token}", 401),
                              (f"Bearer{token}", 401), (token, 401), (f"Basic {token}", 401)):
            with self.subTest(value.replace(token, "T")):
                self.assertEqual(self.status(server, None, f"Authorization: {value}"), status)
        self.assertEqual(self.status(server, None, f"authorization: Bearer {token}", drop=["Authorization"]), 101)
        self.assertEqual(self.status(server, None, f"Authorization: Bearer {token}", f"Authorization: Bearer {token}"), 401)
        # Another scheme counts as none: the next place decides.
        self.assertEqual(self.status(server, None, f"Authorization: Token {token}", f"Cookie: token={token}"), 101)

    def places(self, token):
        """How a token is sent in each of the four places."""
        return {"authorization": ([f"Authorization: Bearer {token}"], "/"),
                "protocol": ([f"Sec-WebSocket-Protocol: bearer, {token}"], "/"),
                "cookie": ([f"Cookie: a=b; token={token}"], "/"),
                "query": ([], f"/?a=b&token={token}")}

    def sized(self, size):
        """A good token of exactly or just above size bytes."""
        fill = 0
        while len(token := self.hs(fill="x" * fill)) < size:
            fill += max(1, (size - len(token)) * 3 // 4)
        return token

    def test_sizes_in_every_place(self):  # S24
        server = self.server(rest="  size_max: 64KB\nupgrade:\n  request_size_max: 128KB\n")
        for size in (1024, 4096, 8192, 15360, 16384, 17408, 64 * 1024 - 4):
            token = self.sized(size)
            for place, (headers, target) in self.places(token).items():
                with self.subTest(size=len(token), place=place):
                    request = server.request(*headers, drop=["Authorization"], target=target)
                    if not headers or not headers[0].startswith("Authorization"):
                        self.assertNotIn(b"Authorization", request)
                    self.assertEqual(server.status_of(request)[0], 101)
        self.check(server, self.sized(64 * 1024 + 4), "too_large")
        self.assertEqual(server.metric("limpet_tokens_total", outcome="bad_signature"), 0)

    def test_sizes_by_default(self):
        server = self.server()
        self.check(server, self.sized(8188), "good")
        for size in (8196, 15000):
            for place, (headers, target) in self.places(self.sized(size)).items():
                with self.subTest(size=size, place=place):
                    request = server.request(*headers, drop=["Authorization"], target=target)
                    self.assertEqual(server.status_of(request)[0], 431)
        server.wait_for_log("token.size_max")
        self.assertEqual(server.metric("limpet_tokens_total", outcome="too_large"), 8)
        for place, (headers, target) in self.places(self.sized(17408)).items():
            with self.subTest(size=17408, place=place):
                request = server.request(*headers, drop=["Authorization"], target=target)
                self.assertEqual(server.status_of(request)[0], 431)
        server.wait_for_log("upgrade.request_size_max")
        cookies = [f"Cookie: foreign{i}={'c' * 1000}" for i in range(6)]
        self.assertEqual(self.status(server, None, *cookies, f"Authorization: Bearer {self.hs()}"), 101)

    def test_places_are_switchable(self):
        for place in ("authorization", "protocol", "cookie", "query"):
            flags = [part for name in ("authorization", "protocol", "cookie", "query")
                     for part in (f"--token.in-{name}", "true" if name == place else "false")]
            with Server(*flags) as server:
                for name, (headers, target) in self.places(server.token()).items():
                    with self.subTest(switched_on=place, sent=name):
                        request = server.request(*headers, drop=["Authorization"], target=target)
                        self.assertEqual(server.status_of(request)[0], 101 if name == place else 401)
                self.assertEqual(server.metric("limpet_upgrades_total", reason="no_token"), 3)

    def test_keys_by_kid_and_kind(self):  # S25, the part without a network
        folder = self.folder
        for name, kind in (("ec", "ec:P-256"), ("rsa", "rsa:2048"), ("ed", "ed25519"), ("set1", "ec:P-256"),
                           ("set2", "ec:P-256")):
            folder.key(name, kind)
        keys = {"keys": [folder.jwk("set1", kid="one", alg="ES256"), folder.jwk("set2", kid="../../x", alg="ES256")]}
        folder.write("set.json", json.dumps(keys))
        server = self.server([f"{{kid: h, algorithm: HS256, path: {self.secret_path}}}",
                              f"{{kid: e, algorithm: ES256, path: {folder.public_key('ec')}}}",
                              f"{{kid: r, algorithm: RS256, path: {folder.public_key('rsa')}}}",
                              f"{{kid: p, algorithm: PS256, path: {folder.public_key('rsa')}}}",
                              f"{{kid: d, algorithm: EdDSA, path: {folder.public_key('ed')}}}",
                              f"{{path: {folder.at('set.json')}}}"])
        for kid, algorithm, key in (("e", "ES256", "ec"), ("r", "RS256", "rsa"), ("p", "PS256", "rsa"),
                                    ("d", "EdDSA", "ed"), ("one", "ES256", "set1"), ("../../x", "ES256", "set2")):
            with self.subTest(kid=kid):
                token = folder.sign(key, {"alg": algorithm, "kid": kid}, self.claims())
                self.check(server, token, "good")
                self.check(server, token[:-6] + "AAAAAA", "bad_signature")
        self.check(server, self.hs({"kid": "h"}), "good")
        public = folder.read("rsa.pub")  # a public key is no secret: the old confusion of HS256 with RS256
        for kid, outcome in (("r", "algorithm"), ("e", "algorithm"), ("h", "bad_signature"), ("x", "unknown_key"),
                             ("", "unknown_key"), ("../../x", "algorithm"), (None, "unknown_key"),
                             ("one\0", "malformed"), ("ONE", "unknown_key")):
            with self.subTest(kid=kid):
                self.check(server, self.hs({"kid": kid}, secret=public), outcome)
        self.check(server, folder.sign("set2", {"alg": "ES256", "kid": "one"}, self.claims()), "bad_signature")
        start = time.monotonic()
        for i in range(100):
            self.assertEqual(self.status(server, self.hs({"kid": f"random-{i}"})), 401)
        self.assertLess(time.monotonic() - start, PATIENCE)
        self.check(server, self.hs({"kid": "h"}), "good")


class Marks(unittest.TestCase):
    """S40: a marked token, good and bad, in every place, on every path; then it is looked for."""

    MARK = "MARKmarkMARKmarkMARKmarkMARK"

    def test_a_token_is_seen_nowhere(self):
        with Server("--log.level", "debug", "--token.size-max", "2KB") as server:
            good = server.token(sub="marked", jti=self.MARK)
            head, body, _ = good.split(".")
            at = decoded(body).index(self.MARK.encode())
            mark_in_body = body[at * 4 // 3 + 2:][:20]  # the mark as it stands in the token's text
            tokens = [good, server.token(sub="late", ttl=-100, jti=self.MARK), f"{head}.{body}.{self.MARK}", self.MARK,
                      f"{head}.{self.MARK}", f"{self.MARK}.{body}.{self.MARK}", self.MARK * 100, self.MARK + "\\x",
                      self.MARK + "." + self.MARK + "=", sign({"alg": self.MARK, "kid": self.MARK}, {}, b"x")]
            answers = b""
            for token in tokens:
                for headers, target in (([f"Authorization: Bearer {token}"], "/"),
                                        ([f"Sec-WebSocket-Protocol: bearer, {token}"], "/"),
                                        ([f"Cookie: token={token}"], "/"), ([], f"/?token={token}"),
                                        ([f"Authorization: Bearer {token}", "Sec-WebSocket-Version: 8"], "/"),
                                        ([f"Authorization: Bearer {token}", "X: " + "y" * 20000], "/")):
                    drop = ["Authorization"] if not any(line.startswith("Auth") for line in headers) else []
                    _, answer_headers, body_text = server.status_of(
                        server.request(*headers, drop=drop, target=target))
                    answers += repr(answer_headers).encode() + body_text
            with open(f"/proc/{server.process.pid}/cmdline", "rb") as file:
                answers += file.read()
            answers += server.metrics_text().encode()
            secret = server.secret.decode()
            server.stop()  # so that the log is whole
            log = "\n".join(line for line in server.log if line and re.match(r"\d{4}-\d\d-\d\dT", line))
            self.assertIn("token refused", log)
            everything = answers + log.encode()
            for name, part in (("mark", self.MARK), ("mark in base64", mark_in_body), ("signature", good.split(".")[2]),
                               ("claims", body[:60]), ("secret", secret)):
                self.assertNotIn(part.encode(), everything, name)

    def test_check_and_cmdline_show_no_secret(self):
        with Server() as server:
            secret = server.secret.decode()
            result = subprocess.run([LIMPET, "check", "--state", server.state], capture_output=True, text=True,
                                    timeout=PATIENCE, check=False)
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertNotIn(secret, result.stdout + result.stderr)
            with open(f"/proc/{server.process.pid}/cmdline", "rb") as file:
                self.assertNotIn(secret.encode(), file.read())
            self.assertNotIn(secret, server.metrics_text())
        self.assertNotIn(secret, server.log_text())


if __name__ == "__main__":
    main()
