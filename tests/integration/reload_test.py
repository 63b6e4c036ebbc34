"""Reload (S35): options, certificates and keys that were written anew hold for new handshakes and for what comes; what is
bad is refused whole, with file and reason; connections stay."""

import http.client
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import unittest

from keys import Folder
from limpet import LIMPET, PATIENCE, TEXT, Server, main, sign, tls_context, wait_until

SECRET = b"a secret of at least thirty-two bytes"
OTHER = b"another secret, of more than thirty-two bytes"
OPTIONS = """
tls:
  certificates: [{{certificate: {certificate}, key: {key}}}]
token:
  keys: [{{algorithm: HS256, path: {secret}}}]
admin:
  control: {control}
{more}
"""


# To root every file is open: the server runs without that right where a test needs it.
AS_OTHERS = ("setpriv", "--bounding-set=-dac_override,-dac_read_search") if os.geteuid() == 0 else ()


class Stream:
    """Clients that connect all the time; at the end none of them may have failed."""

    def __init__(self, connect):
        self.connect, self.failed, self.done, self.is_over = connect, [], 0, False
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self._run) for _ in range(4)]

    def _run(self):
        while not self.is_over:
            try:
                self.connect()
            except (OSError, ssl.SSLError, EOFError, AssertionError) as error:
                self.failed.append(error)
            with self.lock:
                self.done += 1

    def wait_for_more(self):
        before = self.done
        wait_until(lambda: self.done > before + 10, "they go on connecting")

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *exception):
        self.is_over = True
        for thread in self.threads:
            thread.join()
        if exception[0] is None and self.failed:
            raise AssertionError(f"of {self.done}, these failed: {self.failed}")


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = Folder(self.enterContext(tempfile.TemporaryDirectory(prefix="limpet-keys-")))
        for name in ("one", "two"):
            self.folder.certificate(name, [f"{name}.example"])
        self.install("one")
        self.folder.write("secret", SECRET)

    def install(self, name, key=None):
        """Puts a pair where the options look for it, as an operator's tool does: by rename."""
        for kind, source in ((".pem", name), (".key", key or name)):
            path = self.folder.write("new" + kind, self.folder.read(source + kind))
            os.rename(path, self.folder.at("current" + kind))

    def options(self, more=""):
        return OPTIONS.format(certificate=self.folder.at("current.pem"), key=self.folder.at("current.key"),
                              secret=self.folder.at("secret"), control=self.folder.at("control"), more=more)

    def server(self, more="", *flags):
        return self.enterContext(Server(*flags, options=self.options(more)))

    def rewrite(self, server, text):
        with open(os.path.join(server.folder.name, "options.yaml"), "w", encoding="utf-8") as file:
            file.write(text)

    def reload(self, status=0):
        ran = subprocess.run([LIMPET, "reload", "--control", self.folder.at("control"), *(["--json"] if status == 0 else [])],
                             capture_output=True, text=True, timeout=3 * PATIENCE, check=False)
        self.assertEqual(ran.returncode, status, ran.stdout + ran.stderr)
        return json.loads(ran.stdout) if status == 0 else ran.stderr

    def subject(self, server, context=None):
        """The name in the certificate of a new handshake."""
        with server.tls(context) as sock:
            der = sock.getpeercert(binary_form=True)
        text = subprocess.run(["openssl", "x509", "-inform", "DER", "-noout", "-subject"], input=der, capture_output=True,
                              check=True).stdout.decode()
        return re.search(r"CN ?= ?(\S+)\.example", text).group(1)

    def token(self, secret=SECRET, channels=("a",)):
        return sign({"alg": "HS256"}, {"sub": "ann", "exp": 4102444800, "channels": list(channels)}, secret)

    def status_of(self, server, token):
        with server.tls() as sock:
            sock.sendall(server.request(token=token))
            return sock.recv(100)[9:12]

    def assert_talks(self, client):
        client.send(TEXT, "still here")
        self.assertEqual(client.receive_data(), (TEXT, b"still here"))


class Reload(Case):
    def test_a_new_pair(self):
        server = self.server('plain: {publish_channel: ""}')
        client = server.websocket(token=self.token())
        self.assertEqual(self.subject(server), "one")
        self.install("two")
        self.assertEqual(self.subject(server), "one", "nobody has asked for it yet")
        done = self.reload()
        self.assertEqual((done["certificates"], done["certificates_changed"], done["changed"]), (1, 1, []))
        for _ in range(10):  # whatever the shard
            self.assertEqual(self.subject(server), "two")
        self.assert_talks(client)
        self.install("one")
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: self.subject(server) == "one", server.log_text)
        self.assert_talks(client)
        self.assertEqual(server.metric("limpet_reloads_total", result="taken"), 2)
        self.assertEqual(self.reload()["certificates_changed"], 0)

    def test_tickets_still_work(self):
        server = self.server()
        context = tls_context()
        with server.websocket(context=context, token=self.token()).sock as sock:
            session = sock.session
        self.install("two")
        self.reload()
        with context.wrap_socket(server.connect(), server_hostname="localhost", session=session) as sock:
            self.assertTrue(sock.session_reused)
        self.assertEqual(self.subject(server), "two")

    def test_a_link_that_is_flipped(self):  # certbot
        for name in ("one", "two"):
            for kind in (".pem", ".key"):
                os.makedirs(self.folder.at(f"live-{name}"), exist_ok=True)
                with open(self.folder.at(f"live-{name}/pair{kind}"), "wb") as file:
                    file.write(self.folder.read(name + kind))
        link = self.folder.at("live")
        os.symlink("live-one", link)
        server = self.enterContext(Server(options=OPTIONS.format(
            certificate=f"{link}/pair.pem", key=f"{link}/pair.key", secret=self.folder.at("secret"),
            control=self.folder.at("control"), more="")))
        self.assertEqual(self.subject(server), "one")
        os.symlink("live-two", link + ".new")
        os.rename(link + ".new", link)
        self.reload()
        self.assertEqual(self.subject(server), "two")

    def test_bad_files_change_nothing(self):
        server = self.server()
        good = {kind: self.folder.read("one" + kind) for kind in (".pem", ".key")}

        def bad_key():
            self.install("one", key="two")

        def empty():
            self.folder.write("current.pem", b"")

        def half():
            self.folder.write("current.pem", good[".pem"][:len(good[".pem"]) // 2])

        def cut_off():
            self.folder.write("current.pem", good[".pem"] + b"-----BEG")

        def pipe():
            os.unlink(self.folder.at("current.pem"))
            os.mkfifo(self.folder.at("current.pem"))

        def pipe_of_options():
            os.unlink(os.path.join(server.folder.name, "options.yaml"))
            os.mkfifo(os.path.join(server.folder.name, "options.yaml"))

        def missing():
            os.unlink(self.folder.at("current.key"))

        def directory():
            os.unlink(self.folder.at("current.pem"))
            os.mkdir(self.folder.at("current.pem"))

        def expired():
            self.folder.certificate("old", ["old.example"], is_expired=True)
            self.install("old")

        def not_yet():
            self.folder.future_certificate("new", ["new.example"])
            self.install("new")

        def no_secret():
            self.folder.write("secret", b"short")

        for number, (spoil, part) in enumerate([(bad_key, "current."), (empty, "current.pem"), (half, "current.pem"),
                                                (cut_off, "cut off"), (pipe, "not a file"), (pipe_of_options, "not a file"),
                                                (missing, "current.key"), (directory, "current.pem"),
                                                (expired, "has expired"), (not_yet, "is not valid yet"), (no_secret, "secret")], 1):
            with self.subTest(spoil.__name__):
                spoil()
                said = self.reload(status=1)
                self.assertIn(part, said)
                self.assertIn("nothing has changed", said)
                self.assertEqual(self.subject(server), "one")
                self.assertEqual(self.status_of(server, self.token()), b"101")
                self.assertEqual(server.metric("limpet_reloads_total", result="refused"), number)
                if os.path.isdir(self.folder.at("current.pem")):
                    os.rmdir(self.folder.at("current.pem"))
                self.install("one")
                if spoil is pipe_of_options:
                    os.unlink(os.path.join(server.folder.name, "options.yaml"))
                self.rewrite(server, self.options())
                self.folder.write("secret", SECRET)
        server.wait_for_log("not reloaded, nothing has changed")
        self.assertEqual(server.metric("limpet_reloads_total", result="taken"), 0)
        self.reload()

    def test_a_new_secret(self):
        server = self.server()
        self.assertEqual(self.status_of(server, self.token()), b"101")
        self.assertEqual(self.status_of(server, self.token(OTHER)), b"401")
        self.folder.write("secret", OTHER)
        self.reload()
        self.assertEqual(self.status_of(server, self.token()), b"401")
        self.assertEqual(self.status_of(server, self.token(OTHER)), b"101")

    def test_options_that_can_change_do(self):
        server = self.server("upgrade: {path: /ws}\nnamespaces: [{name: chat, subscribe: nobody}]")
        self.assertEqual(self.status_of(server, self.token()), b"404")
        self.rewrite(server, self.options("upgrade: {path: /}\nlog: {level: warn}\n"
                                          "namespaces: [{name: chat, subscribe: client}]\nheartbeat: {ping_interval: 1s}"))
        done = self.reload()
        self.assertEqual(set(done["changed"]), {"upgrade.path", "log.level", "namespaces", "heartbeat.ping_interval"})
        self.assertEqual(done["need_restart"], [])
        client = server.websocket(token=self.token(), target="/?channels=chat:1")
        opcode, _ = client.receive()  # a ping, after half a second or one
        self.assertEqual(opcode, 0x9)

    def test_a_namespace_keeps_its_counters(self):
        """Wherever it stands in the list; one that has gone is not shown, and goes on when it comes back."""
        server = self.server("plain: {publish_channel: 'chat:1'}\nnamespaces: [{name: news}, {name: chat, publish: client}]")
        client = server.websocket(token=self.token(channels=["chat:1"]))

        def talk(namespaces, count):
            self.rewrite(server, self.options(f"plain: {{publish_channel: 'chat:1'}}\nnamespaces: [{namespaces}]"))
            self.reload()
            self.assert_talks(client)
            for kind in ("publications", "deliveries"):
                self.assertEqual(server.metric(f"limpet_namespace_{kind}_total", namespace="chat"), count)

        talk("{name: news}, {name: chat, publish: client}", 1)
        talk("{name: chat, publish: client}, {name: other}", 2)
        talk("{name: other}", 0)
        self.assertNotIn('namespace="chat"', server.metrics_text())
        self.assertEqual(server.metric("limpet_namespace_deliveries_total", namespace="(other)"), 1)
        talk("{name: other}, {name: news}, {name: chat, publish: client}", 3)
        self.assertEqual(server.metric("limpet_namespace_deliveries_total", namespace="news"), 0)
        self.assertEqual(server.metric("limpet_namespace_deliveries_total", namespace="other"), 0)

    def test_options_that_cannot_change_are_named(self):
        server = self.server()
        self.rewrite(server, self.options("limits: {arena_size: 32MB}\nupgrade: {path: /ws}"))
        done = self.reload()
        self.assertEqual(done["need_restart"], ["limits.arena_size"])
        self.assertEqual(done["changed"], ["upgrade.path"])
        server.wait_for_log("need a new start to change")
        # What was not taken is told again, and can be taken back.
        self.assertEqual(self.reload()["need_restart"], ["limits.arena_size"])
        self.rewrite(server, self.options("upgrade: {path: /ws}"))
        done = self.reload()
        self.assertEqual((done["need_restart"], done["changed"]), ([], []))

    def test_other_listeners_need_a_new_start(self):
        """Without the flags that other tests start with: those would hold on."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        path = self.folder.write("options.yaml", self.options('  listen: ""\nlisten: ["127.0.0.1:0"]'))
        with subprocess.Popen([LIMPET, "serve", "--options", path, "--shards", "1"], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL) as process:
            try:
                wait_until(lambda: os.path.exists(self.folder.at("control")), "the control socket")
                self.folder.write("options.yaml", self.options(f'  listen: ""\nlisten: ["127.0.0.1:{port}"]\n'
                                                               "upgrade: {path: /ws}"))
                ran = subprocess.run([LIMPET, "reload", "--control", self.folder.at("control")], capture_output=True,
                                     text=True, timeout=3 * PATIENCE, check=True)
                self.assertIn("options: upgrade.path\n", ran.stdout)
                self.assertIn("need a new start, and stay as they are: listen\n", ran.stdout)
                with self.assertRaises(ConnectionRefusedError):
                    socket.create_connection(("127.0.0.1", port)).close()
            finally:
                process.terminate()

    def test_bad_options_change_nothing(self):
        server = self.server()
        for more, part in (("upgrade: {pathh: /ws}", "pathh"), ("upgrade: {path: ws}", "upgrade.path"), ("[", "options.yaml"),
                           ("heartbeat: {ping_interval: 5}", "ping_interval"), ("limits: {handshakes_max: 0}", "handshakes_max")):
            with self.subTest(more):
                self.rewrite(server, self.options("log: {level: error}\n" + more))
                self.assertIn(part, self.reload(status=1))
                self.assertEqual(self.status_of(server, self.token()), b"101")
        os.unlink(os.path.join(server.folder.name, "options.yaml"))
        self.assertIn("options.yaml", self.reload(status=1))

    def test_a_limit_holds_for_those_that_come(self):
        limits = "limits: {{connections_per_user_max: {}}}".format
        server = self.server(limits(1))
        first = server.websocket(token=self.token())
        self.assertEqual(self.status_of(server, self.token()), b"101")  # and is closed with 1013 at once
        self.rewrite(server, self.options(limits(2)))
        self.assertEqual(self.reload()["changed"], ["limits.connections_per_user_max"])
        second = server.websocket(token=self.token())
        third = server.websocket(token=self.token())
        self.assertEqual(third.receive()[1][:2], (1013).to_bytes(2, "big"))
        first.close()
        second.close()

    def test_flags_hold_on(self):
        """A flag overrides the file at a reload, too."""
        server = self.server("", "--upgrade.path", "/flag")
        self.rewrite(server, self.options("upgrade: {path: /file}"))
        self.assertEqual(self.reload()["changed"], [])
        self.assertEqual(self.status_of(server, self.token()), b"404")

    def test_again_and_again_under_connects(self):
        """New pairs all the time: no handshake fails, and no connection ends."""
        server = self.server('plain: {publish_channel: ""}')
        stayer = server.websocket(token=self.token())
        with Stream(lambda: server.websocket(token=self.token()).close()) as stream:
            for number in range(30):
                self.install("two" if number % 2 == 0 else "one")
                self.assertEqual(self.reload()["certificates_changed"], 1)
            stream.wait_for_more()
        self.assert_talks(stayer)
        self.assertEqual(server.metric("limpet_reloads_total", result="taken"), 30)

    def test_dev_mode(self):
        server = self.enterContext(Server())
        ran = subprocess.run([LIMPET, "reload", "--state", server.state], capture_output=True, text=True, timeout=PATIENCE,
                             check=False)
        self.assertEqual(ran.returncode, 0, ran.stderr)
        self.assertIn("certificates: 1, of which new: 0", ran.stdout)


class UnderConnects(Case):
    """Each kind of file, while new clients come all the time."""

    def start(self, *flags, prefix=()):
        """A server, one connection that stays, and the stream of others."""
        server = self.enterContext(Server(*flags, options=self.options('plain: {publish_channel: ""}'), prefix=prefix))
        stayer = server.websocket(token=self.token())
        self.addCleanup(stayer.close)
        return server, stayer, self.enterContext(Stream(lambda: server.websocket(token=self.token()).close()))

    def write_secretly(self, name, content):
        path = self.folder.write(name, content)
        os.chmod(path, 0o600)
        return path

    @unittest.skipIf(os.geteuid() == 0 and not shutil.which("setpriv"), "root reads everything, and no setpriv")
    def test_files_that_may_not_be_read(self):
        tickets = self.write_secretly("tickets", os.urandom(48))
        api_keys = self.write_secretly("api-keys", "a-key-of-the-api-0123\n")
        server, stayer, stream = self.start("--tls.ticket-key-file", tickets, "--admin.api-key-file", api_keys,
                                            prefix=AS_OTHERS)
        self.install("two")
        for number, name in enumerate(("current.pem", "current.key", "secret", "tickets", "api-keys"), 1):
            with self.subTest(name):
                os.chmod(self.folder.at(name), 0)
                said = self.reload(status=1)
                self.assertIn(self.folder.at(name), said)
                self.assertIn("Permission denied", said)
                self.assertIn("nothing has changed", said)
                self.assertEqual(self.subject(server), "one")
                self.assertEqual(server.metric("limpet_reloads_total", result="refused"), number)
                stream.wait_for_more()
                os.chmod(self.folder.at(name), 0o600)
        self.assertEqual(self.reload()["certificates_changed"], 1)
        self.assertEqual(self.subject(server), "two")
        stream.wait_for_more()
        self.assert_talks(stayer)

    def resumes(self, server, context, session):
        """At any shard the same."""
        answers = set()
        for _ in range(8):
            with context.wrap_socket(server.connect(), server_hostname="localhost", session=session) as sock:
                answers.add(sock.session_reused)
                sock.sendall(server.request(token=self.token()))
                self.assertEqual(sock.recv(100)[9:12], b"101")
        self.assertEqual(len(answers), 1)
        return answers.pop()

    def test_ticket_keys(self):
        old, new = os.urandom(48), os.urandom(48)
        tickets = self.write_secretly("tickets", old)
        server, stayer, stream = self.start("--tls.ticket-key-file", tickets)
        contexts = [tls_context(minimum=version, maximum=version)
                    for version in (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2)]

        def take():
            sessions = []
            for context in contexts:
                with server.websocket(context=context, token=self.token()).sock as sock:
                    sessions.append(sock.session)
            return sessions

        def resumed(sessions):
            return [self.resumes(server, context, session) for context, session in zip(contexts, sessions)]

        first = take()
        self.assertEqual(resumed(first), [True, True])
        self.write_secretly("tickets", new + old)
        self.reload()
        self.assertEqual(resumed(first), [True, True], "the old key is still there")
        second = take()
        stream.wait_for_more()
        self.write_secretly("tickets", new)
        self.reload()
        self.assertEqual(resumed(first), [False, False], "the old key has gone")
        self.assertEqual(resumed(second), [True, True], "they were sealed by the new one")
        self.write_secretly("tickets", old)
        self.reload()
        self.assertEqual(resumed(second), [False, False])
        stream.wait_for_more()
        self.assert_talks(stayer)

    def publish(self, server, key, data):
        connection = http.client.HTTPConnection("127.0.0.1", server.admin_port, timeout=PATIENCE)
        connection.request("POST", "/api/publish", json.dumps({"channel": "a", "data": data}), {"X-API-Key": key})
        status = connection.getresponse().status
        connection.close()
        return status

    def test_api_keys(self):
        old, new = "the-old-key-0123456789", "the-new-key-0123456789"
        keys = self.write_secretly("api-keys", old + "\n")
        server, stayer, stream = self.start("--admin.api-key-file", keys)
        self.assertEqual([self.publish(server, old, 1), self.publish(server, new, 2)], [200, 401])
        self.write_secretly("api-keys", new + "\n")
        self.assertEqual(self.publish(server, old, 3), 200, "nobody has asked for the new one yet")
        self.reload()
        self.assertEqual([self.publish(server, old, 4), self.publish(server, new, 5)], [401, 200])
        stream.wait_for_more()
        for data in (b"1", b"3", b"5"):
            self.assertEqual(stayer.receive_data(), (TEXT, data))
        self.assertEqual(server.metric("limpet_api_refused_total", reason="key"), 2)
        self.assert_talks(stayer)


if __name__ == "__main__":
    main()
