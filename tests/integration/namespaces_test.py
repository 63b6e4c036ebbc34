"""Who may subscribe and publish: channels by query and by token against the rules of the namespaces, each rule on both
its sides; what is refused has its status or close code, its counter and its line for the operator."""

import subprocess
import unittest
from urllib.parse import quote

from limpet import LIMPET, PATIENCE, TEXT, Server, main

RULES = ("open:subscribe=client,closed:subscribe=nobody,claims,:subscribe=claim")


class Subscribing(unittest.TestCase):
    def server(self, *flags, **options):
        return self.enterContext(Server(*flags, **options))

    def subscriptions(self, server, target, **claims):
        """How many subscriptions a client with this target and token gets, or the status of its refusal."""
        claims = {"channels": [], **claims}
        before = server.metric("limpet_subscriptions")
        request = server.request(target=target, token=server.token(**claims))
        with server.tls() as sock:
            sock.sendall(request)
            status = int(sock.recv(4096).split()[1])
            count = server.metric("limpet_subscriptions") - before
        server.wait_metric("limpet_connections_held", 0)
        if status != 101:
            self.assertEqual(count, 0, "subscribed although refused")
            return status
        return count

    def test_rules_of_subscribing(self):
        server = self.server("--namespaces", RULES)
        cases = [
            # No rule: by claim.
            ("other:a", {}, 403), ("other:a", {"subscribe": ["other:a"]}, 1), ("other:a", {"subscribe": ["other:*"]}, 1),
            ("other:a", {"subscribe": ["other:b", "a"]}, 403), ("other:a", {"publish": ["other:a"]}, 403),
            # claim: both lists count, and what the token subscribes to is subscribed once.
            ("claims:a", {}, 403), ("claims:a", {"subscribe": ["claims:a"]}, 1), ("claims:a", {"channels": ["claims:a"]}, 1),
            ("claims:b", {"channels": ["claims:a"]}, 403), ("claims:b", {"channels": ["claims:*"]}, 2),
            ("plain", {"subscribe": ["plain"]}, 1), ("plain", {}, 403), ("plainer", {"subscribe": ["plain"]}, 403),
            # client: anybody; nobody: no claim helps, but the token's own channels are its signer's.
            ("open:a", {}, 1), ("open:a,open:b,open:a", {}, 2), ("open:*", {}, 1), ("open*", {}, 403),
            ("closed:a", {}, 403), ("closed:a", {"subscribe": ["*"]}, 403), ("closed:a", {"channels": ["closed:a"]}, 1),
            ("*", {"subscribe": ["*"]}, 403), ("op*", {"subscribe": ["*"]}, 1),
            # One that is not allowed refuses all.
            ("open:a,closed:a", {}, 403), ("closed:a,open:a", {"channels": ["x"]}, 403),
        ]
        for channels, claims, expected in cases:
            with self.subTest(channels=channels, claims=claims):
                refused = server.metric("limpet_upgrades_total", reason="channel_refused")
                self.assertEqual(self.subscriptions(server, f"/?channels={quote(channels)}", **claims), expected)
                self.assertEqual(server.metric("limpet_upgrades_total", reason="channel_refused"),
                                 refused + (expected == 403))
        line = server.wait_for_log("reason=channel_refused")
        self.assertIn("channel=other:a", line)
        self.assertIn("subject=tester", line)

    def test_forms_of_the_query(self):
        server = self.server("--namespaces", RULES)
        long = "open:" + "x" * 250
        many = ",".join(f"open:{i}" for i in range(128))
        for query, expected in (
                ("channels=", 0), ("channels", 0), ("channels=,,", 0), ("channels=open:a,,open:b,", 2), ("x=1", 0),
                ("Channels=closed:a", 0), ("x=1&channels=open:a&y", 1), ("channels=open%3Aa%2Copen%3Ab", 2),
                ("channels=open:%C3%A9", 1), ("channels=open:a+b", 1), (f"channels={long}", 1), (f"channels={many}", 128),
                (f"channels={long}x", 400), (f"channels={many},open:x", 400), ("channels=open:%ff", 400),
                ("channels=open:%00", 400), ("channels=open:%0a", 400), ("channels=open:%C2%80", 400),
                ("channels=open:%4", 400), ("channels=open:%zz", 400), ("channels=open:a&channels=open:b", 400)):
            with self.subTest(query=query[:40]):
                bad = server.metric("limpet_upgrades_total", reason="bad_channels")
                self.assertEqual(self.subscriptions(server, f"/?{query}"), expected)
                self.assertEqual(server.metric("limpet_upgrades_total", reason="bad_channels"), bad + (expected == 400))
        self.assertEqual(server.metric("limpet_arena_bytes"), server.metric("limpet_arena_bytes", shard="0") * 2,
                         "a block of a query was kept")

    def test_another_name_and_none(self):
        server = self.server("--plain.channels-query", "c", "--namespaces", RULES)
        self.assertEqual(self.subscriptions(server, "/?c=open:a&channels=closed:a"), 1)
        server = self.server("--plain.channels-query", "", "--namespaces", RULES)
        self.assertEqual(self.subscriptions(server, "/?channels=closed:a&=closed:a"), 0)

    def test_without_tokens(self):
        server = self.server("--token.required", "false", "--namespaces", RULES)
        for channels, status in (("open:a", 101), ("claims:a", 403), ("other", 403)):
            request = server.request(target=f"/?channels={channels}", drop=("Authorization",))
            with server.tls() as sock:
                sock.sendall(request)
                self.assertEqual(int(sock.recv(4096).split()[1]), status, channels)

    def test_a_message_arrives(self):
        server = self.server("--namespaces", "news:publish=claim:subscribe=client", "--plain.publish-channel", "news:a",
                             shards=4)
        readers = [server.websocket(target=f"/?channels={channels}", token=server.token(channels=own))
                   for channels, own in (("news:a", []), ("news:*", []), ("news:b,news:a", ["news:a"])) for _ in range(4)]
        writer = server.websocket(token=server.token(channels=[], publish=["news:*"]))
        writer.send(TEXT, "first")
        writer.send(TEXT, "second")
        for reader in readers:
            self.assertEqual(reader.receive_data(), (TEXT, b"first"))
            self.assertEqual(reader.receive_data(), (TEXT, b"second"))  # and not the first again


class Publishing(unittest.TestCase):
    def may_publish(self, server, **claims):
        """Whether a client with these claims may send; else it is closed with 1008 and counted."""
        refused = server.metric("limpet_publications_refused_total")
        published = server.metric("limpet_publications_total")
        client = server.websocket(token=server.token(**{"channels": [], **claims}))
        client.send(TEXT, "hello")
        client.send(0x9, b"then")
        opcode, payload = client.receive()
        while opcode == TEXT:
            opcode, payload = client.receive()
        may = opcode == 0xA
        self.assertEqual(payload[:2], b"th" if may else b"\x03\xf0")
        self.assertEqual(server.metric("limpet_publications_refused_total"), refused + (not may))
        self.assertEqual(server.metric("limpet_publications_total"), published + may)
        client.close()
        return may

    def test_rules_of_publishing(self):
        by_claim, subscribed = {"publish": ["inbox:*"]}, {"channels": ["inbox:a"]}
        by_pattern, elsewhere = {"channels": ["in*"]}, {"publish": ["inbox:b", "inbox"], "channels": ["inbox:b"],
                                                        "subscribe": ["inbox:a"]}
        for rules, allowed in (("", (by_claim, subscribed, by_pattern, elsewhere, {})),
                               ("other:publish=nobody", (by_claim, subscribed, by_pattern, elsewhere, {})),
                               ("inbox", (by_claim,)),
                               ("inbox:publish=claim", (by_claim,)),
                               ("inbox:publish=subscriber", (subscribed, by_pattern)),
                               ("inbox:publish=client", (by_claim, subscribed, by_pattern, elsewhere, {}))):
            flags = ["--namespaces", rules] if rules else []
            with Server("--plain.publish-channel", "inbox:a", *flags, shards=1) as server:
                for claims in (by_claim, subscribed, by_pattern, elsewhere, {}):
                    with self.subTest(rules=rules, claims=claims):
                        self.assertEqual(self.may_publish(server, **claims), claims in allowed)

    def test_back_to_the_sender(self):
        """Dev mode's echo is no channel: no rule is asked."""
        with Server("--namespaces", ":publish=nobody") as server:
            client = server.websocket()
            client.send(TEXT, "echo")
            self.assertEqual(client.receive_data(), (TEXT, b"echo"))

    def test_wrong_claims(self):
        with Server() as server:
            for claim in ("subscribe", "publish", "presence", "history"):
                for value in ("a", {}, True, [1], [""], ["x" * 256], ["a"] * 129):
                    with self.subTest(claim=claim, value=str(value)[:20]):
                        bad = server.metric("limpet_tokens_total", outcome="bad_claim")
                        request = server.request(token=server.token(**{claim: value}))
                        self.assertEqual(server.status_of(request)[0], 401)
                        self.assertEqual(server.metric("limpet_tokens_total", outcome="bad_claim"), bad + 1)
                server.websocket(token=server.token(**{claim: ["x" * 255] + ["a"] * 127})).close()


class Commands(unittest.TestCase):
    def run_limpet(self, *arguments):
        result = subprocess.run([LIMPET, *arguments], capture_output=True, text=True, timeout=PATIENCE, check=False)
        return result.returncode, result.stdout + result.stderr

    def test_tokens_of_the_command(self):
        with Server("--namespaces", "chat:publish=claim", "--plain.publish-channel", "chat:a") as server:
            status, token = self.run_limpet("token", "--state", server.state, "--sub", "ann", "--subscribe", "chat:*,x",
                                            "--publish", "chat:a")
            self.assertEqual(status, 0, token)
            client = server.websocket(target="/?channels=chat:a,x", token=token.strip())
            client.send(TEXT, "hello")
            self.assertEqual(client.receive_data(), (TEXT, b"hello"))
            status, output = self.run_limpet("token", "--state", server.state, "--publish", ",".join(["c"] * 129))
            self.assertEqual((status, output), (1, "limpet token: more than 128 channels in a list\n"))

    def test_check_shows_what_holds(self):
        with Server() as server:
            status, output = self.run_limpet("check", "--state", server.state, "--namespaces", "a:slow=drop_oldest")
            self.assertEqual(status, 0, output)
            self.assertIn("namespace a: subscribe=claim publish=claim see_presence=claim see_history=claim "
                          "presence=false history_size=0 history_age=1h slow=drop_oldest frame=auto\n", output)
            status, output = self.run_limpet("check", "--state", server.state, "--namespaces", "a:slow=drop")
            self.assertEqual(status, 1)
            self.assertIn("--namespaces: slow: \"drop\" is not allowed; allowed: close|drop_oldest|keep_latest", output)


if __name__ == "__main__":
    main()
