"""When upload slots change hands: at rounds, between them, and when our line stands still."""

from __future__ import annotations

import random

from swarm.base.bitfield import Bitfield
from swarm.engine.alarms import Alarms
from swarm.engine.download.picker import Picker
from swarm.engine.peer import Peer, Send
from swarm.engine.settings import EngineSettings
from swarm.engine.upload.choker import Choker
from swarm.engine.upload.suggestions import Suggestions
from swarm.engine.upload.superseeding import SuperSeeding
from swarm.engine.upload.uploads import Uploads
from swarm.wire.peer.messages import Choke, Unchoke


class Slots:
    """Asks the choker at the right moments, and says what it decides.

    Args:
        have: our own pieces.
        peers: all that are connected, by number; the coordinator's own dictionary.
    """

    __slots__ = (
        "_alarms",
        "_choker",
        "_freed_at",
        "_peers",
        "_picker",
        "_send",
        "_settings",
        "_suggestions",
        "_super_seeding",
        "_uploads",
    )

    def __init__(
        self,
        have: Bitfield,
        peers: dict[int, Peer],
        picker: Picker,
        uploads: Uploads,
        super_seeding: SuperSeeding,
        settings: EngineSettings,
        piece_length: int,
        rng: random.Random,
        send: Send,
        alarms: Alarms,
    ) -> None:
        self._alarms = alarms
        self._peers = peers
        self._picker = picker
        self._uploads = uploads
        self._super_seeding = super_seeding
        self._send = send
        self._choker = Choker(
            settings, piece_length, rng, self._choke, self._unchoke, uploads.serves_crowd, alarms
        )
        self._suggestions = Suggestions(have, settings, send)
        self._settings = settings
        #: When a slot became free last.
        self._freed_at = float("-inf")

    @property
    def next_round_at(self) -> float:
        return self._choker.next_round_at

    def limit(self, bytes_per_s: float | None, now: float) -> None:
        """The host sends so many bytes a second at the most; None: it knows of no limit."""
        self._choker.limit(bytes_per_s)
        self._uploads.limit(bytes_per_s, now)

    def interested(self, peer: Peer, now: float) -> None:
        """`peer` wants something of ours, and did not before."""
        peer.peer_interested = True
        self._choker.interested(peer, self._peers.values(), now, is_dry=self._uploads.is_dry)

    def not_interested(self, peer: Peer, now: float) -> None:
        """`peer` wants nothing any more: its slot is for others."""
        peer.peer_interested = False
        if not peer.am_choking:
            self._choke(peer, now)
            self.refill(now)

    def received(self, peer: Peer) -> None:
        """`peer` gave us something: it may no longer be one that only takes."""
        if peer.is_taker:
            self._choker.weigh(peer)

    def judged(self, peer: Peer, now: float) -> None:
        """`peer` has told of its pieces: if it is known by now to pass nothing on, its slot is for others."""
        if peer.comes_last and not peer.am_choking:
            self._choker.reconsider(now)

    def sent(self, peer: Peer, length: int, now: float) -> None:
        """The host has sent `peer` so many bytes of blocks."""
        peer.unused_slot_s = 0.0
        if not self._picker.is_complete:
            self._choker.weigh(peer)
        self.judged(peer, now)
        self._uploads.sent(peer, length, now)
        if self._uploads.is_dry:
            if len(self._peers) > 1:
                self._choker.ran_dry(now)
            elif not now < self._alarms.dry_at < float("inf"):
                # Nobody else waits for a slot; and mostly it has asked for more by then.
                self._alarms.dry_at = now + self._settings.slot_delay_s

    def lost(self, peer: Peer) -> None:
        """The link to `peer` is closed; `refill` where it had a slot."""
        self._choker.lost(peer)

    def round(self, now: float) -> None:
        """All slots anew."""
        self._choker.round(list(self._peers.values()), is_seeding=self._picker.is_complete, now=now)

    def freed(self, now: float) -> None:
        """A peer that had a slot has gone: another gets it at once, or soon where many go together."""
        if now - self._freed_at < self._settings.slot_delay_s:
            self._choker.reconsider(now)
            return
        self._freed_at = now
        self.refill(now)

    def refill(self, now: float) -> None:
        """Free slots, between two rounds."""
        self._alarms.dry_at = float("inf")
        self._choker.refill(
            self._peers.values(), is_seeding=self._picker.is_complete, is_dry=self._uploads.is_dry, now=now
        )
        if self._uploads.is_dry and not self._super_seeding.is_active:
            self._suggestions.offer(self._peers.values(), now)

    def _choke(self, peer: Peer, now: float) -> None:
        peer.am_choking = True
        peer.unused_slot_s += now - max(peer.unchoked_at, peer.last_served_at)
        self._send(peer, [Choke()])
        self._uploads.choked(peer)

    def _unchoke(self, peer: Peer) -> None:
        peer.am_choking = False
        self._uploads.unchoked(peer)
        self._send(peer, [Unchoke()])
