"""What links are worth: whether we and those who are connected have anything for each other (BEP 21)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from swarm.base.bitfield import Bitfield
from swarm.engine.download.holdings import Holdings
from swarm.engine.download.picker import Picker
from swarm.engine.peer import Peer


class Drop(Protocol):
    """How the link to a peer is ended; `is_welcome`: it may come back."""

    def __call__(self, peer: Peer, reason: str, now: float, *, is_welcome: bool = False) -> None: ...


class Worth:
    """Parts from those whom nothing can be got from or given to: their places are for others.

    Args:
        have: our own pieces.
        peers: all that are connected, by number; the coordinator's own dictionary.
    """

    __slots__ = ("_drop", "_have", "_holdings", "_peers", "_picker")

    def __init__(
        self, have: Bitfield, peers: Mapping[int, Peer], picker: Picker, holdings: Holdings, drop: Drop
    ) -> None:
        self._have = have
        self._peers = peers
        self._picker = picker
        self._holdings = holdings
        self._drop = drop

    @property
    def is_dearth(self) -> bool:
        """There are peers, and none has anything that we lack."""
        if self._picker.is_complete or not self._peers:
            return False
        return not any(peer.am_interested for peer in self._peers.values())

    def part_if_useless(self, peer: Peer, now: float) -> None:
        """What `peer` has or wants, or what we do, may have changed: part if neither wants anything."""
        if peer.interesting or not self._holdings.has_introduced(peer):
            return
        if peer.is_seed:
            reason = "both of us have everything" if self._have.is_full else "we have all that we want"
        elif peer.is_upload_only and not peer.peer_interested:
            is_complete = self._picker.is_complete
            reason = "both of us have all that we want" if is_complete else "it has nothing for us"
        else:
            return
        self._drop(peer, reason, now, is_welcome=True)

    def part_from_useless(self, now: float) -> None:
        """The same for all of them."""
        for peer in list(self._peers.values()):
            self.part_if_useless(peer, now)

    def was_useless(self, peer: Peer) -> bool:
        """Of `peer`, which is gone: it wanted nothing, and had nothing for us. It is dialled later and later.

        Where we want nothing either, its like is not dialled at all.
        """
        return peer.is_upload_only and not peer.interesting and not self._picker.is_complete
