"""Fan-out from outside: thousands of subscribers get everything in order while the rest of the server goes on."""

import selectors
import ssl
import threading
import unittest

from limpet import PATIENCE, PING, PONG, SANITIZED, TEXT, Server, frame, main, wait_until

CROWD = 500 if SANITIZED else 5000


class Crowd:
    """Many clients in one thread: each counts what it gets, which must be numbers one after the other."""

    def __init__(self, server, count, **options):
        self.next = {}
        self.pings = 0
        self.selector = selectors.DefaultSelector()
        for number in range(count):
            client = server.websocket(**options)
            client.sock.setblocking(False)
            self.selector.register(client.sock, selectors.EVENT_READ, client)
            self.next[client] = 0
            if number % 50 == 0:
                self.step()  # the first are pinged before the last has come

    def _take(self, client):
        """What is there of one client: frames of a server are whole and short here."""
        try:
            while data := client.sock.recv(65536):
                client.buffer += data
            raise EOFError("a subscriber was closed")
        except ssl.SSLWantReadError:
            pass
        at = 0
        while len(client.buffer) - at >= 2 and len(client.buffer) - at >= 2 + client.buffer[at + 1]:
            opcode, size = client.buffer[at] & 0x0F, client.buffer[at + 1]
            payload = client.buffer[at + 2:at + 2 + size]
            at += 2 + size
            if opcode == PING:
                self.pings += 1
                client.sock.send(frame(PONG, payload))
            elif (opcode, payload) == (TEXT, b"%d" % self.next[client]):
                self.next[client] += 1
            else:
                raise AssertionError(f"opcode {opcode}, {payload!r} where {self.next[client]} was due")
        client.buffer = client.buffer[at:]

    def step(self, seconds=0.0):
        for key, _ in self.selector.select(seconds):
            self._take(key.data)

    def listen_until(self, count, at_least=None):
        """Reads on until each has got count messages, or at_least so many."""
        done = lambda: all(next_ >= (count if at_least is None else at_least) for next_ in self.next.values())
        wait_until(lambda: self.step(0.05) or done(), f"{count} messages for each", 3 * PATIENCE)

    def close(self):
        for client in self.next:
            client.close()
        self.selector.close()


class Visitors:
    """Clients that come one after the other until they are told to stop; each must get in, and an answer to its ping."""

    def __init__(self, server):
        self.server, self.came, self.error = server, 0, None
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._come)
        self.thread.start()

    def _come(self):
        token = self.server.token(channels=["elsewhere"])
        try:
            while not self.stopping.is_set():
                client = self.server.websocket(token=token)
                client.send(PING, b"here")
                assert client.receive() == (PONG, b"here")
                client.close()
                self.came += 1
        except (OSError, EOFError, AssertionError) as error:
            self.error = error

    def stop(self):
        self.stopping.set()
        self.thread.join()
        return self.error


class Fanout(unittest.TestCase):
    def server(self, *flags, **options):
        return self.enterContext(Server(*flags, **options))

    def assert_nothing_lost(self, server):
        for name in ("limpet_publications_lost_total", "limpet_mailbox_full_total"):
            self.assertEqual(server.metric(name), 0, name)
        self.assertEqual(server.metric("limpet_closed_total", cause="pong_timeout"), 0)
        self.assertEqual(server.metric("limpet_closed_total", cause="slow_consumer"), 0)

    def test_a_crowd_gets_all_in_order_while_life_goes_on(self):
        server = self.server("--plain.publish-channel", "news", "--heartbeat.ping-interval", "2s",
                             "--heartbeat.pong-timeout", "30s")
        crowd = Crowd(server, CROWD, token=server.token(channels=["news"]))
        sender = server.websocket(token=server.token(channels=[]))  # answers no pings: it must not come long before it sends
        visitors = Visitors(server)
        pings = server.metric("limpet_pings_sent_total")
        count = 0
        while count < 60 or visitors.came < 20 or server.metric("limpet_pings_sent_total") < pings + CROWD / 2:
            for _ in range(3):  # some go alone, some together
                sender.send(TEXT, str(count))
                count += 1
            crowd.step()
            crowd.listen_until(count, at_least=count - 30)  # it is no flood: on a busy machine this reader is the slow one
            self.assertIsNone(visitors.error)
        crowd.listen_until(count)
        self.assertIsNone(visitors.stop())
        self.assertGreater(crowd.pings, 0)
        self.assert_nothing_lost(server)
        self.assertEqual(server.metric("limpet_messages_sent_total"), CROWD * count)
        crowd.close()

    def test_an_idle_server_sleeps(self):
        """After the work is done no shard turns in circles."""
        server = self.server("--plain.publish-channel", "news")
        sender = server.websocket(token=server.token(channels=[]))
        crowd = Crowd(server, 100, token=server.token(channels=["news"]))
        for number in range(10):
            sender.send(TEXT, str(number))
        crowd.listen_until(10)
        ticks = server.metric("limpet_ticks_total")
        threading.Event().wait(1)
        self.assertLess(server.metric("limpet_ticks_total") - ticks, 100)
        crowd.close()

    def test_patterns(self):
        server = self.server("--plain.publish-channel", "news.sport")
        channels = {"exact": ["news.sport"], "pattern": ["news.*"], "all": ["*"], "all of them": ["*", "news.*", "news.sport"]}
        others = {"prefix": ["news."], "longer": ["news.sport.*"], "other": ["sport*"]}
        inside = {name: server.websocket(token=server.token(channels=names)) for name, names in channels.items()}
        outside = [server.websocket(token=server.token(channels=names)) for names in others.values()]
        for number in range(3):
            outside[0].send(TEXT, str(number))
        for name, client in inside.items():
            with self.subTest(channels=name):
                for number in range(3):
                    self.assertEqual(client.receive_data(), (TEXT, str(number).encode()))
        for client in [*inside.values(), *outside]:
            client.send(PING, b"and nothing else")
            self.assertEqual(client.receive(), (PONG, b"and nothing else"))

    def test_stop_in_the_middle_of_a_fan_out(self):
        """A server that has much to deliver still stops in time, and says goodbye."""
        server = self.server("--plain.publish-channel", "news", "--deadlines.shutdown", "20s",
                             "--limits.queue-bytes-max", "1MB")
        sender = server.websocket(token=server.token(channels=[]))
        crowd = [server.websocket(token=server.token(channels=["news"])) for _ in range(200)]
        for _ in range(24):
            sender.send(TEXT, "x" * 10000)
        server.process.terminate()
        for client in crowd:
            self.assertEqual(client.close_code(), 1001)
        self.assertEqual(server.stop(), 0)


class SlowConsumers(unittest.TestCase):
    """One subscriber stops reading while another one reads on: what each policy makes of it."""

    COUNT, SIZE = 400, 3000

    def start(self, policy, *flags, small_buffers=True):
        buffers = ("--socket-send-size", "4KB") if small_buffers else ()
        server = self.enterContext(Server(
            "--plain.publish-channel", "feed:x", "--namespaces", f"feed:slow={policy}:publish=client",
            "--limits.queue-bytes-max", "128KB", *buffers, *flags, shards=1))
        return server, server.token(channels=["feed:x"])

    def publish(self, server, reader):
        """All of them, one by one: each has reached the reader before the next goes out."""
        sender = server.websocket(token=server.token(channels=[]))
        for number in range(self.COUNT):
            payload = f"{number:06}".ljust(self.SIZE, "x").encode()
            sender.send(TEXT, payload)
            self.assertEqual(reader.receive_data(), (TEXT, payload))
        sender.close()

    def read_all(self, client):
        """The numbers that a client gets, up to the newest."""
        numbers = []
        while not numbers or numbers[-1] != self.COUNT - 1:
            _, payload = client.receive_data()
            self.assertEqual(len(payload), self.SIZE)
            numbers.append(int(payload[:6]))
        self.assertEqual(numbers, sorted(set(numbers)), "in order, each once")
        return numbers

    def stop_and_go(self, policy):
        server, token = self.start(policy)
        reader = server.websocket(token=token)
        stopped = server.websocket(token=token, connect={"receive_size": 4096})
        self.publish(server, reader)
        self.assertLessEqual(server.metric("limpet_queue_bytes") - server.metric("limpet_kernel_bytes"), 128 << 10)
        numbers = self.read_all(stopped)
        self.assertLess(len(numbers), self.COUNT)
        self.assertEqual(server.metric("limpet_dropped_total", policy=policy), self.COUNT - len(numbers))
        self.assertEqual(server.metric("limpet_dropped_total"), self.COUNT - len(numbers))
        self.assertEqual(server.metric("limpet_namespace_dropped_total", namespace="feed"), self.COUNT - len(numbers))
        self.assertEqual(server.metric("limpet_namespace_publications_total", namespace="feed"), self.COUNT)
        self.assertEqual(server.metric("limpet_closed_total", cause="slow_consumer"), 0)
        server.wait_metric("limpet_queue_bytes", 0)
        stopped.send(PING, b"still here")
        self.assertEqual(stopped.receive(), (PONG, b"still here"))
        return numbers

    def test_drop_oldest(self):
        numbers = self.stop_and_go("drop_oldest")
        newest = [number for number in numbers if number >= self.COUNT - 20]
        self.assertEqual(newest, list(range(self.COUNT - 20, self.COUNT)), "what waited last is whole")

    def test_keep_latest(self):
        numbers = self.stop_and_go("keep_latest")
        self.assertLess(numbers[-2], self.COUNT - 20, "one message waited, the newest")

    def test_close(self):
        server, token = self.start("close")
        reader = server.websocket(token=token)
        stopped = server.websocket(token=token, connect={"receive_size": 4096})
        self.publish(server, reader)
        self.assertEqual(server.metric("limpet_closed_total", cause="slow_consumer"), 1)
        self.assertGreater(server.metric("limpet_dropped_total", policy="close"), 0)
        server.wait_metric("limpet_connections_open", 1)
        with self.assertRaises((OSError, EOFError)):
            self.read_all(stopped)

    def test_a_majority_that_has_stopped_holds_nobody_up(self):
        """Their queues never grow, as one message each waits: they must not be taken for a crowd that is about to read."""
        server, token = self.start("keep_latest", "--heartbeat.ping-interval", "1h")
        stopped = [server.websocket(token=token, connect={"receive_size": 4096}) for _ in range(5)]
        reader = server.websocket(token=token)
        sender = server.websocket(token=server.token(channels=[]))
        for number in range(self.COUNT):  # a burst: nobody waits for anybody
            sender.send(TEXT, f"{number:06}".ljust(self.SIZE, "x"))
        numbers = self.read_all(reader)
        self.assertEqual(numbers[-1], self.COUNT - 1)
        self.assertEqual(server.metric("limpet_connections_open"), 7)
        for client in stopped:
            client.close()

    def test_what_the_kernel_holds_counts(self):
        """With the kernel's own buffers a client that stops would hold megabytes before its queue is full."""
        server, token = self.start("drop_oldest", small_buffers=False)
        reader = server.websocket(token=token)
        stopped = server.websocket(token=token)
        self.assertEqual(server.metric("limpet_kernel_bytes"), 0)
        while server.metric("limpet_kernel_bytes") < 16 << 10:  # so much it holds before a send waits
            self.publish(server, reader)
        self.publish(server, reader)
        self.assertGreater(server.metric("limpet_dropped_total", policy="drop_oldest"), 0)
        stopped.close()
        server.wait_metric("limpet_kernel_bytes", 0)
        server.wait_metric("limpet_queue_bytes", 0)

    def test_bound_of_a_shard(self):
        """Many who stop, each below its own bound: the shard's holds all the same."""
        server, token = self.start("drop_oldest", "--limits.shard-queue-bytes-max", "256KB")
        reader = server.websocket(token=token)
        stopped = [server.websocket(token=token, connect={"receive_size": 4096}) for _ in range(10)]
        for _ in range(3):
            self.publish(server, reader)
            waiting = server.metric("limpet_queue_bytes") - server.metric("limpet_kernel_bytes")
            self.assertLessEqual(waiting, 256 << 10)
        self.assertGreater(server.metric("limpet_dropped_total", policy="drop_oldest"), 0)
        self.assertEqual(server.metric("limpet_closed_total", cause="slow_consumer"), 0)
        for client in stopped:
            client.close()


if __name__ == "__main__":
    main()
