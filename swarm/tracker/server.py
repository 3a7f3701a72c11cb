"""The tracker server: sockets, the rules, and the beat that lets overdue peers go."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import random
import secrets
import socket
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from swarm.base.errors import TrackerError
from swarm.tracker.announce import Rules, TrackerSettings
from swarm.tracker.connection_ids import ConnectionIds
from swarm.tracker.datagrams import bind
from swarm.tracker.http_frontend import HttpFrontend, HttpLimits
from swarm.tracker.memory_store import MemoryStore
from swarm.tracker.snapshot import load, save
from swarm.tracker.udp_frontend import UdpEndpoint, UdpFrontend

#: Where the whole world looks for a tracker (opentracker's and bittorrent-tracker's default too).
DEFAULT_PORT = 6969
#: Between two looks for overdue peers and slow clients: a million swarms are gone through in 70 seconds.
BEAT_S = 0.1
#: Connections waiting to be accepted: a swarm that starts together comes together.
BACKLOG = 1024


class TrackerServer:
    """A tracker that runs while the `async with` block does.

    Args:
        host: a numeric address or a name; "0.0.0.0" also listens on all IPv6 addresses where there are any.
        port: 0 takes any free one; `port` then says which.
        udp: where to listen for UDP, by default nowhere; port 0 takes the same as HTTP's where it is free.
        state: a file that keeps what is known between two runs; written on leaving.
        clock: monotonic seconds.

    Raises:
        TrackerError: on entering, when it cannot listen there.
        StorageError: on entering, when `state` is damaged; on leaving, when it cannot be written.
    """

    def __init__(
        self,
        host: str = "0.0.0.0",
        port: int = DEFAULT_PORT,
        *,
        udp: tuple[str, int] | None = None,
        state: Path | None = None,
        settings: TrackerSettings | None = None,
        limits: HttpLimits | None = None,
        rng: random.Random | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings or TrackerSettings()
        rng = rng or random.Random()
        self.store = MemoryStore(self.settings.peer_life_s, rng)
        self.rules = Rules(self.store, rng, self.settings)
        self.frontend = HttpFrontend(self.rules, clock, limits)
        self.udp = UdpFrontend(self.rules, clock, ConnectionIds(secrets.token_bytes(32)))
        self._host = host
        self._port = port
        self._clock = clock
        self._udp_at = udp
        self._state = state
        self._servers: list[asyncio.Server] = []
        self._udp_endpoints: list[UdpEndpoint] = []
        self._beat: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._port

    @property
    def urls(self) -> list[str]:
        """Announce URLs, one for each address it listens on."""
        found = [listener.getsockname()[:2] for server in self._servers for listener in server.sockets]
        return [
            f"http://[{host}]:{port}/announce" if ":" in host else f"http://{host}:{port}/announce"
            for host, port in found
        ]

    @property
    def udp_port(self) -> int | None:
        """Where it listens for UDP, None where it does not."""
        return self._udp_endpoints[0].port if self._udp_endpoints else None

    @property
    def udp_urls(self) -> list[str]:
        """Announce URLs for UDP, one for each address."""
        return [endpoint.url for endpoint in self._udp_endpoints]

    async def __aenter__(self) -> TrackerServer:
        if self._state is not None:
            await asyncio.to_thread(load, self.store, self._state, self._clock(), time.time())
        try:
            await self._listen()
        except OSError as error:
            await self._close()
            raise TrackerError(_why_not(error, self._host, self._port, "--http")) from None
        if self._udp_at is not None:
            try:
                await self._listen_udp(*self._udp_at)
            except OSError as error:
                await self._close()
                raise TrackerError(_why_not(error, *self._udp_at, "--udp")) from None
        self._beat = asyncio.create_task(self._beats(), name="tracker beat")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()
        if self._state is not None:
            await asyncio.to_thread(save, self.store, self._state, self._clock(), time.time())

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(self.frontend, self._host, self._port, backlog=BACKLOG)
        self._servers.append(server)
        self._port = server.sockets[0].getsockname()[1]
        if self._host == "0.0.0.0" and socket.has_ipv6:
            # A machine without IPv6, or with a dual-stack listener on that port, is served by IPv4 alone.
            with contextlib.suppress(OSError):
                self._servers.append(
                    await loop.create_server(self.frontend, "::", self._port, backlog=BACKLOG)
                )

    async def _listen_udp(self, host: str, port: int) -> None:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
        family, _, _, _, address = found[0]
        # Port 0: clients that are given one URL try the other protocol at the same port.
        ports = [port] if port else [self._port, 0]
        for number, wanted in enumerate(ports, 1):
            try:
                first = bind(str(address[0]), wanted, family)
                break
            except OSError as error:
                if error.errno != errno.EADDRINUSE or number == len(ports):
                    raise
        self._udp_endpoints.append(UdpEndpoint(self.udp, first))
        if host == "0.0.0.0" and socket.has_ipv6:
            with contextlib.suppress(OSError):
                second = bind("::", self._udp_endpoints[0].port, socket.AF_INET6)
                self._udp_endpoints.append(UdpEndpoint(self.udp, second))

    async def _beats(self) -> None:
        while True:
            await asyncio.sleep(BEAT_S)
            self.frontend.sweep()
            self.rules.expire(self._clock())

    async def _close(self) -> None:
        if self._beat is not None:
            self._beat.cancel()
            await asyncio.gather(self._beat, return_exceptions=True)
            self._beat = None
        endpoints, self._udp_endpoints = self._udp_endpoints, []
        for endpoint in endpoints:
            endpoint.close()
        servers, self._servers = self._servers, []
        for server in servers:
            server.close()
        self.frontend.close()
        for server in servers:
            await server.wait_closed()


def _why_not(error: OSError, host: str, port: int, option: str) -> str:
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    match error.errno:
        case errno.EADDRINUSE:
            why = f"the port is in use; give another one with {option} HOST:PORT"
        case errno.EACCES:
            why = "not permitted; ports below 1024 need a privileged user"
        case errno.EADDRNOTAVAIL:
            why = "this machine does not have that address"
        case _ if isinstance(error, socket.gaierror):
            why = "no such host"
        case _:
            why = error.strerror or str(error)
    return f"cannot listen on {where}: {why}"
