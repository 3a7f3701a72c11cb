"""The holepunch desk (BEP 55): two that cannot reach each other meet through a third that both know.

We are the third for our peers, and ask others to be it for us. What follows from a `connect` is a dial;
until uTP is built, TCP's simultaneous open, which few NATs let through.
"""

from __future__ import annotations

from collections.abc import Mapping

from swarm.base.dataclass import dataclass
from swarm.base.endpoint import Endpoint
from swarm.base.errors import PeerError
from swarm.engine.allowance import Allowance
from swarm.engine.finding.exchange import Exchange
from swarm.engine.finding.hearsay import is_in_sight
from swarm.engine.finding.peer_book import PeerBook
from swarm.engine.finding.priority import OwnAddress
from swarm.engine.peer import Peer, Send
from swarm.engine.settings import EngineSettings
from swarm.wire.peer.holepunch import (
    Holepunch,
    HolepunchError,
    HolepunchKind,
    decode_holepunch,
    encode_holepunch,
)
from swarm.wire.peer.messages import Extended

#: Addresses of which we remember that we asked a relay for them.
ASKED_MAX = 200


@dataclass(slots=True)
class RendezvousCounts:
    """What came of it.

    Args:
        asked: rendezvous that we asked relays for; refused: those they could not help with.
        dialled: addresses dialled on a `connect`; reached: those that answered.
        relayed: pairs of our peers that we brought together.
        ignored: messages of which nothing followed: too many, malformed, not to be believed.
    """

    asked: int = 0
    refused: int = 0
    dialled: int = 0
    reached: int = 0
    relayed: int = 0
    ignored: int = 0


@dataclass(slots=True)
class _Asked:
    """An address that we want to meet: when we asked last, and which relays, by number."""

    at: float
    relays: list[int]


class Rendezvous:
    """Asks relays, is one, and dials when told to.

    Nothing here can be made to run in a circle: an address is asked for once in `holepunch_again_s`, of a few
    relays; a dial that came of a `connect` asks nobody when it fails, and is not repeated.
    """

    def __init__(
        self,
        peers: Mapping[int, Peer],
        book: PeerBook,
        exchange: Exchange,
        own_address: OwnAddress,
        settings: EngineSettings,
        send: Send,
        *,
        is_on: bool,
    ) -> None:
        self._peers = peers
        self._book = book
        self._exchange = exchange
        self._own_address = own_address
        self._settings = settings
        self._send = send
        self._is_on = is_on
        self._asked: dict[Endpoint, _Asked] = {}
        #: Being dialled on a `connect`.
        self._punching: set[Endpoint] = set()
        self._allowances: dict[int, Allowance] = {}
        self.counts = RendezvousCounts()

    def lost(self, peer: Peer) -> None:
        self._allowances.pop(peer.number, None)

    # -- the one who wants to meet --------------------------------------------------------------

    def tried(self, endpoint: Endpoint, now: float, *, is_reached: bool) -> None:
        """A dial has ended: where it failed, somebody may bring us together."""
        was_punching = endpoint in self._punching
        self._punching.discard(endpoint)
        if is_reached:
            self._asked.pop(endpoint, None)
            self.counts.reached += was_punching
        elif self._is_on and not was_punching:
            asked = self._asked.get(endpoint)
            if asked is None or now - asked.at >= self._settings.holepunch_again_s:
                self._ask(endpoint, _Asked(now, []), now)

    def not_tried(self, endpoint: Endpoint) -> None:
        """The host had no place for that dial."""
        self._punching.discard(endpoint)

    def _ask(self, endpoint: Endpoint, asked: _Asked, now: float) -> None:
        """Ask the next relay, if there is one."""
        if len(asked.relays) >= self._settings.holepunch_relays_max:
            return
        for relay in self._exchange.relays(endpoint):
            extended_id = relay.extensions.get("ut_holepunch")
            if extended_id and relay.number not in asked.relays:
                asked.at = now
                asked.relays.append(relay.number)
                self._asked.pop(endpoint, None)
                self._asked[endpoint] = asked
                if len(self._asked) > ASKED_MAX:
                    del self._asked[next(iter(self._asked))]
                self._say(relay, Holepunch(HolepunchKind.RENDEZVOUS, endpoint))
                self.counts.asked += 1
                return

    # -- messages -------------------------------------------------------------------------------

    def received(self, peer: Peer, payload: bytes, now: float) -> Endpoint | None:
        """Take a message; returns whom to dial at once, if anybody."""
        # BEP 55: who does not indicate support is ignored.
        if not self._is_on or not peer.extensions.get("ut_holepunch"):
            self.counts.ignored += 1
            return None
        try:
            message = decode_holepunch(payload)
        except PeerError:
            self.counts.ignored += 1
            return None
        if message.kind is HolepunchKind.ERROR:
            self._refused(peer, message.endpoint, now)
            return None
        allowance = self._allowances.get(peer.number)
        if allowance is None:
            allowance = Allowance(self._settings.holepunch_burst, self._settings.holepunch_refill_s)
            self._allowances[peer.number] = allowance
        if not allowance.allow(now):
            self.counts.ignored += 1
            return None
        if message.kind is HolepunchKind.RENDEZVOUS:
            self._relay(peer, message.endpoint)
            return None
        return self._connect(peer, message.endpoint, now)

    def _refused(self, relay: Peer, endpoint: Endpoint, now: float) -> None:
        asked = self._asked.get(endpoint)
        if asked is None or not asked.relays or asked.relays[-1] != relay.number:
            self.counts.ignored += 1
            return
        self.counts.refused += 1
        self._ask(endpoint, asked, now)

    def _connect(self, relay: Peer, endpoint: Endpoint, now: float) -> Endpoint | None:
        """Told to dial: by whom we asked, or for somebody who asked for us; we cannot tell which.

        So nobody may send us anywhere that peer exchange could not, and rarely (`holepunch_refill_s`).
        """
        is_ours = endpoint == self._own_address.seen_from(endpoint)
        is_fit = endpoint.is_dialable and is_in_sight(endpoint, relay.endpoint) and not is_ours
        # BEP 55: those that are connected already ignore it.
        if not is_fit or self._find(endpoint) is not None or not self._book.punch(endpoint, now):
            self.counts.ignored += 1
            return None
        self._punching.add(endpoint)
        self.counts.dialled += 1
        return endpoint

    # -- the relay ------------------------------------------------------------------------------

    def _relay(self, initiator: Peer, endpoint: Endpoint) -> None:
        target = self._find(endpoint)
        caller = initiator.listens_at or initiator.endpoint
        error = self._objection(initiator, caller, endpoint, target)
        if error is not HolepunchError.NONE:
            self._say(initiator, Holepunch(HolepunchKind.ERROR, endpoint, error))
            return
        assert target is not None
        self._say(target, Holepunch(HolepunchKind.CONNECT, caller))
        self._say(initiator, Holepunch(HolepunchKind.CONNECT, endpoint))
        self.counts.relayed += 1

    def _objection(
        self, initiator: Peer, caller: Endpoint, endpoint: Endpoint, target: Peer | None
    ) -> HolepunchError:
        if not endpoint.is_dialable:
            return HolepunchError.NO_SUCH_PEER
        if target is initiator or endpoint == self._own_address.seen_from(endpoint):
            return HolepunchError.NO_SELF
        if target is None:
            return HolepunchError.NOT_CONNECTED
        # Nobody is told of addresses that mean nothing to him.
        if not is_in_sight(endpoint, initiator.endpoint) or not is_in_sight(caller, target.endpoint):
            return HolepunchError.NOT_CONNECTED
        if not target.extensions.get("ut_holepunch"):
            return HolepunchError.NO_SUPPORT
        return HolepunchError.NONE

    def _find(self, endpoint: Endpoint) -> Peer | None:
        return next(
            (peer for peer in self._peers.values() if endpoint in (peer.listens_at, peer.endpoint)), None
        )

    def _say(self, peer: Peer, message: Holepunch) -> None:
        self._send(peer, [Extended(peer.extensions["ut_holepunch"], encode_holepunch(message))])
