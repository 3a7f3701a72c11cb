"""How a session finds peers: makes a `Discovery` for each info-hash, and keeps the sources that all share."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from swarm.base.endpoint import Endpoint
from swarm.base.errors import SwarmError
from swarm.base.ids import InfoHash, PeerId
from swarm.net.names import Address, endpoints_by_and_by
from swarm.net.outlet import bind_addresses
from swarm.session.bugs import watch
from swarm.session.connections.links import Links
from swarm.session.settings import SessionSettings

if TYPE_CHECKING:
    from swarm.net.trackers import TrackerClient
    from swarm.net.udp import UdpSocket
    from swarm.session.finding.dht import Dht
    from swarm.session.finding.discovery import Discovery
    from swarm.session.finding.local_discovery import LocalDiscovery
    from swarm.session.finding.network_watch import NetworkWatch
    from swarm.session.finding.sources import OnNotice, OnPeers, PeerSource, Totals


#: In another network torrents ask anew one by one, with so much between two of them.
ASK_ANEW_S = 0.02


class PeerFinder:
    """Trackers, the DHT and the local network, for all torrents of a session.

    A discovery lives as long as its torrent is in the session; that of a magnet link begins before its
    metadata is known. The DHT and the client of the trackers begin with the first torrent that needs them.

    Args:
        bind: an address or interface that all traffic uses.
        on_notice: gets what concerns the whole session.
        on_own_address: gets our address as the DHT sees it, and who says so.
    """

    def __init__(
        self,
        settings: SessionSettings,
        links: Links,
        peer_id: PeerId,
        rng: random.Random,
        *,
        bind: str | None,
        on_notice: OnNotice,
        on_own_address: Callable[[str, str], None],
    ) -> None:
        self._settings = settings
        self._links = links
        self._peer_id = peer_id
        self._rng = rng
        self._bind = bind
        self._on_notice = on_notice
        self._on_own_address = on_own_address
        self._discoveries: dict[InfoHash, Discovery] = {}
        #: Kind of source -> the last that was said of it.
        self._said: dict[str, str] = {}
        #: Discoveries that end while nobody waits for them.
        self._leaving: set[asyncio.Task[None]] = set()
        self._tracker_client: TrackerClient | None = None
        #: Ways to find peers besides trackers; all torrents share them, private ones use none (BEP 27).
        self._sources: list[PeerSource] = []
        self._datagrams: list[UdpSocket] = []
        self._local: LocalDiscovery | None = None
        self._dht: Dht | None = None
        self._network: NetworkWatch | None = None
        self._is_dht_wanted = settings.is_dht_enabled

    def open(self) -> None:
        """The links are open: from now on peers can be looked for."""
        if self._settings.is_lsd_enabled:
            from swarm.session.finding.local_discovery import LocalDiscovery

            self._local = LocalDiscovery(self._rng, outlet=self._links.outlet)
            self._sources.append(self._local)

    async def close(self) -> None:
        """Let go of what the torrents shared; they have left their swarms already."""
        if self._network is not None:
            await self._network.close()
        for task in self._leaving:
            task.cancel()
        await asyncio.gather(*self._leaving, return_exceptions=True)
        if self._dht is not None:
            await self._dht.close()
        for socket in self._datagrams:
            socket.close()
        self._sources.clear()
        if self._tracker_client is not None:
            await self._tracker_client.close()
            self._tracker_client = None

    # -- one torrent's --------------------------------------------------------------------------

    def begin(
        self,
        info_hash: InfoHash,
        tiers: list[tuple[str, ...]],
        *,
        is_private: bool | None,
        totals: Callable[[], Totals],
        on_peers: OnPeers,
        on_notice: OnNotice,
        on_own_address: Callable[[str, str], None],
    ) -> Discovery | None:
        """Begin to look for peers; None where there is nothing to ask. The arguments are `Discovery`'s."""
        sources = [] if is_private else self._sources
        if not tiers and not sources:
            return None
        from swarm.session.finding.discovery import Discovery

        if tiers and self._tracker_client is None:
            from swarm.net.trackers import TrackerClient

            self._tracker_client = TrackerClient(outlet=self._links.outlet)
        discovery = self._discoveries[info_hash] = Discovery(
            info_hash,
            tiers,
            peer_id=self._peer_id,
            port=lambda: self._links.port,
            totals=totals,
            on_peers=on_peers,
            on_notice=on_notice,
            tracker_client=self._tracker_client,
            families=self._links.families,
            rng=random.Random(self._rng.getrandbits(64)),
            sources=sources,
            is_private=is_private,
            on_own_address=on_own_address,
            on_source_notice=self._source_noticed,
        )
        discovery.start()
        if self._network is None:
            from swarm.session.finding.network_watch import NetworkWatch

            self._network = NetworkWatch(self._links.outlet, self._network_changed)
            self._network.start()
        return discovery

    async def _network_changed(self, hosts: Sequence[str]) -> None:
        self._on_notice("detail", f"the network has changed, we leave by {' and '.join(hosts)}: asking anew")
        await self._links.network_changed()
        if self._links.outlet.interface and self._dht is not None:
            self._move_datagrams(self._dht)
        if self._tracker_client is not None:
            self._tracker_client.network_changed()
        if self._local is not None:
            self._local.network_changed()
        if self._dht is not None:
            self._dht.network_changed()
        for discovery in list(self._discoveries.values()):
            discovery.network_changed(self._links.families)
            # A thousand torrents must not ask the DHT at one moment: a line that has just come up would lose
            # most of it.
            await asyncio.sleep(ASK_ANEW_S)

    def _move_datagrams(self, dht: Dht) -> None:
        """Have the DHT at the addresses that the bound interface has now."""
        from swarm.net.udp import open_socket

        outlet = self._links.outlet
        at_home = {socket.is_v6: socket for socket in self._datagrams}
        for is_v6, host in outlet.addresses.items():
            try:
                if is_v6 in at_home:
                    at_home[is_v6].move(host, outlet)
                else:
                    socket = open_socket(host, dht.port, outlet)
                    self._datagrams.append(socket)
                    dht.reach_over(socket)
            except OSError as error:
                self._on_notice("warning", f"dht: cannot use UDP on {host}: {error.strerror or error}")

    def _source_noticed(self, kind: str, level: str, text: str) -> None:
        """Pass on once what all torrents notice of a source that they share."""
        if self._said.get(kind) != text:
            self._said[kind] = text
            self._on_notice(level, text)

    def of(self, info_hash: InfoHash) -> Discovery | None:
        """Whoever looks for this torrent's peers, if anybody does."""
        return self._discoveries.get(info_hash)

    def seek(self, info_hash: InfoHash) -> None:
        """It has too few peers."""
        discovery = self._discoveries.get(info_hash)
        if discovery is not None:
            discovery.need_peers()

    def completed(self, info_hash: InfoHash) -> None:
        """Everything wanted is here."""
        discovery = self._discoveries.get(info_hash)
        if discovery is not None:
            discovery.completed()

    def reopened(self, info_hash: InfoHash) -> None:
        """Something wanted is missing again."""
        discovery = self._discoveries.get(info_hash)
        if discovery is not None:
            discovery.reopened()

    def leave(self, info_hash: InfoHash) -> None:
        """Tell the trackers that we go, and wait for nobody; `stop` forgets it."""
        discovery = self._discoveries.get(info_hash)
        if discovery is not None:
            leaving = asyncio.get_running_loop().create_task(discovery.stop(self._settings.stop_timeout_s))
            watch(leaving)
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)

    async def stop(self, info_hash: InfoHash) -> None:
        """Tell the trackers that we go, for no longer than the settings let us, and forget it."""
        discovery = self._discoveries.pop(info_hash, None)
        if discovery is not None:
            await discovery.stop(self._settings.stop_timeout_s)

    # -- the DHT --------------------------------------------------------------------------------

    @property
    def dht(self) -> Dht | None:
        """Our part in the DHT; None before the first torrent that may use it."""
        return self._dht

    @property
    def has_dht(self) -> bool:
        """Whether the DHT may find peers for torrents that are not private."""
        return self._is_dht_wanted and bool(self._settings.dht_routers)

    def join_dht(self) -> Dht | None:
        """Our part in the DHT, begun for the first torrent that may use it; None where there is none."""
        if not self._is_dht_wanted or self._dht is not None:
            return self._dht
        from swarm.dht.settings import DhtSettings
        from swarm.net.udp import open_sockets
        from swarm.session.finding.dht import Dht
        from swarm.session.finding.dht_memory import memory_path
        from swarm.session.finding.dht_source import DhtSource

        settings = self._settings
        try:
            self._datagrams = open_sockets(bind_addresses(self._bind), self._links.port, self._links.outlet)
        except SwarmError as error:
            self._is_dht_wanted = False
            self._on_notice("warning", f"dht: off: {error}")
            return None
        self._dht = Dht(
            self._datagrams,
            routers=settings.dht_routers,
            settings=DhtSettings(is_read_only=settings.is_dht_read_only),
            memory_path=memory_path(settings.state_dir),
            on_notice=self._on_notice,
            on_own_address=self._on_own_address,
        )
        self._dht.start()
        self._sources.append(DhtSource(self._dht))
        return self._dht

    def own_addresses(self) -> list[tuple[str, str]]:
        """Our addresses as the DHT sees them so far, each with who says so."""
        return [] if self._dht is None else self._dht.own_addresses()

    def node_found(self, endpoint: Endpoint) -> None:
        """A peer says that its DHT node listens there."""
        if self._dht is not None:
            self._dht.candidates_found((endpoint,))

    async def nodes_named(self, addresses: Sequence[Address]) -> None:
        """Ask DHT nodes that a magnet link or a .torrent names: there may be no other way into the DHT."""
        if self._dht is not None and addresses:
            async for found in endpoints_by_and_by(addresses, self._settings.names_timeout_s):
                self._dht.candidates_found(found)
