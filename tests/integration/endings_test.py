"""How it ends: a connection whose record is broken, and the whole server."""

import signal
import ssl
import subprocess
import tempfile
import unittest

from limpet import BAD_OPTIONS, BINARY, LIMPET, PATIENCE, Server, frame, main, wait_until
from wire import Wire


class Endings(unittest.TestCase):
    def server(self, *flags, **options):
        return self.enterContext(Server(*flags, **options))

    def test_bad_record_behind_a_message(self):
        """The alert goes out, and nothing before it that waits; the end counts once."""
        server = self.server(shards=1)
        client = Wire(server).handshake()
        client.sendall(server.request())
        self.assertTrue(client.recv(1000).startswith(b"HTTP/1.1 101"))
        message = client.seal(frame(BINARY, b"never answered"))
        broken = bytearray(client.seal(b"x" * 100))
        broken[-1] ^= 1
        client.sock.sendall(message + broken)
        with self.assertRaises(ssl.SSLError) as caught:
            client.recv(1000)
        self.assertIn("BAD_RECORD_MAC", str(caught.exception))
        server.wait_metric("limpet_closed_total", 1, cause="tls")

    def test_stopping_server_takes_nobody_new(self):
        server = self.server("--deadlines.shutdown", "5s", shards=2)
        staying = server.websocket()  # does not answer the close frame
        server.process.send_signal(signal.SIGTERM)
        self.assertEqual(staying.receive()[1][:2], (1001).to_bytes(2, "big"))

        def is_refused():
            try:
                server.connect().close()
            except ConnectionRefusedError:
                return True
            return False

        wait_until(is_refused, "connections are refused")
        self.assertIsNone(server.process.poll())
        staying.close()
        self.assertEqual(server.stop(), 0)

    def test_log_whose_reader_has_gone(self):
        with tempfile.TemporaryDirectory() as state:
            command = [LIMPET, "serve", "--state", state, "--listen", "127.0.0.1:0", "--admin.listen", "", "--shards", "1"]
            with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
                while b"listening" not in process.stderr.readline():
                    pass
                process.stderr.close()
                process.send_signal(signal.SIGTERM)  # which is logged
                self.assertEqual(process.wait(PATIENCE), 0)

    def test_bad_flag(self):
        with tempfile.TemporaryDirectory() as state:
            for verb in ("serve", "check"):
                command = [LIMPET, verb, "--state", state, "--limits.message-size-max", "1"]
                ran = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
                self.assertEqual(ran.returncode, BAD_OPTIONS[verb])
                self.assertIn("message", ran.stderr)
                self.assertNotIn("Sanitizer", ran.stderr)


if __name__ == "__main__":
    main()
