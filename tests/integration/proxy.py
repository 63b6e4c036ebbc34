"""A TCP proxy between a client and the server: keeps what went first, and can forget as balancers do."""

import selectors
import socket
import threading
import time

KEPT_MAX = 65536  # bytes of each way


class Flow:
    """One connection through the proxy."""

    def __init__(self, client, server):
        self.client, self.server = client, server
        self.sent, self.answered = bytearray(), bytearray()  # what the client and the server said first
        self.last = time.monotonic()
        self.is_forgotten = False
        self.open_ends = {client, server}

    def forget(self):
        """Soon; for a proxy that forgets."""
        self.last = float("-inf")

    def other(self, end):
        return self.server if end is self.client else self.client

    def close(self):
        self.client.close()
        self.server.close()


class Proxy:
    """forget_s: a flow that was silent so long is forgotten: no FIN, no reset, and what comes later goes nowhere."""

    def __init__(self, port, forget_s=None):
        self.target, self.forget_s = ("127.0.0.1", port), forget_s
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        self.flows = []
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.listener, selectors.EVENT_READ)
        self.is_over = False
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while not self.is_over:
            for key, _ in self.selector.select(0.02):
                if key.fileobj is self.listener:
                    self._accept()
                elif not key.data.is_forgotten:
                    self._pass(key.data, key.fileobj)
            if self.forget_s is not None:
                self._forget(time.monotonic() - self.forget_s)

    def _accept(self):
        client, _ = self.listener.accept()
        flow = Flow(client, socket.create_connection(self.target))
        self.flows.append(flow)
        for end in (flow.client, flow.server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.selector.register(end, selectors.EVENT_READ, flow)

    def _pass(self, flow, end):
        flow.last = time.monotonic()
        try:
            data = end.recv(65536)
            if data:
                kept = flow.sent if end is flow.client else flow.answered
                kept += data[:KEPT_MAX - len(kept)]
                flow.other(end).sendall(data)
                return
            flow.other(end).shutdown(socket.SHUT_WR)
        except OSError:  # one end was reset: so is the other
            self._end(flow, flow.other(end))
        self._end(flow, end)

    def _end(self, flow, end):
        if end in flow.open_ends:
            flow.open_ends.remove(end)
            self.selector.unregister(end)
        if not flow.open_ends:
            flow.close()

    def _forget(self, before):
        for flow in self.flows:
            if flow.last < before and not flow.is_forgotten:
                flow.is_forgotten = True
                for end in flow.open_ends:
                    self.selector.unregister(end)

    def close(self):
        self.is_over = True
        self.thread.join()
        self.selector.close()
        self.listener.close()
        for flow in self.flows:
            flow.close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()
