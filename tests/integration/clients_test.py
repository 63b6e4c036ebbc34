"""Clients that people have: openssl s_client, node ws, Python websockets, curl, Chromium."""

import asyncio
import http.server
import json
import os
import shutil
import subprocess
import tempfile
import threading
import unittest

import websockets

from limpet import KEY, PATIENCE, TEXT, Server, frame, main, tls_context

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

    def test_chromium(self):
        chromium = shutil.which("chromium")
        self.assertIsNotNone(chromium, "chromium is not installed: ./dev setup")
        page = PAGE.replace("PORT", str(self.server.port)).replace("TOKEN", self.server.token())
        done, log = threading.Event(), []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.end_headers()
                self.wfile.write(page.encode())

            def do_POST(self):
                log.extend(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
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
                       "--remote-debugging-port=0", f"http://127.0.0.1:{web.server_port}/"]
            with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as browser:
                came = done.wait(90)
                browser.terminate()
            web.shutdown()
        self.assertTrue(came, "the page never finished")
        self.assertEqual(log, ["open bearer", "hello from a page", "bytes 60000", "close 1000 true"])


if __name__ == "__main__":
    main()
