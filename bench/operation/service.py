"""What the scripts of this folder share: a server and a load tool on ports of their own."""

import re
import subprocess
import sys
import time
import urllib.request


def start_server(words, *flags):
    """`limpet serve FLAGS` on loopback; the process, its port and the address of its metrics."""
    command = [f"{words.build}/limpet", "serve", *flags, "--listen", "127.0.0.1:0", "--admin.listen", "127.0.0.1:0",
               "--shards", str(words.shards)]
    # pylint: disable-next=consider-using-with
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    for line in server.stderr:
        ports = re.search(r"info listening port=(\d+) admin_port=(\d+)", line)
        if ports:
            return server, ports.group(1), f"http://127.0.0.1:{ports.group(2)}/metrics"
    sys.exit("the server did not start")


def start_clients(words, port, key_flags, *more):
    """`limpet-bench idle`; key_flags tell `limpet token` whose key signs."""
    token = subprocess.run([f"{words.build}/limpet", "token", *key_flags, "--sub", "bench", "--ttl", "1d"],
                           capture_output=True, text=True, check=True).stdout.strip()
    # pylint: disable-next=consider-using-with
    return subprocess.Popen([f"{words.build}/limpet-bench", "idle", "--url", f"wss://127.0.0.1:{port}/", "--token", token,
                             "-n", str(words.connections), "--reference", "0", *more],
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def scrape(url):
    with urllib.request.urlopen(url, timeout=30) as answer:
        return answer.read().decode()


def wait_open(words, url, clients):
    """Until all are open; their number."""
    while True:
        values = re.findall(r"^limpet_connections_open\{[^}]*\} (\d+)", scrape(url), re.MULTILINE)
        count = sum(int(value) for value in values)
        print(f"\r{count:10,} open", end="", file=sys.stderr, flush=True)
        if count >= words.connections:
            print(file=sys.stderr)
            return count
        if clients.poll() is not None:
            sys.exit(f"the load tool ended with {count} connections open")
        time.sleep(1)


def stop(*processes):
    for process in processes:
        process.terminate()
        process.wait()
