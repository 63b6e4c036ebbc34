"""A Redis that fails: connections that it ends, a burst that it cuts off, a process that stops or dies, no memory, a disk
that is full, passwords, replicas, answers of a wrong shape. No client is closed for it, what has history is caught up in
order and once, what is refused is refused with an error, and each has its counter and its line in the log."""

import os
import re
import sys
import time
import unittest
import urllib.error
import urllib.request

from limpet import PATIENCE, TEXT, Server, main, wait_until
from proxy import Proxy
from redis_servers import MISSING, TOOL, FakeRedis
from redis_test import Case, Folder, flags

STREAM, META = "limpet:{n:a}:stream", "limpet:{n:a}:meta"


class Failing(Case):
    def publisher(self, redis, size=1000):
        """publish(i...) of numbers to n:a, as a backend does."""
        with open("scripts/publish.lua", encoding="utf-8") as file:
            text = file.read()

        def publish(*numbers, padding=""):
            for number in numbers:
                redis("EVAL", text, 2, STREAM, META, "limpet:n:a", f"{number}{padding}", size, 3600)

        return publish

    def reader(self, redis, server):
        client = server.websocket(token=server.token(channels=["n:a"]))
        self.wait_subscribed(redis, "limpet:n:a")
        wait_until(lambda: redis("EXISTS", META) == 1, "the position was asked for")
        return client

    def expect(self, client, numbers, padding=""):
        for number in numbers:
            self.assertEqual(client.receive_data(), (TEXT, f"{number}{padding}".encode()))

    def ready(self, server):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{server.admin_port}/health/ready", timeout=PATIENCE) as answer:
                return answer.status == 200
        except urllib.error.HTTPError as error:
            return error.code == 200

    def kill_subscribers(self, redis):
        return redis("CLIENT", "KILL", "TYPE", "pubsub")


class Connections(Failing):
    def test_gaps_are_filled(self):
        redis = self.redis()
        server = self.server(*flags(redis))
        publish, client = self.publisher(redis), self.reader(redis, server)
        publish(1)
        self.expect(client, [1])
        killed = 0
        for turn in range(7):  # the pauses between two attempts grow
            first = 2 + turn * 10
            publish(*range(first, first + 3))
            killed += self.kill_subscribers(redis)
            publish(*range(first + 3, first + 10))
            if turn % 2:
                self.wait_subscribed(redis, "limpet:n:a")
        self.assertGreaterEqual(killed, 4)
        self.expect(client, range(2, 72))
        publish("last")
        self.expect(client, ["last"])
        self.assertGreater(server.metric("limpet_broker_caught_up_total"), 7)
        self.assertEqual(server.metric("limpet_broker_gaps_total"), 0)
        self.assertGreaterEqual(server.metric("limpet_broker_reconnects_total"), 4)
        self.assertIn("for=subscriptions", server.wait_for_log("redis connection lost"))

    def test_before_the_first_message(self):
        """The position was known from the start: nothing that came in the gap is missed."""
        redis = self.redis()
        server = self.server(*flags(redis))
        publish, client = self.publisher(redis), self.reader(redis, server)
        self.kill_subscribers(redis)
        publish(1, 2)
        self.expect(client, [1, 2])

    def test_what_patterns_reach(self):
        """A channel that nobody follows by its name, from its first publication on; with a pattern for all, too."""
        for more in ((), ("--redis.one-pattern", "true")):
            redis = self.redis()
            server = self.server(*flags(redis), *more)
            client = server.websocket(token=server.token(channels=["n:*"]))
            wait_until(lambda redis=redis: redis("PUBSUB", "NUMPAT") == 1, "the pattern is followed")
            publish = self.publisher(redis)
            publish(1)
            self.expect(client, [1])
            for turn in range(3):
                self.kill_subscribers(redis)
                publish(*range(2 + turn * 5, 7 + turn * 5))
                self.expect(client, range(2 + turn * 5, 7 + turn * 5))
            self.assertGreaterEqual(server.metric("limpet_broker_caught_up_total"), 1)
            self.assertEqual(server.metric("limpet_broker_gaps_total"), 0)

    def test_every_connection(self):
        redis = self.redis()
        server = self.server(*flags(redis))
        publish, client = self.publisher(redis), self.reader(redis, server)
        for turn in range(5):
            redis("CLIENT", "KILL", "SKIPME", "yes", "USER", "default")
            publish(turn)
            self.expect(client, [turn])

    def test_output_buffer(self):
        redis = self.redis()
        redis("CONFIG", "SET", "client-output-buffer-limit", "pubsub 256kb 0 0")
        server = self.server(*flags(redis, "--limits.queue-bytes-max", "8MB"))
        publish, client = self.publisher(redis), self.reader(redis, server)
        padding = "x" * 4000
        server.pause()
        publish(*range(4000), padding=padding)
        wait_until(lambda: not redis("CLIENT", "LIST", "TYPE", "pubsub"), "Redis has cut it off")
        server.go_on()
        # What was on its way comes, then the 1,000 that the stream keeps; the rest is said to be lost.
        numbers = []
        while not numbers or numbers[-1] < 3999:
            opcode, payload = client.receive_data()
            self.assertEqual((opcode, payload[-len(padding):]), (TEXT, padding.encode()))
            numbers.append(int(payload[:-len(padding)]))
        self.assertEqual(numbers, [*range(len(numbers) - 1000), *range(3000, 4000)])
        wait_until(lambda: server.metric("limpet_broker_gaps_total") == 1, "the gap is counted")
        self.assertIn("does not reach back", server.wait_for_log("publications of a channel are lost"))

    def test_pace_of_resubscribing(self):
        redis = self.redis()
        server = self.server(*flags(redis, "--redis.subscribes-per-s-max", "1000"))
        names = [[f"open:{i}-{j}" for j in range(120)] for i in range(10)]
        clients = [server.websocket(token=server.token(channels=some)) for some in names]
        wait_until(lambda: len(self.channels(redis)) == 1200, lambda: len(self.channels(redis)))
        self.kill_subscribers(redis)
        start = time.monotonic()
        wait_until(lambda: len(self.channels(redis)) == 1200, lambda: len(self.channels(redis)))
        self.assertGreater(time.monotonic() - start, 0.9)
        for i, client in enumerate(clients):
            redis("PUBLISH", f"limpet:{names[i][7]}", str(i))
            self.expect(client, [i])


class Processes(Failing):
    def test_stopped(self):
        redis = self.redis()
        server = self.server(*flags(redis, "--redis.timeout", "500ms", "--admin.api-key-file", self.key_file()))
        publish, client = self.publisher(redis), self.reader(redis, server)
        wait_until(lambda: self.ready(server), server.log_text)
        redis.pause()
        server.wait_for_log("no answer in time")
        wait_until(lambda: not self.ready(server), "not ready")
        self.assertEqual(self.api(server, "publish", channel="n:a", data=1)["error"]["code"], 100)
        redis.go_on()
        self.wait_up(server)
        publish("a", "b")
        self.expect(client, ["a", "b"])
        wait_until(lambda: self.ready(server), "ready again")

    def test_silent_subscriptions(self):
        """Commands are answered, and what is published goes nowhere: only the canary tells, and what was missed comes."""
        redis = self.redis()
        proxy = self.enterContext(Proxy(redis.port, forget_s=1e6))
        server = self.server(*flags(proxy, "--redis.timeout", "500ms"))
        client = self.reader(redis, server)
        publish = self.publisher(redis)
        publish("before")
        self.expect(client, ["before"])
        subscriber = next(flow for flow in proxy.flows if b"SUBSCRIBE" in flow.sent)
        subscriber.forget()
        wait_until(lambda: subscriber.is_forgotten, "the proxy forgets")
        publish("a", "b")
        server.wait_for_log("a message published to ourselves did not arrive")
        self.expect(client, ["a", "b"])
        wait_until(lambda: self.ready(server), "ready again")
        self.assertFalse(any(flow.is_forgotten for flow in proxy.flows if flow is not subscriber))

    def test_a_pause(self):
        """Nobody is answered for longer than the timeout."""
        redis = self.redis()
        server = self.server(*flags(redis, "--redis.timeout", "500ms"))
        client = self.reader(redis, server)
        publish = self.publisher(redis)
        redis("CLIENT", "PAUSE", "1500")
        server.wait_for_log("redis connection lost")
        self.wait_up(server)
        publish("a")
        self.expect(client, ["a"])

    def test_killed_and_started_again(self):
        redis = self.redis("appendonly yes", "appendfsync always")
        server = self.server(*flags(redis, "--plain.publish-channel", "n:a", "--broker.when-away", "queue"))
        client = self.reader(redis, server)
        self.publisher(redis)(1)
        self.expect(client, [1])
        writer = server.websocket(token=server.token(channels=[]))
        redis.kill()
        wait_until(lambda: server.metric("limpet_broker_up") == 0, "it is noticed")
        for number in range(2, 50):
            writer.send(TEXT, str(number))
        wait_until(lambda: server.metric("limpet_broker_queued_total") == 48, "all wait")
        redis.start()
        self.wait_up(server)
        self.expect(client, range(2, 50))
        self.assertEqual(server.metric("limpet_broker_gaps_total"), 0)

    def test_refused_while_away(self):
        redis = self.redis()
        server = self.server(*flags(redis, "--plain.publish-channel", "open:a"))
        writer = server.websocket(token=server.token(channels=["open:a"]))
        redis.kill()
        wait_until(lambda: server.metric("limpet_broker_up") == 0, "it is noticed")
        writer.send(TEXT, "lost?")
        self.assertEqual(writer.close_code(), 1013)
        redis.start()
        self.wait_up(server)

    def test_new_stream(self):
        redis = self.redis()
        server = self.server(*flags(redis))
        publish, client = self.publisher(redis), self.reader(redis, server)
        publish(1, 2, 3)
        self.expect(client, [1, 2, 3])
        redis("FLUSHALL")
        publish(4, 5)
        self.expect(client, [4, 5])
        self.assertEqual(server.metric("limpet_broker_gaps_total"), 0)  # the connection has brought all there was
        redis("MULTI")
        redis("FLUSHALL")
        redis("CLIENT", "KILL", "TYPE", "pubsub")
        redis("EXEC")
        publish(6, 7)
        self.expect(client, [6, 7])
        wait_until(lambda: server.metric("limpet_broker_gaps_total") == 1, "one gap")
        self.assertIn("began anew", server.wait_for_log("publications of a channel are lost"))

    def test_new_streams_of_many_channels(self):
        """Each gap is in the log: with its channel's name, or in the count of a line that has the first names."""
        redis = self.redis()
        server = self.server(*flags(redis))
        names = [[f"n:{i}-{j}" for j in range(100)] for i in range(3)]
        clients = [server.websocket(token=server.token(channels=some)) for some in names]
        wait_until(lambda: len(redis("KEYS", "*:meta")) == 300, lambda: len(redis("KEYS", "*:meta")))
        redis("MULTI")
        redis("FLUSHALL")
        redis("CLIENT", "KILL", "TYPE", "pubsub")
        redis("EXEC")
        server.wait_metric("limpet_broker_gaps_total", 300)
        self.assertRegex(server.wait_for_log("publications of more channels are lost"), r"channels=\"?n:")

        def told():
            counts = [re.search("publications of more channels are lost gaps=([0-9]+) ", line) for line in server.log]
            return sum("publications of a channel are lost channel=n:" in line for line in server.log) + \
                sum(int(found[1]) for found in counts if found)

        wait_until(lambda: told() == 300, server.log_text)
        self.assertLess(len([line for line in server.log if "are lost" in line]), 100)
        for client in clients:
            client.close()

    def test_a_replica_that_was_behind_takes_over(self):
        """Same epoch, lower offsets: they count as new."""
        redis = self.redis()
        server = self.server(*flags(redis))
        publish, client = self.publisher(redis), self.reader(redis, server)
        publish(*range(1, 11))
        self.expect(client, range(1, 11))
        redis("MULTI")
        redis("XTRIM", STREAM, "MAXLEN", "0")
        redis("XSETID", STREAM, "0-0")
        redis("HSET", META, "s", "5")
        redis("CLIENT", "KILL", "TYPE", "pubsub")
        redis("EXEC")
        self.wait_subscribed(redis, "limpet:n:a")
        wait_until(lambda: server.metric("limpet_broker_gaps_total") == 1, server.log_text)
        publish(*range(20, 24))
        self.expect(client, range(20, 24))


class Refusals(Failing):
    def publish_api(self, server):
        return self.api(server, "publish", channel="n:a", data=1)

    def check_refused_then_well(self, redis, server, word, heal):
        errors = server.metric("limpet_broker_errors_total")
        self.assertEqual(self.publish_api(server)["error"]["code"], 100)
        self.assertRegex(server.wait_for_log("redis refused"), word)
        wait_until(lambda: server.metric("limpet_broker_errors_total") > errors, "it is counted")
        heal()
        self.wait_up(server)
        wait_until(lambda: "result" in self.publish_api(server), server.log_text)
        self.assertTrue(redis("PING"))

    def api_server(self, redis):
        return self.server(*flags(redis, "--admin.api-key-file", self.key_file()))

    def test_out_of_memory(self):
        redis = self.redis()
        server = self.api_server(redis)
        redis("CONFIG", "SET", "maxmemory", "1")
        self.check_refused_then_well(redis, server, "OOM", lambda: redis("CONFIG", "SET", "maxmemory", "0"))

    def test_full_disk(self):
        redis = self.redis("dbfilename broken")
        server = self.api_server(redis)
        os.mkdir(os.path.join(redis.folder, "broken"))  # what is saved cannot be put there
        redis("CONFIG", "SET", "save", "3600 1")
        redis("BGSAVE")
        wait_until(lambda: b"rdb_last_bgsave_status:err" in redis("INFO", "persistence"), redis.log_text)
        client = server.websocket(token=server.token(channels=["open:a"]))
        self.wait_subscribed(redis, "limpet:open:a")
        self.check_refused_then_well(redis, server, "MISCONF", lambda: redis("CONFIG", "SET", "save", ""))
        redis("PUBLISH", "limpet:open:a", "live all the while")
        self.expect(client, ["live all the while"])

    def test_replica(self):
        other, redis = self.redis(), self.redis()
        server = self.api_server(redis)
        redis("REPLICAOF", "127.0.0.1", other.port)
        wait_until(lambda: b"master_link_status:up" in redis("INFO", "replication"), redis.log_text)
        self.check_refused_then_well(redis, server, "READONLY", lambda: redis("REPLICAOF", "NO", "ONE"))

    def test_no_permission(self):
        redis = self.redis()
        server = self.api_server(redis)
        redis("ACL", "SETUSER", "default", "-xadd")
        self.check_refused_then_well(redis, server, "can.t run this command|no permissions to run",  # Redis 7, 8
                                     lambda: redis("ACL", "SETUSER", "default", "+xadd"))

    def test_wrong_type(self):
        redis = self.redis()
        server = self.api_server(redis)
        redis("SET", STREAM, "not a stream")
        redis("HSET", META, "e", "ep", "s", "4")
        self.check_refused_then_well(redis, server, "WRONGTYPE", lambda: redis("DEL", STREAM))
        self.assertEqual(redis("HGET", META, "s"), b"5")  # the refused one took no offset

    def test_new_password(self):
        path = os.path.join(self.enterContext(Folder()), "password")
        with open(path, "w", encoding="utf-8") as file:
            file.write("old-secret\n")
        redis = self.redis()
        redis("CONFIG", "SET", "requirepass", "old-secret")
        redis("AUTH", "old-secret")
        server = self.server(*flags(redis, "--redis.password-file", path))
        publish, client = self.publisher(redis), self.reader(redis, server)
        redis("CONFIG", "SET", "requirepass", "new-secret")
        redis("CLIENT", "KILL", "SKIPME", "yes", "USER", "default")
        self.assertIn("WRONGPASS", server.wait_for_log("redis connection failed"))
        wait_until(lambda: server.metric("limpet_broker_up") == 0, "not up")
        publish(1)
        with open(path, "w", encoding="utf-8") as file:
            file.write("new-secret\n")
        self.wait_up(server)
        self.expect(client, [1])
        self.assertNotIn("-secret", server.log_text())


class Shapes(Failing):
    """A server that speaks the protocol, and says what no Redis says."""

    def fake(self, **answers):
        """answers: by command, in lower case; the others are as they should be."""
        standard = {"auth": b"+OK\r\n", "client": b"+OK\r\n", "script": b"$1\r\nx\r\n", "ping": b"+PONG\r\n",
                    "publish": b":1\r\n"}

        def answer(arguments):
            command = arguments[0].decode().lower()
            if command in answers:
                value = answers[command]
                return value(arguments) if callable(value) else value
            if command in ("subscribe", "psubscribe"):
                return b"".join(b"*3\r\n$9\r\nsubscribe\r\n$%d\r\n%s\r\n:1\r\n" % (len(name), name)
                                for name in arguments[1:])
            return standard.get(command, b"-ERR unknown\r\n")

        return self.enterContext(FakeRedis(answer))

    def fake_server(self, fake):
        return self.enterContext(Server(*flags(fake, "--redis.timeout", "500ms", "--admin.api-key-file", self.key_file())))

    def test_answers(self):
        for shape in (b"+OK\r\n", b":7\r\n", b"$-1\r\n", b"*0\r\n", b"*-1\r\n", b"*3\r\n:1\r\n:2\r\n:3\r\n",
                      b"*3\r\n:-1\r\n$1\r\ne\r\n:1\r\n", b"*3\r\n$1\r\ne\r\n:1\r\n$1\r\nx\r\n",
                      b"*3\r\n$17\r\n12345678901234567\r\n:1\r\n*0\r\n", b"*3\r\n$1\r\ne\r\n:1\r\n*1\r\n*1\r\n:1\r\n",
                      b"*3\r\n$1\r\ne\r\n:1\r\n*1\r\n*2\r\n$1\r\n1\r\n*2\r\n$1\r\nd\r\n$1\r\nx\r\n",
                      b"*3\r\n$1\r\ne\r\n:1\r\n*1\r\n*2\r\n$3\r\n1-0\r\n*1\r\n$1\r\nd\r\n",
                      b"*1\r\n" * 12 + b":1\r\n", b"%1\r\n+a\r\n+b\r\n", b"_\r\n", b"#t\r\n"):
            with self.subTest(shape=shape):
                fake = self.fake(evalsha=shape, eval=shape)
                with Server(*flags(fake, "--redis.timeout", "500ms", "--admin.api-key-file", self.key_file())) as server:
                    self.wait_up(server)
                    for method, more in (("publish", {"data": 1}), ("history", {"limit": 5}), ("presence", {})):
                        answer = self.api(server, method, channel="n:a", **more)
                        nobody = method == "presence" and shape == b"*0\r\n"  # which is no wrong shape for it
                        self.assertEqual(answer.get("error", {}).get("code"), None if nobody else 100, answer)
                    wait_until(lambda: server.metric("limpet_broker_malformed_total") > 0, "it is counted")
                    server.wait_for_log("redis answered in a wrong shape")

    def test_messages(self):
        """On the subscriber's connection: it ends, and is made again."""
        for shape in (b"+OK\r\n", b":1\r\n", b"$2\r\nhi\r\n", b"*1\r\n$7\r\nmessage\r\n", b"*3\r\n:1\r\n:2\r\n:3\r\n",
                      b"*3\r\n$7\r\nmessage\r\n$1\r\na\r\n:1\r\n", b"*3\r\n$9\r\nsubscribe\r\n$5\r\nother\r\n:1\r\n",
                      b"*3\r\n$11\r\nunsubscribe\r\n$-1\r\n:0\r\n", b"*4\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n",
                      b"*3\r\n$12\r\nsunsubscribe\r\n$-1\r\n:0\r\n", b"*-7\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n",
                      b"$99999999999999999999\r\n", b"*4294967295\r\n", b"\0\0\0\0\r\n"):
            with self.subTest(shape=shape):
                fake = self.fake(subscribe=shape)
                with self.fake_server_once(fake) as server:
                    wait_until(lambda fake=fake: fake.connections >= 4, server.log_text)
                    server.wait_for_log("redis connection lost")

    def fake_server_once(self, fake):
        return Server(*flags(fake, "--redis.timeout", "500ms"))

    def test_greetings(self):
        for shape, said in ((b"-ERR max number of clients reached\r\n", "max number of clients"),
                            (b"-LOADING Redis is loading the dataset in memory\r\n", "LOADING"),
                            (b"-NOAUTH Authentication required.\r\n", "NOAUTH"), (b"*1\r\n:1\r\n", "does not speak"),
                            (b"HTTP/1.1 400 Bad Request\r\n\r\n", "Protocol error"), (None, "closed by the peer")):
            with self.subTest(shape=shape):
                fake = self.fake(ping=shape)
                with self.fake_server_once(fake) as server:
                    self.assertIn(said, server.wait_for_log("redis connection failed"))
                    self.assertEqual(server.metric("limpet_broker_up"), 0)
                    lines = sum("redis connection failed" in line for line in server.log)
                    wait_until(lambda fake=fake: fake.connections >= 6, server.log_text)
                    self.assertLessEqual(sum("redis connection failed" in line for line in server.log), max(lines, 2))

    def test_more_answers_than_questions(self):
        fake = self.fake(publish=b":1\r\n:1\r\n")
        server = self.fake_server(fake)
        server.wait_for_log("a reply that nobody asked for")
        wait_until(lambda: server.metric("limpet_broker_malformed_total") > 0, "it is counted")

    def test_no_answers(self):
        fake = self.fake(publish=b"")
        server = self.fake_server(fake)
        server.wait_for_log("no answer in time")

    def test_a_canary_that_does_not_return(self):
        fake = self.fake()  # PUBLISH is answered, and delivers nothing
        server = self.fake_server(fake)
        server.wait_for_log("a message published to ourselves did not arrive")
        wait_until(lambda: not self.ready(server), "not ready")


if __name__ == "__main__":
    if not TOOL:
        print(f"skipped: {MISSING}")
        sys.exit(77)
    main()
