"""The pieces that we have: gained when their hash is right, lost when the disk no longer gives them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from swarm.base.bitfield import Bitfield
from swarm.engine.download.haves import Haves
from swarm.engine.download.holdings import Holdings
from swarm.engine.download.picker import Picker
from swarm.engine.download.requests import Requests
from swarm.engine.download.verifier import Verifier
from swarm.engine.events import HashResult
from swarm.engine.peer import Peer, Send
from swarm.engine.upload.superseeding import SuperSeeding
from swarm.engine.upload.uploads import Uploads
from swarm.wire.peer.extended import encode_dont_have
from swarm.wire.peer.messages import Extended


class Collection:
    """Keeps what we have true, and tells every peer of each change.

    Args:
        have: the verified pieces.
        peers: all that are connected, by number; the coordinator's own dictionary.
        convict: peer number, reason, now: it sent what is wrong. It may have left.
        completed: everything wanted is verified, and was not before.
        reopened: something that is wanted is missing, and was not before.
    """

    __slots__ = (
        "_completed",
        "_convict",
        "_have",
        "_haves",
        "_holdings",
        "_peers",
        "_picker",
        "_reopened",
        "_requests",
        "_send",
        "_super_seeding",
        "_uploads",
        "_verifier",
        "_was_complete",
    )

    def __init__(
        self,
        have: Bitfield,
        peers: dict[int, Peer],
        picker: Picker,
        requests: Requests,
        verifier: Verifier,
        holdings: Holdings,
        haves: Haves,
        uploads: Uploads,
        super_seeding: SuperSeeding,
        *,
        send: Send,
        convict: Callable[[int, str, float], None],
        completed: Callable[[float], None],
        reopened: Callable[[], None],
    ) -> None:
        self._have = have
        self._peers = peers
        self._picker = picker
        self._requests = requests
        self._verifier = verifier
        self._holdings = holdings
        self._haves = haves
        self._uploads = uploads
        self._super_seeding = super_seeding
        self._send = send
        self._convict = convict
        self._completed = completed
        self._reopened = reopened
        self._was_complete = picker.is_complete

    def hashed(self, results: Sequence[HashResult], now: float) -> None:
        """The host has hashed these pieces, and written those that were right."""
        done: list[int] = []
        for result in results:
            partial = self._requests.hashed(result.piece)
            if partial is None:
                continue
            verdict = self._verifier.judge(
                result.piece, partial.senders, is_good=result.is_good, block_digests=result.block_digests
            )
            if result.is_good:
                self._have.add(result.piece)
                self._picker.verified(result.piece)
                done.append(result.piece)
            else:
                self._picker.returned(result.piece)
                if verdict.is_retry_solo and self._picker.wants(result.piece):
                    self._requests.restart_solo(result.piece)
            for number in verdict.liars:
                self._convict(number, f"piece {result.piece} had wrong data from it", now)
        if done:
            self._haves.tell(done, now)
            self._holdings.we_gained(self._peers.values(), done)
        self._look_if_complete(now)
        # A good piece opens nothing to ask for, unless it was in the way of others.
        self._requests.look_for_room()

    def not_written(self, piece: int) -> None:
        """`piece` was right, but could not be written: fetch it again."""
        if self._requests.hashed(piece) is not None:
            self._picker.returned(piece)
            self._requests.look_for_room()

    def lost(self, piece: int) -> None:
        """The disk no longer gives us `piece`: tell the peers, and fetch it again if it is wanted."""
        if not self._have.discard(piece):
            return
        if self._super_seeding.is_active:
            self._super_seeding.end()
        self._picker.lost(piece)
        for peer in list(self._peers.values()):
            is_untold = self._haves.take_back(peer, piece)
            self._uploads.withdraw(peer, piece)
            dont_have = peer.extensions.get("lt_donthave")
            if dont_have and not is_untold:
                self._send(peer, [Extended(dont_have, encode_dont_have(piece))])
        self._holdings.we_lost(self._peers.values(), piece)
        self._look_if_reopened()

    def _look_if_complete(self, now: float) -> None:
        was_complete, self._was_complete = self._was_complete, self._picker.is_complete
        if self._was_complete and not was_complete:
            self._completed(now)

    def _look_if_reopened(self) -> None:
        if self._was_complete and not self._picker.is_complete:
            self._was_complete = False
            self._reopened()
