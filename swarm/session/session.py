"""A session: one listening port, one set of threads, any number of torrents."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import aiofiles

from swarm.base.blocks import BLOCK_BYTES
from swarm.base.endpoint import Endpoint
from swarm.base.errors import MetainfoError, SettingsError, StorageError, SwarmError
from swarm.base.ids import InfoHash, PeerId
from swarm.engine.events import OwnAddressSeen
from swarm.metainfo import magnet as magnets
from swarm.metainfo.magnet import Magnet
from swarm.metainfo.torrent import MAX_METAINFO_BYTES, Metainfo
from swarm.net.names import endpoints_of
from swarm.session.listener import bind_addresses, listen
from swarm.session.peer_link import LinkOwner, PeerLink
from swarm.session.runner import Runner
from swarm.session.selection import Selection
from swarm.session.settings import SessionSettings
from swarm.session.throttle import Throttle
from swarm.session.torrent import Torrent
from swarm.storage.disk import Disk
from swarm.storage.faults import storage_error
from swarm.wire.peer.handshake import Handshake

if TYPE_CHECKING:
    from swarm.net.trackers import TrackerClient
    from swarm.net.udp import UdpSocket
    from swarm.session.dht import Dht
    from swarm.session.discovery import Discovery
    from swarm.session.metadata_fetch import MetadataFetch
    from swarm.session.sources import PeerSource, Totals

#: An address of a peer as users write it: a name or a number, and a port.
Address = tuple[str, int]


class Session:
    """Downloads and seeds torrents; an async context manager, on any asyncio loop.

        async with Session(port=0) as session:
            torrent = await session.add("dataset.torrent", save_to="here")
            await torrent.completed()

    Args:
        port: to listen on; 0 for any that is free, None for the first free one from 6881 on.
        bind: an address or interface that all traffic uses.
        settings: everything else.

    Raises (on entering):
        SwarmError: the port is in use. SettingsError: `bind` is not ours.
    """

    def __init__(
        self, *, port: int | None = None, bind: str | None = None, settings: SessionSettings | None = None
    ) -> None:
        self.settings = settings or SessionSettings()
        self.receive_buffer = memoryview(bytearray(self.settings.receive_buffer_bytes))
        self._wanted_port = port
        self._bind = bind
        self._rng = random.SystemRandom()
        self._peer_id = PeerId.generate(self._rng)
        self._port = 0
        self._servers: list[asyncio.Server] = []
        self._local_addresses: dict[bool, str] = {}
        self._disk: Disk | None = None
        self._links: set[PeerLink] = set()
        self._all_closed: asyncio.Event | None = None
        self._dials: set[asyncio.Task[None]] = set()
        self._runners: dict[InfoHash, Runner] = {}
        self._torrents: dict[InfoHash, Torrent] = {}
        #: Magnet links whose metadata is being fetched, or is there and waits for its torrent.
        self._fetches: dict[InfoHash, MetadataFetch] = {}
        self._discoveries: dict[InfoHash, Discovery] = {}
        self._starting: dict[InfoHash, asyncio.Task[None]] = {}
        self._tracker_client: TrackerClient | None = None
        #: Ways to find peers besides trackers; all torrents share them, private ones use none (BEP 27).
        self._sources: list[PeerSource] = []
        self._datagrams: list[UdpSocket] = []
        self._dht: Dht | None = None
        self._is_dht_wanted = self.settings.is_dht_enabled

    # -- life -----------------------------------------------------------------------------------

    @property
    def port(self) -> int:
        """Where peers reach us."""
        return self._port

    @property
    def peer_id(self) -> PeerId:
        return self._peer_id

    @property
    def dht(self) -> Dht | None:
        """Our part in the DHT; None before the first torrent that may use it."""
        return self._dht

    @property
    def has_dht(self) -> bool:
        """Whether the DHT may find peers for torrents that are not private."""
        return self._is_dht_wanted and bool(self.settings.dht_routers)

    @property
    def torrents(self) -> list[Torrent]:
        return list(self._torrents.values())

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self.up_throttle = Throttle(loop)
        self.down_throttle = Throttle(loop)
        addresses = bind_addresses(self._bind)
        if self._bind is not None:
            self._local_addresses = {":" in address: address for address in addresses}
        first, tried = self.settings.first_port, self.settings.ports_tried
        ports = range(first, first + tried) if self._wanted_port is None else (self._wanted_port,)
        sockets, self._port = listen(addresses, ports)
        for listener in sockets:
            server = await loop.create_server(lambda: self._accept(), sock=listener)
            self._servers.append(server)
        self._disk = Disk(loop, self.settings.thread_count)
        if self.settings.is_lsd_enabled:
            from swarm.session.local_discovery import LocalDiscovery

            self._sources.append(LocalDiscovery(self._rng, local_addresses=self._local_addresses))
        self.set_limits(
            up_bytes_per_s=self.settings.up_bytes_per_s, down_bytes_per_s=self.settings.down_bytes_per_s
        )
        return self

    def set_limits(self, *, up_bytes_per_s: float | None, down_bytes_per_s: float | None) -> None:
        """Limit what all torrents together send and receive, from now on; None takes a limit away.

        Bytes of the protocol count as well as content. Peers on the local network are left out unless
        `settings.is_local_unlimited` is off.

        Raises:
            SettingsError: less than a block (16 KiB) a second, at which nothing would ever arrive in time.
        """
        self.up_throttle.set_rate(_checked_rate(up_bytes_per_s))
        self.down_throttle.set_rate(_checked_rate(down_bytes_per_s))
        for runner in self._runners.values():
            runner.upload_limited(up_bytes_per_s)

    def set_torrent_limits(
        self, torrent: Torrent, *, up_bytes_per_s: float | None, down_bytes_per_s: float | None
    ) -> None:
        """As `set_limits`, for one torrent; the tighter of its own and the session's limit holds."""
        runner = self._runners.get(torrent.info_hash)
        if runner is None:
            raise SwarmError(f"{torrent.name} has not started yet")
        now = asyncio.get_running_loop().time()
        runner.up_bucket.set_rate(_checked_rate(up_bytes_per_s), now)
        runner.down_bucket.set_rate(_checked_rate(down_bytes_per_s), now)
        self.up_throttle.wake()
        self.down_throttle.wake()
        runner.upload_limited(self.up_throttle.rate)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Save everything, tell the trackers (for no longer than 2 s), close all links."""
        for server in self._servers:
            server.close()
        await asyncio.gather(
            *(self.remove(torrent) for torrent in self.torrents),
            *(fetch.close() for fetch in list(self._fetches.values())),
        )
        for dial in self._dials:
            dial.cancel()
        await asyncio.gather(*self._dials, return_exceptions=True)
        for link in list(self._links):
            link.close("the session has ended")
        for server in self._servers:
            await server.wait_closed()
        self._servers.clear()
        if self._dht is not None:
            await self._dht.close()
        for socket in self._datagrams:
            socket.close()
        self._sources.clear()
        self.up_throttle.close()
        self.down_throttle.close()
        if self._tracker_client is not None:
            await self._tracker_client.close()
            self._tracker_client = None
        if self._disk is not None:
            await self._disk.close()
            self._disk = None
        # Aborted transports say connection_lost in the next round of the loop.
        if self._links:
            self._all_closed = asyncio.Event()
            await self._all_closed.wait()

    # -- torrents -------------------------------------------------------------------------------

    async def add(
        self,
        source: str | os.PathLike[str] | bytes | Metainfo | Magnet | InfoHash,
        *,
        save_to: str | os.PathLike[str] = ".",
        content: str | os.PathLike[str] | None = None,
        peers: Iterable[Address] = (),
        trackers: Sequence[str] = (),
        use_trackers: bool = True,
        files: Iterable[int] | None = None,
        is_sequential: bool = False,
        is_ends_first: bool = False,
        is_seeding_only: bool = False,
        skip_verify: bool = False,
        allocate: str = "sparse",
    ) -> Torrent:
        """Add a torrent and start on it; returns as soon as the metainfo is read.

        For a magnet link that is when peers have given it: `fetch_metadata` shows how that goes.

        Args:
            source: path or http(s) URL of a .torrent, its bytes, or a `Metainfo`; a magnet link (text or
                `Magnet`) or an `InfoHash`.
            save_to: the folder in which the content (one file, or one folder) lies or will lie.
            content: the content itself, where it is called otherwise than the torrent says.
            peers: addresses to try at once, names or numbers.
            trackers: announce URLs to try before those in the torrent, each a tier of its own.
            use_trackers: whether to announce at all.
            files: indices of the files to download; by default those that the link names (BEP 53), or all.
            is_sequential: pieces in ascending order; is_ends_first: first and last of each file first.
            is_seeding_only: the content is complete and must not be written to.
            skip_verify: believe that it is complete without looking.
            allocate: "sparse", or "full" to reserve disk space when a file is first written.

        Raises:
            MetainfoError, StorageError: `source` is not a torrent, cannot be read.
            SettingsError: an argument makes no sense. SwarmError: it is here already.
        """
        if self._disk is None:
            raise SwarmError("the session is not open: use it with `async with`")
        if allocate not in ("sparse", "full"):
            raise SettingsError(f"allocate is 'sparse' or 'full', not {allocate!r}")
        link = _magnet_of(source)
        if link is not None:
            metainfo = await self._metainfo_of(link, peers, trackers, use_trackers)
            if files is None and link.selected:
                # Numbers beyond the last file are none of this torrent's.
                files = [index for index in link.selected if index < len(metainfo.files)]
        elif isinstance(source, Metainfo):
            metainfo = source
        else:
            assert not isinstance(source, Magnet)
            metainfo = Metainfo.parse(await self.read_source(source))
        self._refuse_known(metainfo.info_hash)
        place = Path(content) if content is not None else Path(save_to) / metainfo.name
        torrent = Torrent(
            metainfo,
            Path(os.path.abspath(place)),
            Selection(None if files is None else frozenset(files), is_sequential, is_ends_first),
            self.settings,
            self._disk,
            is_seeding_only=is_seeding_only,
            is_allocating=allocate == "full",
        )
        self._torrents[metainfo.info_hash] = torrent
        start = self._start(torrent, list(peers), list(trackers), use_trackers, skip_verify)
        self._starting[metainfo.info_hash] = asyncio.get_running_loop().create_task(start)
        return torrent

    def _refuse_known(self, info_hash: InfoHash) -> None:
        torrent = self._torrents.get(info_hash)
        if torrent is not None:
            raise SwarmError(f"{torrent.name} is in this session already")

    async def _metainfo_of(
        self, link: Magnet, peers: Iterable[Address], trackers: Sequence[str], use_trackers: bool
    ) -> Metainfo:
        fetch = self._fetches.get(link.info_hash)
        if fetch is not None:
            return await fetch.metainfo()
        fetch = self.fetch_metadata(link, peers=peers, trackers=trackers, use_trackers=use_trackers)
        try:
            return await fetch.metainfo()
        except BaseException:
            await fetch.close()
            raise

    def fetch_metadata(
        self,
        source: str | Magnet | InfoHash,
        *,
        peers: Iterable[Address] = (),
        trackers: Sequence[str] = (),
        use_trackers: bool = True,
    ) -> MetadataFetch:
        """Begin to fetch the metadata of a magnet link, from peers or from what an earlier time has kept.

        `add` with the metainfo that comes of it goes on with the same peers and links; else `close` it.

        Args:
            source: a magnet link, or an info-hash.
            peers, trackers, use_trackers: as in `add`; those that the link names come after them.

        Raises:
            MetainfoError: no magnet link. SwarmError: it is here already.
        """
        from swarm.session import metadata_cache
        from swarm.session.metadata_fetch import MetadataFetch

        if self._disk is None:
            raise SwarmError("the session is not open: use it with `async with`")
        link = _magnet_of(source)
        if link is None:
            raise MetainfoError(f"not a magnet link: {str(source)[:80]!r}")
        info_hash = link.info_hash
        self._refuse_known(info_hash)
        if info_hash in self._fetches:
            raise SwarmError(f"{link.name or info_hash}: its metadata is being fetched already")
        dht = self._join_dht()
        fetch = self._fetches[info_hash] = MetadataFetch(
            link,
            self._peer_id,
            self,
            settings=self.settings.engine,
            rng=random.Random(self._rng.getrandbits(64)),
            client=_client_name(),
            listen_port=self._port,
            dht_port=None if dht is None else dht.port,
            seek_peers=lambda: self._seek_peers(info_hash),
            on_node=self._node_found,
            save=lambda info: metadata_cache.save(self.settings.state_dir, info_hash, info),
            on_close=self._close_fetch,
        )
        fetch.start(partial(self._fetch, fetch, list(peers), list(trackers), use_trackers))
        return fetch

    async def _fetch(
        self, fetch: MetadataFetch, peers: list[Address], trackers: list[str], use_trackers: bool
    ) -> None:
        """Find peers for a magnet link, unless its metadata was kept."""
        from swarm.session import metadata_cache

        try:
            info = await metadata_cache.load(self.settings.state_dir, fetch.info_hash)
        except StorageError as error:
            fetch.notice("warning", f"the metadata kept from an earlier time: {error}")
            info = None
        if info is not None:
            fetch.completed(info, is_new=False)
            return
        urls = [*trackers, *fetch.magnet.trackers] if use_trackers else []
        tiers: list[tuple[str, ...]] = [(url,) for url in urls]
        if tiers or self._sources:
            discovery = self._discover(fetch.info_hash, tiers, self._sources, is_private=None)
            fetch.sources = discovery.status
        for source, addresses in (("user", peers), ("magnet", list(fetch.magnet.peers))):
            found = await endpoints_of(
                addresses,
                self.settings.names_timeout_s,
                lambda name, reason: fetch.notice("warning", f"peer {name}: {reason}"),
            )
            fetch.candidates_found(found, source)

    async def _close_fetch(self, fetch: MetadataFetch) -> None:
        if self._fetches.get(fetch.info_hash) is not fetch:
            return
        del self._fetches[fetch.info_hash]
        await fetch.stop()
        for link in list(self._links):
            if link.owner is fetch:
                link.close("the torrent was stopped")
        discovery = self._discoveries.pop(fetch.info_hash, None)
        if discovery is not None:
            await discovery.stop(self.settings.stop_timeout_s)

    async def _take_over(self, torrent: Torrent, runner: Runner, fetch: MetadataFetch) -> None:
        """The torrent goes on with the links and the discovery of its magnet link."""
        links = [link for link in self._links if link.owner is fetch]
        for link in sorted(links, key=lambda one: one.number):
            link.hand_over(runner)
        del self._fetches[torrent.info_hash]
        await fetch.stop()
        discovery = self._discoveries.get(torrent.info_hash)
        if discovery is not None:
            await discovery.hand_over(
                totals=lambda: self._totals(torrent.info_hash),
                on_peers=runner.candidates_found,
                on_notice=torrent.notice,
                is_private=torrent.metainfo.is_private,
            )
            torrent.sources = discovery.status

    async def read_source(self, source: str | os.PathLike[str] | bytes) -> bytes:
        """The bytes of a .torrent, from where `Session.add` would take them.

        Raises:
            MetainfoError: it is too large. StorageError: it cannot be read. SwarmError: nor fetched.
        """
        if isinstance(source, bytes):
            return source
        text = os.fspath(source)
        if text.startswith(("http://", "https://")):
            from swarm.net.http import fetch

            return await fetch(text, max_bytes=MAX_METAINFO_BYTES, timeout_s=30.0)
        try:
            async with aiofiles.open(text, "rb") as file:
                raw = await file.read(MAX_METAINFO_BYTES + 1)
        except OSError as error:
            raise storage_error(error, text) from None
        if len(raw) > MAX_METAINFO_BYTES:
            raise MetainfoError(f"{text}: larger than any .torrent ({MAX_METAINFO_BYTES >> 20} MiB)")
        return raw

    async def _start(
        self,
        torrent: Torrent,
        peers: list[Address],
        trackers: list[str],
        use_trackers: bool,
        skip_verify: bool,
    ) -> None:
        """Verify what is there, then join the swarm."""
        try:
            await torrent.prepare(skip_verify=skip_verify)
            found = await endpoints_of(
                peers,
                self.settings.names_timeout_s,
                lambda name, reason: torrent.notice("warning", f"peer {name}: {reason}"),
            )
            await self._join(torrent, found, trackers, use_trackers)
        except SwarmError as error:
            torrent.failed(error)
            await self._let_fetch_go(torrent.info_hash)
        except Exception as error:
            # A bug of ours must not leave the user waiting for ever.
            torrent.failed(SwarmError(f"internal error, please report it: {error!r}"))
            raise

    async def _let_fetch_go(self, info_hash: InfoHash) -> None:
        fetch = self._fetches.get(info_hash)
        if fetch is not None:
            await fetch.close()

    async def _join(
        self, torrent: Torrent, peers: list[Endpoint], trackers: list[str], use_trackers: bool
    ) -> None:
        assert self._disk is not None
        metainfo = torrent.metainfo
        fetch = self._fetches.get(metainfo.info_hash)
        # BEP 27: a private torrent's peers come from its trackers alone.
        dht = None if metainfo.is_private else self._join_dht()
        runner = Runner(
            metainfo.info_hash,
            metainfo.geometry,
            metainfo.piece_hashes,
            self._peer_id,
            torrent.files,
            self._disk,
            self,
            rng=random.Random(self._rng.getrandbits(64)),
            on_verified=torrent.pieces_verified,
            on_complete=lambda: self._completed(torrent),
            on_failed=lambda error: self._failed(torrent, error),
            on_lost=torrent.piece_lost,
            on_short=torrent.short_of_room if self.settings.is_waiting_for_room else None,
            on_notice=torrent.notice,
            seek_peers=lambda: self._seek_peers(torrent.info_hash),
            is_private=metainfo.is_private,
            info=metainfo.info_bytes,
            book=None if fetch is None else fetch.engine.book,
            dht_port=None if dht is None else dht.port,
            on_node=self._node_found,
        )
        await torrent.load_partials(runner.store)
        torrent.begin(runner, client=_client_name(), listen_port=self._port)
        self._runners[metainfo.info_hash] = runner
        runner.upload_limited(self.up_throttle.rate)
        if fetch is not None:
            await self._take_over(torrent, runner, fetch)
        runner.candidates_found(peers, "user")
        # What the user names comes before what the torrent says.
        tiers = [*((url,) for url in trackers), *metainfo.trackers] if use_trackers else []
        sources = [] if metainfo.is_private else self._sources
        if (tiers or sources) and metainfo.info_hash not in self._discoveries:
            discovery = self._discover(metainfo.info_hash, tiers, sources, is_private=metainfo.is_private)
            torrent.sources = discovery.status

    def _join_dht(self) -> Dht | None:
        """Our part in the DHT, begun for the first torrent that may use it; None where there is none."""
        if not self._is_dht_wanted or self._dht is not None:
            return self._dht
        from swarm.dht.settings import DhtSettings
        from swarm.net.udp import open_sockets
        from swarm.session.dht import Dht
        from swarm.session.dht_memory import memory_path
        from swarm.session.dht_source import DhtSource

        settings = self.settings
        try:
            self._datagrams = open_sockets(bind_addresses(self._bind), self._port)
        except SwarmError as error:
            self._is_dht_wanted = False
            # The torrent that it is for is not here yet.
            asyncio.get_running_loop().call_soon(self._notice, "warning", f"dht: off: {error}")
            return None
        self._dht = Dht(
            self._datagrams,
            routers=settings.dht_routers,
            settings=DhtSettings(is_read_only=settings.is_dht_read_only),
            memory_path=memory_path(settings.state_dir),
            on_notice=self._notice,
        )
        self._dht.start()
        self._sources.append(DhtSource(self._dht))
        return self._dht

    def _node_found(self, endpoint: Endpoint) -> None:
        if self._dht is not None:
            self._dht.candidates_found((endpoint,))

    def _notice(self, level: str, text: str) -> None:
        """What concerns the whole session is said once: by its first torrent."""
        speakers: list[Torrent | MetadataFetch] = [*self._torrents.values(), *self._fetches.values()]
        if speakers:
            speakers[0].notice(level, text)

    def _discover(
        self,
        info_hash: InfoHash,
        tiers: list[tuple[str, ...]],
        sources: list[PeerSource],
        *,
        is_private: bool | None,
    ) -> Discovery:
        """Begin to look for peers of what is in `_torrents`, or still in `_fetches`."""
        from swarm.net.trackers import TrackerClient
        from swarm.session.discovery import Discovery

        if self._tracker_client is None:
            self._tracker_client = TrackerClient(local_addresses=self._local_addresses)
        runner, fetch = self._runners.get(info_hash), self._fetches.get(info_hash)
        torrent = self._torrents.get(info_hash)
        owner, speaker = runner or fetch, torrent or fetch
        assert owner is not None and speaker is not None
        discovery = self._discoveries[info_hash] = Discovery(
            info_hash,
            tiers,
            peer_id=self._peer_id,
            port=lambda: self._port,
            totals=lambda: self._totals(info_hash),
            on_peers=owner.candidates_found,
            on_notice=speaker.notice,
            tracker_client=self._tracker_client,
            rng=random.Random(self._rng.getrandbits(64)),
            sources=sources,
            is_private=is_private,
            on_own_address=lambda host, source: self._own_address_seen(info_hash, host, source),
        )
        discovery.start()
        return discovery

    def _own_address_seen(self, info_hash: InfoHash, host: str, source: str) -> None:
        runner = self._runners.get(info_hash)
        if runner is not None:
            runner.tell(OwnAddressSeen(host, source))

    def _totals(self, info_hash: InfoHash) -> Totals:
        """What trackers are told; of a magnet link that something is left, nobody knows how much."""
        from swarm.session.sources import Totals

        torrent = self._torrents.get(info_hash)
        if torrent is None or info_hash not in self._runners:
            return Totals(0, 0, BLOCK_BYTES)
        now = torrent.snapshot()
        return Totals(now.uploaded_bytes, now.downloaded_bytes, now.wanted_bytes - now.done_bytes)

    def _completed(self, torrent: Torrent) -> None:
        torrent.became_complete()
        discovery = self._discoveries.get(torrent.info_hash)
        if discovery is not None:
            discovery.completed()

    def _failed(self, torrent: Torrent, error: SwarmError) -> None:
        """The disk failed: nothing more is fetched that could not be kept; what is known stays."""
        torrent.failed(error)
        runner = self._runners.get(torrent.info_hash)
        if runner is not None:
            runner.stop()
        discovery = self._discoveries.get(torrent.info_hash)
        if discovery is not None:
            leaving = asyncio.get_running_loop().create_task(discovery.stop(self.settings.stop_timeout_s))
            self._dials.add(leaving)
            leaving.add_done_callback(self._dials.discard)

    def _seek_peers(self, info_hash: InfoHash) -> None:
        discovery = self._discoveries.get(info_hash)
        if discovery is not None:
            discovery.need_peers()

    async def remove(self, torrent: Torrent) -> None:
        """Stop a torrent: tell its trackers, close its links, save its state; the content stays."""
        starting = self._starting.pop(torrent.info_hash, None)
        if starting is not None:
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
        await self._let_fetch_go(torrent.info_hash)
        runner = self._runners.pop(torrent.info_hash, None)
        discovery = self._discoveries.pop(torrent.info_hash, None)
        if runner is not None:
            runner.stop()
        farewell = asyncio.gather(
            *([discovery.stop(timeout_s=self.settings.stop_timeout_s)] if discovery is not None else [])
        )
        if self._disk is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._disk.drained(), self.settings.stop_timeout_s)
        await torrent.shut()
        await farewell
        self._torrents.pop(torrent.info_hash, None)

    # -- links ----------------------------------------------------------------------------------

    def _accept(self) -> PeerLink:
        link = PeerLink(self)
        self._links.add(link)
        if len(self._links) > self.settings.connections_max:
            # It must be made before it can be closed.
            asyncio.get_running_loop().call_soon(link.close, "there are enough connections")
        return link

    def admit(self, link: PeerLink, handshake: Handshake) -> tuple[LinkOwner, Handshake] | None:
        """Find the torrent that an incoming link asks for."""
        fetch = self._fetches.get(handshake.info_hash)
        if fetch is not None:
            return fetch, fetch.handshake
        runner = self._runners.get(handshake.info_hash)
        if runner is None or runner.engine is None or runner.is_stopped:
            return None
        return runner, runner.handshake

    def link_closed(self, link: PeerLink) -> None:
        self._links.discard(link)
        if not self._links and self._all_closed is not None:
            self._all_closed.set()

    def dial(self, owner: LinkOwner, handshake: Handshake, endpoint: Endpoint) -> None:
        """Connect to `endpoint` for `owner`; a failure is reported to whoever owns the link by then."""
        link = PeerLink(self, owner=owner, handshake=handshake, dialled=endpoint)
        self._links.add(link)
        task = asyncio.get_running_loop().create_task(self._dial(link, endpoint))
        self._dials.add(task)
        task.add_done_callback(self._dials.discard)

    async def _dial(self, link: PeerLink, endpoint: Endpoint) -> None:
        local = self._local_addresses.get(endpoint.is_v6)
        try:
            if len(self._links) > self.settings.connections_max:
                raise OSError("there are enough connections")
            if self._local_addresses and local is None:
                raise OSError("the bound interface has no address of that family")
            async with asyncio.timeout(self.settings.connect_timeout_s):
                await asyncio.get_running_loop().create_connection(
                    lambda: link,
                    endpoint.host,
                    endpoint.port,
                    local_addr=(local, 0) if local is not None else None,
                )
        except asyncio.CancelledError:
            self._links.discard(link)
            raise
        except OSError as error:
            self._links.discard(link)
            reason = "no answer" if isinstance(error, TimeoutError) else error.strerror or str(error)
            assert link.owner is not None
            link.owner.dial_failed(endpoint, reason)
        if link.owner is not None and link.owner.is_stopped:
            link.close("the torrent was stopped")


def _checked_rate(rate: float | None) -> float | None:
    if rate is not None and rate < BLOCK_BYTES:
        raise SettingsError(
            f"a rate limit is at least {BLOCK_BYTES // 1024}K (a block a second), not {rate:g} bytes"
        )
    return rate


def _magnet_of(source: object) -> Magnet | None:
    """The magnet link that `source` is, or that an info-hash makes; None where it is something else.

    Raises:
        MetainfoError: a magnet link that is not valid.
    """
    if isinstance(source, Magnet):
        return source
    if isinstance(source, InfoHash):
        return Magnet(source)
    if isinstance(source, str) and source[:7].lower() == "magnet:":
        return magnets.parse(source)
    return None


def _client_name() -> str:
    from swarm import __version__

    return f"swarm {__version__}"
