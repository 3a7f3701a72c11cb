"""Ears on every kind of socket that a client talks to; they remember from which address it did."""

from __future__ import annotations

import contextlib
import http.server
import queue
import socket
import threading
from typing import Any

#: Longer than any of them needs.
_PATIENCE_S = 30.0
#: So that the next tier is asked too.
_REFUSED = b"d14:failure reason4:busye"


class Ears:
    """Listens at one address; `heard` waits for the next to speak on one of its ports.

    Args:
        torrent: what the web server gives for any path that is no tracker's.
    """

    def __init__(self, address: str, torrent: bytes) -> None:
        self._address = address
        self._said: dict[str, queue.SimpleQueue[str]] = {}
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        ears = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                is_tracker = self.path.startswith(("/announce", "/scrape"))
                ears._note("http tracker" if is_tracker else "web", self.client_address[0])
                body = _REFUSED if is_tracker else torrent
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        for kind in ("http tracker", "web"):
            self._said[kind] = queue.SimpleQueue()
        self._web = http.server.ThreadingHTTPServer((address, 0), Handler)
        self.web_port = int(self._web.server_address[1])
        self._run(self._web.serve_forever)

    def stream(self, kind: str) -> int:
        """Accept connections and end them at once; returns the port."""
        listener = socket.create_server((self._address, 0))

        def accept() -> None:
            while True:
                try:
                    connection, source = listener.accept()
                except OSError:
                    return
                connection.close()
                self._note(kind, source[0])

        return self._listen(kind, listener, accept)

    def datagrams(self, kind: str) -> int:
        """Hear datagrams and answer none; returns the port."""
        listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        listener.bind((self._address, 0))

        def receive() -> None:
            while True:
                try:
                    _, source = listener.recvfrom(2048)
                except OSError:
                    return
                if source is None:
                    return  # It was shut down.
                self._note(kind, source[0])

        return self._listen(kind, listener, receive)

    def heard(self, kind: str) -> str:
        """The numeric address of the next who speaks."""
        return self._said[kind].get(timeout=_PATIENCE_S)

    def close(self) -> None:
        self._web.shutdown()
        self._web.server_close()
        for listener in self._open:
            # It wakes up whoever waits on it, which `close` does not.
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        for thread in self._threads:
            thread.join(_PATIENCE_S)

    def _note(self, kind: str, host: str) -> None:
        self._said[kind].put(host)

    def _listen(self, kind: str, listener: socket.socket, work: Any) -> int:
        self._said[kind] = queue.SimpleQueue()
        self._open.append(listener)
        self._run(work)
        return int(listener.getsockname()[1])

    def _run(self, work: Any) -> None:
        thread = threading.Thread(target=work)
        thread.start()
        self._threads.append(thread)
