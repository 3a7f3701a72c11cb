"""Tells peers whether we want anything of them, or only give (BEP 21)."""

from __future__ import annotations

from collections.abc import Mapping

from swarm.engine.download.picker import Picker
from swarm.engine.greeting import Greeting
from swarm.engine.peer import Peer, Send


class UploadOnly:
    """Says when that has changed; a newcomer hears it with the `greeting`.

    Args:
        peers: all that are connected, by number; the coordinator's own dictionary.
    """

    __slots__ = ("_greeting", "_peers", "_picker", "_send")

    def __init__(
        self,
        peers: Mapping[int, Peer],
        picker: Picker,
        greeting: Greeting,
        send: Send,
    ) -> None:
        self._peers = peers
        self._picker = picker
        self._greeting = greeting
        self._send = send

    def tell(self, peer: Peer) -> None:
        """`peer` has been told something else so far, or nothing."""
        if peer.has_extended:
            self._send(peer, [self._greeting.upload_only(is_upload_only=self._picker.is_complete)])

    def tell_all(self) -> None:
        """We want nothing more, or something again."""
        for peer in self._peers.values():
            self.tell(peer)
