"""Who of the peers can give the metadata: whether there is hope in any, and whose place is for others."""

from __future__ import annotations

from collections.abc import Mapping

from swarm.base.endpoint import Endpoint
from swarm.engine.finding.peer_book import PeerBook
from swarm.engine.metadata.peer import MetadataPeer
from swarm.engine.settings import EngineSettings


class MetadataWorth:
    """Tells who cannot give the metadata, as it seems. It is also who yields a place (see `Places`).

    Args:
        peers: those that are connected, by number; the coordinator's own dictionary.
    """

    __slots__ = ("_book", "_peers", "_settings")

    def __init__(self, peers: Mapping[int, MetadataPeer], book: PeerBook, settings: EngineSettings) -> None:
        self._peers = peers
        self._book = book
        self._settings = settings

    @property
    def is_dearth(self) -> bool:
        """There are peers, and no hope in any: none yet in one that has let us wait and is asked again."""
        return bool(self._peers) and not any(peer.asked and not peer.late for peer in self._peers.values())

    def leaving(self, now: float) -> list[MetadataPeer]:
        """Who must go now, because all places are taken and others wait: half of the useless ones."""
        if not self._book.candidate_count or len(self._peers) < self._settings.connections_max:
            return []
        useless = [peer for peer in self._peers.values() if self._is_useless(peer, now)]
        return useless[: max(1, len(useless) // 2)]

    def to_newcomer(self, newcomer: Endpoint, now: float) -> MetadataPeer | None:
        """None is worth more than another before it has said what it has."""
        return None

    def idle(self, now: float) -> MetadataPeer | None:
        """Who comes again whenever there is room must not keep out whom we have dialled meanwhile."""
        came = (peer for peer in self._peers.values() if not peer.is_outgoing)
        return next((peer for peer in came if self._is_useless(peer, now)), None)

    def _is_useless(self, peer: MetadataPeer, now: float) -> bool:
        return now - peer.helped_at >= self._settings.metadata_useless_s and not peer.asked
