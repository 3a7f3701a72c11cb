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

from swarm.base.errors import MetainfoError, SettingsError, SwarmError
from swarm.base.ids import InfoHash, PeerId
from swarm.engine.events import OwnAddressSeen
from swarm.metainfo.magnet import Magnet
from swarm.metainfo.torrent import Metainfo
from swarm.net.names import Address
from swarm.session.bugs import all_ended, outlast
from swarm.session.connections.links import Links
from swarm.session.connections.peer_link import LinkOwner
from swarm.session.connections.throttle import checked_rate
from swarm.session.finding.peer_finder import PeerFinder
from swarm.session.hints import Hints
from swarm.session.magnets.fetches import Fetches
from swarm.session.notices import Notice, Notices
from swarm.session.settings import SessionSettings
from swarm.session.torrent_source import magnet_of, read_own, read_source, understood
from swarm.storage.disk import Disk
from swarm.wire.peer.handshake import Handshake

if TYPE_CHECKING:
    from swarm.session.finding.dht import Dht
    from swarm.session.magnets.metadata_fetch import MetadataFetch
    from swarm.session.runner import Runner
    from swarm.session.selection import Selection
    from swarm.session.torrent import Torrent


class Session:
    """Downloads and seeds torrents; an async context manager, on any asyncio loop.

        async with Session(port=0) as session:
            torrent = await session.add("dataset.torrent", save_to="here")
            await torrent.completed()

    Args:
        port: the TCP port to listen on (the DHT uses the same over UDP); 0 for any that is free, None for the
            first free one from 6881 on.
        bind: an address of this machine, or the name of a network interface, that all traffic is to use; None
            for whatever the system chooses.
        settings: everything else, with defaults for all.

    Raises (on entering):
        SwarmError: the port is in use.
        SettingsError: `bind` is no address or interface of this machine, or a rate limit is too low.
        StorageError: the blocklist that the settings name cannot be read.
    """

    def __init__(
        self, *, port: int | None = None, bind: str | None = None, settings: SessionSettings | None = None
    ) -> None:
        if port is not None and not 0 <= port < 65_536:
            raise SettingsError(f"a port is from 0 to 65535, not {port}")
        self.settings = settings or SessionSettings()
        self._rng = random.SystemRandom()
        self._peer_id = PeerId.generate(self._rng)
        self._bind = bind
        self._disk: Disk | None = None
        self._notices = Notices()
        self._links = Links(
            self.settings,
            self._owner_of,
            self._notices.note,
            self._notices.peer_news,
            port=port,
            bind=bind,
        )
        self._finder = PeerFinder(
            self.settings,
            self._links,
            self._peer_id,
            self._rng,
            bind=bind,
            on_notice=self._notices.note,
            on_own_address=self._own_address_seen_by_all,
        )
        self._fetches = Fetches(
            self.settings,
            self._links,
            self._finder,
            self._peer_id,
            self._rng,
            on_notice=self._notices.note,
            on_own_address=self._own_address_seen,
        )
        self._torrents: dict[InfoHash, Torrent] = {}
        self._starting: dict[InfoHash, asyncio.Task[None]] = {}
        self._removing: dict[InfoHash, asyncio.Task[None]] = {}
        self._closing: asyncio.Task[None] | None = None
        self._is_open = False

    # -- life -----------------------------------------------------------------------------------

    @property
    def port(self) -> int:
        """The port on which peers reach us; 0 before the session is entered."""
        return self._links.port

    @property
    def peer_id(self) -> PeerId:
        """By which peers and trackers know us: 20 bytes, another one in each session."""
        return self._peer_id

    @property
    def dht(self) -> Dht | None:
        """Our nodes in the DHT; None before the first torrent that may use it (one that is not private)."""
        return self._finder.dht

    @property
    def has_dht(self) -> bool:
        """Whether the settings let the DHT find peers for torrents that are not private."""
        return self._finder.has_dht

    @property
    def torrents(self) -> list[Torrent]:
        """Those that were added and not removed, in the order in which they came."""
        return list(self._torrents.values())

    def notices(self) -> list[Notice]:
        """Take the session's notices since the last call, oldest first; each is given once.

        They concern what all torrents share: the DHT, local discovery, the blocklist, peers that were
        refused. What concerns one torrent is in `Torrent.notices`.
        """
        return self._notices.take()

    async def __aenter__(self) -> Self:
        # What is wrong with the settings is said before anything is begun.
        checked_rate(self.settings.up_bytes_per_s)
        checked_rate(self.settings.down_bytes_per_s)
        await self._links.open()
        try:
            self._is_open = True
            self._disk = Disk(asyncio.get_running_loop(), self.settings.thread_count)
            self._finder.open()
            self.set_limits(
                up_bytes_per_s=self.settings.up_bytes_per_s, down_bytes_per_s=self.settings.down_bytes_per_s
            )
        except BaseException:
            # Who could not enter never leaves.
            await self.close()
            raise
        return self

    def set_limits(self, *, up_bytes_per_s: float | None, down_bytes_per_s: float | None) -> None:
        """Limit what all torrents together send and receive from now on; None takes a limit away.

        `Torrent.set_limits` does the same for one torrent; the lower of the two limits holds for it.

        The protocol's own bytes count as well as content. Peers on the local network are not limited, unless
        `SessionSettings.is_local_unlimited` is off.

        Raises:
            SettingsError: a limit is below one block (16 KiB) a second, at which peers would give up waiting;
                0 does not pause. Both limits are then what they were.
            SwarmError: the session is not open.
        """
        self._refuse_closed()
        up, down = checked_rate(up_bytes_per_s), checked_rate(down_bytes_per_s)
        self._links.up_throttle.set_rate(up)
        self._links.down_throttle.set_rate(down)
        for torrent in self._torrents.values():
            if torrent.runner is not None:
                torrent.runner.upload_limited(up_bytes_per_s)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Remove all torrents (see `remove`), then stop listening and leave the DHT.

        Who is cancelled meanwhile waits for its end all the same, half a minute at most. Never raises for
        what goes wrong with a torrent: that is in `Torrent.error`.
        """
        if self._closing is None or self._closing.done():
            self._closing = asyncio.get_running_loop().create_task(self._close(), name="closing the session")
        await outlast(self._closing)

    async def _close(self) -> None:
        self._is_open = False
        self._links.stop_listening()
        removing = (self.remove(torrent) for torrent in self.torrents)
        await all_ended([*removing, self._fetches.close()], "closing the session")
        await self._links.close()
        await self._finder.close()
        if self._disk is not None:
            await self._disk.close()
            self._disk = None
        await self._links.gone()

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
        """Add a torrent and start on it; returns as soon as it is known what is in the torrent.

        For a .torrent that is at once. For a magnet link it is when peers have sent its metadata, which may
        take for ever: `fetch_metadata` shows how it goes. The content is then checked, downloaded and seeded
        in the background; what goes wrong there is in `Torrent.error`.

        Args:
            source: path or http(s) URL of a .torrent, its bytes, or a `Metainfo`; a magnet link (text or
                `Magnet`) or an info-hash (`InfoHash`, or text where no file is called so).
            save_to: the folder in which the content (one file or one folder, named by the torrent) lies or
                will lie.
            content: the path of the content itself, where it has another name than the torrent gives it;
                `save_to` is then not used.
            peers: (host name or address, port) of peers to try at once.
            trackers: announce URLs to try before those in the torrent, each a tier of its own.
            use_trackers: False to announce to no tracker, neither these nor the torrent's.
            files: indices into `Metainfo.files` of those to download; by default those that the magnet link
                selects (BEP 53), or all.
            is_sequential: fetch pieces in ascending order, for reading while it downloads.
            is_ends_first: fetch the first and last piece of each file before the rest.
            is_seeding_only: the content is the user's own and complete: it is checked and never written to.
            skip_verify: believe that the content is complete without reading it.
            allocate: "sparse", or "full" to reserve a file's disk space when it is first written.

        Raises:
            MetainfoError: `source` is not a valid torrent or magnet link.
            StorageError: the .torrent cannot be read.
            SettingsError: an argument makes no sense, such as the index of a file that is not there.
            SwarmError: the session is not open, the torrent is in it already, another one downloads to the
                same file, or the URL did not answer.
        """
        self._refuse_closed()
        if allocate not in ("sparse", "full"):
            raise SettingsError(f"allocate is 'sparse' or 'full', not {allocate!r}")
        hints = Hints.of(peers, trackers, use_trackers=use_trackers)
        link = magnet_of(source)
        if link is not None:
            self._refuse_known(link.info_hash)
            metainfo = await self._fetches.metainfo_of(link, hints)
            if files is None and link.selected:
                # Numbers beyond the last file are none of this torrent's.
                files = [index for index in link.selected if index < len(metainfo.files)]
        elif isinstance(source, Metainfo):
            metainfo = source
        else:
            assert not isinstance(source, Magnet)
            raw = await read_source(source, self._bind)
            read = Metainfo.parse if not is_seeding_only else partial(read_own, Path(content or save_to))
            metainfo = await understood(raw, read)
        # The session may have been closed meanwhile.
        disk = self._refuse_closed()
        self._refuse_known(metainfo.info_hash)
        from swarm.session.joining import Joining
        from swarm.session.selection import Selection
        from swarm.session.torrent import Torrent

        place = Path(content) if content is not None else Path(save_to) / metainfo.name
        selection = Selection(None if files is None else frozenset(files), is_sequential, is_ends_first)
        place = Path(os.path.abspath(place))
        try:
            if not is_seeding_only:
                self._refuse_shared(metainfo, place, selection)
            torrent = Torrent(
                metainfo,
                place,
                selection,
                self.settings,
                disk,
                self._links,
                self._finder,
                is_seeding_only=is_seeding_only,
                is_allocating=allocate == "full",
            )
        except SwarmError:
            if link is not None:
                # Nobody has a handle of what was fetched for this.
                await self._fetches.let_go(metainfo.info_hash)
            raise
        self._torrents[metainfo.info_hash] = torrent
        joining = Joining(
            self.settings,
            disk,
            self._links,
            self._finder,
            self._fetches,
            self._peer_id,
            self._rng,
            on_own_address=self._own_address_seen,
        )
        start = joining.start(torrent, hints, skip_verify=skip_verify)
        self._starting[metainfo.info_hash] = asyncio.get_running_loop().create_task(start)
        return torrent

    def _refuse_closed(self) -> Disk:
        if self._disk is None or not self._is_open:
            raise SwarmError("the session is not open: use it with `async with`")
        return self._disk

    def _refuse_known(self, info_hash: InfoHash) -> None:
        torrent = self._torrents.get(info_hash)
        if torrent is not None:
            raise SwarmError(f"{torrent.name} is in this session already")

    def _refuse_shared(self, metainfo: Metainfo, place: Path, selection: Selection) -> None:
        """Two torrents that wrote to the same file would each spoil what the other has verified."""
        # Also of a folder around this one, or in it. There may be thousands, and most are neither.
        around, inside = {place, *place.parents}, os.path.join(place, "")
        for torrent in self._torrents.values():
            there = torrent.content
            if torrent.is_seeding_only or not (there in around or str(there).startswith(inside)):
                continue
            shared = {(*place.parts, *path) for path in selection.paths(metainfo)}.intersection(
                (*there.parts, *path) for path in torrent.wanted_paths
            )
            if shared:
                raise SwarmError(
                    f"{Path(*min(shared))}: another torrent, {torrent.info_hash}, is downloaded to that "
                    "file; give this one another folder"
                )

    def fetch_metadata(
        self,
        source: str | Magnet | InfoHash,
        *,
        peers: Iterable[Address] = (),
        trackers: Sequence[str] = (),
        use_trackers: bool = True,
    ) -> MetadataFetch:
        """Begin to fetch the metadata of a magnet link; returns at once.

            fetch = session.fetch_metadata("magnet:?xt=urn:btih:...")
            metainfo = await fetch.metainfo()
            torrent = await session.add(metainfo)

        The metadata comes from peers, or from the state folder if it was fetched before. `add` with the
        metainfo goes on with the peers that were found; whoever wants no more than the metadata calls
        `MetadataFetch.close`.

        Args:
            source: a magnet link or an info-hash.
            peers, trackers, use_trackers: as in `add`; what the link names comes after them.

        Raises:
            MetainfoError: not a magnet link.
            SwarmError: the session is not open, the torrent is in it, or is being fetched already.
        """
        self._refuse_closed()
        link = magnet_of(source)
        if link is None:
            raise MetainfoError(f"not a magnet link: {str(source)[:80]!r}")
        self._refuse_known(link.info_hash)
        return self._fetches.begin(link, Hints.of(peers, trackers, use_trackers=use_trackers))

    async def read_source(self, source: str | os.PathLike[str] | bytes) -> bytes:
        """Read a .torrent from wherever `add` would: a path, an http(s) URL, or the bytes themselves.

        Raises:
            MetainfoError: it is too large to be one. StorageError: the file cannot be read.
            SwarmError: the URL cannot be fetched.
        """
        return await read_source(source, self._bind)

    def _owner_of(self, info_hash: InfoHash) -> tuple[LinkOwner, Handshake] | None:
        """Who takes a link for that torrent, and what it says first; None where nobody does."""
        fetch = self._fetches.of(info_hash)
        if fetch is not None:
            return fetch, fetch.handshake
        runner = self._runner_of(info_hash)
        if runner is None or runner.is_stopped:
            return None
        return runner, runner.handshake

    def _runner_of(self, info_hash: InfoHash) -> Runner | None:
        """Who exchanges that torrent; None before it has joined its swarm."""
        torrent = self._torrents.get(info_hash)
        return None if torrent is None else torrent.runner

    def _own_address_seen(self, info_hash: InfoHash, host: str, source: str) -> None:
        runner = self._runner_of(info_hash)
        if runner is not None:
            runner.tell(OwnAddressSeen(host, source))

    def _own_address_seen_by_all(self, host: str, source: str) -> None:
        # It is no less ours in private torrents, which ask the DHT for nothing.
        for info_hash in self._torrents:
            self._own_address_seen(info_hash, host, source)

    async def remove(self, torrent: Torrent) -> None:
        """Stop a torrent: close its links, tell its trackers (for 2 s at most), save its state.

        The content stays on disk, and adding the torrent again goes on from there. Removing what is not in
        the session does nothing. Who is cancelled meanwhile waits for its end all the same, half a minute
        at most.
        """
        if self._torrents.get(torrent.info_hash) is not torrent:
            return
        removing = self._removing.get(torrent.info_hash)
        if removing is None:
            name = f"removing {torrent.name}"
            removing = asyncio.get_running_loop().create_task(self._remove(torrent), name=name)
            self._removing[torrent.info_hash] = removing
        await outlast(removing)

    async def _remove(self, torrent: Torrent) -> None:
        try:
            await self._end(torrent)
        finally:
            del self._torrents[torrent.info_hash], self._removing[torrent.info_hash]

    async def _end(self, torrent: Torrent) -> None:
        starting = self._starting.pop(torrent.info_hash, None)
        if starting is not None:
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
        await self._fetches.let_go(torrent.info_hash)
        if torrent.runner is not None:
            torrent.runner.stop()
        farewell = asyncio.create_task(self._finder.stop(torrent.info_hash))
        if self._disk is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._disk.drained(), self.settings.stop_timeout_s)
        await torrent.shut()
        await farewell
