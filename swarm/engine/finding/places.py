"""The places of a torrent: whom to dial for them, who comes in, and who must go for that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, Protocol, TypeVar

from swarm.base.dataclass import dataclass
from swarm.base.endpoint import Endpoint
from swarm.engine.events import PeerConnected
from swarm.engine.finding.crossing import LinkedPeer, crossed_links
from swarm.engine.finding.peer_book import FULL, PeerBook
from swarm.engine.settings import EngineSettings

_Leaving = TypeVar("_Leaving", covariant=True)


class WhoYields(Protocol[_Leaving]):
    """Whose place may go to others."""

    def to_newcomer(self, newcomer: Endpoint, now: float) -> _Leaving | None:
        """Whose place that one may have, where all are taken."""

    def idle(self, now: float) -> _Leaving | None:
        """Who came to us, and has been of no use for so long that others may have its place."""


@dataclass(slots=True)
class Parting(Generic[LinkedPeer]):
    """Who must leave, why, and whether it may come back."""

    peer: LinkedPeer
    reason: str
    is_welcome: bool


class Places(Generic[LinkedPeer]):
    """Who gets one of the `connections_max` places, of a torrent or while its metadata is fetched.

    Where all are taken a newcomer is turned away, unless somebody yields to it. That alone would let who
    comes from enough networks take all places, do nothing, and keep all out for ever. So while addresses wait
    to be dialled, and one who came to us is of no use (`yielding.idle`), one of them is dialled over the
    limit; the idle one leaves when that one is there. It happens to one at a time, and one in `turnover_s`:
    where many are idle honestly they come and go no faster.

    Args:
        peers: those that are connected, by number; the coordinator's own.
    """

    def __init__(
        self,
        peers: Mapping[int, LinkedPeer],
        book: PeerBook,
        settings: EngineSettings,
        yielding: WhoYields[LinkedPeer],
    ) -> None:
        self._peers = peers
        self._book = book
        self._settings = settings
        self._yielding = yielding
        #: When an idle one may leave for one that we dialled; and when to look for one again.
        self._turnover_at = float("-inf")
        self._look_at = float("-inf")

    @property
    def is_short(self) -> bool:
        """Are there few peers and nobody to dial but who failed last time? Then more must be found.

        Those that failed may have left for good, and the tracker's interval is long.
        """
        if not self._book.candidate_count:
            return True
        if len(self._peers) >= self._settings.peers_few or self._book.dialling_count:
            return False
        return not self._book.has_hope

    def to_dial(self, now: float, *, skip_seeds: bool = False) -> list[Endpoint]:
        """Whom to dial now."""
        found = self._book.take(len(self._peers), skip_seeds=skip_seeds, now=now)
        if not found and self._may_turn_over(now):
            found = self._book.take(len(self._peers) - 1, skip_seeds=skip_seeds, now=now, keeps_places=False)
        return found

    def _may_turn_over(self, now: float) -> bool:
        """May one be dialled over the limit?"""
        if len(self._peers) != self._settings.connections_max or now < max(self._turnover_at, self._look_at):
            return False
        if self._book.dialling_count or not self._book.candidate_count:
            return False
        if self._yielding.idle(now) is None:
            self._look_at = now + self._settings.tick_s
            return False
        return True

    def crossed(self, event: PeerConnected, now: float) -> list[LinkedPeer]:
        """The peers whose links give way to this one, for both are the same peer."""
        return crossed_links(self._peers.values(), event, self._book, self._settings, now)

    def entry(self, event: PeerConnected, now: float) -> tuple[str | None, Parting[LinkedPeer] | None]:
        """Whether a peer may come in; one that may not is noted in the book.

        Returns:
            why not, or None; and who must leave for it, where all places are taken.
        """
        refusal = self._book.refusal(
            event.endpoint,
            event.peer_id,
            [peer.peer_id for peer in self._peers.values()],
            is_outgoing=event.is_outgoing,
            connected_count=len(self._peers),
        )
        if refusal is None:
            return None, None
        parting = self._parting(event, now) if refusal is FULL else None
        if parting is not None:
            return None, parting
        self._book.lost(
            event.endpoint,
            now,
            is_outgoing=event.is_outgoing,
            is_seed=False,
            # Others have come while we dialled: that is no fault of its.
            is_welcome=refusal is FULL,
        )
        return refusal, None

    def _parting(self, event: PeerConnected, now: float) -> Parting[LinkedPeer] | None:
        """Who leaves for a newcomer that finds all places taken."""
        yielding = self._yielding.to_newcomer(event.endpoint, now)
        if yielding is not None:
            return Parting(yielding, "its place is for a peer of higher priority", is_welcome=True)
        # Dialled for a free place or over the limit: others may have come meanwhile.
        if not event.is_outgoing or now < self._turnover_at:
            return None
        idle = self._yielding.idle(now)
        if idle is None:
            return None
        self._turnover_at = now + self._settings.turnover_s
        # Not one to be dialled for the next place.
        return Parting(idle, "it gave and took nothing for too long, and others wait", is_welcome=False)
