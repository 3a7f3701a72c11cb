"""The peer exchange desk (BEP 11): what we tell peers of each other, and what they tell us."""

from __future__ import annotations

from dataclasses import field

from swarm.base.dataclass import dataclass
from swarm.base.endpoint import Endpoint
from swarm.engine.alarms import Alarms
from swarm.engine.finding.hearsay import Hearsay, is_in_sight
from swarm.engine.finding.peer_book import PeerBook
from swarm.engine.peer import Peer, Send
from swarm.engine.settings import EngineSettings
from swarm.wire.peer.messages import Extended
from swarm.wire.peer.pex import (
    Contact,
    ContactFlags,
    PeerExchange,
    encode_peer_exchange,
)

#: Addresses to which one peer can relay us; the oldest give way.
RELAYED_MAX = 200


@dataclass(slots=True)
class _Side:
    """One peer, as we exchange with it."""

    peer: Peer
    #: The earliest instant of the next message to it.
    next_at: float
    told: dict[Endpoint, None] = field(default_factory=dict)
    #: It may know all there is to know.
    is_current: bool = False
    #: Whom it can bring us together with (BEP 55), newest last.
    relayed: dict[Endpoint, None] = field(default_factory=dict)


class Exchange:
    """Tells and hears of peers, unless it is off (`--no-pex`, private torrents).

    Told are the addresses that others can reach as well: those we dialled, and of those that came to us
    the ones that named their port. Heard addresses go into the `book`, as "pex".
    """

    __slots__ = ("_alarms", "_hearsay", "_is_on", "_roster", "_send", "_settings", "_sides")

    def __init__(
        self, book: PeerBook, settings: EngineSettings, send: Send, alarms: Alarms, *, is_on: bool
    ) -> None:
        self._hearsay = Hearsay(book, settings)
        self._settings = settings
        self._send = send
        self._alarms = alarms
        self._is_on = is_on
        self._roster: dict[Endpoint, Peer] = {}
        self._sides: dict[int, _Side] = {}

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
        self._hearsay.lost(peer.number)
        if self._sides.pop(peer.number, None) is not None:
            self._plan()
        if peer.listens_at is not None and self._roster.get(peer.listens_at) is peer:
            del self._roster[peer.listens_at]
            self._changed(now)

    def _side(self, peer: Peer, now: float) -> _Side:
        side = self._sides.get(peer.number)
        if side is None:
            side = _Side(peer, now + self._settings.pex_settle_s)
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
        waiting = (side.next_at for side in self._sides.values() if not side.is_current)
        self._alarms.exchange_at = min(waiting, default=float("inf"))

    def tell(self, now: float) -> None:
        """Send what is due."""
        if now < self._alarms.exchange_at:
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
        heard, fresh_count = self._hearsay.received(peer.number, peer.endpoint, payload, now)
        relayed = self._side(peer, now).relayed
        for endpoint in heard.dropped:
            relayed.pop(endpoint, None)
        if peer.extensions.get("ut_holepunch"):
            for contact in heard.added:
                if contact.flags & ContactFlags.HOLEPUNCH:
                    relayed.pop(contact.endpoint, None)
                    relayed[contact.endpoint] = None
                    if len(relayed) > RELAYED_MAX:
                        del relayed[next(iter(relayed))]
        return fresh_count

    def tried(self, endpoint: Endpoint, *, is_reached: bool | None) -> None:
        """It has turned out whether a peer is there; None: it could not. Who told of it is judged."""
        self._hearsay.tried(endpoint, is_reached=is_reached)

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
