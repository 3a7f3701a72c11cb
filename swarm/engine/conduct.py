"""Counts messages that change nothing, and tells a flood of them from the noise of honest peers.

Each message costs us some ten microseconds, whatever it says. What moves the exchange on pays for itself;
what changes nothing (a keep-alive, a piece told of twice, a cancel of nothing) takes from an allowance that
is refilled too slowly to keep us busy.
"""

from __future__ import annotations

from swarm.base.blocks import BLOCK_BYTES, Geometry
from swarm.base.errors import FloodError
from swarm.engine.peer import Peer
from swarm.engine.settings import EngineSettings
from swarm.wire.peer.extended import EXTENSION_NAMES_MAX
from swarm.wire.peer.messages import Request

#: A whole bitfield again: as much work as so many single messages.
BITFIELD_COST = 50
#: A cancel is looked for among all that its sender waits for.
CANCEL_COST = 4
#: An extension handshake again: a dictionary to read.
HANDSHAKE_COST = 20


class Conduct:
    """Keeps peers from wasting our time: those that send too much that is of no use are banned by address."""

    __slots__ = ("_geometry", "_settings")

    def __init__(self, geometry: Geometry, settings: EngineSettings) -> None:
        self._geometry = geometry
        self._settings = settings

    def useless(self, peer: Peer, what: str, now: float, *, cost: int = 1) -> None:
        """`peer` sent something that changes nothing.

        Raises:
            FloodError: far more of it than an honest peer would.
        """
        peer.patience.spend(what, now, cost)

    def flipped(self, peer: Peer, have_count: int, now: float) -> None:
        """It is interested now, or is not any more; with each piece that we get it has a reason to.

        Raises:
            FloodError: as `useless`.
        """
        if peer.flipped_at_count == have_count:
            self.useless(peer, "changes of interest", now)
        peer.flipped_at_count = have_count

    def requested(self, peer: Peer, request: Request, now: float) -> None:
        """Everybody asks for 16 KiB or more at a time, but for a piece's end: less would cost a read each.

        Raises:
            FloodError: as `useless`.
        """
        if request.block_bytes >= BLOCK_BYTES:
            return
        count = request.block_count
        if request.begin + request.length == self._geometry.piece_bytes(request.piece):
            count -= -(-request.length // BLOCK_BYTES)
        if count:
            self.useless(peer, "requests for scraps", now, cost=count)

    def introduced(self, peer: Peer, extensions: dict[str, int], now: float) -> None:
        """It names extensions, for the first time or again (BEP 10 allows that).

        Raises:
            FloodError: as `useless`, or more names than anybody has.
        """
        if peer.extensions:
            self.useless(peer, "extension handshakes", now, cost=HANDSHAKE_COST)
        peer.extensions = peer.extensions | extensions if peer.extensions else extensions
        if len(peer.extensions) > EXTENSION_NAMES_MAX:
            raise FloodError(f"it names {len(peer.extensions)} extensions")
