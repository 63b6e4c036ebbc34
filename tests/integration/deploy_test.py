"""What is shipped for watching and scaling: rules, dashboard and examples are valid, and ask for what a server really says.

A Prometheus of this test's own scrapes a running server with clients, and is asked every expression.
"""

import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import tempfile
import unittest
import urllib.error
import urllib.parse
import urllib.request

from limpet import PATIENCE, TEXT, Server, main, wait_until

DEPLOY = pathlib.Path(__file__).resolve().parents[2] / "deploy"
NAME = re.compile(r"\b(?:limpet|process)_[a-z_0-9]+\b")
SUFFIX = re.compile(r"_(bucket|sum|count)$")
# Only hosts that have the kernel's module say these; a rule about them must hold its tongue elsewhere.
MAY_BE_ABSENT = {"limpet_conntrack_entries", "limpet_conntrack_limit"}


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def dashboard_expressions():
    dashboard = json.loads((DEPLOY / "grafana/limpet.json").read_text(encoding="utf-8"))
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            yield target["expr"].replace("$instance", ".*").replace("$__rate_interval", "1m"), target.get("legendFormat", "")


def rule_names():
    """The names that the rules make themselves, and the text of all of their expressions."""
    text = (DEPLOY / "prometheus/limpet.rules.yml").read_text(encoding="utf-8")
    return set(re.findall(r"record: (\S+)", text)), text


class Files(unittest.TestCase):
    def test_everything_that_is_json(self):
        paths = [path for path in DEPLOY.rglob("*.json")]
        self.assertGreaterEqual(len(paths), 3)
        for path in paths:
            json.loads(path.read_text(encoding="utf-8"))

    def test_everything_that_is_yaml(self):
        try:
            import yaml
        except ImportError:
            self.skipTest("python3-yaml is not installed")
        for path in [*DEPLOY.rglob("*.yml"), *DEPLOY.rglob("*.yaml")]:
            for document in yaml.safe_load_all(path.read_text(encoding="utf-8")):
                self.assertIsInstance(document, dict, path)

    def test_names_of_metrics(self):
        with Server() as server:
            there = {line.split()[2] for line in server.metrics_text().splitlines() if line.startswith("# TYPE ")}
        for path in DEPLOY.rglob("*"):
            if path.suffix not in (".json", ".yml", ".yaml") or path.name == "limpet.tests.yml":
                continue
            text = re.sub(r"instance:limpet_\S+", "", path.read_text(encoding="utf-8"))
            for name in set(NAME.findall(text)):
                self.assertIn(SUFFIX.sub("", name), there | MAY_BE_ABSENT | {name if name in there else None}, path)

    def test_no_two_panels_overlap(self):
        taken = set()
        for panel in json.loads((DEPLOY / "grafana/limpet.json").read_text(encoding="utf-8"))["panels"]:
            place = panel["gridPos"]
            for x in range(place["x"], place["x"] + place["w"]):
                for y in range(place["y"], place["y"] + place["h"]):
                    self.assertNotIn((x, y), taken)
                    self.assertLess(x, 24)
                    taken.add((x, y))


@unittest.skipUnless(shutil.which("promtool"), "promtool (Debian's package prometheus) is not installed")
class Promtool(unittest.TestCase):
    def promtool(self, *words, data=None):
        ran = subprocess.run(["promtool", *words], cwd=DEPLOY / "prometheus", input=data, capture_output=True, text=True,
                             timeout=3 * PATIENCE, check=False)
        self.assertEqual(ran.returncode, 0, ran.stdout + ran.stderr)

    def test_rules(self):
        self.promtool("check", "rules", "limpet.rules.yml")
        self.promtool("test", "rules", "limpet.tests.yml")

    def test_every_alert_is_seen_quiet_and_firing(self):
        try:
            import yaml
        except ImportError:
            self.skipTest("python3-yaml is not installed")
        tests = yaml.safe_load((DEPLOY / "prometheus/limpet.tests.yml").read_text(encoding="utf-8"))["tests"]
        cases = [case for test in tests for case in test["alert_rule_test"]]
        rules = yaml.safe_load((DEPLOY / "prometheus/limpet.rules.yml").read_text(encoding="utf-8"))["groups"][0]["rules"]
        for alert in (rule["alert"] for rule in rules if "alert" in rule):
            seen = {bool(case["exp_alerts"]) for case in cases if case["alertname"] == alert}
            self.assertEqual(seen, {False, True}, alert)

    def test_config(self):
        self.promtool("check", "config", "prometheus.yml")

    def test_metrics(self):
        with Server() as server:
            self.promtool("check", "metrics", data=server.metrics_text())


@unittest.skipUnless(shutil.which("prometheus"), "Debian's package prometheus is not installed")
class RealPrometheus(unittest.TestCase):
    def ask(self, path, **arguments):
        query = urllib.parse.urlencode(arguments)
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/v1/{path}?{query}", timeout=PATIENCE) as answer:
                return json.load(answer)
        except (urllib.error.HTTPError, ConnectionError, urllib.error.URLError) as error:
            return {"status": str(error), "data": {"result": []}}

    def start(self, server):
        folder = self.enterContext(tempfile.TemporaryDirectory(prefix="limpet-prometheus-"))
        self.port = free_port()
        config = (DEPLOY / "prometheus/prometheus.yml").read_text(encoding="utf-8")
        config = config.replace("127.0.0.1:9464", f"127.0.0.1:{server.admin_port}").replace("15s", "1s")
        config = config.replace("limpet.rules.yml", str(DEPLOY / "prometheus/limpet.rules.yml"))
        with open(os.path.join(folder, "prometheus.yml"), "w", encoding="utf-8") as file:
            file.write(config.replace("global:", "global:\n  evaluation_interval: 1s"))
        # pylint: disable-next=consider-using-with
        process = subprocess.Popen(["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
                                    f"--web.listen-address=127.0.0.1:{self.port}"], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)

        def stop():
            process.kill()
            process.wait()

        self.addCleanup(stop)

    def test_every_expression(self):
        server = self.enterContext(Server("--plain.publish-channel", "a"))
        clients = [server.websocket(token=server.token(channels=["a"])) for _ in range(3)]
        self.start(server)

        def looks():
            clients[0].send(TEXT, "for the rates")
            for client in clients:
                client.receive_data()
            found = self.ask("query", query="rate(limpet_messages_sent_total[1m]) > 0")
            return found["data"]["result"]

        wait_until(looks, lambda: self.ask("targets"), seconds=3 * PATIENCE)
        expressions = list(dashboard_expressions())
        self.assertGreater(len(expressions), 30)
        # What is told of clients has no samples while there is none: a quantile of nothing is NaN, which is a sample.
        for expression, legend in expressions:
            with self.subTest(expression):
                answer = self.ask("query", query=expression)
                self.assertEqual(answer["status"], "success")
                self.assertNotEqual(answer["data"]["result"], [])
                for label in re.findall(r"{{(\w+)}}", legend):
                    self.assertIn(label, answer["data"]["result"][0]["metric"], "the legend's name")
        names, _ = rule_names()
        for name in names:
            wait_until(lambda name=name: self.ask("query", query=name)["data"]["result"], name)
        open_now = self.ask("query", query="instance:limpet_connections_open:sum")["data"]["result"][0]["value"][1]
        self.assertEqual(open_now, "3")
        groups = self.ask("rules")["data"]["groups"]
        for rule in groups[0]["rules"]:
            self.assertEqual(rule["health"], "ok", rule)
        firing = [alert for alert in self.ask("alerts")["data"]["alerts"] if alert["state"] == "firing"]
        self.assertEqual(firing, [], "a healthy server alarms nobody")


if __name__ == "__main__":
    main()
