"""The places of a torrent: whom to dial for them, who comes in, and who must go for that."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Generic

from swarm.base.endpoint import Endpoint
from swarm.engine.events import PeerConnected
from swarm.engine.finding.crossing import LinkedPeer, crossed_links
from swarm.engine.finding.peer_book import FULL, PeerBook
from swarm.engine.settings import EngineSettings


class Places(Generic[LinkedPeer]):
    """Who gets one of the `connections_max` places, of a torrent or while its metadata is fetched.

    Args:
        peers: those that are connected, by number; the coordinator's own.
        who_yields: whose place an endpoint may have where all are taken.
    """

    def __init__(
        self,
        peers: Mapping[int, LinkedPeer],
        book: PeerBook,
        settings: EngineSettings,
        *,
        who_yields: Callable[[Endpoint, float], LinkedPeer | None],
    ) -> None:
        self._peers = peers
        self._book = book
        self._settings = settings
        self._who_yields = who_yields

    def to_dial(self, now: float, *, skip_seeds: bool = False) -> list[Endpoint]:
        """Whom to dial now."""
        return self._book.take(len(self._peers), skip_seeds=skip_seeds, now=now)

    def next_dial_at(self, now: float, *, skip_seeds: bool = False) -> float | None:
        """When `to_dial` may have something to say again; None where nothing waits."""
        return self._book.next_dial_at(len(self._peers), skip_seeds=skip_seeds, now=now)

    def crossed(self, event: PeerConnected, now: float) -> list[LinkedPeer]:
        """The peers whose links give way to this one, for both are the same peer."""
        return crossed_links(self._peers.values(), event, self._book, self._settings, now)

    def entry(self, event: PeerConnected, now: float) -> tuple[str | None, LinkedPeer | None]:
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
        yielding = self._who_yields(event.endpoint, now) if refusal is FULL else None
        if yielding is not None:
            return None, yielding
        self._book.lost(
            event.endpoint,
            now,
            is_outgoing=event.is_outgoing,
            is_seed=False,
            # Others have come while we dialled: that is no fault of its.
            is_welcome=refusal is FULL,
        )
        return refusal, None
