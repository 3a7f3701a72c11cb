"""Which proven liars are kept out of a torrent."""

from __future__ import annotations

from typing import TypeVar

from swarm.base.endpoint import Endpoint
from swarm.base.ids import PeerId

_Banned = TypeVar("_Banned", str, bytes)

#: Banned addresses, and ids, that are remembered; the oldest give way.
BANS_MAX = 10_000


class Bans:
    """Knows them by address, or by id where honest peers may have the same address.

    Many can share a loopback address (and do, in tests and on one machine). Elsewhere an id proves nothing:
    the liar may have taken that of an honest peer.
    """

    __slots__ = ("_hosts", "_ids", "_is_loopback_shared")

    def __init__(self, *, is_loopback_shared: bool) -> None:
        self._is_loopback_shared = is_loopback_shared
        self._hosts: dict[str, None] = {}
        self._ids: dict[bytes, None] = {}

    def add(self, endpoint: Endpoint, peer_id: PeerId | None) -> None:
        """Keep out the peer of this address; None: its id is not known."""
        if not (self._is_loopback_shared and endpoint.is_loopback):
            _note(self._hosts, endpoint.host)
        elif peer_id is not None:
            _note(self._ids, peer_id)

    def has_host(self, endpoint: Endpoint) -> bool:
        """Is everybody of this address kept out?"""
        return endpoint.host in self._hosts

    def has(self, endpoint: Endpoint, peer_id: PeerId) -> bool:
        """Is this peer kept out?"""
        return endpoint.host in self._hosts or peer_id in self._ids


def _note(bans: dict[_Banned, None], banned: _Banned) -> None:
    bans[banned] = None
    if len(bans) > BANS_MAX:
        del bans[next(iter(bans))]
