"""How a torrent that was added to a session comes into its swarm."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from swarm.base.ids import InfoHash, PeerId
from swarm.engine.events import OwnAddressSeen
from swarm.session.bugs import failure
from swarm.session.connections.links import Links
from swarm.session.finding.peer_finder import PeerFinder
from swarm.session.hints import Hints, look_up_peers
from swarm.session.magnets.fetches import Fetches
from swarm.session.settings import CLIENT_NAME, SessionSettings
from swarm.session.torrent import Torrent
from swarm.storage.disk import Disk

if TYPE_CHECKING:
    from swarm.session.runner import Runner


class Joining:
    """Verifies a torrent's content, then makes its runner and lets it look for peers.

    Where the torrent came of a magnet link, it goes on with the addresses, links and sources of that.

    Args:
        settings, disk, links, finder, fetches, peer_id, rng: the session's.
        on_own_address: gets the info-hash of a torrent whose tracker has told us our own address, that
            address, and who says so.
    """

    def __init__(
        self,
        settings: SessionSettings,
        disk: Disk,
        links: Links,
        finder: PeerFinder,
        fetches: Fetches,
        peer_id: PeerId,
        rng: random.Random,
        *,
        on_own_address: Callable[[InfoHash, str, str], None],
    ) -> None:
        self._settings = settings
        self._disk = disk
        self._links = links
        self._finder = finder
        self._fetches = fetches
        self._peer_id = peer_id
        self._rng = rng
        self._on_own_address = on_own_address

    async def start(self, torrent: Torrent, hints: Hints, *, skip_verify: bool) -> None:
        """Verify what is there, then join the swarm; what goes wrong fails the torrent. Never raises."""
        try:
            await torrent.prepare(skip_verify=skip_verify)
            fetch = self._fetches.of(torrent.info_hash)
            is_private = torrent.metainfo.is_private
            # BEP 27: of a private torrent the DHT hears nothing, and its peers are those that a tracker
            # names, or the user himself: who made a link is neither.
            link = None if fetch is None or is_private else fetch.magnet
            # Where the metadata had been kept, nobody has asked those that the link names.
            named = () if link is None else link.peers
            nodes = () if is_private else torrent.metainfo.dht_nodes
            runner = await self._join(torrent, hints)
            await asyncio.gather(
                look_up_peers(
                    hints.peers,
                    named,
                    self._settings.names_timeout_s,
                    runner.candidates_found,
                    torrent.notice,
                ),
                self._finder.nodes_named((*nodes, *(() if link is None else link.dht_nodes))),
            )
        except Exception as error:
            torrent.failed(failure(error, f"starting {torrent.name}"))
            await self._fetches.let_go(torrent.info_hash)

    async def _join(self, torrent: Torrent, hints: Hints) -> Runner:
        from swarm.session.runner import Runner

        metainfo = torrent.metainfo
        fetch = self._fetches.of(metainfo.info_hash)
        # BEP 27: a private torrent's peers come from its trackers alone.
        dht = None if metainfo.is_private else self._finder.join_dht()
        runner = Runner(
            metainfo.info_hash,
            metainfo.geometry,
            metainfo.piece_hashes,
            self._peer_id,
            torrent.files,
            self._disk,
            self._links,
            torrent,
            rng=random.Random(self._rng.getrandbits(64)),
            is_waiting_for_room=self._settings.is_waiting_for_room,
            seek_peers=partial(self._finder.seek, torrent.info_hash),
            is_private=metainfo.is_private,
            info=metainfo.info_bytes,
            book=None if fetch is None else fetch.engine.book,
            dht_port=None if dht is None else dht.port,
            on_node=self._finder.node_found,
        )
        await torrent.load_partials(runner.store)
        # From here on the session lets peers in for it.
        torrent.begin(runner, client=CLIENT_NAME, listen_port=self._links.port)
        runner.upload_limited(self._links.up_throttle.rate)
        for host, source in self._finder.own_addresses():
            # The DHT learnt it before this torrent came.
            runner.tell(OwnAddressSeen(host, source))
        await self._fetches.take_over(metainfo.info_hash, runner)
        discovery = self._finder.of(metainfo.info_hash)
        if discovery is not None:
            await discovery.hand_over(
                totals=torrent.totals,
                on_peers=runner.candidates_found,
                on_notice=torrent.notice,
                is_private=metainfo.is_private,
            )
        if discovery is None:
            discovery = self._finder.begin(
                metainfo.info_hash,
                hints.tiers(metainfo.trackers),
                is_private=metainfo.is_private,
                totals=torrent.totals,
                on_peers=runner.candidates_found,
                on_notice=torrent.notice,
                on_own_address=partial(self._on_own_address, metainfo.info_hash),
            )
        torrent.discovery = discovery
        return runner
