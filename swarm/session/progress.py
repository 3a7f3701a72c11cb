"""What a torrent shows of itself while it runs."""

from __future__ import annotations

from typing import Literal, TypeAlias

from swarm.base.dataclass import dataclass

State: TypeAlias = Literal["checking", "downloading", "paused", "seeding", "stopped", "failed"]


@dataclass(slots=True, frozen=True)
class Progress:
    """A snapshot; sizes in bytes, rates in bytes a second.

    Args:
        checked_bytes: content hashed so far in state "checking", of `checking_bytes`.
        done_bytes: verified content; `wanted_bytes`: what will be there when all that was selected is.
        downloaded_bytes, uploaded_bytes: payload moved in this session, not all of it useful.
        wasted_bytes: payload that was here already or nobody asked for; failed_pieces: bad hashes.
        seeds: those of `peers` that have everything.
        seconds: since the torrent was added.
        paused_reason: in state "paused", what it waits for; it seeds what it has, and goes on by itself.
    """

    state: State
    name: str
    done_bytes: int
    wanted_bytes: int
    total_bytes: int
    checked_bytes: int
    checking_bytes: int
    downloaded_bytes: int
    uploaded_bytes: int
    wasted_bytes: int
    failed_pieces: int
    down_bytes_per_s: float
    up_bytes_per_s: float
    peers: int
    seeds: int
    pieces_done: int
    pieces_total: int
    seconds: float
    paused_reason: str = ""

    @property
    def eta_s(self) -> float | None:
        """Seconds until complete at the present rate; None where nothing flows."""
        left = self.wanted_bytes - self.done_bytes
        if left <= 0:
            return 0.0
        return left / self.down_bytes_per_s if self.down_bytes_per_s >= 1 else None
