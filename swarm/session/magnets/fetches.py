"""The magnet links of a session whose metadata is being fetched, each until it has become a torrent."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from swarm.base.blocks import BLOCK_BYTES
from swarm.base.errors import StorageError, SwarmError
from swarm.base.ids import InfoHash, PeerId
from swarm.metainfo.magnet import Magnet
from swarm.metainfo.torrent import Metainfo
from swarm.session.bugs import all_ended
from swarm.session.connections.links import Links
from swarm.session.finding.peer_finder import PeerFinder
from swarm.session.finding.sources import Totals
from swarm.session.hints import Hints, look_up_peers
from swarm.session.settings import CLIENT_NAME, SessionSettings

if TYPE_CHECKING:
    from swarm.session.magnets.metadata_fetch import MetadataFetch
    from swarm.session.runner import Runner

#: The metadata is written down when the torrent that came of it has begun.
SAVE_AFTER_S = 0.1


class Fetches:
    """All `MetadataFetch`es of a session: begins them, hands them over to torrents, ends them.

    Args:
        on_notice: (level, text) for the user, of no link in particular.
        on_own_address: gets our address as a tracker sees it (BEP 24), and which; for the torrent that
            comes of the link.
    """

    def __init__(
        self,
        settings: SessionSettings,
        links: Links,
        finder: PeerFinder,
        peer_id: PeerId,
        rng: random.Random,
        *,
        on_notice: Callable[[str, str], None],
        on_own_address: Callable[[InfoHash, str, str], None],
    ) -> None:
        self._settings = settings
        self._links = links
        self._finder = finder
        self._peer_id = peer_id
        self._rng = rng
        self._on_notice = on_notice
        self._on_own_address = on_own_address
        self._fetches: dict[InfoHash, MetadataFetch] = {}
        #: Those that are being closed; they are none any more, but their link is not free yet.
        self._ending: dict[InfoHash, asyncio.Task[None]] = {}
        self._saving: set[asyncio.Task[None]] = set()
        self._is_ending = asyncio.Event()

    def __len__(self) -> int:
        return len(self._fetches)

    def all(self) -> list[MetadataFetch]:
        """In the order in which they began."""
        return list(self._fetches.values())

    def of(self, info_hash: InfoHash) -> MetadataFetch | None:
        """The fetch of that torrent; None where there is none that goes on."""
        return None if info_hash in self._ending else self._fetches.get(info_hash)

    # -- life -----------------------------------------------------------------------------------

    def begin(self, link: Magnet, hints: Hints) -> MetadataFetch:
        """Begin to fetch the metadata of `link`, from peers or from what an earlier time has kept.

        Raises:
            SwarmError: it is being fetched already.
        """
        from swarm.session.magnets.metadata_fetch import MetadataFetch

        info_hash = link.info_hash
        if info_hash in self._fetches:
            raise SwarmError(f"{link.name or info_hash}: its metadata is being fetched already")
        dht = self._finder.join_dht()
        fetch = self._fetches[info_hash] = MetadataFetch(
            link,
            self._peer_id,
            self._links,
            settings=self._settings.engine,
            rng=random.Random(self._rng.getrandbits(64)),
            client=CLIENT_NAME,
            listen_port=self._links.port,
            dht_port=None if dht is None else dht.port,
            seek_peers=lambda: self._finder.seek(info_hash),
            on_node=self._finder.node_found,
            save=lambda info: self._save(info_hash, info),
            on_close=self._close,
        )
        fetch.start(partial(self._run, fetch, hints))
        return fetch

    async def metainfo_of(self, link: Magnet, hints: Hints) -> Metainfo:
        """Wait for the metadata of `link`; where nobody fetches it yet, begin.

        Raises:
            MetainfoError: it is there, but no torrent that can be read. SwarmError: it was closed.
        """
        await self._ended(link.info_hash)
        fetch = self._fetches.get(link.info_hash)
        if fetch is not None:
            return await fetch.metainfo()
        fetch = self.begin(link, hints)
        try:
            return await fetch.metainfo()
        except BaseException:
            await fetch.close()
            raise

    async def _run(self, fetch: MetadataFetch, hints: Hints) -> None:
        """Find peers for a magnet link, unless its metadata was kept."""
        from swarm.session.magnets import metadata_cache

        try:
            info = await metadata_cache.load(self._settings.state_dir, fetch.info_hash)
        except StorageError as error:
            fetch.notice("warning", f"the metadata kept from an earlier time: {error}")
            info = None
        if info is not None:
            fetch.completed(info, is_new=False)
            return
        discovery = self._finder.begin(
            fetch.info_hash,
            hints.tiers((url,) for url in fetch.magnet.trackers),
            is_private=None,
            # Something is left, nobody knows how much.
            totals=lambda: Totals(0, 0, BLOCK_BYTES, is_complete=False),
            on_peers=fetch.candidates_found,
            on_notice=fetch.notice,
            on_own_address=partial(self._on_own_address, fetch.info_hash),
        )
        fetch.discovery = discovery
        await asyncio.gather(
            look_up_peers(
                hints.peers,
                fetch.magnet.peers,
                self._settings.names_timeout_s,
                fetch.candidates_found,
                fetch.notice,
            ),
            self._finder.nodes_named(fetch.magnet.dht_nodes),
        )

    def _save(self, info_hash: InfoHash, info: bytes) -> None:
        name = f"keeping the metadata of {info_hash}"
        task = asyncio.get_running_loop().create_task(self._save_soon(info_hash, info), name=name)
        self._saving.add(task)
        task.add_done_callback(self._saving.discard)

    async def _save_soon(self, info_hash: InfoHash, info: bytes) -> None:
        from swarm.session.magnets import metadata_cache

        # First the torrent itself: its user waits for that.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SAVE_AFTER_S):
                await self._is_ending.wait()
        try:
            await metadata_cache.save(self._settings.state_dir, info_hash, info)
        except StorageError as error:
            self._on_notice("warning", f"the metadata cannot be kept for the next time: {error}")

    async def close(self) -> None:
        """End all; what peers have sent is kept, however soon the end comes. Never raises."""
        self._is_ending.set()
        await all_ended([fetch.close() for fetch in self.all()], "ending a magnet link")
        # One that was complete may have begun it only now.
        await all_ended(self._saving, "ending a magnet link")

    async def take_over(self, info_hash: InfoHash, runner: Runner) -> None:
        """The torrent is here: its runner goes on with the links of its magnet link, if there was one."""
        # What one that is being closed finds peers with is not to be mistaken for the torrent's own.
        await self._ended(info_hash)
        fetch = self._fetches.get(info_hash)
        if fetch is None:
            return
        runner.take_place_of(fetch)
        for link in self._links.of(fetch):
            link.hand_over(runner)
        del self._fetches[info_hash]
        await fetch.stop()

    async def let_go(self, info_hash: InfoHash) -> None:
        """End what is being fetched under that hash, if anything."""
        fetch = self._fetches.get(info_hash)
        if fetch is not None:
            await fetch.close()

    async def _close(self, fetch: MetadataFetch) -> None:
        """End it, to the last even where the caller is cancelled while it waits."""
        info_hash = fetch.info_hash
        if self._fetches.get(info_hash) is not fetch:
            return
        ending = self._ending.get(info_hash)
        if ending is None:
            name = f"ending the fetch of {info_hash}"
            ending = self._ending[info_hash] = asyncio.get_running_loop().create_task(
                self._end(fetch), name=name
            )
        await asyncio.shield(ending)

    async def _ended(self, info_hash: InfoHash) -> None:
        """Wait until the link is free, if its fetch is being closed."""
        ending = self._ending.get(info_hash)
        if ending is not None:
            await asyncio.wait([ending])

    async def _end(self, fetch: MetadataFetch) -> None:
        try:
            await fetch.stop()
            for link in self._links.of(fetch):
                link.close("the torrent was stopped")
            await self._finder.stop(fetch.info_hash)
        finally:
            del self._fetches[fetch.info_hash], self._ending[fetch.info_hash]
