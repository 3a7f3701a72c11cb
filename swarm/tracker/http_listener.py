"""Where HTTP clients come in: many accepted per wake-up, and answered at once where their request is there.

Nearly every client makes a connection an announce (libtorrent, transmission, aria2 do). Such a one costs
accept, recv, send and close here, and the event loop hears of it only if it wants more: when its request is
not whole, when it stays, or when it does not take the answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from functools import partial

from swarm.tracker.binding import bind_all
from swarm.tracker.http_connection import TURN_BYTES, HttpConnection, HttpService, packed_address

#: Connections waiting to be accepted: a swarm that starts together comes together.
BACKLOG = 1024
#: Connections taken at a time; then others on the loop get their turn.
ACCEPT_MAX = 64
#: The kernel wakes us when a request has begun, or after so long; from then on there is a deadline for it.
DEFER_S = 1
#: Without descriptors or memory nobody is let in for so long.
PAUSE_S = 1.0
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


async def listen(
    service: HttpService, host: str, port: int, *, is_shared: bool = False
) -> list[HttpListener]:
    """Listen on every address of `host`; with port 0 on any free one, the same for all of them.

    Args:
        is_shared: other processes may listen on the same port.

    Raises:
        OSError: as `bind_all`.
    """
    bound = await bind_all(partial(bind_stream, is_shared=is_shared), host, port)
    return [HttpListener(service, one) for one in bound]


def bind_stream(
    host: str, port: int, family: socket.AddressFamily, *, is_shared: bool = False
) -> socket.socket:
    """A bound socket, not blocking; `is_shared`: other processes may bind the same port.

    Raises:
        OSError: it cannot be bound.
    """
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if is_shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.setblocking(False)
        bound.bind((host, port))
        # Already here, for two may bind one port where neither listens yet.
        bound.listen(BACKLOG)
    except OSError:
        bound.close()
        raise
    return bound


class HttpListener:
    """One listening socket on the running loop, which it owns."""

    def __init__(self, service: HttpService, bound: socket.socket) -> None:
        self._service = service
        self._socket = bound
        self.host, self.port = bound.getsockname()[:2]
        self._loop = asyncio.get_running_loop()
        self._adopting: set[asyncio.Task[None]] = set()
        self._pause: asyncio.TimerHandle | None = None
        if hasattr(socket, "TCP_DEFER_ACCEPT"):
            bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, DEFER_S)
        self._loop.add_reader(bound.fileno(), self._readable)

    def close(self) -> None:
        """Let nobody in any more."""
        if self._pause is not None:
            self._pause.cancel()
        for task in self._adopting:
            task.cancel()
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()

    def _readable(self) -> None:
        for _ in range(ACCEPT_MAX):
            try:
                accepted, name = self._socket.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno not in _EXHAUSTED:
                    continue  # it has gone again
                self._loop.remove_reader(self._socket.fileno())
                self._pause = self._loop.call_later(PAUSE_S, self._go_on)
                return
            try:
                self._serve(accepted, packed_address(name[0]))
            except OSError:
                accepted.close()

    def _go_on(self) -> None:
        self._loop.add_reader(self._socket.fileno(), self._readable)

    def _serve(self, accepted: socket.socket, address: bytes) -> None:
        """Answer what is there already; OSError if the client is gone."""
        connection = HttpConnection(self._service, address)
        answer = b""
        with contextlib.suppress(BlockingIOError):
            data = accepted.recv(TURN_BYTES, socket.MSG_DONTWAIT)
            if data:
                answer = connection.feed(data)
            else:
                connection.is_over = True
            if answer:
                answer = answer[accepted.send(answer, socket.MSG_DONTWAIT) :]
        if connection.is_over and not answer:
            connection.forget()
            accepted.close()
            return
        connection.unsent = answer
        task = self._loop.create_task(self._adopt(connection, accepted), name="adopting a connection")
        self._adopting.add(task)
        task.add_done_callback(self._adopting.discard)

    async def _adopt(self, connection: HttpConnection, accepted: socket.socket) -> None:
        """From here on the event loop looks after it."""
        accepted.setblocking(False)
        try:
            await self._loop.connect_accepted_socket(lambda: connection, accepted)
        except OSError:
            accepted.close()
