"""Clients that people have: openssl s_client, node ws, Python websockets, curl, Chromium."""

import asyncio
import http.server
import io
import json
import os
import shutil
import subprocess
import tempfile
import threading
import unittest

import websockets

from limpet import KEY, PATIENCE, TEXT, Server, frame, main, tls_context
from proxy import Proxy
from wire import (X25519, X25519MLKEM768, ServerHello, client_hello, hello_extensions, hybrid_share, in_records,
                  suites_of)

HERE = os.path.dirname(os.path.abspath(__file__))

NODE = """
const WebSocket = require('ws');
const [url, token] = process.argv.slice(1);
const socket = new WebSocket(url, {rejectUnauthorized: false, headers: {Authorization: `Bearer ${token}`}});
const echoes = [];
socket.on('open', () => socket.ping('p'));
socket.on('pong', data => { echoes.push(data.toString()); socket.send('text'); socket.send(Buffer.alloc(50000, 7)); });
socket.on('message', (data, isBinary) => {
    echoes.push(isBinary ? data.length : data.toString());
    if (echoes.length === 3) socket.close(1000, 'done');
});
socket.on('close', (code, reason) => console.log(JSON.stringify({echoes, code})));
socket.on('error', error => { console.log(JSON.stringify({error: error.message})); process.exit(1); });
"""

PAGE = """<!doctype html><title>waiting</title><pre id=log></pre><script>
const log = [];
function say(line) { log.push(line); document.getElementById('log').textContent = JSON.stringify(log); }
const socket = new WebSocket('wss://127.0.0.1:PORT/', ['bearer', 'TOKEN']);
socket.binaryType = 'arraybuffer';
socket.onopen = () => { say('open ' + socket.protocol); socket.send('hello from a page'); };
socket.onmessage = event => {
    if (typeof event.data === 'string') { say(event.data); socket.send(new Uint8Array(60000)); }
    else { say('bytes ' + event.data.byteLength); socket.close(1000); }
};
socket.onclose = event => { say('close ' + event.code + ' ' + event.wasClean); fetch('/done', {method: 'POST', body: JSON.stringify(log)}); };
</script>"""

# S12: Chromium draws its GREASE values and the order of its extensions anew for every connection.
LOOP = """<!doctype html><title>waiting</title><script>
const log = {protocols: 0, echoes: 0, clean: 0}, sockets = [];
let left = COUNT;
for (let i = 0; i < COUNT; i++) {
    const socket = new WebSocket('wss://127.0.0.1:PORT/', ['bearer', 'TOKEN']);
    sockets.push(socket);
    socket.onopen = () => { log.protocols += socket.protocol === 'bearer'; socket.send('page ' + i); };
    socket.onmessage = event => {
        log.echoes += event.data === 'page ' + i;
        if (log.echoes === COUNT) sockets.forEach(other => other.close(1000));
    };
    socket.onclose = event => {
        log.clean += event.wasClean && event.code === 1000;
        if (--left === 0) fetch('/done', {method: 'POST', body: JSON.stringify(log)});
    };
}
</script>"""


class Recorded(io.BytesIO):
    """What was read from a socket, to be read again."""

    recv = io.BytesIO.read


class Clients(unittest.TestCase):
    def setUp(self):
        self.server = self.enterContext(Server())
        self.url = f"wss://127.0.0.1:{self.server.port}/"

    def s_client(self, *flags):
        """An upgrade, a ping and an echo through openssl s_client; returns what it printed."""
        command = ["openssl", "s_client", "-quiet", "-no_ign_eof", "-connect", f"127.0.0.1:{self.server.port}"]
        with subprocess.Popen([*command, *flags], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL) as process:
            process.stdin.write(self.server.request())
            process.stdin.flush()
            head = b""
            while b"\r\n\r\n" not in head:
                head += process.stdout.read(1)
            process.stdin.write(frame(0x9, b"ping") + frame(TEXT, b"echo") + frame(0x8, b"\x03\xe8"))
            process.stdin.flush()
            rest = process.stdout.read()
            process.stdin.close()
            process.wait(PATIENCE)
        return head, rest

    def test_openssl_s_client(self):
        for flags in (["-tls1_3"], ["-tls1_2"], ["-tls1_3", "-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"],
                      ["-tls1_3", "-ciphersuites", "TLS_AES_256_GCM_SHA384"], ["-tls1_3", "-groups", "X448:P-256"]):
            with self.subTest(flags=flags):
                head, rest = self.s_client(*flags)
                self.assertTrue(head.startswith(b"HTTP/1.1 101 "), head)
                self.assertEqual(rest, b"\x8a\x04ping" + b"\x81\x04echo" + b"\x88\x02\x03\xe8")

    def test_node_ws(self):
        result = subprocess.run(["node", "-e", NODE, self.url, self.server.token()], cwd=HERE, check=True,
                                capture_output=True, text=True, timeout=PATIENCE)
        self.assertEqual(json.loads(result.stdout), {"echoes": ["p", "text", 50000], "code": 1000})

    def test_python_websockets(self):
        async def talk():
            headers = {"Authorization": f"Bearer {self.server.token()}"}
            new = int(websockets.__version__.split(".")[0]) >= 14
            option = {"additional_headers" if new else "extra_headers": headers}
            async with websockets.connect(self.url, ssl=tls_context(), **option) as socket:
                for message in ("text", b"binary", "x" * 60000):
                    await socket.send(message)
                    self.assertEqual(await socket.recv(), message)
                await (await socket.ping())
            return socket.close_code

        self.assertEqual(asyncio.run(asyncio.wait_for(talk(), PATIENCE)), 1000)

    def test_curl(self):
        headers = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
                   f"Sec-WebSocket-Key: {KEY}", f"Authorization: Bearer {self.server.token()}"]
        flags = [flag for header in headers for flag in ("-H", header)]
        url = self.url.replace("wss:", "https:")
        with subprocess.Popen(["curl", "-skiN", "--http1.1", *flags, url], stdout=subprocess.PIPE) as curl:
            head = b""
            while b"\r\n\r\n" not in head:
                head += curl.stdout.read(1)
            self.assertTrue(head.startswith(b"HTTP/1.1 101 "), head)
            self.assertIn(b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", head)
            curl.terminate()
        plain = subprocess.run(["curl", "-ski", url], check=True, capture_output=True, timeout=PATIENCE)
        self.assertIn(b"HTTP/1.1 426 ", plain.stdout)
        self.assertIn(b"Upgrade: websocket", plain.stdout)

    def browse(self, page, port, *flags):
        """What the page, opened in Chromium, has to report."""
        chromium = shutil.which("chromium")
        self.assertIsNotNone(chromium, "chromium is not installed: ./dev setup")
        page = page.replace("PORT", str(port)).replace("TOKEN", self.server.token(ttl=7200))
        done, reports = threading.Event(), []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.end_headers()
                self.wfile.write(page.encode())

            def do_POST(self):
                reports.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(204)
                self.end_headers()
                done.set()

            def log_message(self, *args):
                pass

        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as web, \
                tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
            threading.Thread(target=web.serve_forever, daemon=True).start()
            command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                       "--disable-background-networking", "--disable-component-update", "--disable-sync",
                       "--disable-dev-shm-usage", "--ignore-certificate-errors", f"--user-data-dir={profile}",
                       "--remote-debugging-port=0", *flags, f"http://127.0.0.1:{web.server_port}/"]
            with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as browser:
                came = done.wait(90)
                browser.terminate()
            web.shutdown()
        self.assertTrue(came, "the page never finished")
        return reports[0]

    def test_chromium(self):
        self.assertEqual(self.browse(PAGE, self.server.port),
                         ["open bearer", "hello from a page", "bytes 60000", "close 1000 true"])

    def test_chromium_on_a_loop(self):
        count = 50
        for version, number in (("tls1.3", 0x0304), ("tls1.2", 0x0303)):
            with self.subTest(version=version), Proxy(self.server.port) as proxy:
                report = self.browse(LOOP.replace("COUNT", str(count)), proxy.port, f"--ssl-version-max={version}")
                self.assertEqual(report, {"protocols": count, "echoes": count, "clean": count})
                flows = [flow for flow in proxy.flows if flow.sent]
                self.assertEqual(len(flows), count)
                self.assertEqual({ServerHello(Recorded(flow.answered)).version for flow in flows}, {number})
                first = {suites_of(flow.sent)[0] for flow in flows}
                self.assertEqual({suite & 0x0F0F for suite in first}, {0x0A0A})
                self.assertGreater(len(first), 4)  # of 16; that 50 draws give so few has a chance below 1e-24
        self.assertEqual(self.server.metric("limpet_handshakes_total", outcome="failed"), 0)

    def has_hybrid(self):
        """The server takes a share of X25519MLKEM768, as it does when it is built with wolfSSL 5.9 or newer."""
        extensions = hello_extensions(groups=[X25519MLKEM768, X25519], shares=[hybrid_share()])
        with self.server.connect() as sock:
            sock.sendall(in_records(client_hello(extensions=extensions)))
            return not ServerHello(sock).is_retry

    def test_hybrid_group_with_chromium(self):
        has_hybrid = self.has_hybrid()
        with Proxy(self.server.port) as proxy:
            report = self.browse(PAGE, proxy.port)
            self.assertEqual(report[0], "open bearer")
            hello = ServerHello(Recorded(next(flow.answered for flow in proxy.flows if flow.sent)))
        self.assertFalse(hello.is_retry)
        self.assertEqual(self.server.metric("limpet_hellos_hybrid_total"), 2)  # ours, and the browser's
        self.assertEqual(hello.group, X25519MLKEM768 if has_hybrid else X25519)
        if not has_hybrid:
            self.skipTest("the server is built without X25519MLKEM768: -DLIMPET_WOLFSSL=5.9.2")


if __name__ == "__main__":
    main()
