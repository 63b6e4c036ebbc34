"""Memory from outside: nothing is allocated while connections are only kept, and all comes back when a crowd leaves."""

import os
import shutil
import signal
import struct
import subprocess
import tempfile
import unittest

from limpet import BINARY, LIMPET, PING, PONG, SANITIZED, TEXT, Server, main, wait_until

BENCH = os.environ.get("LIMPET_BENCH", os.path.join(os.path.dirname(LIMPET), "limpet-bench"))
HERE = os.path.dirname(os.path.abspath(__file__))


class SteadyState(unittest.TestCase):
    @unittest.skipIf(SANITIZED, "a sanitizer has its own malloc")
    @unittest.skipUnless(shutil.which("cc"), "no C compiler")
    def test_no_allocation_while_heartbeats_run(self):
        with tempfile.TemporaryDirectory(prefix="limpet-alloc-") as folder:
            library, file = os.path.join(folder, "allocations.so"), os.path.join(folder, "count")
            subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-fno-builtin", "-D_GNU_SOURCE", "-o", library,
                            os.path.join(HERE, "allocations.c")], check=True)
            with open(file, "wb") as out:
                out.write(bytes(8))

            def allocations():
                with open(file, "rb") as count:
                    return struct.unpack("Q", count.read(8))[0]

            flags = ("--heartbeat.ping-interval", "100ms", "--heartbeat.pong-timeout", "20s", "--plain.publish-channel",
                     "news")
            with Server(*flags, env={"LD_PRELOAD": library, "ALLOCATIONS": file}, shards=2) as server:
                token = server.token(channels=["news"])
                clients = [server.websocket(token=token) for _ in range(50)]
                at_open = allocations()
                self.assertGreater(at_open, 50)  # it counts: opening allocates, in the libraries
                pongs = server.metric("limpet_pongs_received_total")
                for round_number in range(20):
                    clients[round_number].send(TEXT, f"news {round_number}")
                    for client in clients:
                        while (received := client.receive()) != (TEXT, f"news {round_number}".encode()):
                            self.assertEqual(received, (PING, b""))
                            client.send(PONG)
                    clients[0].send(BINARY, bytes(50000))  # larger than a record: put together, and cut
                    for client in clients:
                        while client.receive() != (BINARY, bytes(50000)):
                            client.send(PONG)
                wait_until(lambda: self.answer(clients) and
                           server.metric("limpet_pongs_received_total") > pongs + 200, "200 heartbeats")
                self.assertEqual(allocations(), at_open)
                for client in clients:
                    client.close()
                server.wait_metric("limpet_connections_held", 0)

    def answer(self, clients):
        """Answers the next ping of each."""
        for client in clients:
            self.assertEqual(client.receive(), (PING, b""))
            client.send(PONG)
        return True


class Crowds(unittest.TestCase):
    """S29: a crowd, half of it stopped, with data queued for each; all leave at once; five times."""

    COUNT, WAVES = (200, 2) if SANITIZED else (5000, 5)

    def resident(self, server):
        with open(f"/proc/{server.process.pid}/status", encoding="ascii") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmRSS"))

    def crowd(self, server, count, source):
        """A process with so many clients, all open."""
        return subprocess.Popen(
            [BENCH, "idle", "--url", f"wss://127.0.0.1:{server.port}/", "--token", server.token(channels=["news"]),
             "--connections", str(count), "--hold", "600", "--reference", "0", "--source", source, "--timeout", "60"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    @unittest.skipUnless(os.path.exists(BENCH), "limpet-bench is not built")
    def test_waves(self):
        flags = ("--plain.publish-channel", "news", "--limits.message-size-max", "128KB", "--limits.queue-bytes-max",
                 "1MB", "--limits.shard-queue-bytes-max", "2GB", "--limits.arena-size", "256MB",
                 "--socket-send-size", "16KB", "--heartbeat.ping-interval", "10m")
        with Server(*flags, shards=2) as server:
            wait_until(lambda: all(server.metric("limpet_ticks_total", shard=shard) > 0 for shard in (0, 1)), "a tick")
            arena = server.metric("limpet_arena_bytes")  # before anyone's answer is on its way
            publisher = server.websocket(token=server.token(channels=[]))
            peaks, rests = [], []
            start = self.resident(server)
            for _ in range(self.WAVES):
                crowds = [self.crowd(server, self.COUNT // 2, f"127.0.3.{i}") for i in (1, 2)]
                try:
                    wait_until(lambda: server.metric("limpet_connections_open") == self.COUNT + 1,
                               "all of the crowd open", seconds=60)
                    crowds[1].send_signal(signal.SIGSTOP)
                    sent = server.metric("limpet_messages_sent_total")
                    for _ in range(2):
                        publisher.send(BINARY, bytes(100000))
                    wait_until(lambda sent=sent: server.metric("limpet_messages_sent_total") == sent + 2 * self.COUNT,
                               lambda: f"all queued; {server.metric('limpet_connections_open')} are open, sent: "
                                       f"{server.metric('limpet_messages_sent_total')}, before {sent}, lost: "
                                       f"{server.metric('limpet_publications_lost_total')}")
                    wait_until(lambda: server.metric("limpet_pool_used", pool="queued") <= self.COUNT // 2 * 2,
                               "the half that reads has all of it")
                    peaks.append(self.resident(server))
                    self.assertGreater(server.metric("limpet_arena_bytes"), arena + 100000)
                finally:
                    for crowd in crowds:
                        crowd.kill()
                        crowd.wait()
                server.wait_metric("limpet_connections_held", 1)
                for gauge in ("limpet_subscriptions", "limpet_channels", "limpet_handshakes_in_flight"):
                    server.wait_metric(gauge, 0)
                server.wait_metric("limpet_arena_bytes", arena)
                self.assertEqual(server.metric("limpet_timers"), 1)  # the publisher's
                publisher.send(PING, b"p")
                self.assertEqual(publisher.receive(), (PONG, b"p"))
                if not SANITIZED:
                    # It comes back step by step: every wave's is awaited, not only looked at.
                    rest_max = min([start * 1.2 + (4 << 20), *(rest * 1.1 + (2 << 20) for rest in rests)])
                    wait_until(lambda most=rest_max: self.resident(server) < most,
                               lambda most=rest_max: f"memory back: started with {start}, now {self.resident(server)}, "
                                                     f"want {most}, peaks {peaks}, rests {rests}")
                rests.append(self.resident(server))
            if not SANITIZED:
                # How much of a wave is on its way at the moment of the look differs; growth would be in every one.
                self.assertLess(min(peaks[2:]), max(peaks[:2]) * 1.1)
            publisher.close()


if __name__ == "__main__":
    main()
