"""The peer exchange desk (BEP 11): what we tell peers of each other, and whom of theirs we believe in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from swarm.base.endpoint import Endpoint
from swarm.base.errors import PeerError
from swarm.engine.allowance import Allowance
from swarm.engine.peer import Peer
from swarm.engine.peer_book import PeerBook
from swarm.engine.settings import EngineSettings
from swarm.wire.peer.messages import Extended, Message
from swarm.wire.peer.pex import (
    Contact,
    ContactFlags,
    PeerExchange,
    decode_peer_exchange,
    encode_peer_exchange,
)

#: Sources whose record is kept, and addresses a source that can be relayed to; the oldest give way.
TELLERS_MAX = 500
RELAYED_MAX = 200
#: Hosts remembered that one source has told of.
HOSTS_MAX = 500

Send = Callable[[Peer, Sequence[Message]], None]


def is_in_sight(contact: Endpoint, viewer: Endpoint) -> bool:
    """Whether an address of `contact` can mean anything to `viewer`, or from it to us.

    A private address leads a stranger nowhere, or to a machine that is none of his; only who is on
    such a network himself, or on this machine, may be told of its addresses or tell us of them.
    """
    if contact.is_loopback:
        return viewer.is_loopback
    return viewer.is_local or not contact.is_local


@dataclass(slots=True)
class _Side:
    """One peer, as we exchange with it."""

    peer: Peer
    allowance: Allowance
    #: The earliest instant of the next message to it.
    next_at: float
    told: dict[Endpoint, None] = field(default_factory=dict)
    #: It may know all there is to know.
    is_current: bool = False
    abuses: int = 0
    #: Whom it can bring us together with (BEP 55), newest last.
    relayed: dict[Endpoint, None] = field(default_factory=dict)


@dataclass(slots=True)
class _Teller:
    """How true it was what one host told us; it outlives the link, so that to come again clears nobody."""

    untried: int = 0
    reached: int = 0
    failed: int = 0
    hosts: dict[str, None] = field(default_factory=dict)


class Exchange:
    """Tells and hears of peers, unless it is off (`--no-pex`, private torrents).

    Told are the addresses that others can reach as well: those we dialled, and of those that came to us
    the ones that named their port. Heard addresses go into the `book`, as "pex".
    """

    def __init__(self, book: PeerBook, settings: EngineSettings, send: Send, *, is_on: bool) -> None:
        self._book = book
        self._settings = settings
        self._send = send
        self._is_on = is_on
        self._roster: dict[Endpoint, Peer] = {}
        self._sides: dict[int, _Side] = {}
        self._tellers: dict[str, _Teller] = {}
        #: Addresses in the book that were not tried yet -> the host that told us.
        self._told_by: dict[Endpoint, str] = {}
        #: When `tell` has something to say; None for not before something changes.
        self.next_at: float | None = None

    # -- out ------------------------------------------------------------------------------------

    def joined(self, peer: Peer, now: float) -> None:
        """A peer has come, or has said more of itself."""
        if not self._is_on:
            return
        if peer.extensions.get("ut_pex"):
            self._side(peer, now)
        if peer.listens_at is not None and peer.listens_at not in self._roster:
            self._roster[peer.listens_at] = peer
            self._changed(now)

    def lost(self, peer: Peer, now: float) -> None:
        if self._sides.pop(peer.number, None) is not None:
            self._plan()
        if peer.listens_at is not None and self._roster.get(peer.listens_at) is peer:
            del self._roster[peer.listens_at]
            self._changed(now)

    def _side(self, peer: Peer, now: float) -> _Side:
        side = self._sides.get(peer.number)
        if side is None:
            allowance = Allowance(self._settings.pex_burst, self._settings.pex_refill_s, now)
            side = _Side(peer, allowance, now + self._settings.pex_settle_s)
            self._sides[peer.number] = side
            self._plan()
        return side

    def _changed(self, now: float) -> None:
        """Whoever knew everything will have to be told, with what else changes meanwhile."""
        for side in self._sides.values():
            if side.is_current:
                side.is_current = False
                side.next_at = max(side.next_at, now + self._settings.pex_settle_s)
        self._plan()

    def _plan(self) -> None:
        self.next_at = min(
            (side.next_at for side in self._sides.values() if not side.is_current), default=None
        )

    def tell(self, now: float) -> None:
        """Send what is due."""
        if self.next_at is None or self.next_at > now:
            return
        for side in self._sides.values():
            if not side.is_current and side.next_at <= now:
                self._tell(side, now)
        self._plan()

    def _tell(self, side: _Side, now: float) -> None:
        peer = side.peer
        extended_id = peer.extensions.get("ut_pex")
        added = [
            endpoint
            for endpoint, other in self._roster.items()
            if endpoint not in side.told and other is not peer and is_in_sight(endpoint, peer.endpoint)
        ]
        dropped = [endpoint for endpoint in side.told if endpoint not in self._roster]
        # BEP 11: "the combined amount of added v4/v6 contacts should not exceed 50 entries. The same applies
        # to dropped entries."
        most = self._settings.pex_contacts_max
        side.is_current = not extended_id or (len(added) <= most and len(dropped) <= most)
        del added[most:], dropped[most:]
        if not extended_id or not (added or dropped):
            return
        for endpoint in dropped:
            del side.told[endpoint]
        side.told.update(dict.fromkeys(added))
        contacts = [Contact(endpoint, _flags(self._roster[endpoint])) for endpoint in added]
        payload = encode_peer_exchange(PeerExchange(contacts, dropped))
        self._send(peer, [Extended(extended_id, payload)])
        side.next_at = now + self._settings.pex_interval_s

    # -- in -------------------------------------------------------------------------------------

    def received(self, peer: Peer, payload: bytes, now: float) -> int:
        """Hear what `peer` tells; returns how many addresses were new and are believed in so far.

        Raises:
            PeerError: it does so far too often, or sends nonsense again and again.
        """
        if not self._is_on:
            return 0
        side = self._side(peer, now)
        if not side.allowance.take(now):
            self._abused(side)
            return 0
        try:
            heard = decode_peer_exchange(payload)
        except PeerError:
            self._abused(side)
            return 0
        if heard.is_cut:
            self._abused(side)
        for endpoint in heard.dropped:
            side.relayed.pop(endpoint, None)
        return sum(self._believe(side, contact, now) for contact in heard.added)

    def _abused(self, side: _Side) -> None:
        side.abuses += 1
        if side.abuses > self._settings.pex_abuses_max:
            raise PeerError("it floods us with peer exchange")

    def _believe(self, side: _Side, contact: Contact, now: float) -> bool:
        """Take one address up; whether it is new."""
        endpoint = contact.endpoint
        if not endpoint.is_dialable or not is_in_sight(endpoint, side.peer.endpoint):
            return False
        if contact.flags & ContactFlags.HOLEPUNCH and side.peer.extensions.get("ut_holepunch"):
            side.relayed.pop(endpoint, None)
            side.relayed[endpoint] = None
            if len(side.relayed) > RELAYED_MAX:
                del side.relayed[next(iter(side.relayed))]
        if endpoint in self._roster or endpoint in self._told_by:
            return False
        host = side.peer.endpoint.host
        teller = self._tellers.get(host)
        if teller is None:
            teller = self._tellers[host] = _Teller()
            if len(self._tellers) > TELLERS_MAX:
                del self._tellers[next(iter(self._tellers))]
        if teller.untried >= self._settings.pex_untried_max:
            return False
        if not teller.reached and teller.failed >= self._settings.pex_failures_max:
            return False
        # BEP 11: "Duplicate IP addresses (e.g. with different ports) should be ignored." On one machine
        # clients do differ by nothing else.
        if endpoint.host in teller.hosts and not endpoint.is_loopback:
            return False
        is_seed = bool(contact.flags & ContactFlags.UPLOAD_ONLY)
        if not self._book.found([endpoint], "pex", now, is_seed=is_seed):
            return False
        teller.hosts[endpoint.host] = None
        if len(teller.hosts) > HOSTS_MAX:
            del teller.hosts[next(iter(teller.hosts))]
        teller.untried += 1
        self._told_by[endpoint] = host
        return True

    def tried(self, endpoint: Endpoint, *, is_reached: bool) -> None:
        """An address was dialled: whoever told us of it gains or loses by it."""
        teller = self._tellers.get(self._told_by.pop(endpoint, ""))
        if teller is None:
            return
        teller.untried -= 1
        if is_reached:
            teller.reached += 1
        else:
            teller.failed += 1

    def relays(self, endpoint: Endpoint) -> list[Peer]:
        """The connected peers that told us of `endpoint`, and that both of them can holepunch (BEP 55)."""
        return [side.peer for side in self._sides.values() if endpoint in side.relayed]


def _flags(peer: Peer) -> ContactFlags:
    flags = ContactFlags(0)
    if peer.prefers_encryption:
        flags |= ContactFlags.PREFERS_ENCRYPTION
    if peer.is_seed or peer.is_upload_only:
        flags |= ContactFlags.UPLOAD_ONLY
    if peer.extensions.get("ut_holepunch"):
        flags |= ContactFlags.HOLEPUNCH
    if peer.is_outgoing:
        flags |= ContactFlags.REACHABLE
    return flags
