"""What must never happen, and what must happen in the end."""

from __future__ import annotations

from swarm.base.errors import SwarmError
from swarm.engine.settings import EngineSettings
from swarm.engine.torrent import TorrentEngine


class BrokenPromiseError(SwarmError):
    """The engine did what it must not, or did not do what it must.

    Args:
        promise: what was broken, by whom and when.
        replay: the command that shows it again.
    """

    def __init__(self, promise: str, replay: str = "") -> None:
        self.promise = promise
        self.replay = replay
        super().__init__(f"{promise}; to see it again: {replay}" if replay else promise)


def check_engine(engine: TorrentEngine, verified: bytearray, settings: EngineSettings, now: float) -> None:
    """Compare the engine's books with each other, with its limits, and with what really was verified.

    Raises:
        BrokenPromiseError
    """
    try:
        engine.check()
    except AssertionError as error:
        raise BrokenPromiseError(f"the engine contradicts itself: {error}") from error
    stats = engine.stats(now)
    if stats.peers > settings.connections_max:
        raise BrokenPromiseError(f"{stats.peers} connections, the limit is {settings.connections_max}")
    for piece, flag in enumerate(engine.have.flags):
        if flag and not verified[piece]:
            raise BrokenPromiseError(f"piece {piece} counts as there, but was never verified")
    for peer in engine.peers(now):
        if peer.queued_blocks > settings.served_queue_max:
            raise BrokenPromiseError(f"{peer.queued_blocks} requests of one peer are queued")
