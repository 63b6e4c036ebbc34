"""permessage-deflate (RFC 7692): with node's ws and Python's websockets, and by hand what no client sends: every shape of
compressed message, bombs at both sides of the limit, what was not agreed on. Each publication is compressed once a
shard."""

import asyncio
import json
import os
import random
import subprocess
import unittest
import zlib

import websockets

from limpet import BINARY, CLOSE, CONTINUATION, PATIENCE, PING, PONG, TEXT, Server, frame, main, tls_context

HERE = os.path.dirname(os.path.abspath(__file__))
OFFER = "Sec-WebSocket-Extensions: permessage-deflate"
ANSWER = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
TAIL = b"\x00\x00\xff\xff"
COMPRESSED = 4  # RSV1

NODE = """
const WebSocket = require('ws');
const [url, token] = process.argv.slice(1);
const socket = new WebSocket(url, {rejectUnauthorized: false, headers: {Authorization: `Bearer ${token}`},
                                   perMessageDeflate: {threshold: 0}});
const messages = ['', 'short', 'ab'.repeat(20000), JSON.stringify([...Array(2000).keys()]), 'é'.repeat(5000)];
const sent = [...messages, Buffer.alloc(60000, 7)];
let good = 0;
socket.on('open', () => { sent.forEach(message => socket.send(message)); socket.ping('p'); });
socket.on('message', (data, isBinary) => {
    const want = sent[good];
    if (isBinary === Buffer.isBuffer(want) && data.equals(Buffer.from(want))) good++;
    if (good === sent.length) socket.close(1000);
});
socket.on('close', code => console.log(JSON.stringify({good, code, extensions: socket.extensions})));
socket.on('error', error => { console.log(JSON.stringify({error: error.message})); process.exit(1); });
"""


def deflated(data, level=9, window=15, mode=zlib.Z_SYNC_FLUSH):
    if isinstance(data, str):
        data = data.encode()
    compressor = zlib.compressobj(level, zlib.DEFLATED, -window)
    out = compressor.compress(data) + compressor.flush(mode)
    return out[:-4] if mode != zlib.Z_FINISH else out


def inflated(payload, window=12):
    inflater = zlib.decompressobj(-window)
    return inflater.decompress(payload + TAIL)


class Deflate(unittest.TestCase):
    def server(self, *flags, **options):
        return self.enterContext(Server("--upgrade.deflate", "true", *flags, **options))

    def client(self, server, *headers, **options):
        return server.websocket(OFFER, *headers, **options)

    def receive(self, client):
        """The next data message, inflated: (opcode, message, whether it came compressed)."""
        opcode, payload = client.receive_data()
        if client.rsv == COMPRESSED and opcode in (TEXT, BINARY):
            return opcode, inflated(payload), True
        self.assertEqual(client.rsv, 0)
        return opcode, payload, False

    def test_negotiation(self):
        server = self.server()
        for offers, answer in (
                ((), None), ((OFFER,), ANSWER), ((OFFER + "; client_max_window_bits",), ANSWER),
                ((OFFER + "; server_max_window_bits=12",), ANSWER + "; server_max_window_bits=12"),
                ((OFFER + "; server_max_window_bits=15",), ANSWER + "; server_max_window_bits=12"),
                ((OFFER + "; server_max_window_bits=10",), None), ((OFFER + "; x",), None),
                ((OFFER + "; server_max_window_bits=10, permessage-deflate",), ANSWER),
                ((OFFER + "; level=9", OFFER), ANSWER), (("Sec-WebSocket-Extensions: \"",), None),
                ((OFFER + ";",), None), ((OFFER + "; client_max_window_bits=16",), None)):
            with self.subTest(offers=offers):
                status, headers, _ = server.status_of(server.request(*offers))
                self.assertEqual(status, 101)
                self.assertEqual(dict(headers).get("Sec-WebSocket-Extensions"), answer)

    def test_off_by_default(self):
        with Server() as server:
            status, headers, _ = server.status_of(server.request(OFFER))
            self.assertEqual(status, 101)
            self.assertNotIn("Sec-WebSocket-Extensions", dict(headers))
            client = server.websocket(OFFER)
            client.send(TEXT, deflated("hello"), rsv=COMPRESSED)
            self.assertEqual(client.close_code(), 1002)

    def test_every_shape(self):
        """Shapes of Autobahn's cases 12 and 13: sizes, levels, windows, fragments, kinds of blocks."""
        server = self.server()
        client = self.client(server)
        dice = random.Random(7)
        noise = bytes(dice.randrange(256) for _ in range(65536))
        text = json.dumps([{"id": i, "name": f"name {i % 7}", "value": dice.random()} for i in range(1200)])[:65536]
        for size in (0, 1, 16, 64, 125, 126, 256, 1024, 4096, 8192, 16384, 32768, 65535, 65536):
            for opcode, data in ((TEXT, text[:size].encode()), (BINARY, noise[:size]), (BINARY, bytes(size))):
                for payload in (deflated(data), deflated(data, level=0), deflated(data, level=1, window=9),
                                deflated(data, mode=zlib.Z_FULL_FLUSH), deflated(data, mode=zlib.Z_FINISH) + b"\0",
                                deflated(data, mode=zlib.Z_FINISH)):
                    step = max(1, len(payload) // 5)
                    parts = [payload[i:i + step] for i in range(0, len(payload), step)] or [b""]
                    for i, part in enumerate(parts):
                        client.send(opcode if i == 0 else CONTINUATION, part, rsv=COMPRESSED if i == 0 else 0,
                                    fin=i == len(parts) - 1)
                    opcode_, message, compressed = self.receive(client)
                    self.assertEqual((opcode_, message), (opcode, data))
                    self.assertEqual(compressed, size >= 256 and data[:size] != noise[:size], size)
        self.assertEqual(server.metric("limpet_messages_inflated_total"), 14 * 3 * 6)

    def test_messages_of_both_kinds(self):
        """What is not compressed is taken too; pings come in between; short messages go as they are."""
        client = self.client(self.server("--upgrade.deflate-size-min", "100"))
        long = "long " * 20
        client.send(TEXT, long)
        self.assertEqual(self.receive(client), (TEXT, long.encode(), True))
        client.send(TEXT, long[1:])
        self.assertEqual(self.receive(client), (TEXT, long[1:].encode(), False))
        payload = deflated(long)
        client.send(TEXT, payload[:3], rsv=COMPRESSED, fin=False)
        client.send(PING, b"between")
        client.send(CONTINUATION, b"", fin=False)
        client.send(CONTINUATION, payload[3:])
        self.assertEqual(client.receive(), (PONG, b"between"))
        self.assertEqual(client.rsv, 0)
        self.assertEqual(self.receive(client), (TEXT, long.encode(), True))
        client.send(CLOSE, b"\x03\xe8" + b"a" * 123)
        self.assertEqual(client.receive(), (CLOSE, b"\x03\xe8"))
        self.assertEqual(client.rsv, 0)

    def test_what_is_wrong(self):
        server = self.server()
        whole = frame(TEXT, deflated("hello"), rsv=COMPRESSED)
        first = frame(TEXT, deflated("hello")[:2], rsv=COMPRESSED, fin=False)
        for data, code, cause in (
                (frame(PING, b"", rsv=COMPRESSED), 1002, "protocol"), (frame(CLOSE, b"", rsv=COMPRESSED), 1002, "protocol"),
                (frame(TEXT, b"a", rsv=2), 1002, "protocol"), (frame(TEXT, b"a", rsv=5), 1002, "protocol"),
                (first + frame(CONTINUATION, b"a", rsv=COMPRESSED), 1002, "protocol"),
                (frame(TEXT, b"a", fin=False) + frame(CONTINUATION, b"a", rsv=COMPRESSED), 1002, "protocol"),
                (first + whole, 1002, "protocol"),
                (frame(BINARY, b"\x07", rsv=COMPRESSED), 1007, "deflate"),
                (frame(BINARY, b"not deflate", rsv=COMPRESSED), 1007, "deflate"),
                (frame(BINARY, deflated("hello")[:-1], rsv=COMPRESSED), 1007, "deflate"),
                (frame(BINARY, b"\x03\x00" * 17, rsv=COMPRESSED), 1007, "deflate"),
                # The second needs the first: context was not to be taken over.
                (whole + frame(TEXT, bytes.fromhex("f200110000"), rsv=COMPRESSED), 1007, "deflate"),
                (frame(TEXT, deflated(b"a\xff"), rsv=COMPRESSED), 1007, "utf8"),
                (frame(TEXT, deflated(b"\xe2\x82"), rsv=COMPRESSED), 1007, "utf8")):
            with self.subTest(data=data.hex()[:60]):
                before = server.metric("limpet_closed_total", cause=cause)
                client = self.client(server)
                client.send_bytes(data)
                self.assertEqual(client.close_code(), code)
                self.assertEqual(server.metric("limpet_closed_total", cause=cause), before + 1)
        client = self.client(server)
        client.send(BINARY, deflated(b"\xff\xfe"), rsv=COMPRESSED)
        self.assertEqual(client.receive_data(), (BINARY, b"\xff\xfe"))

    def test_bombs(self):
        server = self.server("--limits.message-size-max", "100000", "--limits.queue-bytes-max", "200000")
        client = self.client(server)
        client.send(BINARY, deflated(bytes(100000)), rsv=COMPRESSED)
        self.assertEqual(self.receive(client), (BINARY, bytes(100000), True))
        for size in (100001, 100258, 50_000_000):
            with self.subTest(size=size):
                bomb = deflated(bytes(size))
                self.assertLess(len(bomb), size // 500)
                client = self.client(server)
                client.send(BINARY, bomb, rsv=COMPRESSED)
                self.assertEqual(client.close_code(), 1009)
        noise = os.urandom(100000)
        client = self.client(server)
        client.send(BINARY, deflated(noise), rsv=COMPRESSED)  # larger on the wire than the limit
        self.assertEqual(self.receive(client), (BINARY, noise, False))
        client.send(BINARY, deflated(noise + b"x"), rsv=COMPRESSED)
        self.assertEqual(client.close_code(), 1009)
        client = self.client(server)
        client.send_bytes(frame(BINARY, bytes(112565), rsv=COMPRESSED)[:14])  # an eighth and 64 more, and one
        self.assertEqual(client.close_code(), 1009)
        self.assertEqual(server.metric("limpet_closed_total", cause="too_big"), 5)

    def test_once_a_shard(self):
        server = self.server("--plain.publish-channel", "a", shards=2)
        compressing = [self.client(server) for _ in range(12)]
        plain = [server.websocket() for _ in range(12)]
        shards = sum(server.metric("limpet_connections_open", shard=str(i)) > 0 for i in range(2))
        self.assertEqual(shards, 2)
        text = json.dumps([{"price": i} for i in range(300)])
        for count in range(1, 6):
            compressing[count].send(TEXT, deflated(text), rsv=COMPRESSED)
            for client in compressing:
                self.assertEqual(self.receive(client), (TEXT, text.encode(), True))
            for client in plain:
                self.assertEqual(self.receive(client), (TEXT, text.encode(), False))
            # At most one of the shards has nobody who compresses.
            self.assertLessEqual(server.metric("limpet_frames_deflated_total"), 2 * count)
            self.assertGreaterEqual(server.metric("limpet_frames_deflated_total"), count)
        # Nobody who wants it: nothing is compressed.
        for client in compressing:
            client.close()
        server.wait_metric("limpet_connections_held", 12)
        before = server.metric("limpet_frames_deflated_total")
        plain[0].send(TEXT, text)
        for client in plain:
            self.assertEqual(self.receive(client), (TEXT, text.encode(), False))
        self.assertEqual(server.metric("limpet_frames_deflated_total"), before)

    def test_many_in_order(self):
        """Publications that go together in one record, of sizes that are compressed and that are not."""
        server = self.server("--plain.publish-channel", "a")
        sender = self.client(server, token=server.token(channels=[]))
        readers = [self.client(server) if i % 2 else server.websocket() for i in range(8)]
        texts = [f"{i} " + "x" * (i * 37 % 700) for i in range(400)]
        sender.send_bytes(b"".join(frame(TEXT, deflated(text), rsv=COMPRESSED) for text in texts))
        for reader in readers:
            for text in texts:
                self.assertEqual(self.receive(reader)[:2], (TEXT, text.encode()))

    def test_node_ws(self):
        server = self.server()
        result = subprocess.run(["node", "-e", NODE, f"wss://127.0.0.1:{server.port}/", server.token()], cwd=HERE,
                                check=True, capture_output=True, text=True, timeout=PATIENCE)
        self.assertEqual(json.loads(result.stdout), {"good": 6, "code": 1000, "extensions": "permessage-deflate"})
        self.assertEqual(server.metric("limpet_messages_inflated_total"), 6)
        self.assertEqual(server.metric("limpet_frames_deflated_total"), 4)

    def test_python_websockets(self):
        server = self.server("--plain.publish-channel", "a")

        async def talk():
            headers = {"Authorization": f"Bearer {server.token()}"}
            new = int(websockets.__version__.split(".")[0]) >= 14
            option = {"additional_headers" if new else "extra_headers": headers}
            url = f"wss://127.0.0.1:{server.port}/"
            async with websockets.connect(url, ssl=tls_context(), **option) as one, \
                    websockets.connect(url, ssl=tls_context(), compression=None, **option) as other:
                for message in ("", "text", "ä" * 30000, b"binary" * 5000, os.urandom(60000)):
                    await one.send(message)
                    self.assertEqual(await one.recv(), message)
                    self.assertEqual(await other.recv(), message)
                await (await one.ping())
            return one.close_code

        self.assertEqual(asyncio.run(asyncio.wait_for(talk(), PATIENCE)), 1000)
        self.assertEqual(server.metric("limpet_messages_inflated_total"), 5)

    def test_budget(self):
        with Server() as server:
            for flags, is_there in ((("--upgrade.deflate", "true"), True), ((), False)):
                result = subprocess.run([os.environ.get("LIMPET", "build/release/limpet"), "check", "--state",
                                         server.state, *flags], capture_output=True, text=True, timeout=PATIENCE,
                                        check=True)
                self.assertEqual("  compression " in result.stdout, is_there, result.stdout)


if __name__ == "__main__":
    main()
