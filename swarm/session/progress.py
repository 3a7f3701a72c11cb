"""What a torrent shows of itself while it runs."""

from __future__ import annotations

from typing import Literal, TypeAlias

from swarm.base.dataclass import dataclass

#: Notices kept until somebody reads them; older ones give way.
NOTICES_MAX = 1000

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


PeerFate: TypeAlias = Literal["dropped", "banned", "lost", "not reached", "refused"]


@dataclass(slots=True, frozen=True)
class PeerNews:
    """What became of a peer, and why.

    Args:
        what: we "dropped" it, or "banned" its address; it was "lost" (it left, or the way to it), it was
            "not reached" when dialled, or "refused" when it came.
        client: what it calls itself; "" where it has not said.
        is_fault: it did what it should not, or not what it should.
    """

    what: PeerFate
    address: str
    client: str
    reason: str
    is_fault: bool

    def __str__(self) -> str:
        return f"peer {self.address} {self.what}: {self.reason}{f' ({self.client})' if self.client else ''}"


@dataclass(slots=True, frozen=True)
class Notice:
    """Something a torrent has to say; `level` is "info", "warning" or "detail" (shown with -v).

    `peer`: where it is about a peer, the same in parts.
    """

    level: str
    text: str
    peer: PeerNews | None = None

    @classmethod
    def about(cls, news: PeerNews) -> Notice:
        return cls("warning" if news.what == "banned" else "detail", str(news), news)
