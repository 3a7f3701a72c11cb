"""What peers tell us of other peers (BEP 11), and how far we believe it."""

from __future__ import annotations

from dataclasses import field

from swarm.base.dataclass import dataclass
from swarm.base.endpoint import Endpoint
from swarm.base.errors import FloodError, PeerError
from swarm.engine.allowance import Allowance
from swarm.engine.finding.peer_book import PeerBook
from swarm.engine.settings import EngineSettings
from swarm.wire.peer.pex import Contact, ContactFlags, PeerExchange, decode_peer_exchange

#: Hosts whose record is kept; hosts remembered that one of them has told of; the oldest give way.
TELLERS_MAX = 500
HOSTS_MAX = 500

_NOTHING = PeerExchange()


def is_in_sight(contact: Endpoint, viewer: Endpoint) -> bool:
    """Whether an address of `contact` can mean anything to `viewer`, or from it to us.

    A private address leads a stranger nowhere, or to a machine that is none of his; only who is on
    such a network himself, or on this machine, may be told of its addresses or tell us of them. One with
    a zone is of our own interface; the compact form has no room to say so, nor could it be of use there.
    """
    if "%" in contact.host:
        return False
    if contact.is_loopback:
        return viewer.is_loopback
    return viewer.is_local or not contact.is_local


@dataclass(slots=True)
class _Line:
    """One link, as it is used for this."""

    allowance: Allowance
    abuses: int = 0


@dataclass(slots=True)
class _Teller:
    """How true it was what one host told us; it outlives the link, so that to come again clears nobody."""

    untried: int = 0
    reached: int = 0
    failed: int = 0
    #: Each with the port that it named.
    hosts: dict[str, int] = field(default_factory=dict)


class Hearsay:
    """Puts the addresses that peers tell us of into the book, as "pex", and remembers how true they were."""

    def __init__(self, book: PeerBook, settings: EngineSettings) -> None:
        self._book = book
        self._settings = settings
        self._lines: dict[int, _Line] = {}
        self._tellers: dict[str, _Teller] = {}
        #: Addresses in the book that were not tried yet -> the host that told us.
        self._told_by: dict[Endpoint, str] = {}

    def lost(self, number: int) -> None:
        self._lines.pop(number, None)

    def received(self, number: int, teller: Endpoint, payload: bytes, now: float) -> tuple[PeerExchange, int]:
        """Hear what the peer at `teller` says on link `number`.

        Returns:
            What of it can be (nothing, where it may not speak now), and how many addresses were new.

        Raises:
            FloodError: it does so far too often, or sends nonsense again and again.
        """
        line = self._lines.get(number)
        if line is None:
            allowance = Allowance(self._settings.pex_burst, self._settings.pex_refill_s)
            line = self._lines[number] = _Line(allowance)
        if not line.allowance.allow(now):
            self._abused(line)
            return _NOTHING, 0
        try:
            heard = decode_peer_exchange(payload)
        except PeerError:
            self._abused(line)
            return _NOTHING, 0
        if heard.is_cut:
            self._abused(line)
        known = self._tellers.get(teller.host)
        if known is not None and known.untried >= self._settings.pex_untried_max:
            self._count_anew()
        added = [
            contact
            for contact in heard.added
            if contact.endpoint.is_dialable and is_in_sight(contact.endpoint, teller)
        ]
        fresh_count = sum(self._believe(teller.host, contact, now) for contact in added)
        return PeerExchange(added, heard.dropped), fresh_count

    def _abused(self, line: _Line) -> None:
        line.abuses += 1
        if line.abuses > self._settings.pex_abuses_max:
            raise FloodError("it floods us with peer exchange")

    def _believe(self, host: str, contact: Contact, now: float) -> bool:
        """Take one address up; whether it is new."""
        endpoint = contact.endpoint
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
        # clients do differ by nothing else. Who is back where he was may have been forgotten meanwhile.
        if teller.hosts.get(endpoint.host, endpoint.port) != endpoint.port and not endpoint.is_loopback:
            return False
        is_seed = bool(contact.flags & ContactFlags.UPLOAD_ONLY)
        if not self._book.found([endpoint], "pex", now, is_seed=is_seed):
            return False
        teller.hosts[endpoint.host] = endpoint.port
        if len(teller.hosts) > HOSTS_MAX:
            del teller.hosts[next(iter(teller.hosts))]
        self._settled(endpoint)
        teller.untried += 1
        self._told_by[endpoint] = host
        if len(self._told_by) > 2 * self._settings.candidates_max:
            self._count_anew()
        return True

    def tried(self, endpoint: Endpoint, *, is_reached: bool | None) -> None:
        """It has turned out whether a peer is there: whoever told us of it gains or loses by it.

        Args:
            is_reached: None where that says nothing, for no way leads there from here.
        """
        teller = self._settled(endpoint)
        if teller is None or is_reached is None:
            return
        if is_reached:
            teller.reached += 1
        else:
            teller.failed += 1

    def _settled(self, endpoint: Endpoint) -> _Teller | None:
        """This address waits no more; who told us of it, if that is remembered."""
        teller = self._tellers.get(self._told_by.pop(endpoint, ""))
        if teller is not None and teller.untried:
            teller.untried -= 1
        return teller

    def _count_anew(self) -> None:
        """Nobody hears of what leaves the book in other ways than by a dial, nor of seeds no seed dials.

        Who named them would be taken for one who has named more than we can try.
        """
        for teller in self._tellers.values():
            teller.untried = 0
        told_by, waits = self._told_by, self._book.is_to_be_dialled
        self._told_by = {endpoint: host for endpoint, host in told_by.items() if waits(endpoint)}
        for host in self._told_by.values():
            if host in self._tellers:
                self._tellers[host].untried += 1
