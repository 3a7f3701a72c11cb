"""The tracker server: sockets, the rules, and the beat that lets overdue peers go."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import random
import secrets
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from swarm.base.errors import StorageError, TrackerError
from swarm.storage.faults import check_folder
from swarm.storage.lock import ProcessLock
from swarm.tracker.admission import Admission
from swarm.tracker.announce import Rules, TrackerSettings
from swarm.tracker.binding import bind_all
from swarm.tracker.connection_ids import ConnectionIds
from swarm.tracker.datagrams import bind
from swarm.tracker.http_connection import HttpLimits, HttpService
from swarm.tracker.http_frontend import HttpFrontend, Network
from swarm.tracker.http_listener import BACKLOG, HttpListener, bind_stream, listen
from swarm.tracker.memory_store import MemoryStore
from swarm.tracker.shared_store import TAKE_MAX, SharedStore
from swarm.tracker.snapshot import load, patience_s, save, save_beside
from swarm.tracker.udp_frontend import UdpEndpoint, UdpFrontend

if TYPE_CHECKING:
    from swarm.tracker.redis_journal import RedisJournal

#: Where the whole world looks for a tracker (opentracker's and bittorrent-tracker's default too).
DEFAULT_PORT = 6969
#: Between two looks for overdue peers and slow clients: a million swarms are gone through in 70 seconds.
BEAT_S = 0.1
#: Announces a second are counted over so long.
RATE_S = 5.0
#: Between two times that what is known is kept: so much is lost by a crash, and as long as it takes to write.
SAVE_S = 300.0
#: For a TLS handshake; slow links need a second or two.
HANDSHAKE_S = 10.0

_BOOTTIME: int | None = getattr(time, "CLOCK_BOOTTIME", None)


def sleepless_clock() -> float:
    """Monotonic seconds that go on while the machine is suspended, where the system has such (Linux).

    On another clock peers would be as young after the sleep as before it, and what this tracker told others
    would be dated too early for as long as it runs.
    """
    return time.monotonic() if _BOOTTIME is None else time.clock_gettime(_BOOTTIME)


class TrackerServer:
    """A tracker that runs while the `async with` block does.

    Args:
        host: a numeric address or a name; "0.0.0.0" also listens on all IPv6 addresses where there are any.
        port: 0 takes any free one; `port` then says which.
        udp: where to listen for UDP, by default nowhere; port 0 takes the same as HTTP's where it is free.
        https: where to listen with `tls` as well.
        proxies: networks whose word on clients' addresses is believed.
        services: more to listen for: where, the option that said so, and who answers.
        redis_url: swarms are shared through this Redis; without, they are in this process alone.
        is_shared: other processes listen on the same ports, each getting a part of what comes.
        secret: of connection ids, the same for those who share a port.
        state: a file that keeps what is known between two runs; written now and then, and on leaving.
        save_s: between two times that it is written, where anybody has announced.
        clock: monotonic seconds.

    Raises:
        SwarmError: on entering, when another tracker keeps its state in `state`.
        TrackerError: on entering, when it cannot listen there.
        StorageError: on entering, when `state` is damaged or its folder closed to us; on leaving, when it
            cannot be written.
    """

    def __init__(
        self,
        host: str = "0.0.0.0",
        port: int = DEFAULT_PORT,
        *,
        udp: tuple[str, int] | None = None,
        https: tuple[str, int] | None = None,
        tls: ssl.SSLContext | None = None,
        proxies: Sequence[Network] = (),
        admission: Admission | None = None,
        services: Sequence[tuple[tuple[str, int], str, Callable[[TrackerServer], HttpService]]] = (),
        redis_url: str | None = None,
        is_shared: bool = False,
        secret: bytes | None = None,
        state: Path | None = None,
        save_s: float = SAVE_S,
        settings: TrackerSettings | None = None,
        limits: HttpLimits | None = None,
        rng: random.Random | None = None,
        clock: Callable[[], float] = sleepless_clock,
    ) -> None:
        self.settings = settings or TrackerSettings()
        rng = rng or random.Random()
        life_s = self.settings.peer_life_s
        self._journal: RedisJournal | None = None
        self._shared: SharedStore | None = None
        self.store = MemoryStore(life_s, rng)
        if redis_url is not None:
            # Loaded where it is needed: the library takes a while.
            from swarm.tracker.redis_journal import RedisJournal

            self._journal = RedisJournal(redis_url, life_s)
            offset_s = time.time() - clock()
            self._shared = SharedStore(life_s, rng, self._journal, offset_s=offset_s, now=clock())
            self.store = self._shared
        self._is_shared = is_shared
        self.rules = Rules(self.store, rng, self.settings, admission)
        self.frontend = HttpFrontend(self.rules, clock, limits, proxies)
        self.udp = UdpFrontend(self.rules, clock, ConnectionIds(secret or secrets.token_bytes(32)))
        self._host = host
        self._port = port
        self.clock = clock
        self._udp_at = udp
        self._https_at = https
        self._tls = tls
        self._service_makers = services
        #: Who answers besides the tracker itself, and where; in the order in which they were given.
        self.services: list[tuple[HttpService, str]] = []
        self.https_url: str | None = None
        self._state = state
        self._state_lock: ProcessLock | None = None
        self._save_s = save_s
        #: Why `state` could not be written the last time; None where it could.
        self.unsaved: str | None = None
        self._listeners: list[HttpListener] = []
        self._other_servers: list[asyncio.Server] = []
        self._udp_endpoints: list[UdpEndpoint] = []
        #: In the last seconds.
        self.announces_per_s = 0.0
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def is_ready(self) -> bool:
        """Does it listen?"""
        return bool(self._listeners)

    @property
    def saving_s(self) -> float | None:
        """How long it may take to keep what is known, in seconds; None where nothing is kept."""
        return None if self._state is None else patience_s(self.store)

    @property
    def cut_off(self) -> str | None:
        """Why the peers of other trackers are not known for the moment; None where they are, or none are."""
        return self._journal.why_away if self._journal is not None and self._journal.is_away else None

    def numbers(self) -> dict[str, int | float]:
        """What it knows and has done."""
        return {
            "torrents": self.store.swarm_count,
            "peers": self.store.peer_count,
            "seeds": self.store.seed_count,
            "http_announces": self.frontend.announce_count,
            "http_scrapes": self.frontend.scrape_count,
            "http_failures": self.frontend.failure_count,
            "http_connections": len(self.frontend.connections),
            "udp_announces": self.udp.counts.announces,
            "udp_scrapes": self.udp.counts.scrapes,
            "udp_connects": self.udp.counts.connects,
            "udp_errors": self.udp.counts.errors,
            "udp_ignored": self.udp.counts.ignored,
            "udp_lost": self.udp.counts.lost,
            "not_admitted": self.rules.admission.refused_count,
            "announces_per_s": round(self.announces_per_s, 1),
        }

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._port

    @property
    def urls(self) -> list[str]:
        """Announce URLs, one for each address it listens on."""
        return [_url("http", listener.host, listener.port, "announce") for listener in self._listeners]

    @property
    def udp_port(self) -> int | None:
        """Where it listens for UDP, None where it does not."""
        return self._udp_endpoints[0].port if self._udp_endpoints else None

    @property
    def udp_urls(self) -> list[str]:
        """Announce URLs for UDP, one for each address."""
        return [endpoint.url for endpoint in self._udp_endpoints]

    async def __aenter__(self) -> TrackerServer:
        try:
            await self._enter()
        except BaseException:
            self._release_state()
            raise
        return self

    async def _enter(self) -> None:
        if self._state is not None:
            check_folder(self._state.parent)
            self._take_state(self._state)
            await asyncio.to_thread(load, self.store, self._state, self.clock(), time.time())
        if self._shared is not None and self._journal is not None:
            await asyncio.to_thread(self._catch_up, self._shared, self._journal)
        await self._or_why_not(self._listen(), (self._host, self._port), "--http")
        if self._https_at is not None:
            await self._or_why_not(self._listen_tls(self._https_at), self._https_at, "--https")
        if self._udp_at is not None:
            await self._or_why_not(self._listen_udp(*self._udp_at), self._udp_at, "--udp")
        for at, option, maker in self._service_makers:
            await self._or_why_not(self._listen_for(maker(self), at), at, option)
        self._tasks = [asyncio.create_task(self._beats(), name="tracker beat")]
        if self._state is not None:
            self._tasks.append(asyncio.create_task(self._savings(self._state), name="tracker state"))
        for task in self._tasks:
            task.add_done_callback(_report)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._close()
            if self._journal is not None:
                await asyncio.to_thread(self._journal.close)
            if self._state is not None:
                await asyncio.to_thread(save, self.store, self._state, self.clock(), time.time())
        finally:
            self._release_state()

    def _take_state(self, state: Path) -> None:
        """Keep other trackers off the file: two would write over each other's, half and half."""
        refusal = f"{state}: another tracker keeps its state there"
        self._state_lock = ProcessLock(state.with_name(f".{state.name}.lock"), refusal)
        # Where there can be no locks, it has to do without.
        with contextlib.suppress(OSError):
            self._state_lock.acquire()

    def _release_state(self) -> None:
        if self._state_lock is not None:
            self._state_lock.release()

    def _catch_up(self, store: SharedStore, journal: RedisJournal) -> None:
        """Hear what the other trackers have told so far; nobody else uses the store yet."""
        journal.start()
        while not journal.has_caught_up.is_set() or journal.heard:
            store.take(int(self.clock()), TAKE_MAX)
            if not journal.heard:
                journal.has_caught_up.wait(BEAT_S)

    async def _or_why_not(self, listening: Awaitable[None], at: tuple[str, int], option: str) -> None:
        try:
            await listening
        except OSError as error:
            await self._close()
            raise TrackerError(_why_not(error, *at, option)) from None

    async def _listen_tls(self, at: tuple[str, int]) -> None:
        options: dict[str, Any] = {
            "is_shared": self._is_shared,
            "backlog": BACKLOG,
            "ssl": self._tls,
            "ssl_handshake_timeout": HANDSHAKE_S,
        }
        where = await self._serve(self.frontend, *at, **options)
        self.https_url = _url("https", *where, "announce")
        if at[0] == "0.0.0.0" and socket.has_ipv6:
            with contextlib.suppress(OSError):
                await self._serve(self.frontend, "::", where[1], **options)

    async def _listen_for(self, service: HttpService, at: tuple[str, int]) -> None:
        self.services.append((service, _url("http", *await self._serve(service, *at))))

    async def _serve(
        self, service: HttpService, host: str, port: int, *, is_shared: bool = False, **options: Any
    ) -> tuple[str, int]:
        """Have the loop itself accept for `service`; returns where, as the first address and the port."""
        bound = await bind_all(partial(bind_stream, is_shared=is_shared), host, port)
        where: tuple[str, int] = bound[0].getsockname()[:2]
        for one in bound:
            server = await asyncio.get_running_loop().create_server(service, sock=one, **options)
            self._other_servers.append(server)
        return where

    async def _listen(self) -> None:
        self._listeners = await listen(self.frontend, self._host, self._port, is_shared=self._is_shared)
        self._port = self._listeners[0].port
        if self._host == "0.0.0.0" and socket.has_ipv6:
            # A machine without IPv6, or with a dual-stack listener on that port, is served by IPv4 alone.
            with contextlib.suppress(OSError):
                self._listeners += await listen(self.frontend, "::", self._port, is_shared=self._is_shared)

    async def _listen_udp(self, host: str, port: int) -> None:
        bind_one = partial(bind, is_shared=self._is_shared)
        # Port 0: clients that are given one URL try the other protocol at the same port.
        ports = [port] if port else [self._port, 0]
        for number, wanted in enumerate(ports, 1):
            try:
                bound = await bind_all(bind_one, host, wanted, socket.SOCK_DGRAM)
                break
            except OSError as error:
                if error.errno != errno.EADDRINUSE or number == len(ports):
                    raise
        self._udp_endpoints += [UdpEndpoint(self.udp, one) for one in bound]
        if host == "0.0.0.0" and socket.has_ipv6:
            with contextlib.suppress(OSError):
                second = bind_one("::", self._udp_endpoints[0].port, socket.AF_INET6)
                self._udp_endpoints.append(UdpEndpoint(self.udp, second))

    async def _beats(self) -> None:
        counted_at, counted = self.clock(), 0
        worked_s = time.process_time()
        while True:
            await asyncio.sleep(BEAT_S)
            if (passed := self.clock() - counted_at) >= RATE_S:
                count = self.frontend.announce_count + self.udp.counts.announces
                self.announces_per_s = (count - counted) / passed
                worked_before_s, worked_s = worked_s, time.process_time()
                self.rules.busy((worked_s - worked_before_s) / passed)
                counted_at, counted = self.clock(), count
            for service, _ in [(self.frontend, ""), *self.services]:
                service.sweep()
            self.rules.expire(self.clock())
            if self._shared is not None:
                self.rules.warning = self._shared.warning

    async def _savings(self, state: Path) -> None:
        """Keep what is known for whoever comes after a crash."""
        saved_count = 0
        while True:
            await asyncio.sleep(self._save_s)
            count = self.frontend.announce_count + self.udp.counts.announces
            if count == saved_count and self._shared is None:
                # Nothing new; whoever went is overdue in the file, too.
                continue
            try:
                await save_beside(self.store, state, self.clock(), time.time())
            except StorageError as error:
                self.unsaved = str(error)
            else:
                self.unsaved, saved_count = None, count

    async def _close(self) -> None:
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        endpoints, self._udp_endpoints = self._udp_endpoints, []
        for endpoint in endpoints:
            endpoint.close()
        listeners, self._listeners = self._listeners, []
        for listener in listeners:
            listener.close()
        servers, self._other_servers = self._other_servers, []
        for server in servers:
            server.close()
        for service, _ in [(self.frontend, ""), *self.services]:
            service.close()
        for server in servers:
            await server.wait_closed()


def _report(task: asyncio.Task[None]) -> None:
    """Have the loop tell of a bug of ours that has ended a task for which nobody waits."""
    error = None if task.cancelled() else task.exception()
    if error is not None:
        message = f"{task.get_name()} has ended"
        task.get_loop().call_exception_handler({"message": message, "exception": error, "task": task})


def _url(scheme: str, host: str, port: int, path: str = "") -> str:
    return f"{scheme}://[{host}]:{port}/{path}" if ":" in host else f"{scheme}://{host}:{port}/{path}"


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
