"""100,000 idle wss:// connections at once on this machine, both ends, with heartbeats: held, small, and their memory given back."""

import json
import os
import resource
import subprocess
import tempfile
import unittest

from limpet import LIMPET, SANITIZED, main

BENCH = os.environ.get("LIMPET_BENCH", os.path.join(os.path.dirname(LIMPET), "limpet-bench"))
COUNT = 100_000
MEMORY = 2 << 30  # bytes that both ends need, with room


def memory_available():
    with open("/proc/meminfo", encoding="ascii") as file:
        lines = dict(line.split(":") for line in file)
    return int(lines["MemAvailable"].split()[0]) << 10


@unittest.skipIf(SANITIZED, "memory is not its own under a sanitizer")
class Density(unittest.TestCase):
    def test_100_000(self):
        if memory_available() < MEMORY:
            self.skipTest(f"{MEMORY >> 20} MB of free memory are needed")
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard < 4096:
            self.skipTest(f"RLIMIT_NOFILE's hard limit is {hard}: a table of sockets is too small")
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "result.json")
            subprocess.run([BENCH, "idle", "--spawn", "--limpet", LIMPET, "-n", str(COUNT), "--hold", "12",
                            "--reference", "0", "--json", path], check=True, timeout=280)
            with open(path, encoding="utf-8") as file:
                result = json.load(file)
        self.assertEqual(result["connections_open"], COUNT)
        self.assertEqual(result["connections_failed"], 0)
        self.assertEqual(result["connections_lost"], 0)
        self.assertLessEqual(result["user_bytes_per_connection"], 256)  # 246 is measured
        # What stays is code and stack that were touched, and first pages of free blocks: 2 %, whatever the crowd.
        self.assertLessEqual(result["server_memory_left"]["rss"], 1.05 * result["server_memory_before"]["rss"])
        self.assertGreater(result["heartbeats_in_ramp"] + result["heartbeats_in_hold"], 0)


if __name__ == "__main__":
    main()
