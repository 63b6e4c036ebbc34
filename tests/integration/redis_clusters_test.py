"""Redis with more than one node: a failover by sentinels, a cluster of three masters with sharded channels, slots that
move while messages go through, a master that dies. Clients stay; what has history arrives in order and once."""

import os
import sys
import threading

from limpet import TEXT, Server, main, wait_until
from redis_servers import MISSING, TOOL, Redis, free_cluster_port, free_port
from redis_test import Case, Folder, flags

SLOTS = 16384
NODES = 3


class Sentinels(Case):
    def sentinel(self, master, *lines, quorum=1):
        redis = Redis(*lines, f"sentinel monitor main 127.0.0.1 {master.port} {quorum}",
                      "sentinel down-after-milliseconds main 500", "sentinel failover-timeout main 2000", sentinel=True)
        return self.enterContext(redis)

    def role(self, redis):
        """Sentinels end the connections of a Redis whose role they change."""
        redis.drop_client()
        try:
            return redis("ROLE")[0]
        except (EOFError, ConnectionError):
            return None

    def test_failover(self):
        master = self.redis()
        replica = self.redis(f"replicaof 127.0.0.1 {master.port}")
        wait_until(lambda: b"master_link_status:up" in replica("INFO", "replication"), replica.log_text)
        sentinel = self.sentinel(master)
        wait_until(lambda: len(sentinel("SENTINEL", "REPLICAS", "main")) == 1, sentinel.log_text)
        dead = free_port()
        server = self.server(*flags(master, "--admin.api-key-file", self.key_file(), "--redis.topology", "sentinel",
                                    "--redis.master-name", "main", "--redis.timeout", "1s", "--redis.nodes",
                                    f"127.0.0.1:{dead},127.0.0.1:{sentinel.port}"))
        client = server.websocket(token=server.token(channels=["n:a"]))
        self.wait_subscribed(master, "limpet:n:a")
        for number in range(3):
            self.publish(server, "n:a", number)
            self.assertEqual(client.receive_data(), (TEXT, str(number).encode()))
        wait_until(lambda: replica("XLEN", "limpet:{n:a}:stream") == 3, "replicated")
        # It stops and does not die: its connections stay open, and say nothing.
        master.pause()
        wait_until(lambda: self.role(replica) == b"master", sentinel.log_text)
        self.wait_subscribed(replica, "limpet:n:a")
        self.wait_up(server)
        server.wait_for_log("redis master changed")
        for number in range(3, 6):
            self.publish_when_possible(server, "n:a", number)
            self.assertEqual(client.receive_data(), (TEXT, str(number).encode()))
        # The old master comes back, and is made a replica: nobody writes to it.
        master.go_on()
        wait_until(lambda: self.role(master) == b"slave", sentinel.log_text)
        self.publish(server, "n:a", 6)
        self.assertEqual(client.receive_data(), (TEXT, b"6"))
        self.assertEqual(server.metric("limpet_broker_gaps_total"), 0)

    def secret(self, text):
        path = os.path.join(self.enterContext(Folder()), "secret")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text + "\n")
        return path

    def check_logs_in(self, line, *options):
        """With the password the sentinel names the master, whose own password is another; a wrong one is told and not shown."""
        master = self.redis("requirepass secret-of-the-master")
        sentinel = self.sentinel(master, line, "sentinel auth-pass main secret-of-the-master")
        right, wrong = self.secret("secret-of-the-sentinel"), self.secret("secret-that-is-wrong")
        common = flags(sentinel, "--redis.topology", "sentinel", "--redis.master-name", "main", "--redis.password-file",
                       self.secret("secret-of-the-master"), *options)
        server = self.server(*common, "--redis.sentinel-password-file", right)
        client = server.websocket(token=server.token(channels=["open:a"]))
        master("AUTH", "secret-of-the-master")
        self.wait_subscribed(master, "limpet:open:a")
        master("PUBLISH", "limpet:open:a", "hello")
        self.assertEqual(client.receive_data(), (TEXT, b"hello"))
        other = self.enterContext(Server(*common, "--redis.sentinel-password-file", wrong))
        self.assertIn("for=sentinel", other.wait_for_log("WRONGPASS"))
        self.assertEqual(other.metric("limpet_broker_up"), 0)
        with open(wrong, "w", encoding="utf-8") as file:
            file.write("secret-of-the-sentinel\n")
        self.wait_up(other)
        for each in (server, other):
            self.assertNotIn("secret-", each.log_text())

    def test_password_of_the_sentinel(self):
        self.check_logs_in("requirepass secret-of-the-sentinel")

    def test_user_of_the_sentinel(self):
        self.check_logs_in("user limpet on >secret-of-the-sentinel &* +@connection +sentinel|get-master-addr-by-name +subscribe",
                           "--redis.sentinel-user", "limpet")

    def test_a_sentinel_that_wants_a_password(self):
        master = self.redis()
        sentinel = self.sentinel(master, "requirepass secret-of-the-sentinel")
        server = self.enterContext(Server(*flags(sentinel, "--redis.topology", "sentinel", "--redis.master-name", "main")))
        server.wait_for_log("NOAUTH")
        self.assertEqual(server.metric("limpet_broker_up"), 0)

    def test_a_name_that_no_sentinel_knows(self):
        master = self.redis()
        sentinel = self.sentinel(master)
        server = self.enterContext(Server(*flags(sentinel, "--redis.topology", "sentinel", "--redis.master-name", "other")))
        server.wait_for_log("the sentinel knows no master of this name")
        self.assertEqual(server.metric("limpet_broker_up"), 0)


class Cluster(Case):
    def setUp(self):
        lines = ("cluster-enabled yes", "cluster-node-timeout 1500", "cluster-require-full-coverage no")
        self.nodes = [self.enterContext(Redis(*lines, port=free_cluster_port())) for _ in range(NODES)]
        step = SLOTS // NODES
        for i, node in enumerate(self.nodes):
            first, last = i * step, SLOTS - 1 if i == NODES - 1 else (i + 1) * step - 1
            node("CLUSTER", "ADDSLOTSRANGE", first, last)
            node("CLUSTER", "SET-CONFIG-EPOCH", i + 1)
        for node in self.nodes[1:]:
            node("CLUSTER", "MEET", "127.0.0.1", self.nodes[0].port)
        wait_until(lambda: all(self.is_whole(node) for node in self.nodes), "the cluster is whole")

    def is_whole(self, node):
        info = node("CLUSTER", "INFO")
        return b"cluster_state:ok" in info and b"cluster_slots_ok:16384" in info and \
            f"cluster_known_nodes:{len(self.nodes)}".encode() in info

    def slot(self, channel):
        return self.nodes[0]("CLUSTER", "KEYSLOT", f"limpet:{{{channel}}}")

    def node_of(self, channel):
        slot = self.slot(channel)
        for first, last, master, *_ in self.nodes[0]("CLUSTER", "SLOTS"):
            if first <= slot <= last:
                return next(node for node in self.nodes if node.port == master[1])
        raise AssertionError("nobody has the slot")

    def cluster_server(self, *more):
        return self.server(*flags(self.nodes[1], "--redis.topology", "cluster", "--redis.timeout", "1s",
                                  "--admin.api-key-file", self.key_file(), *more))

    def sharded(self, node):
        return {name for name in node("PUBSUB", "SHARDCHANNELS") if b"__canary" not in name}

    def wait_sharded(self, node, *names):
        wait_until(lambda: self.sharded(node) >= {name.encode() for name in names},
                   lambda: f"{names}, not {self.sharded(node)}")

    def test_every_node_has_its_channels(self):
        server = self.cluster_server("--plain.publish-channel", "open:7")
        names = [f"open:{i}" for i in range(60)]
        client = server.websocket(token=server.token(channels=names))
        for name in names:
            node = self.node_of(name)
            self.wait_sharded(node, f"limpet:{{{name}}}")
            self.assertEqual(node("SPUBLISH", f"limpet:{{{name}}}", name), 1)
            self.assertEqual(client.receive_data(), (TEXT, name.encode()))
        self.assertEqual(len({self.node_of(name).port for name in names}), NODES)
        client.send(TEXT, "from a client")
        self.assertEqual(client.receive_data(), (TEXT, b"from a client"))
        wait_until(lambda: server.metric("limpet_broker_canary_age_seconds") < 1.5, "canaries on all nodes")
        client.close()
        for node in self.nodes:
            wait_until(lambda node=node: not self.sharded(node), lambda: self.sharded(self.nodes[0]))

    def test_history_and_presence(self):
        server = self.cluster_server()
        for i in range(8):
            channel = f"n:{i}"
            client = server.websocket(token=server.token(sub="ann", channels=[channel]))
            self.wait_sharded(self.node_of(channel), f"limpet:{{{channel}}}")
            for number in range(1, 4):
                result = self.publish(server, channel, number, idempotency_key=str(number))
                self.assertEqual(result["offset"], number)
                self.assertEqual(client.receive_data(), (TEXT, str(number).encode()))
            history = self.api(server, "history", channel=channel, limit=10)["result"]
            self.assertEqual([item["data"] for item in history["publications"]], [1, 2, 3])
            presence = self.api(server, "presence", channel=channel)["result"]["presence"]
            self.assertEqual([member["user"] for member in presence.values()], ["ann"])
            client.close()
        answer = self.api(server, "publish", channel="}n", data=1)  # its keys would have different slots
        self.assertIn("error", answer)

    def move(self, slot, source, target, meanwhile):
        """As redis-cli --cluster reshard does. meanwhile(): when the keys have gone and the slot has not, so that who asks
        is sent on with ASK."""
        source_id, target_id = source("CLUSTER", "MYID"), target("CLUSTER", "MYID")
        target("CLUSTER", "SETSLOT", slot, "IMPORTING", source_id)
        source("CLUSTER", "SETSLOT", slot, "MIGRATING", target_id)
        while True:
            keys = source("CLUSTER", "GETKEYSINSLOT", slot, 100)
            if not keys:
                break
            source("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
        meanwhile()
        for node in (target, source, *self.nodes):
            node("CLUSTER", "SETSLOT", slot, "NODE", target_id)

    def test_slots_move_while_messages_come(self):
        server = self.cluster_server("--namespaces", "n:history_size=10000:history_age=1h")
        channel = "n:a"
        client = server.websocket(token=server.token(channels=[channel]))
        self.wait_sharded(self.node_of(channel), "limpet:{n:a}")
        accepted, refused, stop = [], [], threading.Event()

        def publish():
            number = 0
            while not stop.is_set():
                answer = self.api(server, "publish", channel=channel, data=number)
                if "result" in answer:
                    accepted.append(number)
                else:
                    refused.append(answer)
                number += 1

        thread = threading.Thread(target=publish)
        thread.start()
        try:
            def some_more():
                before = len(accepted)
                wait_until(lambda: len(accepted) > before + 20, server.log_text)

            for _ in range(4):
                some_more()
                source = self.node_of(channel)
                target = self.nodes[(self.nodes.index(source) + 1) % NODES]
                self.move(self.slot(channel), source, target, some_more)
                self.wait_sharded(target, "limpet:{n:a}")
                self.assertNotIn(b"limpet:{n:a}", self.sharded(source))
            some_more()
        finally:
            stop.set()
            thread.join()
        self.assertEqual(refused, [], "a redirection was not followed")
        got = []
        while got[-1:] != accepted[-1:]:
            got.append(int(client.receive_data()[1]))
        self.assertEqual(got, accepted)
        self.assertEqual(server.metric("limpet_broker_gaps_total"), 0)
        self.assertGreater(server.metric("limpet_broker_caught_up_total"), 0)

    def test_slots_move_under_a_client_that_does_not_wait(self):
        """It sends one after the other; what has to be sent again to another node is not overtaken."""
        server = self.cluster_server("--namespaces", "n:history_size=10000:history_age=1h:publish=client",
                                     "--plain.publish-channel", "n:a")
        client = server.websocket(token=server.token(channels=["n:a"]))
        self.wait_sharded(self.node_of("n:a"), "limpet:{n:a}")
        writer = server.websocket(token=server.token(channels=[]))
        count, stop = [0], threading.Event()

        def send():
            while not stop.wait(0.001):
                for _ in range(5):
                    writer.send(TEXT, str(count[0]))
                    count[0] += 1

        thread = threading.Thread(target=send)
        thread.start()
        try:
            def some_more():
                before = count[0]
                wait_until(lambda: count[0] > before + 50, server.log_text)

            for _ in range(4):
                some_more()
                source = self.node_of("n:a")
                target = self.nodes[(self.nodes.index(source) + 1) % NODES]
                self.move(self.slot("n:a"), source, target, some_more)
            some_more()
        finally:
            stop.set()
            thread.join()
        self.assertEqual([int(client.receive_data()[1]) for _ in range(count[0])], list(range(count[0])))
        server.wait_metric("limpet_broker_publications_total", count[0], outcome="done")

    def test_a_master_dies_and_its_replica_takes_over(self):
        replica = self.enterContext(Redis("cluster-enabled yes", "cluster-node-timeout 1500", port=free_cluster_port()))
        self.nodes.append(replica)
        replica("CLUSTER", "MEET", "127.0.0.1", self.nodes[0].port)
        wait_until(lambda: self.is_whole(replica), "it knows the others")
        channel = "n:a"
        master = self.node_of(channel)
        replica("CLUSTER", "REPLICATE", master("CLUSTER", "MYID").decode())
        wait_until(lambda: b"master_link_status:up" in replica("INFO", "replication"), replica.log_text)
        server = self.cluster_server()
        client = server.websocket(token=server.token(channels=[channel]))
        self.wait_sharded(master, "limpet:{n:a}")
        self.publish(server, channel, 1)
        self.assertEqual(client.receive_data(), (TEXT, b"1"))
        wait_until(lambda: b"slave0" in master("INFO", "replication"), "it replicates")
        self.assertEqual(master("WAIT", 1, 5000), 1)
        master.kill()
        wait_until(lambda: replica("ROLE")[0] == b"master", lambda: replica.log_text() + self.nodes[0].log_text())
        self.wait_sharded(replica, "limpet:{n:a}")
        self.publish_when_possible(server, channel, 2)
        self.assertEqual(client.receive_data(), (TEXT, b"2"))
        self.assertEqual(server.metric("limpet_broker_gaps_total"), 0)

    def test_patterns_are_not_to_be_had(self):
        server = self.cluster_server()
        client = server.websocket(token=server.token(channels=["open:*", "open:a"]))
        server.wait_for_log("sharded channels have no patterns")
        node = self.node_of("open:a")
        self.wait_sharded(node, "limpet:{open:a}")
        node("SPUBLISH", "limpet:{open:a}", "x")
        self.assertEqual(client.receive_data(), (TEXT, b"x"))


if __name__ == "__main__":
    if not TOOL:
        print(f"skipped: {MISSING}")
        sys.exit(77)
    main()
