"""The proxies that people have in front, HAProxy and nginx, each started with a configuration of the test's own."""

import os
import shutil
import socket
import subprocess
import tempfile
import unittest

from limpet import PATIENCE, wait_until

STREAM = "/usr/lib/nginx/modules/ngx_stream_module.so"

needs_haproxy = unittest.skipUnless(shutil.which("haproxy"), "haproxy is not installed")
needs_nginx = unittest.skipUnless(shutil.which("nginx"), "nginx is not installed")
needs_nginx_stream = unittest.skipUnless(shutil.which("nginx") and os.path.exists(STREAM),
                                         "nginx or libnginx-mod-stream is not installed")


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def make_pair(test, server):
    """The server's own certificate and key, in one file."""
    path = os.path.join(test.enterContext(tempfile.TemporaryDirectory(prefix="limpet-proxy-")), "pair.pem")
    with open(path, "w", encoding="utf-8") as file:
        for name in ("certificate.pem", "key.pem"):
            with open(os.path.join(server.state, name), encoding="utf-8") as part:
                file.write(part.read())
    return path


def _run(test, command, config, port):
    """Until the test's end. CONF and FOLDER stand for the file and a folder of its own."""
    folder = test.enterContext(tempfile.TemporaryDirectory(prefix="limpet-proxy-"))
    path = os.path.join(folder, "conf")
    with open(path, "w", encoding="utf-8") as file:
        file.write(config.replace("FOLDER", folder))
    # pylint: disable-next=consider-using-with
    process = subprocess.Popen([word.replace("CONF", path).replace("FOLDER", folder) for word in command],
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def stop():
        process.terminate()
        process.communicate(timeout=PATIENCE)

    test.addCleanup(stop)

    def listens():
        if process.poll() is not None:
            raise AssertionError(process.stderr.read())
        try:
            socket.create_connection(("127.0.0.1", port), PATIENCE).close()
            return True
        except ConnectionRefusedError:
            return False

    wait_until(listens, f"{command[0]} listens")


def run_haproxy(test, bind, server, idle="1h"):
    """The port of a listener in mode tcp. bind, server: what comes behind the port and the name."""
    port = free_port()
    _run(test, ["haproxy", "-db", "-f", "CONF"], f"""
defaults
    mode tcp
    timeout connect 5s
    timeout client {idle}
    timeout server {idle}
listen limpet
    bind 127.0.0.1:{port} {bind}
    server limpet {server}
""", port)
    return port


def run_nginx(test, block, kind="http"):
    """The port of a server with these lines; PORT stands for it."""
    port = free_port()
    module = f"load_module {STREAM};" if kind == "stream" else ""
    places = "".join(f"    {name}_temp_path FOLDER/{name};\n"
                     for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")) if kind == "http" else ""
    log = "    access_log off;\n" if kind == "http" else ""
    user = "user root;" if os.geteuid() == 0 else ""  # whose Unix sockets its workers are to open
    _run(test, ["nginx", "-e", "stderr", "-p", "FOLDER", "-c", "CONF"], f"""
{module}
{user}
daemon off;
pid FOLDER/pid;
error_log stderr;
events {{}}
{kind} {{
{places}{log}    server {{
{block.replace("PORT", str(port))}
    }}
}}
""", port)
    return port
