"""limpet-tune: what it says of a host that is written by hand below a scratch root, of real network namespaces, and of
bad input. Nothing here changes the host; namespaces are the test's own."""

import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import unittest

from limpet import LIMPET, PATIENCE, Server, main, wait_until

TUNE = os.environ.get("LIMPET_TUNE", "build/release/limpet-tune")
COLUMNS = 120
DEFAULTS = {
    "kernel.osrelease": "6.12.0-test", "kernel.io_uring_disabled": "0", "fs.file-max": "9223372036854775807",
    "fs.file-nr": "1024 0 9223372036854775807", "fs.nr_open": "1048576", "net.core.somaxconn": "4096",
    "net.core.busy_poll": "0", "net.core.rmem_max": "212992", "net.core.netdev_max_backlog": "1000",
    "net.ipv4.tcp_syncookies": "1", "net.ipv4.tcp_abort_on_overflow": "0", "net.ipv4.tcp_migrate_req": "0",
    "net.ipv4.tcp_max_orphans": "65536", "net.ipv4.ip_local_port_range": "32768\t60999", "net.ipv4.tcp_tw_reuse": "2",
    "net.ipv4.tcp_max_tw_buckets": "65536", "net.ipv4.tcp_max_syn_backlog": "1024", "net.ipv4.tcp_fin_timeout": "60",
    "net.ipv4.tcp_mem": "189000\t252000\t378000", "net.ipv4.tcp_rmem": "4096\t131072\t6291456",
    "net.ipv4.tcp_wmem": "4096\t16384\t4194304", "net.ipv4.tcp_moderate_rcvbuf": "1", "net.ipv4.tcp_timestamps": "1",
    "net.ipv4.tcp_sack": "1", "net.ipv4.tcp_retries2": "15", "net.ipv4.tcp_no_metrics_save": "0",
    "net.ipv4.tcp_ehash_entries": "131072", "net.ipv4.tcp_keepalive_time": "7200",
    "net.ipv4.tcp_slow_start_after_idle": "1", "net.ipv4.neigh.default.gc_thresh1": "128",
    "net.ipv4.neigh.default.gc_thresh2": "512", "net.ipv4.neigh.default.gc_thresh3": "1024",
    "vm.min_free_kbytes": "67584", "vm.overcommit_memory": "0", "vm.max_map_count": "65530",
    "kernel.core_pattern": "core", "kernel.threads-max": "127000", "kernel.pid_max": "4194304",
    "kernel.numa_balancing": "0", "net.ipv4.tcp_synack_retries": "5", "net.ipv4.tcp_fastopen": "1",
    "net.ipv4.tcp_ecn": "2", "net.core.wmem_max": "212992", "net.core.optmem_max": "20480",
    "net.ipv4.tcp_notsent_lowat": "4294967295", "net.ipv4.tcp_congestion_control": "cubic",
    "net.core.default_qdisc": "fq_codel", "net.ipv4.tcp_child_ehash_entries": "0", "vm.swappiness": "60",
    "vm.nr_hugepages": "0", "net.core.busy_read": "0", "net.core.rps_sock_flow_entries": "0",
    "net.core.netdev_budget": "300", "net.core.netdev_budget_usecs": "8000",
}


def tune(*arguments, prefix=(), env=None):
    result = subprocess.run([*prefix, TUNE, *map(str, arguments)], capture_output=True, text=True, timeout=PATIENCE,
                            check=False, env={**os.environ, **(env or {})})
    return result.returncode, result.stdout, result.stderr


class Host:
    """A folder that stands for "/": 4 cores, 16 GB, the kernel's defaults, a server that runs with good limits."""

    def __init__(self, test):
        self.root = pathlib.Path(test.enterContext(tempfile.TemporaryDirectory(prefix="limpet-tune-")))
        for key, value in DEFAULTS.items():
            self.sysctl(key, value)
        self.write("proc/meminfo", "MemTotal: 16777216 kB\n")
        self.write("sys/devices/system/cpu/online", "0-3\n")
        self.write("proc/net/netstat", "TcpExt: ListenOverflows ListenDrops\nTcpExt: 0 0\n")
        self.write("proc/net/sockstat", "sockets: used 1\nTCP: inuse 1 orphan 0 tw 0 alloc 1 mem 0\n")
        self.write("proc/812/comm", "limpet\n")
        self.write("proc/812/limits", "".join(f"{name:<26}{value:<21}{value:<21}\n" for name, value in (
            ("Max open files", 1048576), ("Max locked memory", "unlimited"), ("Max core file size", 0))))

    def write(self, path, text):
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")

    def sysctl(self, key, value):
        self.write("proc/sys/" + key.replace(".", "/"), value + "\n")

    def check(self, *arguments):
        status, out, err = tune("check", "--root", self.root, "--interval", 0.05, "--json", *arguments)
        report = json.loads(out)
        states = {row["key"]: row for row in report["settings"]}
        return status, report, states, err

    def snapshot(self):
        return {path: path.read_bytes() for path in self.root.rglob("*") if path.is_file()}


class Plans(unittest.TestCase):
    def test_lines_fit(self):
        host = Host(self)
        for connections in (1, 100000, 1000000, 5000000, 100000000):
            for flags in ((), ("--load-host",), ("--connect-rate", 10000000)):
                for verb in (("plan",), ("check", "--interval", 0.05)):
                    with self.subTest(connections=connections, flags=flags, verb=verb):
                        _, out, err = tune(*verb, "-n", connections, *flags, "--root", host.root)
                        self.assertEqual(err, "")
                        for line in out.splitlines():
                            self.assertLessEqual(len(line), COLUMNS, line)
                            self.assertEqual(line, line.rstrip())
                        self.assertNotIn("\033", out)

    def test_colours_are_for_terminals(self):
        host = Host(self)
        for env, is_coloured in (({}, True), ({"NO_COLOR": "1"}, False)):
            with self.subTest(env=env):
                terminal, end = os.openpty()
                process = subprocess.Popen([TUNE, "check", "--root", host.root, "--interval", "0.05"], stdout=end,
                                           env={**{k: v for k, v in os.environ.items() if k != "NO_COLOR"}, **env})
                os.close(end)
                out = b""
                try:
                    while data := os.read(terminal, 65536):
                        out += data
                except OSError:  # how a terminal ends
                    pass
                os.close(terminal)
                process.wait(PATIENCE)
                self.assertIn(b"net.core.somaxconn", out)
                self.assertEqual(b"\033[32mok" in out, is_coloured)

    def test_a_million(self):
        host = Host(self)
        before = host.snapshot()
        status, out, _ = tune("plan", "-n", 1000000, "--connect-rate", 20000, "--root", host.root)
        self.assertEqual(status, 0)
        for part in ("20,000 new connections a second / 4 threads", "4096 -> 8192", "625000 833333 1250000 pages",
                     "1,000,000 x 1.25 = 1,250,000 pages", "The first bound: memory", "restart of limpet", "reboot"):
            self.assertIn(part, out)
        self.assertEqual(host.snapshot(), before)

    def test_json(self):
        host = Host(self)
        status, out, _ = tune("plan", "-n", 1000000, "--root", host.root, "--json")
        plan = json.loads(out)
        self.assertEqual(status, 0)
        self.assertEqual(plan["target"]["connections"], 1000000)
        self.assertEqual(plan["first_bound"]["part"], "memory")
        settings = {row["key"]: row for row in plan["settings"]}
        self.assertEqual(settings["net.ipv4.tcp_mem"]["now"], "189000 252000 378000")
        self.assertEqual(settings["net.ipv4.tcp_mem"]["wanted"], "625000 833333 1250000")
        for row in plan["settings"]:
            self.assertTrue(row["why"])

    def test_what_needs_no_change(self):
        host = Host(self)
        host.sysctl("kernel.core_pattern", "|/usr/lib/systemd/systemd-coredump %P")
        status, out, _ = tune("plan", "-n", 1000000, "--root", host.root)
        self.assertEqual(status, 0)
        sections = {part.split("\n", 1)[0]: " ".join(part.split()) for part in out.split("\n\n")}
        left = sections["No change needed, whatever the lists say"]
        for part in ("kernel.core_pattern |/usr/lib/systemd/sy... ", "net.ipv4.tcp_notsent_lowat", "TasksMax",
                     "net.core.optmem_max", "net.ipv4.tcp_fastopen", "net.core.netdev_budget ", "vm.swappiness",
                     "kernel.numa_balancing", "ring sizes", "transmit packet steering", "4,096 x 32 queues x 2 KB"):
            self.assertIn(part, left)
        self.assertIn("adaptive-rx on, or rx-usecs 30 to 100", sections["To see to by hand"])
        self.assertIn("provider no provider is known of", sections["Not on this host"])
        for part in ("net.ipv4.tcp_synack_retries 5 ", "net.ipv4.tcp_ecn 2 ", "net.core.busy_read "):
            self.assertIn(part, sections["Right already"])

    def test_this_host(self):
        """Of an interface with one queue the kernel has the file of its steering, and refuses to have it read."""
        _, out, _ = tune("plan", "-n", 1000, "--json")
        states = {row["key"]: row["state"] for row in json.loads(out)["settings"]}
        self.assertIn(states["transmit packet steering"], ("ok", "absent"))

    def test_options_of_the_server(self):
        host = Host(self)
        options = host.root / "limpet.yaml"
        options.write_text("shards: 16\nlisten_backlog: 9000\nheartbeat: {ping_interval: 2m}\n"
                           "limits: {connections_max: 700000}\n", encoding="utf-8")
        status, report, states, _ = host.check("--options", options)
        self.assertEqual(status, 1)
        self.assertEqual(report["target"]["connections"], 700000)
        self.assertEqual(report["target"]["shards"], 16)
        self.assertEqual(states["net.core.somaxconn"]["wanted"], "9000")
        self.assertEqual(states["heartbeat.ping_interval"]["state"], "low")
        self.assertEqual(states["listen_backlog"]["state"], "ok")

    def test_profiles_are_what_the_program_makes(self):
        _, listed, _ = tune("profile")
        names = [line.split()[0] for line in listed.splitlines()]
        self.assertEqual(sorted(f"{name}.conf" for name in names), sorted(os.listdir("sysctl.d")))
        for name in names:
            with self.subTest(profile=name):
                status, out, _ = tune("profile", name)
                self.assertEqual(status, 0)
                self.assertEqual(pathlib.Path("sysctl.d", f"{name}.conf").read_text(encoding="utf-8"), out)
                for line in out.splitlines():
                    self.assertLessEqual(len(line), 100)
                    self.assertRegex(line, r"^(|#.*|-?[a-z][a-z0-9_.]* = \d+( \d+)*)$")

    def test_a_profile_leaves_nothing_to_do_on_its_host(self):
        host = Host(self)
        host.write("sys/devices/system/cpu/online", "0-15\n")
        for line in pathlib.Path("sysctl.d/limpet-1m.conf").read_text(encoding="utf-8").splitlines():
            if line and not line.startswith("#"):
                key, value = line.lstrip("-").split(" = ")
                host.sysctl(key, value)
        _, _, states, _ = host.check("-n", 1000000)
        self.assertEqual([key for key, row in states.items() if row["kind"] == "sysctl" and row["state"] != "ok"], [])


class Checks(unittest.TestCase):
    def test_states_and_statuses(self):
        host = Host(self)
        host.sysctl("net.ipv4.tcp_migrate_req", "1")
        status, report, states, _ = host.check("-n", 1000)
        self.assertEqual((status, report["status"]), (0, "ok"), [s for s in states.values() if s["state"] != "ok"])
        host.sysctl("net.core.somaxconn", "128")
        status, report, states, _ = host.check("-n", 1000)
        self.assertEqual((status, report["status"], states["net.core.somaxconn"]["state"]), (1, "bad", "low"))
        host.sysctl("net.ipv4.tcp_syncookies", "0")
        self.assertEqual(host.check("-n", 1000)[2]["net.ipv4.tcp_syncookies"]["state"], "risky")
        host.sysctl("net.ipv4.tcp_sack", "yes please")
        status, report, states, _ = host.check("-n", 1000)
        self.assertEqual((status, report["status"], states["net.ipv4.tcp_sack"]["state"]), (2, "unknown", "unknown"))
        self.assertIn("yes please", states["net.ipv4.tcp_sack"]["problem"])

    def test_what_is_not_there_is_absent(self):
        host = Host(self)
        host.sysctl("net.ipv4.tcp_migrate_req", "1")
        for key in ("kernel.io_uring_disabled", "net.ipv4.tcp_mem", "net.core.somaxconn"):
            (host.root / "proc/sys" / key.replace(".", "/")).unlink()
            status, _, states, _ = host.check("-n", 1000)
            self.assertEqual((status, states[key]["state"], states[key]["now"]), (0, "absent", None))
        shutil.rmtree(host.root / "proc/net")
        status, report, _, _ = host.check("-n", 1000)
        self.assertEqual(status, 0)
        self.assertEqual(next(row["state"] for row in report["counters"] if row["name"] == "ListenDrops"), "absent")

    @unittest.skipIf(os.geteuid() == 0 and not shutil.which("setpriv"), "root reads everything, and no setpriv")
    def test_a_file_that_may_not_be_read(self):
        host = Host(self)
        os.chmod(host.root, 0o755)
        os.chmod(host.root / "proc/sys/net/core/somaxconn", 0)
        prefix = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups") if os.geteuid() == 0 else ()
        program = host.root / "limpet-tune"  # where that user can reach it
        shutil.copy(TUNE, program)
        result = subprocess.run([*prefix, program, "check", "-n", "1000", "--root", host.root, "--interval", "0.05"],
                                capture_output=True, text=True, timeout=PATIENCE, check=False, env=OTHER_USERS)
        self.assertEqual(result.returncode, 2, result.stderr)
        self.assertRegex(result.stdout, r"unknown +net.core.somaxconn +cannot be read")

    def test_the_servers_own_limits(self):
        host = Host(self)
        host.write("proc/812/limits", "Max open files            1024                 524288               files\n")
        _, report, states, _ = host.check("-n", 1000)
        self.assertEqual(report["host"]["server_pid"], 812)
        self.assertEqual((states["LimitNOFILE"]["state"], states["LimitNOFILE"]["now"]), ("low", "1024"))

    def test_a_running_server(self):
        """Limits, listeners and backlog of a real one."""
        with Server("--listen-backlog", "100", shards=2) as server:
            _, out, _ = tune("check", "-n", 1000, "--json", "--interval", 0.05, "--pid", server.process.pid)
            report = json.loads(out)
            port = next(row for row in report["listeners"] if row["port"] == server.port)
            self.assertEqual((port["sockets"], port["backlog"], port["state"]), (2, 100, "low"))
            self.assertEqual(report["trial"]["state"], "ok", report["trial"])
            nofile = next(row for row in report["settings"] if row["key"] == "LimitNOFILE")
            limits = pathlib.Path(f"/proc/{server.process.pid}/limits").read_text(encoding="utf-8")
            self.assertIn(nofile["now"], limits)

    def test_a_ring_that_is_refused(self):
        status, out, _ = tune("check", "-n", 1000000, "--json", "--interval", 0.05,
                              prefix=("prlimit", "--nofile=1024:1024"))
        trial = json.loads(out)["trial"]
        self.assertEqual((status, trial["state"]), (1, "low"))
        self.assertIn("LimitNOFILE", trial["message"])


class BadInput(unittest.TestCase):
    def test_usage(self):
        host = Host(self)
        for arguments, part in (
                ((), "usage:"), (("frobnicate",), "no verb 'frobnicate'"), (("plan", "--speed", "11"), "--speed"),
                (("plan", "-n", "0"), "from 1 to 100000000"), (("plan", "-n", "100000001"), "from 1 to 100000000"),
                (("plan", "-n", "-5"), "from 1 to"), (("plan", "-n", "1e6"), "from 1 to"), (("plan", "-n", ""), "from 1"),
                (("plan", "-n", "99999999999999999999"), "from 1 to"), (("plan", "--connect-rate", "0"), "from 1 to"),
                (("plan", "--nic", "../../etc"), "ip -br link"), (("plan", "--nic", "nope0"), "ip -br link"),
                (("plan", "--root", "/no/such/root"), "No such file"), (("plan", "extra"), "extra"),
                (("check", "--pid", "99999999"), "pidof limpet"), (("check", "--interval", "0"), "0.05 to 3600"),
                (("check", "--interval", "nan"), "0.05 to 3600"), (("check", "--watch", "--json"), "no JSON"),
                (("plan", "--watch"), "--watch"), (("profile", "2m"), "limpet-tune profile"),
                (("plan", "--options", "/no/such.yaml"), "/no/such.yaml")):
            with self.subTest(arguments=arguments):
                root = () if "--root" in arguments or arguments[:1] not in (("plan",), ("check",)) else (
                    "--root", host.root)
                status, out, err = tune(*arguments, *root)
                self.assertEqual(status, 2, out)
                self.assertIn(part, err)
                self.assertEqual(out, "")

    def test_a_bad_options_file(self):
        host = Host(self)
        options = host.root / "limpet.yaml"
        options.write_text("shards: many\n", encoding="utf-8")
        status, out, err = tune("plan", "--options", options, "--root", host.root)
        self.assertEqual((status, out), (2, ""))
        self.assertIn(f"{options}:1: shards", err)

    def test_a_root_that_is_no_host(self):
        with tempfile.TemporaryDirectory(prefix="limpet-tune-") as root:
            status, _, err = tune("plan", "--root", root)
            self.assertEqual(status, 2)
            self.assertIn("/proc/meminfo", err)

    def test_a_full_disk(self):
        with open("/dev/full", "w", encoding="utf-8") as full:
            result = subprocess.run([TUNE, "profile", "1m"], stdout=full, stderr=subprocess.PIPE, text=True,
                                    timeout=PATIENCE, check=False)
        self.assertEqual(result.returncode, 2)
        self.assertIn("could not be written", result.stderr)


# The file of a sanitizer's suppressions is where another user may not read it.
OTHER_USERS = {**os.environ, "TSAN_OPTIONS": ""}


def has_namespaces():
    probe = f"limpet-probe-{os.getpid()}"
    if os.geteuid() != 0 or not shutil.which("ip"):
        return False
    made = subprocess.run(["ip", "netns", "add", probe], capture_output=True, check=False).returncode == 0
    if made:
        subprocess.run(["ip", "netns", "del", probe], check=True)
    return made


FLOOD = """
import socket, sys
listener = socket.create_server(("127.0.0.1", 0), backlog=2)
clients = []
print(flush=True)
while sys.stdin.readline():
    for _ in range(40):
        client = socket.socket()
        client.setblocking(False)
        client.connect_ex(listener.getsockname())
        clients.append(client)
    print(flush=True)
"""


@unittest.skipUnless(has_namespaces(), "needs root and network namespaces (ip netns)")
class Namespaces(unittest.TestCase):
    def setUp(self):
        self.name = f"limpet-tune-{os.getpid()}"
        subprocess.run(["ip", "netns", "add", self.name], check=True)
        self.addCleanup(subprocess.run, ["ip", "netns", "del", self.name], check=True)
        # Not ip netns exec: that mounts, which a root folder that is no mount point does not let it.
        self.inside = ("nsenter", f"--net=/run/netns/{self.name}")
        subprocess.run([*self.inside, "ip", "link", "set", "lo", "up"], check=True)

    def check(self):
        _, out, _ = tune("check", "-n", 1000, "--json", "--interval", 0.05, prefix=self.inside)
        report = json.loads(out)
        return {row["key"]: row["state"] for row in report["settings"]}, {row["name"]: row for row in report["counters"]}

    def set_somaxconn(self, value):
        subprocess.run([*self.inside, "sh", "-c", f"echo {value} >/proc/sys/net/core/somaxconn"], check=True)

    def test_somaxconn(self):
        outside = pathlib.Path("/proc/sys/net/core/somaxconn").read_text(encoding="ascii")
        for value, state in ((128, "low"), (4095, "low"), (4096, "ok"), (65536, "risky")):
            with self.subTest(somaxconn=value):
                self.set_somaxconn(value)
                states, _ = self.check()
                self.assertEqual(states["net.core.somaxconn"], state)
                self.assertEqual(states["net.ipv4.tcp_mem"], "absent")  # the host's alone
        self.assertEqual(pathlib.Path("/proc/sys/net/core/somaxconn").read_text(encoding="ascii"), outside)

    def test_the_server_says_so_when_it_starts(self):
        for value, is_warned in ((1, False), (0, True)):
            with self.subTest(tcp_syncookies=value):
                path = "/proc/sys/net/ipv4/tcp_syncookies"
                subprocess.run([*self.inside, "sh", "-c", f"echo {value} >{path}"], check=True)
                with tempfile.TemporaryDirectory(prefix="limpet-state-") as state:
                    server = subprocess.Popen(
                        [*self.inside, LIMPET, "serve", "--state", state, "--listen", "127.0.0.1:0", "--admin.listen",
                         "", "--shards", "1", "--limits.connections-max", "1000"], stdout=subprocess.PIPE,
                        stderr=subprocess.STDOUT, text=True)
                    lines = []
                    while not lines or "npx wscat" not in lines[-1]:  # the end of what it says
                        lines.append(server.stdout.readline())
                        self.assertNotEqual(lines[-1], "")
                    server.terminate()
                    server.communicate()
                    self.assertEqual(server.returncode, 0)
                    warning = [line for line in lines if "setting=net.ipv4.tcp_syncookies" in line]
                    self.assertEqual(len(warning), int(is_warned), lines)

    def flood(self):
        process = subprocess.Popen([*self.inside, "/usr/bin/python3", "-c", FLOOD], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, text=True)
        self.addCleanup(process.communicate)
        process.stdout.readline()
        return process

    def more(self, process):
        process.stdin.write("\n")
        process.stdin.flush()
        process.stdout.readline()

    def test_overflows_are_seen(self):
        _, counters = self.check()
        self.assertEqual((counters["ListenDrops"]["state"], counters["ListenDrops"]["value"]), ("ok", 0))
        self.more(self.flood())
        wait_until(lambda: self.check()[1]["ListenOverflows"]["value"] > 0, "an overflow is counted")
        self.assertIn(self.check()[1]["ListenOverflows"]["state"], ("seen", "risky"))

    def test_watch(self):
        process = self.flood()
        watch = subprocess.Popen([*self.inside, TUNE, "check", "--watch", "--interval", "0.1"], stdout=subprocess.PIPE,
                                 text=True)
        self.addCleanup(watch.stdout.close)
        try:
            self.assertEqual(watch.stdout.readline().split()[:2], ["accept", "drop"])
            self.assertIn("/s", watch.stdout.readline())
            self.more(process)
            overflow_rate = 0
            while overflow_rate == 0:
                line = watch.stdout.readline()
                self.assertLessEqual(len(line), COLUMNS + 1)
                self.assertNotEqual(line, "")
                if line[2:3] == ":":
                    overflow_rate = int(line.split()[1])
        finally:
            watch.send_signal(signal.SIGINT)
            rest = watch.stdout.read()
            status = watch.wait(PATIENCE)
        self.assertEqual(status, 1)
        self.assertRegex(rest, r"\n  [\d,]+  ListenOverflows \(")

    def test_a_quiet_watch(self):
        status, out, _ = tune("check", "--watch", "--interval", 0.05, "--count", 3, prefix=self.inside)
        lines = [line for line in out.splitlines() if line[2:3] == ":"]
        self.assertEqual(len(lines), 3)
        self.assertEqual(status, 0 if "no limit bit" in out else 1)


if __name__ == "__main__":
    main()
