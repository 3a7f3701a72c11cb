"""Lines for the user: kept by a torrent, a fetch or the session until somebody takes them."""

from __future__ import annotations

from collections import deque
from typing import Literal, TypeAlias

from swarm.base.dataclass import dataclass

#: Notices kept until somebody reads them; older ones give way.
NOTICES_MAX = 1000

PeerFate: TypeAlias = Literal["dropped", "banned", "lost", "not reached", "refused"]


@dataclass(slots=True, frozen=True)
class PeerNews:
    """What became of a peer, and why.

    Args:
        what: we "dropped" it, or "banned" its address; it was "lost" (it left, or the way to it), it was
            "not reached" when dialled, or "refused" when it came.
        client: what it calls itself; "" where it has not said.
        is_fault: it did what it should not, or not what it should.
        is_awaited: the user has named it, and is told for the first time.
    """

    what: PeerFate
    address: str
    client: str
    reason: str
    is_fault: bool
    is_awaited: bool = False

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
        if news.is_awaited:
            return cls("warning", f"{news}; it is tried again", news)
        return cls("warning" if news.what == "banned" else "detail", str(news), news)


class Notices:
    """What one of them has said since it was last asked."""

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept: deque[Notice] = deque(maxlen=NOTICES_MAX)

    def __len__(self) -> int:
        return len(self._kept)

    def note(self, level: str, text: str) -> None:
        """Say something; `level` as in `Notice`."""
        self._kept.append(Notice(level, text))

    def peer_news(self, news: PeerNews) -> None:
        """Say what became of a peer."""
        self._kept.append(Notice.about(news))

    def take(self) -> list[Notice]:
        """What was said, oldest first; it is not kept any longer."""
        taken = list(self._kept)
        self._kept.clear()
        return taken
