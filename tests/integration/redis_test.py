"""Limpet on one real Redis: what any tool publishes arrives, patterns and exact channels once each, the shipped script
from redis-cli, history, presence, forwarding, over TCP, a Unix socket and TLS, with an ACL user; wrong options are
refused before the start. The subscriptions that Redis has are those that clients need."""

import json
import os
import subprocess
import sys
import unittest
import urllib.request

from limpet import BINARY, LIMPET, PATIENCE, TEXT, Server, main, wait_until
from redis_servers import CLI, MISSING, TOOL, Redis, RedisError

NAMESPACES = ("n:history_size=100:history_age=1h:subscribe=client:publish=client:presence=true:see_history=nobody,"
              "open:subscribe=client:publish=client")
KEY = "api-key-of-the-test"


def flags(redis, *more):
    return ["--broker.kind", "redis", "--redis.nodes", f"127.0.0.1:{redis.port}", "--namespaces", NAMESPACES,
            "--broker.canary-interval", "200ms", *more]


class Case(unittest.TestCase):
    def redis(self, *lines, **options):
        return self.enterContext(Redis(*lines, **options))

    def server(self, *all_flags, **options):
        server = self.enterContext(Server(*all_flags, **options))
        self.wait_up(server)
        return server

    def wait_up(self, server, seconds=PATIENCE):
        wait_until(lambda: server.metric("limpet_broker_up") == 1, server.log_text, seconds)

    def channels(self, redis):
        return {name for name in redis("PUBSUB", "CHANNELS") if b"__" not in name}

    def wait_subscribed(self, redis, *names):
        wait_until(lambda: self.channels(redis) == {name.encode() for name in names},
                   lambda: f"{names}, not {self.channels(redis)}")

    def api(self, server, method, **body):
        request = urllib.request.Request(f"http://127.0.0.1:{server.admin_port}/api/{method}",
                                         json.dumps(body).encode(), {"X-API-Key": KEY})
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return json.load(answer)

    def publish(self, server, channel, data, **more):
        """By the API; it must be accepted. Returns the result."""
        answer = self.api(server, "publish", channel=channel, data=data, **more)
        self.assertIn("result", answer, server.log_text())
        return answer["result"]

    def publish_when_possible(self, server, channel, data):
        """Once, though an attempt whose outcome is unknown may have been one."""
        wait_until(lambda: "result" in self.api(server, "publish", channel=channel, data=data, idempotency_key=str(data)),
                   server.log_text)

    def key_file(self):
        path = os.path.join(self.enterContext(Folder()), "keys")
        with open(path, "w", encoding="utf-8") as file:
            file.write(KEY + "\n")
        return path


class Folder:
    def __enter__(self):
        import tempfile  # pylint: disable=import-outside-toplevel
        self.folder = tempfile.TemporaryDirectory(prefix="limpet-test-")
        return self.folder.name

    def __exit__(self, *exception):
        self.folder.cleanup()


class Publishing(Case):
    def test_plain_publish(self):
        redis = self.redis()
        server = self.server(*flags(redis))
        client = server.websocket(token=server.token(channels=["news", "open:b"]))
        self.wait_subscribed(redis, "limpet:news", "limpet:open:b")
        self.assertEqual(redis("PUBLISH", "limpet:news", "hello"), 1)
        self.assertEqual(client.receive_data(), (TEXT, b"hello"))
        for payload in ("", "x" * 100000, "__p1:", "__p1:1:e", "{\"a\":1}", "a\r\nb\0c"):
            redis("PUBLISH", "limpet:open:b", payload)
            self.assertEqual(client.receive_data(), (TEXT, payload.encode()))
        redis("PUBLISH", "limpet:news", b"\xff\xfe")  # nobody said which, and it is no text
        self.assertEqual(client.receive_data(), (BINARY, b"\xff\xfe"))
        self.assertEqual(redis("PUBLISH", "limpet:other", "nobody here"), 0)
        client.close()
        self.wait_subscribed(redis)

    def test_patterns_deliver_once(self):
        redis = self.redis()
        server = self.server(*flags(redis))
        wide = server.websocket(token=server.token(channels=["open:*"]))
        self.wait_subscribed(redis)
        wait_until(lambda: redis("PUBSUB", "NUMPAT") == 1, "one pattern")
        redis("PUBLISH", "limpet:open:a", "1")
        self.assertEqual(wide.receive_data(), (TEXT, b"1"))
        deep = server.websocket(token=server.token(channels=["open:a*"]))
        exact = server.websocket(token=server.token(channels=["open:a"]))
        wait_until(lambda: redis("PUBSUB", "NUMPAT") == 2, "two patterns")
        self.wait_subscribed(redis, "limpet:open:a")
        for payload in ("2", "3"):
            self.assertEqual(redis("PUBLISH", "limpet:open:a", payload), 3)  # what Redis sends
            for client in (wide, deep, exact):
                self.assertEqual(client.receive_data(), (TEXT, payload.encode()))
        exact.close()
        self.wait_subscribed(redis)
        deep.close()
        wait_until(lambda: redis("PUBSUB", "NUMPAT") == 1, "one pattern")
        redis("PUBLISH", "limpet:open:ab", "4")
        self.assertEqual(wide.receive_data(), (TEXT, b"4"))

    def test_pattern_characters_are_escaped(self):
        redis = self.redis()
        server = self.server(*flags(redis, "--redis.prefix", "p[x]?*:"))
        client = server.websocket(token=server.token(channels=["open:[a]*", "open:b?"]))
        wait_until(lambda: redis("PUBSUB", "NUMPAT") == 1, "one pattern")
        self.wait_subscribed(redis, "p[x]?*:open:b?")
        self.assertEqual(redis("PUBLISH", "p[x]?*:open:ab", "no"), 0)
        self.assertEqual(redis("PUBLISH", "pxyz:open:[a]b", "no"), 0)
        self.assertEqual(redis("PUBLISH", "p[x]?*:open:bc", "no"), 0)
        self.assertEqual(redis("PUBLISH", "p[x]?*:open:[a]b", "yes"), 1)
        self.assertEqual(client.receive_data(), (TEXT, b"yes"))
        self.assertEqual(redis("PUBLISH", "p[x]?*:open:b?", "too"), 1)
        self.assertEqual(client.receive_data(), (TEXT, b"too"))

    def test_one_pattern(self):
        redis = self.redis()
        server = self.server(*flags(redis, "--redis.one-pattern", "true"))
        clients = [server.websocket(token=server.token(channels=[name])) for name in ("open:a", "open:*", "n:x")]
        wait_until(lambda: redis("PUBSUB", "NUMPAT") == 1, "one pattern")
        self.wait_subscribed(redis)
        server.wait_metric("limpet_broker_followed", 3)
        redis("PUBLISH", "limpet:open:a", "1")
        for client in clients[:2]:
            self.assertEqual(client.receive_data(), (TEXT, b"1"))
        redis("PUBLISH", "limpet:n:x", "2")
        self.assertEqual(clients[2].receive_data(), (TEXT, b"2"))

    def test_clients_publish_to_another_host(self):
        redis = self.redis()
        here = self.server(*flags(redis, "--plain.publish-channel", "open:a"))
        there = self.server(*flags(redis))
        reader = there.websocket(token=there.token(channels=["open:a"]))
        self.wait_subscribed(redis, "limpet:open:a")
        writer = here.websocket(token=here.token(channels=[]))
        for opcode, payload in ((TEXT, b"hello"), (BINARY, b"hello"), (BINARY, b"\xff"), (TEXT, b"__p1:5:ep__forged")):
            writer.send(opcode, payload)
            self.assertEqual(reader.receive_data(), (opcode, payload))
        here.wait_metric("limpet_broker_publications_total", 4, outcome="done")

    def test_the_script_from_redis_cli(self):
        redis = self.redis()
        server = self.server(*flags(redis, "--admin.api-key-file", self.key_file()))
        client = server.websocket(token=server.token(channels=["n:a"]))
        self.wait_subscribed(redis, "limpet:n:a")

        def publish(*arguments, key=()):
            command = [CLI, "-p", str(redis.port), "--eval", "scripts/publish.lua", "limpet:{n:a}:stream",
                       "limpet:{n:a}:meta", *key, ",", *arguments]
            ran = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True)
            return ran.stdout.split()

        self.assertEqual(publish("limpet:n:a", "first", "10", "60")[0], "1")
        self.assertEqual(client.receive_data(), (TEXT, b"first"))
        self.assertEqual(publish("limpet:n:a", "second", "10", "60", "b")[0], "2")
        self.assertEqual(client.receive_data(), (BINARY, b"second"))
        key = ["limpet:{n:a}:key:k1"]
        third = publish("limpet:n:a", "third", "10", "60", key=key)
        self.assertEqual(publish("limpet:n:a", "third again", "10", "60", key=key), [*third[:2], "0"])
        publish("limpet:n:a", "fourth", "10", "60")
        self.assertEqual(client.receive_data(), (TEXT, b"third"))
        self.assertEqual(client.receive_data(), (TEXT, b"fourth"))
        self.assertGreater(redis("TTL", "limpet:{n:a}:stream"), 0)
        self.assertGreater(redis("TTL", "limpet:{n:a}:meta"), 1000000)
        with self.assertRaises(RedisError):
            with open("scripts/publish.lua", encoding="utf-8") as file:
                redis("EVAL", file.read(), 2, "a", "b", "channel", "payload", "no number", "60")

    def test_history_through_the_api(self):
        redis = self.redis()
        server = self.server(*flags(redis, "--admin.api-key-file", self.key_file()))
        client = server.websocket(token=server.token(channels=["n:a"]))
        self.wait_subscribed(redis, "limpet:n:a")
        for i in range(1, 6):
            result = self.publish(server, "n:a", {"seq": i})
            self.assertEqual(result["offset"], i)
            self.assertEqual(json.loads(client.receive_data()[1]), {"seq": i})
        epoch = result["epoch"]
        self.assertTrue(epoch)

        def offsets(**query):
            result = self.api(server, "history", channel="n:a", **query)["result"]
            self.assertEqual((result["offset"], result["epoch"]), (5, epoch))
            return [item["offset"] for item in result["publications"]]

        self.assertEqual(offsets(limit=10), [1, 2, 3, 4, 5])
        self.assertEqual(offsets(limit=2), [1, 2])
        self.assertEqual(offsets(limit=0), [])
        self.assertEqual(offsets(limit=2, reverse=True), [5, 4])
        self.assertEqual(offsets(limit=10, since={"offset": 3, "epoch": epoch}), [4, 5])
        self.assertEqual(offsets(limit=10, since={"offset": 3, "epoch": epoch}, reverse=True), [2, 1])
        self.assertEqual(offsets(limit=10, since={"offset": 1, "epoch": epoch}, reverse=True), [])
        answer = self.api(server, "history", channel="n:a", limit=1, since={"offset": 3, "epoch": "other"})
        self.assertEqual(answer["error"]["code"], 112)
        again = [self.publish(server, "n:a", 6, idempotency_key="k") for _ in range(2)]
        self.assertEqual(again[0], again[1])
        self.assertEqual(again[0]["offset"], 6)
        self.assertIn("result", self.api(server, "history_remove", channel="n:a"))
        result = self.api(server, "history", channel="n:a", limit=10)["result"]
        self.assertEqual((result["offset"], result["epoch"], result["publications"]), (6, epoch, []))
        # A script that Redis has forgotten is sent again.
        redis("SCRIPT", "FLUSH")
        self.assertEqual(self.publish(server, "n:a", 7)["offset"], 7)

    def test_presence_over_hosts(self):
        redis = self.redis()
        options = flags(redis, "--admin.api-key-file", self.key_file(), "--redis.presence-expiry", "3s")
        here, there = self.server(*options), Server(*options)
        self.addCleanup(there.folder.cleanup)
        self.wait_up(there)
        ann = here.websocket(token=here.token(sub="ann", channels=["n:a"]))
        bob = there.websocket(token=there.token(sub="bob", channels=["n:a"]))

        def users():
            presence = self.api(here, "presence", channel="n:a")["result"]["presence"]
            return sorted(member["user"] for member in presence.values())

        wait_until(lambda: users() == ["ann", "bob"], users)
        # Alive beyond the expiry, for their hosts keep them so.
        redis("DEL", "limpet:{n:a}:members", "limpet:{n:a}:expiry")
        wait_until(lambda: users() == ["ann", "bob"], users)
        ann.close()
        wait_until(lambda: users() == ["bob"], users)
        there.process.kill()
        there.process.wait()
        there.reader.join()
        there.process.stdout.close()
        wait_until(lambda: users() == [], users)
        bob.close()

    def test_forward_to_a_stream(self):
        redis = self.redis()
        server = self.server(*flags(redis, "--broker.forward", "true", "--plain.publish-channel", "open:a"))
        client = server.websocket(token=server.token(sub="ann", channels=["open:a"]))
        self.wait_subscribed(redis, "limpet:open:a")
        client.send(TEXT, "hello")
        self.assertEqual(client.receive_data(), (TEXT, b"hello"))
        wait_until(lambda: redis("XLEN", "limpet:inbound") == 1, "one entry")
        _, fields = redis("XRANGE", "limpet:inbound", "-", "+")[0]
        entry = dict(zip(fields[::2], fields[1::2]))
        self.assertEqual(entry[b"payload"], b"hello")
        self.assertEqual(entry[b"user"], b"ann")
        self.assertEqual(entry[b"channel"], b"open:a")
        self.assertEqual(entry[b"frame"], b"text")
        self.assertTrue(entry[b"connection"])
        self.assertGreater(int(entry[b"time"]), 1600000000000)

    def test_forward_to_a_channel(self):
        redis = self.redis()
        server = self.server(*flags(redis, "--broker.forward", "true", "--redis.forward", "channel",
                                    "--plain.publish-channel", "open:a"))
        backend = Redis.subscriber(redis, "limpet:inbound")
        client = server.websocket(token=server.token(sub='a"nn', channels=[]))
        for opcode, payload, key, value in ((TEXT, 'say "hi"\n\u00e4', "payload", 'say "hi"\n\u00e4'),
                                            (BINARY, b"\xff\x00", "payload_base64", "/wA=")):
            client.send(opcode, payload)
            message = json.loads(backend.read()[2])
            self.assertEqual(message[key], value)
            self.assertEqual((message["user"], message["channel"]), ('a"nn', "open:a"))
            self.assertGreater(message["time"], 1600000000000)
        backend.close()

    def test_canary(self):
        redis = self.redis()
        server = self.server(*flags(redis))
        wait_until(lambda: server.metric("limpet_broker_round_trip_seconds") > 0, "a canary came back")
        wait_until(lambda: server.metric("limpet_broker_canary_age_seconds") < 1, "another one has")

    def test_canary_leaves_at_once(self):
        """Not with what wakes the thread next, which in a server at rest is the time of the next canary."""
        server = self.server(*flags(self.redis(), "--broker.canary-interval", "1s"))
        seen = [0]

        def is_settled():
            value = server.metric("limpet_broker_round_trip_seconds")
            if value != seen[-1]:
                seen.append(value)
            return len(seen) == 5  # the start wakes the thread, too: the first two may have been lucky

        wait_until(is_settled, "four canaries came back")
        self.assertLess(min(seen[3:]), 0.5, seen)


class Reaching(Case):
    def check(self, redis, server):
        client = server.websocket(token=server.token(channels=["open:a"]))
        self.wait_subscribed(redis, "limpet:open:a")
        redis("PUBLISH", "limpet:open:a", "hello")
        self.assertEqual(client.receive_data(), (TEXT, b"hello"))
        self.assertNotIn("secret-of-the-test", server.log_text())

    def test_unix_socket(self):
        path = os.path.join(self.enterContext(Folder()), "redis.sock")
        redis = self.redis(f"unixsocket {path}")
        self.check(redis, self.server(*flags(redis), "--redis.nodes", path))

    def test_name_of_a_host(self):
        redis = self.redis()
        self.check(redis, self.server(*flags(redis), "--redis.nodes", f"localhost:{redis.port}"))

    def password(self, text="secret-of-the-test"):
        path = os.path.join(self.enterContext(Folder()), "password")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text + "\n")
        return path

    def test_acl_user(self):
        redis = self.redis("user limpet on >secret-of-the-test ~limpet:* &limpet:* +@all -@dangerous -@admin +script|load")
        server = self.server(*flags(redis, "--redis.user", "limpet", "--redis.password-file", self.password()))
        self.check(redis, server)

    def test_wrong_password_then_the_right_one(self):
        redis = self.redis("user limpet on >secret-of-the-test ~* &* +@all")
        path = self.password("secret-of-the-test-but-wrong")
        server = self.enterContext(Server(*flags(redis, "--redis.user", "limpet", "--redis.password-file", path)))
        self.assertIn("WRONGPASS", server.wait_for_log("redis connection failed"))
        self.assertEqual(server.metric("limpet_broker_up"), 0)
        with open(path, "w", encoding="utf-8") as file:
            file.write("secret-of-the-test")
        self.wait_up(server)
        self.check(redis, server)

    def test_acl_without_channels(self):
        redis = self.redis("user limpet on >secret-of-the-test ~* resetchannels +@all")
        server = self.server(*flags(redis, "--redis.user", "limpet", "--redis.password-file", self.password()))
        client = server.websocket(token=server.token(channels=["open:a", "open:b"]))
        self.assertIn("NOPERM", server.wait_for_log("redis refused"))
        wait_until(lambda: server.metric("limpet_broker_errors_total") > 0, "it is counted")
        redis("ACL", "SETUSER", "limpet", "allchannels")
        wait_until(lambda: len(self.channels(redis)) == 2, "asked again", PATIENCE + 10)
        client.close()

    def certificate(self, folder, name):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
                        "2", "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name},IP:127.0.0.1", "-keyout",
                        f"{folder}/{name}.key", "-out", f"{folder}/{name}.pem"], capture_output=True, check=True)
        return f"{folder}/{name}.pem", f"{folder}/{name}.key"

    def test_tls(self):
        folder = self.enterContext(Folder())
        certificate, key = self.certificate(folder, "redis.test")
        own, own_key = self.certificate(folder, "limpet.test")
        redis = self.redis()
        port = redis.port
        redis("CONFIG", "SET", "tls-ca-cert-file", own)
        redis("CONFIG", "SET", "tls-cert-file", certificate, "tls-key-file", key)
        tls_port = Redis.free_port()
        redis("CONFIG", "SET", "tls-port", tls_port)
        self.assertEqual(port, redis.port)
        tls = ["--redis.nodes", f"127.0.0.1:{tls_port}", "--redis.tls", "true", "--redis.tls-certificate-file", own,
               "--redis.tls-key-file", own_key]
        for more in ((), ("--redis.tls-name", "redis.test")):
            server = self.server(*flags(redis), *tls, "--redis.tls-ca-file", certificate, *more)
            self.check(redis, server)
            server.stop()
        for more, reason in ((["--redis.tls-ca-file", certificate, "--redis.tls-name", "other.test"], "mismatch"),
                             (["--redis.tls-ca-file", own], "self-signed certificate"), ([], "self-signed certificate")):
            server = self.enterContext(Server(*flags(redis), *tls, *more))
            self.assertIn(reason, server.wait_for_log("redis connection failed"))
            self.assertEqual(server.metric("limpet_broker_up"), 0)

    def test_much_by_tls(self):
        """Messages of many records, both ways, and a gap that is read by TLS."""
        folder = self.enterContext(Folder())
        certificate, key = self.certificate(folder, "redis.test")
        redis = self.redis()
        redis("CONFIG", "SET", "tls-ca-cert-file", certificate)
        redis("CONFIG", "SET", "tls-cert-file", certificate, "tls-key-file", key)
        port = Redis.free_port()
        redis("CONFIG", "SET", "tls-auth-clients", "no", "tls-port", port)
        server = self.server(*flags(redis, "--plain.publish-channel", "n:a"), "--redis.nodes", f"127.0.0.1:{port}",
                             "--redis.tls", "true", "--redis.tls-ca-file", certificate)
        client = server.websocket(token=server.token(channels=["n:a"]))
        self.wait_subscribed(redis, "limpet:n:a")
        wait_until(lambda: redis("EXISTS", "limpet:{n:a}:meta") == 1, "the position was asked for")
        writer = server.websocket(token=server.token(channels=[]))
        for turn in range(30):
            payload = bytes([turn]) + os.urandom(60000)
            writer.send(BINARY, payload)
            if turn % 10 == 5:
                self.assertEqual(redis("CLIENT", "KILL", "TYPE", "pubsub"), 1)
            self.assertEqual(client.receive_data(), (BINARY, payload))
        self.assertGreaterEqual(server.metric("limpet_broker_reconnects_total"), 3)
        self.assertEqual(server.metric("limpet_broker_gaps_total"), 0)
        self.assertEqual(server.metric("limpet_broker_malformed_total"), 0)

    def test_options(self):
        password, nothing = self.password(), os.path.join(self.enterContext(Folder()), "none")
        for more, said in ((("--redis.nodes", "127.0.0.1"), "redis.nodes"), (("--redis.nodes", "a:1,b:2"), "redis.nodes"),
                           (("--redis.prefix", "{a}"), "redis.prefix"), (("--redis.user", "u"), "redis.user"),
                           (("--redis.password-file", nothing), f"redis.password_file: {nothing}: no password can be read "
                            "from it: No such file"),
                           (("--redis.password-file", "/dev/null"), "its first line is empty"),
                           (("--redis.topology", "cluster", "--redis.one-pattern", "true"), "redis.one_pattern"),
                           (("--redis.tls", "true", "--redis.tls-ca-file", nothing),
                            f"redis.tls_ca_file: {nothing}: No such file or directory"),
                           (("--redis.tls", "true", "--redis.tls-ca-file", "/"), "redis.tls_ca_file: /: Is a directory"),
                           (("--redis.tls", "true", "--redis.tls-ca-file", password), f"{password}: no certificate"),
                           (("--redis.tls", "true", "--redis.tls-certificate-file", password, "--redis.tls-key-file",
                             password), f"redis.tls_certificate_file: {password}: no start line"),
                           (("--redis.tls", "true", "--redis.tls-key-file", password), "redis.tls_certificate_file"),
                           (("--redis.tls-ca-file", password), "redis.tls_ca_file: without redis.tls"),
                           (("--redis.tls-certificate-file", password), "redis.tls_certificate_file: without redis.tls"),
                           (("--redis.tls-key-file", password), "redis.tls_key_file: without redis.tls"),
                           (("--redis.tls-name", "a"), "redis.tls_name: without redis.tls"),
                           (("--redis.topology", "sentinel", "--redis.sentinel-user", "u"),
                            "redis.sentinel_user: without a password"),
                           (("--redis.forward-name", "limpet:{a}:stream"), "redis.forward_name: redis.prefix and a brace"),
                           (("--plain.publish-channel", "n:a", "--namespaces", "n:publish=nobody"),
                            "plain.publish_channel: in its namespace (namespaces) nobody may publish")):
            with self.subTest(more=more):
                ran = subprocess.run([LIMPET, "serve", "--state", self.enterContext(Folder()), "--listen", "127.0.0.1:0",
                                      "--broker.kind", "redis", *more], capture_output=True, text=True, timeout=PATIENCE,
                                     check=False)
                self.assertNotEqual(ran.returncode, 0)
                self.assertIn(said, ran.stderr)

    def test_options_that_come_to_nothing(self):
        redis = self.redis()
        server = self.server(*flags(redis, "--redis.master-name", "other"))
        self.assertIn("redis.master_name: has no effect, for redis.topology is single",
                      server.wait_for_log("questionable option"))
        ran = subprocess.run([LIMPET, "check", "--state", self.enterContext(Folder()), "--redis.nodes", "other:1"],
                             capture_output=True, text=True, timeout=PATIENCE, check=False)
        self.assertEqual(ran.returncode, 0)
        self.assertIn("warning: redis.nodes: has no effect, for broker.kind is memory", ran.stderr)


if __name__ == "__main__":
    if not TOOL:
        print(f"skipped: {MISSING}")
        sys.exit(77)
    main()
