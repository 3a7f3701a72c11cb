"""Two peers that dial each other at the same time: one of the two links stays, the same for both."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeVar

from swarm.base.endpoint import Endpoint
from swarm.base.ids import PeerId
from swarm.engine.events import PeerConnected
from swarm.engine.finding.peer_book import PeerBook
from swarm.engine.settings import EngineSettings


class Linked(Protocol):
    """What must be known of a peer that is connected."""

    number: int
    endpoint: Endpoint
    peer_id: PeerId
    is_outgoing: bool
    connected_at: float


LinkedPeer = TypeVar("LinkedPeer", bound=Linked)


def crossed_links(
    peers: Iterable[LinkedPeer], event: PeerConnected, book: PeerBook, settings: EngineSettings, now: float
) -> list[LinkedPeer]:
    """Those of `peers` whose link must give way to the new one, so that not both sides refuse both.

    Only a link just made gives way, and only to its own host: nobody pushes a peer out by its id.
    """
    if not book.is_preferred(event.peer_id, is_outgoing=event.is_outgoing):
        return []
    return [
        peer
        for peer in peers
        if peer.peer_id == event.peer_id
        and peer.is_outgoing != event.is_outgoing
        and peer.endpoint.host == event.endpoint.host
        and now - peer.connected_at < settings.crossed_dials_s
    ]
