"""Several hosts on one Redis, and much at a time: all see one order, over gaps too; publishers that do not stop while
connections end; gaps of many pages and of many channels; what waits for Redis has a bound; who is present when Redis forgot
it; what text channels refuse; a start without Redis."""

import itertools
import os
import sys
import threading

from limpet import BINARY, TEXT, Server, main, wait_until
from redis_servers import MISSING, TOOL, Client, Redis, RedisError, free_port
from redis_test import Case, Folder, flags

with open("scripts/publish.lua", encoding="utf-8") as script:
    PUBLISH = script.read()

DEEP = "n:history_size=10000:history_age=1h:subscribe=client:publish=client:presence=true,open:publish=client,t:frame=text"


def publish(redis, channel, payload, size=10000):
    redis("EVAL", PUBLISH, 2, f"limpet:{{{channel}}}:stream", f"limpet:{{{channel}}}:meta", f"limpet:{channel}", payload,
          size, 3600)


def kill_subscribers(redis):
    return redis("CLIENT", "KILL", "TYPE", "pubsub")


class HostCase(Case):
    def numbers(self, client, count):
        return [int(client.receive_data()[1]) for _ in range(count)]

    def reader(self, redis, server, channel="n:a"):
        client = server.websocket(token=server.token(channels=[channel]))
        wait_until(lambda: redis("EXISTS", f"limpet:{{{channel}}}:meta") == 1, "the position was asked for")
        return client


class Order(HostCase):
    def test_all_hosts_see_one_order(self):
        redis = self.redis()
        hosts = [self.server(*flags(redis, "--namespaces", DEEP, "--plain.publish-channel", "n:a")) for _ in range(2)]
        readers = [self.reader(redis, host) for host in hosts]
        wait_until(lambda: redis("PUBSUB", "NUMSUB", "limpet:n:a")[1] == 2, "both follow")
        writers = [host.websocket(token=host.token(channels=[])) for host in hosts]
        for turn in range(40):
            for number, writer in enumerate(writers):
                writer.send(TEXT, str(2 * turn + number))
            if turn % 8 == 3:
                kill_subscribers(redis)
        first, second = (self.numbers(reader, 80) for reader in readers)
        self.assertEqual(first, second)
        self.assertEqual(sorted(first), list(range(80)))
        for parity in (0, 1):  # each writer's own come in the order in which it sent them
            own = [number for number in first if number % 2 == parity]
            self.assertEqual(own, sorted(own))

    def publish_while_killing(self, redis, channel, kills):
        """A backend that publishes all the while, about 1,000 a second; returns how many there were."""
        end, counts = threading.Event(), []

        def run():
            client = Client(redis.port)
            count = 0
            while not end.wait(0.005):
                for _ in range(5):
                    publish(client, channel, count)
                    count += 1
            client.close()
            counts.append(count)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            for _ in range(kills):
                wait_until(lambda: kill_subscribers(redis) > 0, "it is back, and killed again")
        finally:
            end.set()
            thread.join()
        return counts[0]

    def test_publishers_that_do_not_stop(self):
        redis = self.redis()
        server = self.server(*flags(redis, "--namespaces", DEEP))
        client = self.reader(redis, server)
        count = self.publish_while_killing(redis, "n:a", 6)
        publish(redis, "n:a", count)
        self.assertEqual(self.numbers(client, count + 1), list(range(count + 1)))
        self.assertGreater(server.metric("limpet_broker_caught_up_total"), 0)
        self.assertEqual(server.metric("limpet_broker_gaps_total"), 0)

    def test_scripts_that_redis_forgets(self):
        """A client sends without a pause, and again and again Redis does not know the script of some: none overtakes."""
        redis = self.redis()
        server = self.server(*flags(redis, "--namespaces", DEEP, "--plain.publish-channel", "n:a"))
        client = self.reader(redis, server)
        writer = server.websocket(token=server.token(channels=[]))
        for turn in range(30):
            for number in range(turn * 100, turn * 100 + 100):
                if number % 20 == 7:
                    redis("SCRIPT", "FLUSH")
                writer.send(TEXT, str(number))
        self.assertEqual(self.numbers(client, 3000), list(range(3000)))
        server.wait_metric("limpet_broker_publications_total", 3000, outcome="done")

    def test_one_pattern(self):
        redis = self.redis()
        server = self.server(*flags(redis, "--namespaces", DEEP, "--redis.one-pattern", "true"))
        client = self.reader(redis, server)
        count = self.publish_while_killing(redis, "n:a", 4)
        self.assertEqual(self.numbers(client, count), list(range(count)))
        self.assertGreater(server.metric("limpet_broker_caught_up_total"), 0)
        self.assertEqual(server.metric("limpet_broker_gaps_total"), 0)

    def test_exact_and_patterns(self):
        """What was missed is read once, and whoever has a pattern, too, gets it once."""
        redis = self.redis()
        server = self.server(*flags(redis, "--namespaces", DEEP))
        client = server.websocket(token=server.token(channels=["n:a", "n:*", "n:a*"]))
        wait_until(lambda: redis("EXISTS", "limpet:{n:a}:meta") == 1, "the position was asked for")
        wait_until(lambda: redis("PUBSUB", "NUMPAT") == 2, "two patterns")
        count = self.publish_while_killing(redis, "n:a", 4)
        self.assertEqual(self.numbers(client, count), list(range(count)))
        self.assertGreater(server.metric("limpet_broker_caught_up_total"), 0)

    def test_a_gap_of_many_pages(self):
        redis = self.redis()
        server = self.server(*flags(redis, "--namespaces", DEEP, "--redis.timeout", "60s"))
        client = self.reader(redis, server)
        server.pause()
        kill_subscribers(redis)
        for number in range(3000):
            publish(redis, "n:a", number)
        server.go_on()
        self.assertEqual(self.numbers(client, 3000), list(range(3000)))
        server.wait_metric("limpet_broker_caught_up_total", 3000)
        self.assertEqual(server.metric("limpet_broker_gaps_total"), 0)

    def test_a_gap_in_many_channels(self):
        redis = self.redis()
        server = self.server(*flags(redis, "--namespaces", DEEP, "--redis.timeout", "60s"))
        names = [[f"n:{i}-{j}" for j in range(100)] for i in range(5)]
        clients = [server.websocket(token=server.token(channels=some)) for some in names]
        wait_until(lambda: len(redis("KEYS", "*:meta")) == 500, lambda: len(redis("KEYS", "*:meta")))
        server.pause()
        kill_subscribers(redis)
        for turn in range(3):
            for name in itertools.chain(*names):
                publish(redis, name, f"{name}/{turn}")
        server.go_on()
        for client, some in zip(clients, names):
            got = [client.receive_data()[1].decode() for _ in range(300)]
            for name in some:
                self.assertEqual([each for each in got if each.startswith(name + "/")], [f"{name}/{i}" for i in range(3)])
        self.assertEqual(server.metric("limpet_broker_gaps_total"), 0)


class Bounds(HostCase):
    def test_what_waits_has_a_bound(self):
        """What was accepted comes, in order; what was not closes its sender."""
        redis = self.redis()
        server = self.server(*flags(redis, "--namespaces", DEEP, "--plain.publish-channel", "n:a", "--broker.when-away", "queue",
                                    "--broker.queue-bytes-max", "64KB"))
        client = self.reader(redis, server)
        writer = server.websocket(token=server.token(channels=[]))
        redis.kill()
        wait_until(lambda: server.metric("limpet_broker_up") == 0, "it is noticed")
        padding = " " * 5000
        for number in range(30):
            writer.send(TEXT, f"{number}{padding}")
        self.assertEqual(writer.close_code(), 1013)
        self.assertLessEqual(server.metric("limpet_broker_backlog_bytes"), 65536)
        accepted = int(server.metric("limpet_broker_queued_total"))
        self.assertTrue(8 <= accepted < 14, accepted)
        redis.start()
        self.assertEqual(self.numbers(client, accepted), list(range(accepted)))
        publish(redis, "n:a", 99)
        self.assertEqual(self.numbers(client, 1), [99])
        self.assertEqual(server.metric("limpet_broker_backlog_bytes"), 0)

    def test_requests_in_flight_have_a_bound(self):
        """A Redis that does not answer: as many as the option says wait, the next one closes its sender."""
        redis = self.redis()
        server = self.server(*flags(redis, "--namespaces", DEEP, "--plain.publish-channel", "n:a", "--redis.requests-max", "16",
                                    "--redis.timeout", "60s", "--broker.canary-interval", "60s"))
        client = self.reader(redis, server)
        writer, other = (server.websocket(token=server.token(channels=[])) for _ in range(2))
        server.wait_metric("limpet_broker_requests", 0)  # the first canary's, and the position's
        redis.pause()
        for number in range(16):
            writer.send(TEXT, str(number))
        server.wait_metric("limpet_broker_requests", 16)
        other.send(TEXT, "too many")
        self.assertEqual(other.close_code(), 1013)
        self.assertEqual(server.metric("limpet_publications_failed_total", outcome="full"), 1)
        self.assertEqual(server.metric("limpet_broker_publications_total", outcome="full"), 1)
        redis.go_on()
        self.assertEqual(self.numbers(client, 16), list(range(16)))
        writer.send(TEXT, "16")
        self.assertEqual(self.numbers(client, 1), [16])

    def test_text_and_size(self):
        redis = self.redis()
        server = self.server(*flags(redis, "--namespaces", DEEP, "--limits.mailbox-size", "256KB"))
        client = server.websocket(token=server.token(channels=["t:a"]))
        self.wait_subscribed(redis, "limpet:t:a")
        redis("PUBLISH", "limpet:t:a", b"\xff")
        redis("PUBLISH", "limpet:t:a", b"\xed\xa0\x80")  # half of a pair
        redis("PUBLISH", "limpet:t:a", "x" * 131072)
        redis("PUBLISH", "limpet:t:a", "x" * 130000)
        self.assertEqual(client.receive_data(), (TEXT, b"x" * 130000))
        server.wait_metric("limpet_broker_undeliverable_total", 2, reason="not_utf8")
        server.wait_metric("limpet_broker_undeliverable_total", 1, reason="too_large")
        redis("PUBLISH", "limpet:t:a", "__p1:0::b:0:0__\xe4")  # who says that it is binary gets it so
        self.assertEqual(client.receive_data(), (BINARY, "\xe4".encode()))

    def test_larger_than_any_queue(self):
        """Nobody could be sent it: nobody is closed for it as too slow."""
        redis = self.redis()
        server = self.server(*flags(redis, "--limits.queue-bytes-max", "100KB", "--admin.api-key-file", self.key_file()))
        client = server.websocket(token=server.token(channels=["open:a"]))
        self.wait_subscribed(redis, "limpet:open:a")
        most = 100 * 1024 - 64
        redis("PUBLISH", "limpet:open:a", "x" * (most + 1))
        redis("PUBLISH", "limpet:open:a", "x" * most)
        self.assertEqual(client.receive_data(), (TEXT, b"x" * most))
        server.wait_metric("limpet_broker_undeliverable_total", 1, reason="too_large")
        self.assertIn("limits.queue_bytes_max", server.wait_for_log("not delivered"))
        self.assertEqual(self.api(server, "publish", channel="open:a", data="x" * most)["error"]["code"], 107)
        self.publish(server, "open:a", "x" * (most - 2))
        self.assertEqual(len(client.receive_data()[1]), most)
        self.assertEqual(server.metric("limpet_closed_total", cause="slow_consumer"), 0)

    def test_clients_that_redis_has_no_room_for(self):
        redis = self.redis()
        self.assertEqual(redis("PING"), b"PONG")
        redis("CONFIG", "SET", "maxclients", "1")
        server = self.enterContext(Server(*flags(redis)))
        self.assertIn("max number of clients", server.wait_for_log("redis connection failed"))
        self.assertEqual(server.metric("limpet_broker_up"), 0)
        redis("CONFIG", "SET", "maxclients", "100")
        self.wait_up(server)

    def test_start_without_redis(self):
        port = free_port()
        server = self.enterContext(Server("--broker.kind", "redis", "--redis.nodes", f"127.0.0.1:{port}"))
        client = server.websocket(token=server.token(channels=["a"]))
        server.wait_for_log("redis connection failed")
        redis = self.redis(port=port)
        self.wait_up(server)
        self.wait_subscribed(redis, "limpet:a")
        redis("PUBLISH", "limpet:a", "hello")
        self.assertEqual(client.receive_data(), (TEXT, b"hello"))

    def test_a_socket_that_comes_back(self):
        path = os.path.join(self.enterContext(Folder()), "redis.sock")
        redis = self.redis(f"unixsocket {path}")
        server = self.server(*flags(redis), "--redis.nodes", path)
        client = server.websocket(token=server.token(channels=["open:a"]))
        self.wait_subscribed(redis, "limpet:open:a")
        redis.kill()
        wait_until(lambda: server.metric("limpet_broker_up") == 0, "it is noticed")
        redis.start()
        self.wait_subscribed(redis, "limpet:open:a")
        redis("PUBLISH", "limpet:open:a", "hello")
        self.assertEqual(client.receive_data(), (TEXT, b"hello"))


class Together(HostCase):
    def users(self, server):
        presence = self.api(server, "presence", channel="n:a")["result"]["presence"]
        return sorted(member["user"] for member in presence.values())

    def test_presence_over_an_outage(self):
        """Who leaves meanwhile is gone, who came is there, though the Redis that comes back knows nobody."""
        redis = self.redis()
        server = self.server(*flags(redis, "--namespaces", DEEP, "--admin.api-key-file", self.key_file()))
        ann, bob = (server.websocket(token=server.token(sub=sub, channels=["n:a"])) for sub in ("ann", "bob"))
        wait_until(lambda: self.users(server) == ["ann", "bob"], lambda: self.users(server))
        redis.kill()
        wait_until(lambda: server.metric("limpet_broker_up") == 0, "it is noticed")
        ann.close()
        server.wait_metric("limpet_connections_open", 1)
        cid = server.websocket(token=server.token(sub="cid", channels=["n:a"]))
        redis.start()
        self.wait_up(server)
        wait_until(lambda: self.users(server) == ["bob", "cid"], lambda: self.users(server))
        bob.close()
        wait_until(lambda: self.users(server) == ["cid"], lambda: self.users(server))
        cid.close()

    def test_idempotency_over_hosts(self):
        redis = self.redis()
        options = flags(redis, "--namespaces", DEEP, "--admin.api-key-file", self.key_file())
        here, there = self.server(*options), self.server(*options)
        client = self.reader(redis, there)
        first = self.publish(here, "n:a", 1, idempotency_key="k")
        self.assertEqual(self.publish(there, "n:a", 2, idempotency_key="k"), first)
        self.assertEqual(self.publish(there, "n:b", 3, idempotency_key="k")["offset"], 1)
        self.assertEqual(self.publish(there, "n:a", 4)["offset"], 2)
        self.assertEqual(self.numbers(client, 2), [1, 4])

    def test_broadcast(self):
        redis = self.redis()
        options = flags(redis, "--namespaces", DEEP, "--admin.api-key-file", self.key_file())
        here, there = self.server(*options), self.server(*options)
        client = there.websocket(token=there.token(channels=["n:a", "n:b", "open:c"]))
        self.wait_subscribed(redis, "limpet:n:a", "limpet:n:b", "limpet:open:c")
        result = self.api(here, "broadcast", channels=["n:a", "n:b", "open:c"], data=7)["result"]
        self.assertEqual([each["result"].get("offset", 0) for each in result["responses"]], [1, 1, 0])
        self.assertEqual(self.numbers(client, 3), [7, 7, 7])

    def test_forward_while_away(self):
        """What clients send is not lost in silence either: the sender is told."""
        redis = self.redis()
        server = self.server(*flags(redis, "--namespaces", DEEP, "--broker.forward", "true", "--plain.publish-channel", "n:a"))
        writer = server.websocket(token=server.token(channels=[]))
        redis.kill()
        wait_until(lambda: server.metric("limpet_broker_up") == 0, "it is noticed")
        writer.send(TEXT, "1")
        self.assertEqual(writer.close_code(), 1013)
        redis.start()
        self.wait_up(server)
        with self.assertRaises(RedisError):
            redis("XINFO", "STREAM", "limpet:inbound")  # it was not kept half


if __name__ == "__main__":
    if not TOOL:
        print(f"skipped: {MISSING}")
        sys.exit(77)
    main()
