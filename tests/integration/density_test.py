"""100,000 idle wss:// connections at once on this machine, both ends, with heartbeats: held, small, and their memory given back."""

import json
import math
import os
import resource
import subprocess
import tempfile
import unittest

from limpet import LIMPET, SANITIZED, Server, main, wait_until

BENCH = os.environ.get("LIMPET_BENCH", os.path.join(os.path.dirname(LIMPET), "limpet-bench"))
COUNT = 100_000
MEMORY = 2 << 30  # bytes that both ends need, with room


def memory_available():
    with open("/proc/meminfo", encoding="ascii") as file:
        lines = dict(line.split(":") for line in file)
    return int(lines["MemAvailable"].split()[0]) << 10


def resident(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith("VmRSS"))


@unittest.skipIf(SANITIZED, "memory is not its own under a sanitizer")
class Density(unittest.TestCase):
    def test_100_000(self):
        if memory_available() < MEMORY:
            self.skipTest(f"{MEMORY >> 20} MB of free memory are needed")
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard < 4096:
            self.skipTest(f"RLIMIT_NOFILE's hard limit is {hard}: a table of sockets is too small")
        shards = max(os.cpu_count(), math.ceil(COUNT / (0.9 * min(hard, 1 << 20))))  # a hash chooses: not all are full
        server = self.enterContext(Server(shards=shards))
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "result.json")
            subprocess.run([BENCH, "idle", "--url", f"wss://127.0.0.1:{server.port}/", "--token", server.token(ttl=7200),
                            "--admin", f"127.0.0.1:{server.admin_port}", "-n", str(COUNT), "--hold", "12",
                            "--reference", "0", "--json", path], check=True, timeout=250)
            with open(path, encoding="utf-8") as file:
                result = json.load(file)
        self.assertEqual(result["server_pid"], server.process.pid)
        self.assertEqual(result["connections_open"], COUNT)
        self.assertEqual(result["connections_failed"], 0)
        self.assertEqual(result["connections_lost"], 0)
        self.assertLessEqual(result["user_bytes_per_connection"], 252)  # 246 is measured, 256 is the target
        self.assertGreater(result["heartbeats_in_ramp"] + result["heartbeats_in_hold"], 0)
        # It comes back when they have gone, at the next trim, once a second. What stays is code and stack that were
        # touched, and first pages of free blocks: 2 %, whatever the crowd.
        most = 1.05 * result["server_memory_before"]["rss"]
        wait_until(lambda: resident(server.process.pid) <= most,
                   lambda: f"started with {result['server_memory_before']}, now {resident(server.process.pid)}")


if __name__ == "__main__":
    main()
