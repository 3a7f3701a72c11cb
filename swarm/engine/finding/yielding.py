"""Who among the peers of a torrent may have to leave for others, where all places are taken."""

from __future__ import annotations

from collections.abc import Mapping

from swarm.base.endpoint import Endpoint
from swarm.engine.finding.priority import OwnAddress
from swarm.engine.peer import Peer
from swarm.engine.settings import EngineSettings


class Yielding:
    """Says whose place may go to whom.

    Args:
        peers: those that are connected, by number.
    """

    __slots__ = ("_own", "_peers", "_settings")

    def __init__(self, peers: Mapping[int, Peer], own: OwnAddress, settings: EngineSettings) -> None:
        self._peers = peers
        self._own = own
        self._settings = settings

    def to_newcomer(self, newcomer: Endpoint, now: float) -> Peer | None:
        """Whose place `newcomer` gets: the peer of the lowest priority, below its own.

        BEP 40 is about who may join, not about throwing out partners: a peer keeps its place in the first
        `yields_after_s`, while blocks are asked for or on their way, and while any have moved lately. Without
        our own address nobody gives way.
        """
        own = self._own
        wanted = own.priority(newcomer)
        if wanted is None:
            return None
        after_s = self._settings.yields_after_s
        lowest: tuple[int, Peer] | None = None
        for peer in self._peers.values():
            is_busy = peer.asked_blocks or peer.queued_blocks or peer.sending_bytes
            if (
                is_busy
                or now - peer.connected_at < after_s
                or not (peer.download.is_idle and peer.upload.is_idle)
            ):
                continue
            priority = own.priority(peer.listens_at or peer.endpoint)
            if priority is not None and priority < wanted and (lowest is None or priority < lowest[0]):
                lowest = priority, peer
        return lowest[1] if lowest is not None else None

    def idle(self, now: float) -> Peer | None:
        """Whose place may go to one whom we dial: who came to us, and for longest neither gave nor took.

        What counts is blocks: to claim interest, or pieces, costs nothing. Where nothing has moved for
        `idle_place_s` it is idle. But who waits for a slot cannot take anything before the choker has come to
        it, which takes long where many wait: if it wants anything, it must have had a slot since for a choke
        round, all in all.
        """
        settings = self._settings
        longest: tuple[float, Peer] | None = None
        for peer in self._peers.values():
            # What we do not send fast enough is no fault of its; who does not read is dropped by `upkeep`.
            if peer.is_outgoing or peer.queued_blocks or peer.sending_bytes:
                continue
            moved_at = max(peer.connected_at, peer.last_block_at, peer.last_served_at)
            if now - moved_at < settings.idle_place_s or (longest is not None and moved_at >= longest[0]):
                continue
            unused_s = peer.unused_slot_s
            if not peer.am_choking:
                unused_s += now - max(peer.unchoked_at, moved_at)
            if unused_s >= settings.choke_round_s or not peer.peer_interested:
                longest = moved_at, peer
        return longest[1] if longest is not None else None
