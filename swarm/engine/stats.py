"""What the engine shows of itself."""

from __future__ import annotations

from swarm.base.dataclass import dataclass
from swarm.engine.peer import Peer


@dataclass(slots=True, frozen=True)
class EngineStats:
    """A snapshot; sizes in bytes, rates in bytes a second; `missing_bytes` are wanted and not verified."""

    pieces_done: int
    pieces_total: int
    done_bytes: int
    missing_bytes: int
    total_bytes: int
    downloaded_bytes: int
    uploaded_bytes: int
    wasted_bytes: int
    failed_pieces: int
    down_bytes_per_s: float
    up_bytes_per_s: float
    peers: int
    seeds: int
    candidates: int
    in_flight_bytes: int
    is_complete: bool


@dataclass(slots=True, frozen=True)
class PeerStats:
    """One connected peer, for `-v` and the library."""

    endpoint: str
    client: str
    pieces: int
    is_seed: bool
    am_choking: bool
    am_interested: bool
    peer_choking: bool
    peer_interested: bool
    down_bytes_per_s: float
    up_bytes_per_s: float
    asked_blocks: int
    queued_blocks: int


def peer_stats(peer: Peer, now: float) -> PeerStats:
    """How `peer` stands now."""
    return PeerStats(
        endpoint=str(peer.endpoint),
        client=peer.client,
        pieces=peer.have.count,
        is_seed=peer.is_seed,
        am_choking=peer.am_choking,
        am_interested=peer.am_interested,
        peer_choking=peer.peer_choking,
        peer_interested=peer.peer_interested,
        down_bytes_per_s=peer.download.average(now, 3.0),
        up_bytes_per_s=peer.upload.average(now, 3.0),
        asked_blocks=peer.asked_blocks,
        queued_blocks=peer.queued_blocks,
    )
