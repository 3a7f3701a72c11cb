"""Tells peers that our line up is idle, so that they ask us instead of waiting for others (BEP 6)."""

from __future__ import annotations

from collections.abc import Iterable

from swarm.base.bitfield import Bitfield
from swarm.engine.peer import Peer, Send
from swarm.engine.settings import EngineSettings
from swarm.wire.peer.messages import Suggest


class Suggestions:
    """Offers something to those who may ask and do not.

    Where few pieces are about, a peer has asked others for all that we have, and waits in their queues, while
    our line is idle. It cannot know; a suggestion tells it (see `Requests.offered` for what it does then).
    To other clients it is what BEP 6 says: "you might like to download this piece".

    Args:
        have: our own pieces.
    """

    __slots__ = ("_have", "_send", "_settings")

    def __init__(self, have: Bitfield, settings: EngineSettings, send: Send) -> None:
        self._have = have
        self._settings = settings
        self._send = send

    def offer(self, peers: Iterable[Peer], now: float) -> None:
        """Our line is idle: tell all peers that may ask for something."""
        if not self._have.count:
            return
        last_at = now - self._settings.suggest_pause_s
        for peer in peers:
            if peer.am_choking or not peer.peer_interested or not peer.has_fast:
                continue
            if peer.queue or peer.sending_bytes or peer.suggested_at > last_at:
                continue
            piece = self._lacking(peer)
            if piece is not None:
                peer.suggested_at = now
                self._send(peer, [Suggest(piece)])

    def _lacking(self, peer: Peer) -> int | None:
        """A piece of ours that `peer` has not got."""
        return self._have.first_beyond(peer.have)
