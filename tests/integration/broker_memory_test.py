"""The memory broker behind the relay: one order for all, whoever publishes on whichever shard; what it refuses is told
to its sender and counted; who is present is told of coming and going; a stop finishes what is in flight."""

import subprocess
import tempfile
import threading
import unittest

from limpet import BINARY, CLOSE, LIMPET, PATIENCE, TEXT, Server, main

HISTORY = "h:history_size=5:publish=client:subscribe=client"
PRESENCE = "p:presence=true:subscribe=client"


class Order(unittest.TestCase):
    def server(self, *flags, **options):
        return self.enterContext(Server(*flags, **options))

    def test_all_see_one_order(self):
        publishers, each = 6, 300
        server = self.server("--plain.publish-channel", "a", shards=4)
        readers = [server.websocket() for _ in range(12)]
        writers = [server.websocket(token=server.token(channels=[])) for _ in range(publishers)]
        held = [server.metric("limpet_connections_open", shard=str(i)) for i in range(4)]
        self.assertGreater(sum(1 for count in held if count), 1, "all on one shard")

        def write(number, writer):
            for i in range(each):
                writer.send(TEXT if i % 2 else BINARY, f"{number} {i}")

        seen = [[] for _ in readers]

        def read(number, reader):
            for _ in range(publishers * each):
                seen[number].append(reader.receive_data())

        threads = [threading.Thread(target=read, args=pair) for pair in enumerate(readers)]
        threads += [threading.Thread(target=write, args=pair) for pair in enumerate(writers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        for other in seen[1:]:
            self.assertEqual(other, seen[0], "two readers see two orders")
        for number in range(publishers):
            own = [(opcode, payload) for opcode, payload in seen[0] if payload.split()[0] == str(number).encode()]
            self.assertEqual(own, [(TEXT if i % 2 else BINARY, f"{number} {i}".encode()) for i in range(each)])
        self.assertEqual(server.metric("limpet_broker_publications_total", outcome="done"), publishers * each)
        self.assertEqual(server.metric("limpet_broker_delivered_total"), publishers * each)
        self.assertEqual(server.metric("limpet_publications_failed_total"), 0)

    def test_a_small_mailbox_of_shards_slows_down_and_loses_nothing(self):
        server = self.server("--plain.publish-channel", "a", "--limits.mailbox-size", "64KB",
                             "--limits.message-size-max", "16KB", "--broker.mailbox-size", "16MB",
                             "--limits.queue-bytes-max", "8MB", shards=4)  # readers that are read one after the other
        readers = [server.websocket() for _ in range(8)]
        writer = server.websocket(token=server.token(channels=[]))
        for i in range(200):
            writer.send(BINARY, b"%d " % i + b"x" * 10000)
        for reader in readers:
            for i in range(200):
                opcode, payload = reader.receive_data()
                self.assertEqual((opcode, payload.split()[0]), (BINARY, b"%d" % i))
        self.assertEqual(server.metric("limpet_publications_failed_total"), 0)


class Refusals(unittest.TestCase):
    def server(self, *flags, **options):
        return self.enterContext(Server(*flags, **options))

    def test_what_the_broker_refuses_closes_the_sender(self):
        server = self.server("--plain.publish-channel", "h:a", "--namespaces", HISTORY, "--memory.history-bytes-max", "64KB",
                             "--limits.message-size-max", "100KB", "--limits.queue-bytes-max", "400KB", shards=4)
        reader = server.websocket(target="/?channels=h:a")
        sender = server.websocket()
        sender.send(BINARY, b"x" * 60000)
        self.assertEqual(reader.receive_data(), (BINARY, b"x" * 60000))
        sender.send(BINARY, b"x" * 70000)  # no history can hold it
        self.assertEqual(sender.close_code(), 1013)
        for name, labels in (("limpet_publications_failed_total", {"outcome": "full"}),
                             ("limpet_broker_publications_total", {"outcome": "full"}),
                             ("limpet_closed_total", {"cause": "full"})):
            self.assertEqual(server.metric(name, **labels), 1, name)
        other = server.websocket()
        other.send(TEXT, "after it")
        self.assertEqual(reader.receive_data(), (TEXT, b"after it"))

    def test_options_that_could_never_work(self):
        state = self.enterContext(tempfile.TemporaryDirectory(prefix="limpet-state-"))
        for flags, part in ((("--broker.mailbox-size", "64KB"), "broker.mailbox_size: too small"),
                            (("--broker.forward", "true"), "broker.forward: no backend"),
                            (("--broker.kind", "telepathy"), "broker.kind")):
            with self.subTest(flags=flags):
                ended = subprocess.run([LIMPET, "serve", "--state", state, *flags], capture_output=True,
                                       text=True, timeout=PATIENCE, check=False)
                self.assertNotEqual(ended.returncode, 0)
                self.assertIn(part, ended.stderr)

    def test_a_flood_is_delivered_or_refused(self):
        """A relay without room: each message reached the reader, or its sender was closed with 1013; never neither."""
        server = self.server("--plain.publish-channel", "a", "--limits.message-size-max", "30KB",
                             "--broker.mailbox-size", "64KB", shards=2)
        reader = server.websocket()
        writers = [server.websocket(token=server.token(channels=[])) for _ in range(4)]
        sent = 0
        server.pause()
        for _ in range(40):
            for writer in writers:
                try:
                    writer.sock.settimeout(0.2)
                    writer.send(BINARY, b"x" * 300)
                    sent += 1
                except OSError:
                    pass
        server.go_on()
        for writer in writers:
            writer.sock.settimeout(PATIENCE)
            writer.send(CLOSE, b"\x03\xe8")
            self.assertIn(writer.close_code(), (1000, 1013))
        server.wait_metric("limpet_connections_open", 1)
        failed = server.metric("limpet_publications_failed_total")
        published = server.metric("limpet_publications_total")
        self.assertLessEqual(published, sent)
        for _ in range(int(published - failed)):
            self.assertEqual(reader.receive_data(), (BINARY, b"x" * 300))
        self.assertEqual(server.metric("limpet_messages_sent_total"), published - failed)


class Presence(unittest.TestCase):
    def server(self, *flags, **options):
        return self.enterContext(Server(*flags, **options))

    def test_coming_and_going(self):
        """One place for a member: whoever comes while it is taken is refused, after it was left not any more."""
        server = self.server("--namespaces", PRESENCE, "--memory.members-max", "1")
        first = server.websocket(target="/?channels=p:a")
        second = server.websocket(target="/?channels=p:b")
        server.wait_metric("limpet_broker_joins_refused_total", 1)
        second.close()
        first.close()
        server.wait_metric("limpet_connections_held", 0)
        third = server.websocket(target="/?channels=p:a,p:*,a")  # present in p:a alone
        fourth = server.websocket(target="/?channels=p:a")
        server.wait_metric("limpet_broker_joins_refused_total", 2)
        third.close()
        fourth.close()

    def test_many_at_once(self):
        """Everyone leaves in one moment: every place is free again."""
        server = self.server("--namespaces", PRESENCE, "--memory.members-max", "400", "--broker.mailbox-size", "132KB",
                             shards=4)
        for _ in range(3):
            crowd = [server.websocket(target="/?channels=p:a,p:b,p:c,p:d") for _ in range(100)]
            for client in crowd:
                client.close()
            server.wait_metric("limpet_connections_held", 0)
        self.assertEqual(server.metric("limpet_broker_joins_refused_total"), 0)


class Stops(unittest.TestCase):
    def test_in_the_middle(self):
        with Server("--plain.publish-channel", "a", shards=4) as server:
            readers = [server.websocket() for _ in range(4)]
            writer = server.websocket(token=server.token(channels=[]))
            going = threading.Event()

            def write():
                try:
                    while True:
                        writer.send(TEXT, "x" * 100)
                        going.set()
                except OSError:
                    pass

            thread = threading.Thread(target=write)
            thread.start()
            self.assertTrue(going.wait(PATIENCE))
            readers[0].receive_data()
            closers = [threading.Thread(target=reader.close_code) for reader in readers]
            for closer in closers:
                closer.start()
            self.assertEqual(server.stop(), 0)
            writer.close()
            for other in (thread, *closers):
                other.join(PATIENCE)
            self.assertNotIn("stopped before the broker had answered", server.log_text())


if __name__ == "__main__":
    main()
