"""Who may connect: limits for each address and network, bans, the blocklist."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from typing import TYPE_CHECKING, Protocol, TypeVar

from swarm.base.endpoint import Endpoint, packed_host
from swarm.session.settings import SessionSettings

if TYPE_CHECKING:
    from swarm.base.ip_ranges import IpRanges

#: Banned addresses that are remembered; the oldest give way.
BANS_MAX = 10_000
#: Bytes of an address -> those of its prefix (/24, /48): what one customer or one network is usually given.
_PREFIX_BYTES = {4: 3, 16: 6}

_Key = TypeVar("_Key", bound=Hashable)

BLOCKED = "it is on the blocklist"


class Caller(Protocol):
    """An incoming link."""

    endpoint: Endpoint

    def close(self, reason: str) -> None: ...


class Door:
    """Decides by their address which links may be: bans, the blocklist, and limits for incoming ones.

    Attributes:
        blocklist: addresses that nothing is exchanged with; None: there is no list.
    """

    def __init__(self, settings: SessionSettings) -> None:
        self.blocklist: IpRanges | None = None
        self._settings = settings
        self._banned: dict[str, str] = {}
        self._by_address: Counter[str] = Counter()
        self._by_prefix: Counter[bytes] = Counter()
        #: Incoming links -> their prefix; what `left` takes back.
        self._inside: dict[Caller, bytes] = {}
        #: Those that have not said what they want, the oldest first.
        self._silent: dict[Caller, None] = {}

    def refusal(self, host: str) -> str | None:
        """Why nothing is exchanged with `host`, whoever dials; None where it may be."""
        if host in self._banned:
            return "it is banned"
        return BLOCKED if self.blocklist is not None and host in self.blocklist else None

    def enter(self, caller: Caller) -> str | None:
        """A link has come in; returns why it must go again, or None.

        Where too many say nothing, the one that has done so for longest goes: in a storm of connections
        those who speak at once still come through.
        """
        host = caller.endpoint.host
        refusal = self.refusal(host)
        if refusal is not None:
            return refusal
        prefix = _prefix_of(host)
        if not self._is_shared(caller.endpoint):
            if self._by_address[host] >= self._settings.connections_per_address_max:
                return "there are enough connections from its address"
            if self._by_prefix[prefix] >= self._settings.connections_per_prefix_max:
                return "there are enough connections from its network"
        self._inside[caller] = prefix
        self._by_address[host] += 1
        self._by_prefix[prefix] += 1
        self._silent[caller] = None
        if len(self._silent) > self._settings.silent_links_max:
            oldest = next(iter(self._silent))
            del self._silent[oldest]
            oldest.close("too many others came before it said what it wants")
        return None

    def recognised(self, caller: Caller) -> None:
        """The link has named a torrent that is here."""
        self._silent.pop(caller, None)

    def left(self, caller: Caller) -> None:
        """The link is gone."""
        self._silent.pop(caller, None)
        prefix = self._inside.pop(caller, None)
        if prefix is None:
            return
        _count_down(self._by_address, caller.endpoint.host)
        _count_down(self._by_prefix, prefix)

    def ban(self, endpoint: Endpoint, reason: str) -> None:
        """Keep everybody at this address out, from all torrents."""
        if self._is_shared(endpoint):
            return
        self._banned[endpoint.host] = reason
        if len(self._banned) > BANS_MAX:
            del self._banned[next(iter(self._banned))]

    def _is_shared(self, endpoint: Endpoint) -> bool:
        return self._settings.engine.is_loopback_shared and endpoint.is_loopback

    @property
    def sizes(self) -> dict[str, int]:
        """How much is kept, by table: for tests and for whoever wonders."""
        return {
            "inside": len(self._inside),
            "silent": len(self._silent),
            "addresses": len(self._by_address),
            "prefixes": len(self._by_prefix),
            "banned": len(self._banned),
        }


def _prefix_of(host: str) -> bytes:
    packed = packed_host(host)
    return packed[: _PREFIX_BYTES[len(packed)]]


def _count_down(counter: Counter[_Key], key: _Key) -> None:
    counter[key] -= 1
    if not counter[key]:
        del counter[key]
