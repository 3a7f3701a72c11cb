"""When each peer hears of our new pieces: at once if it may ask for them, else with our next message."""

from __future__ import annotations

from collections.abc import Sequence

from swarm.engine.alarms import Alarms
from swarm.engine.peer import Peer, Send
from swarm.engine.settings import EngineSettings
from swarm.wire.peer.messages import Have, Message


class Haves:
    """Sends `have`; one that can wait is kept in `peer.untold` and goes with the next message to that peer.

    Each `have` on its own costs a system call here and a wake-up there, and most could wait: the peer has the
    piece itself, or may not ask us for it yet. A seed is told at once: it may be an only one that looks where
    its pieces go (`spreading`, BEP 16). From us alone they go nowhere, as far as we know.

    Args:
        peers: all that are connected, by number; the coordinator's own dictionary.
        send: how the coordinator sends; it asks `along` where something is untold.
    """

    __slots__ = ("_alarms", "_peers", "_send", "_settings")

    def __init__(
        self,
        peers: dict[int, Peer],
        settings: EngineSettings,
        send: Send,
        alarms: Alarms,
    ) -> None:
        self._peers = peers
        self._settings = settings
        self._send = send
        self._alarms = alarms

    def tell(self, pieces: Sequence[int], now: float) -> None:
        """We have these pieces now."""
        # One tuple for all; whoever has nothing else to hear waits for it as it is.
        messages = tuple(map(Have, pieces))
        is_anybody_waiting = is_only = False
        for peer in self._peers.values():
            for piece in pieces:
                if not _can_wait(peer, piece):
                    self._send(peer, messages)
                    break
            else:
                is_only = peer.is_only and not peer.untold
                peer.untold = (*peer.untold, *messages) if peer.untold else messages
                is_anybody_waiting = True
        if is_anybody_waiting:
            at = now + self._settings.have_delay_s
            # An only peer has heard of the earlier ones with our requests.
            self._alarms.haves_at = at if is_only else min(self._alarms.haves_at, at)

    def woken(self, now: float) -> None:
        """Send the `have`s that have waited for long enough."""
        if now < self._alarms.haves_at:
            return
        self._alarms.haves_at = float("inf")
        for peer in self._peers.values():
            if peer.untold:
                self._send(peer, ())

    def along(self, peer: Peer, messages: Sequence[Message]) -> Sequence[Message]:
        """`messages` for `peer`, and before them what it is still to hear."""
        untold, peer.untold = peer.untold, ()
        return (*untold, *messages) if messages else untold

    def take_back(self, peer: Peer, piece: int) -> bool:
        """We have lost `piece`; False where `peer` has heard of it already."""
        message = Have(piece)
        if message not in peer.untold:
            return False
        peer.untold = tuple(other for other in peer.untold if other != message)
        return True


def _can_wait(peer: Peer, piece: int) -> bool:
    """Would `peer` do nothing about it now?"""
    have = peer.have
    if have.count == len(have.flags):
        return peer.is_only
    if have.flags[piece]:
        return True
    # It has told us that it wants something, and hears of this before it is unchoked.
    return peer.am_choking and peer.peer_interested and piece not in peer.allowed_fast_out
