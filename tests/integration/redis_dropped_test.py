"""S32: a Redis whose packets are dropped, as by a firewall that forgot the connection: no FIN, no reset, nothing. It is
noticed in the time that redis.timeout says, clients stay, and what was published meanwhile is caught up: also when the
Redis that is reached then is another process, which knows nothing of the connections.

Needs a network namespace of its own, with a pair of virtual interfaces in it: root. Redis is at the far end, whose
interface is switched off and on.
"""

import os
import subprocess
import sys
import urllib.error
import urllib.request

from limpet import PATIENCE, TEXT, main, wait_until
from redis_servers import CLI, MISSING, TOOL, WITH_US
from redis_test import Case, flags

HERE, THERE = "10.99.7.1", "10.99.7.2"
INSIDE = "LIMPET_TEST_NETWORK"


def run(*command):
    ran = subprocess.run(command, check=False, capture_output=True, text=True, timeout=PATIENCE)
    if ran.returncode != 0:
        raise AssertionError(f"{' '.join(command)}: {ran.stderr}")


class Far:
    """A second network, which ends with the process that holds it."""

    def __enter__(self):
        # pylint: disable-next=consider-using-with
        self.holder = subprocess.Popen([*WITH_US, "unshare", "-n", "sleep", "infinity"])
        own = os.readlink("/proc/self/ns/net")
        wait_until(lambda: os.readlink(f"/proc/{self.holder.pid}/ns/net") != own, "it has a network of its own")
        self.enter = ("nsenter", "-t", str(self.holder.pid), "-n")
        run("ip", "link", "add", "near", "type", "veth", "peer", "name", "far", "netns", str(self.holder.pid))
        run("ip", "address", "add", f"{HERE}/24", "dev", "near")
        run("ip", "link", "set", "near", "up")
        run(*self.enter, "ip", "address", "add", f"{THERE}/24", "dev", "far")
        run(*self.enter, "ip", "link", "set", "lo", "up")
        self.switch("up")
        return self

    def switch(self, state):
        run(*self.enter, "ip", "link", "set", "far", state)

    def __exit__(self, *exception):
        run("ip", "link", "delete", "near")  # else it goes some time after the other one's network
        self.holder.kill()
        self.holder.wait()


class Dropped(Case):
    def setUp(self):
        self.far = self.enterContext(Far())
        self.there = self.redis("appendonly yes", "appendfsync always", "protected-mode no", f"bind {THERE} 127.0.0.1",
                                host=THERE, command=(*self.far.enter, TOOL))
        self.here = self.server(*flags(self.there), "--redis.nodes", f"{THERE}:{self.there.port}", "--redis.timeout", "1s")
        self.client = self.here.websocket(token=self.here.token(channels=["n:a"]))
        self.wait_subscribed(self.there, "limpet:n:a")
        self.publish_there("before")
        self.expect("before")

    def ask_there(self, *words):
        """At the far end, whatever becomes of the packets in between."""
        ran = subprocess.run([*self.far.enter, CLI, "-h", "127.0.0.1", "-p", str(self.there.port), *words], check=False,
                             capture_output=True, text=True, timeout=PATIENCE)
        return ran.stdout

    def publish_there(self, payload):
        answer = self.ask_there("--eval", "scripts/publish.lua", "limpet:{n:a}:stream", "limpet:{n:a}:meta", ",", "limpet:n:a",
                                payload, "100", "3600")
        self.assertEqual(answer.split()[-1:], ["1"])

    def expect(self, payload):
        self.assertEqual(self.client.receive_data(), (TEXT, payload.encode()))

    def is_ready(self):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.here.admin_port}/health/ready", timeout=PATIENCE) as answer:
                return answer.status == 200
        except urllib.error.HTTPError as error:
            return error.code == 200

    def drop(self):
        wait_until(self.is_ready, "ready at first")
        self.far.switch("down")
        wait_until(lambda: self.here.metric("limpet_broker_up") == 0, self.here.log_text)
        wait_until(lambda: not self.is_ready(), "not ready")
        self.here.wait_for_log("redis connection lost")

    def check_caught_up(self):
        self.wait_up(self.here)
        for payload in ("meanwhile", "and more"):
            self.expect(payload)
        self.publish_there("live again")
        self.expect("live again")
        wait_until(self.is_ready, "ready again")
        self.assertEqual(self.here.metric("limpet_broker_gaps_total"), 0)
        self.assertEqual(self.here.metric("limpet_closed_total"), 0)

    def test_packets_come_through_again(self):
        self.drop()
        self.publish_there("meanwhile")
        self.publish_there("and more")
        self.far.switch("up")
        self.check_caught_up()

    def test_another_process_is_there_then(self):
        """The old connections are half open: the new Redis has never heard of them."""
        self.drop()
        self.publish_there("meanwhile")
        self.there.kill()
        self.there.start(must_answer=False)  # not to us
        wait_until(lambda: self.ask_there("PING") == "PONG\n", self.there.log_text)
        self.publish_there("and more")
        self.far.switch("up")
        self.check_caught_up()


def has_networks():
    return subprocess.run(["unshare", "-n", "sh", "-c", "ip link set lo up && ip link add near type veth peer name far"],
                          capture_output=True, check=False).returncode == 0


if __name__ == "__main__":
    if not TOOL:
        print(f"skipped: {MISSING}")
        sys.exit(77)
    if INSIDE not in os.environ:
        if not has_networks():
            print("skipped: no network namespace with virtual interfaces (needs root, ip and the kernel's veth)")
            sys.exit(77)
        os.environ[INSIDE] = "1"
        os.execvp("unshare", ["unshare", "-n", sys.executable, *sys.argv])
    run("ip", "link", "set", "lo", "up")
    main()
