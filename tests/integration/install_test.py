"""`cmake --install` into a scratch folder: what an operator gets is whole, and fits together."""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

from limpet import LIMPET, PATIENCE, Server, main

BUILD = pathlib.Path(LIMPET).resolve().parent
SOURCE = pathlib.Path(__file__).resolve().parents[2]
SHIPPED = "/var/lib/limpet"


def run(*command, **options):
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, **options)


class Installed(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="limpet-test-")
        cls.addClassCleanup(cls.folder.cleanup)
        cls.root = pathlib.Path(cls.folder.name)
        cls.again()

    @classmethod
    def again(cls):
        done = run("cmake", "--install", BUILD, env={**os.environ, "DESTDIR": str(cls.root)})
        if done.returncode != 0:
            raise AssertionError(done.stdout + done.stderr)

    def one(self, name):
        found = [path for path in self.root.rglob(name) if path.is_file()]
        self.assertEqual(len(found), 1, f"{name}: {found}")
        return found[0]

    def test_the_unit_is_valid(self):
        unit = self.one("limpet.service")
        text = unit.read_text(encoding="utf-8")
        self.assertNotIn("@", text.replace("@system-service", "").replace("@privileged", "").replace("@resources", "")
                         .replace("@keyring", ""))
        program = next(line.split("=", 1)[1].split() for line in text.splitlines() if line.startswith("ExecStart="))
        self.assertTrue(os.access(f"{self.root}{program[0]}", os.X_OK), program[0])
        self.assertTrue(os.path.exists(f"{self.root}{program[-1]}"), program[-1])
        if not shutil.which("systemd-analyze"):
            self.skipTest("systemd-analyze is not installed")
        here = self.root / "limpet.service"  # the program is in the scratch folder
        here.write_text(text.replace(program[0], f"{self.root}{program[0]}"), encoding="utf-8")
        done = run("systemd-analyze", "verify", "--man=no", here)
        about_it = [line for line in done.stderr.splitlines() if "limpet" in line]
        self.assertEqual(about_it, [])

    def unit(self, key):
        values = [line.partition("=")[2] for line in self.one("system/limpet.service").read_text(encoding="utf-8").splitlines()
                  if line.startswith(key + "=")]
        self.assertEqual(len(values), 1, f"{key}: {values}")
        return values[0]

    def serve(self, *flags, prefix=()):
        state = self.enterContext(tempfile.TemporaryDirectory(prefix="limpet-test-"))
        return run(*prefix, LIMPET, "serve", "--state", state, "--listen", "127.0.0.1:0", "--admin.listen", "", *flags,
                   timeout=PATIENCE)

    def test_what_is_started_again(self):
        """What the machine lacks, or another file, as often as it takes; bad options never."""
        self.assertEqual((self.unit("Restart"), self.unit("StartLimitIntervalSec")), ("on-failure", "0"))
        self.assertGreaterEqual(int(self.unit("RestartSec")), 1)
        final = [int(status) for status in self.unit("RestartPreventExitStatus").split()]
        bad = self.root / "bad.yaml"
        for text in ("shards: many\n", "no_such_option: 1\n", "[", ""):
            bad.write_text(text, encoding="utf-8")
            self.assertIn(self.serve("--options", bad).returncode, final, text)
        for flags in (("--options", self.root / "none.yaml"), ("--shards", "many"), ("--no-such-flag",)):
            self.assertIn(self.serve(*flags).returncode, final, flags)
        with Server() as server:
            again = (self.serve("--listen", f"127.0.0.1:{server.port}"),
                     self.serve("--tls.certificates", "/nowhere.pem:/nowhere.key"),
                     self.serve(prefix=("prlimit", "--nofile=64:64")))
        for done in again:
            self.assertEqual(done.returncode, 1, done.stderr)
        self.assertNotIn(1, final)

    def test_a_reload_that_is_refused_fails(self):
        """`systemctl reload` ends as the unit's ExecReload does: the signal that notify-reload sends as well does nothing."""
        if self.unit("Type") == "notify-reload":
            self.assertEqual(self.unit("ReloadSignal"), "SIGCONT")
        else:
            self.assertEqual(self.unit("Type"), "notify")
        program, verb, flag, path = self.unit("ExecReload").split()
        self.assertEqual([program, flag, path], [word for word in self.unit("ExecStart").split() if word != "serve"])
        control = self.root / "control"
        with Server() as maker:
            text = (f"tls: {{certificates: [{{certificate: {maker.state}/certificate.pem, key: {maker.state}/key.pem}}]}}\n"
                    f"token: {{keys: [{{algorithm: HS256, path: {maker.state}/secret}}]}}\nadmin: {{control: {control}}}\n")
            with Server(options=text) as server:
                options = pathlib.Path(server.folder.name) / "options.yaml"
                for more, status, part in (("", 0, ""), ("shards: many", 1, "options.yaml:4: shards"), ("[", 1, "options.yaml"),
                                           ("proxy: {trusted: [x]}", 1, "proxy.trusted"), ("upgrade: {path: /ws}", 0, "")):
                    options.write_text(text + more, encoding="utf-8")
                    done = run(LIMPET, verb, flag, options, timeout=PATIENCE)
                    self.assertEqual(done.returncode, status, done.stderr)
                    self.assertIn(part, done.stderr)

    def test_the_shipped_options_are_good(self):
        """With what `limpet init` makes, as the package does."""
        state = self.root / "state"
        self.assertEqual(run(LIMPET, "init", "--state", state).returncode, 0)
        before = {path.name: path.read_bytes() for path in state.iterdir()}
        self.assertEqual(run(LIMPET, "init", "--state", state).returncode, 0)
        self.assertEqual({path.name: path.read_bytes() for path in state.iterdir()}, before, "made anew")
        options = self.root / "limpet.yaml"
        text = self.one("limpet/limpet.yaml").read_text(encoding="utf-8")
        self.assertIn(SHIPPED, text)
        options.write_text(text.replace(SHIPPED, str(state)), encoding="utf-8")
        done = run(LIMPET, "check", options)
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_init_where_nothing_can_be_made(self):
        done = run(LIMPET, "init", "--state", "/proc/none")
        self.assertEqual(done.returncode, 1)
        self.assertIn("name another with --state DIR", done.stderr)

    def test_options_that_somebody_wrote_stay(self):
        options = self.one("limpet/limpet.yaml")
        options.write_text("# mine\n", encoding="utf-8")
        self.again()
        self.assertEqual(options.read_text(encoding="utf-8"), "# mine\n")
        options.unlink()
        self.again()

    def test_a_manual_page_for_each_program(self):
        for page in ("limpet.8", "limpet-tune.8", "limpet-bench.1", "limpet.yaml.5"):
            self.one(page + ".gz")
        listed = run(LIMPET, "options").stdout.split("\n")
        page = run("gzip", "-dc", self.one("limpet.yaml.5.gz")).stdout
        self.assertNotIn("@OPTIONS@", page)
        for line in filter(None, listed):
            self.assertIn(f".It Cm {line.split()[0]} ", page)

    def test_users_and_folders(self):
        user = self.one("sysusers.d/limpet.conf").read_text(encoding="utf-8")
        self.assertIn("u limpet", user)
        folders = self.one("tmpfiles.d/limpet.conf").read_text(encoding="utf-8")
        for folder in ("/etc/limpet", SHIPPED, "/run/limpet"):
            self.assertIn(f"d {folder} ", folders)


if __name__ == "__main__":
    if not shutil.which("cmake") or not (BUILD / "cmake_install.cmake").exists():
        print("skipped: not run from a build folder")
        sys.exit(77)
    main()
