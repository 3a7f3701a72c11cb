"""What the engine shows of itself."""

from __future__ import annotations

from dataclasses import dataclass


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
    distributed_copies: float
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
