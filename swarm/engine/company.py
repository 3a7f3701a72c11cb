"""How peers come to an engine and leave it: dialling, letting in, dropping, banning.

The engines of a torrent and of a magnet link both do it through this desk.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Generic, Protocol, TypeVar

from swarm.base.endpoint import Endpoint
from swarm.base.errors import FloodError, PeerError
from swarm.base.ids import PeerId
from swarm.engine.commands import BanHost, Dial, DropPeer, LinkCommand, SeekPeers
from swarm.engine.events import CandidatesFound, PeerConnected, PeerLost
from swarm.engine.finding.crossing import LinkedPeer
from swarm.engine.finding.dearth import Dearth
from swarm.engine.finding.peer_book import PeerBook
from swarm.engine.finding.places import Places
from swarm.engine.offences import Offences
from swarm.engine.settings import EngineSettings

#: Peers remembered after they have gone, so that a liar cannot escape by leaving; the oldest give way.
SUSPECTS_MAX = 10_000

_Gone = TypeVar("_Gone", contravariant=True)


class Forget(Protocol[_Gone]):
    """How an engine removes a peer from its `peers` and from the books of all its desks.

    Args:
        is_welcome: it may be dialled, and may come, again.
        is_lost: the link broke; False where we ended it.

    Returns:
        Whether data that it sent may yet prove to be wrong: then its address is remembered.
    """

    def __call__(self, peer: _Gone, now: float, *, is_welcome: bool, is_lost: bool) -> bool: ...


class Company(Generic[LinkedPeer]):
    """Lets peers in and parts from them, bans those who earn it, and looks for others.

    Args:
        peers: those that are connected, by number; the coordinator's own dictionary.
        emit: an order to the host.
        welcome: a peer may stay: enter it among `peers`, and greet it.
        forget: a peer is gone.
        is_seeking: do we need anything of peers (any more)?
        skips_seeds: are seeds of no use to us?
    """

    __slots__ = (
        "_book",
        "_dearth",
        "_emit",
        "_forget",
        "_is_seeking",
        "_offences",
        "_peers",
        "_places",
        "_skips_seeds",
        "_suspects",
        "_welcome",
    )

    def __init__(
        self,
        peers: Mapping[int, LinkedPeer],
        book: PeerBook,
        places: Places[LinkedPeer],
        settings: EngineSettings,
        emit: Callable[[LinkCommand], None],
        *,
        welcome: Callable[[PeerConnected, float], None],
        forget: Forget[LinkedPeer],
        is_seeking: Callable[[], bool],
        skips_seeds: Callable[[], bool],
    ) -> None:
        self._peers = peers
        self._book = book
        self._places = places
        self._emit = emit
        self._welcome = welcome
        self._forget = forget
        self._is_seeking = is_seeking
        self._skips_seeds = skips_seeds
        self._dearth = Dearth(settings)
        self._offences = Offences(settings)
        #: Who has gone, and where it came from, as long as a lie of it may come out.
        self._suspects: dict[int, tuple[Endpoint, PeerId]] = {}

    # -- looking for them -----------------------------------------------------------------------

    def found(self, event: CandidatesFound, now: float) -> None:
        """Addresses have become known."""
        if self._book.found(event.endpoints, event.source, now):
            self.dial(now)

    def dial(self, now: float) -> None:
        """Dial those that are due."""
        for endpoint in self._places.to_dial(now, skip_seeds=self._skips_seeds()):
            self._emit(Dial(endpoint))

    def dial_one(self, endpoint: Endpoint) -> None:
        """Dial this address at once, whether or not it is its turn."""
        self._emit(Dial(endpoint))

    def seek_if_short(self) -> None:
        """Have the sources of peers asked for more, if there are too few and nobody to dial."""
        if self._is_seeking() and self._places.is_short:
            self._emit(SeekPeers())

    def seek_in_dearth(self, now: float, *, is_dearth: bool) -> None:
        """The same where there are enough peers, but none has anything that we lack (`is_dearth`)."""
        if self._dearth.is_due(now, is_dearth=is_dearth):
            self._emit(SeekPeers())

    # -- coming ---------------------------------------------------------------------------------

    def connected(self, event: PeerConnected, now: float) -> None:
        """A link is open: let the peer in, or send it away."""
        for peer in self._places.crossed(event, now):
            self.drop(peer, "it is connected already", now, is_fault=False)
        refusal, parting = self._places.entry(event, now)
        if refusal is not None:
            self._emit(DropPeer(event.peer, refusal, is_fault=False))
            return
        self._welcome(event, now)
        if parting is not None:
            # Only now, so that nobody is dialled for the place that the newcomer has.
            self.drop(parting.peer, parting.reason, now, is_welcome=parting.is_welcome, is_fault=False)

    # -- going ----------------------------------------------------------------------------------

    def drop(
        self, peer: LinkedPeer, reason: str, now: float, *, is_welcome: bool = False, is_fault: bool = True
    ) -> None:
        """End the link to `peer`, by our decision; `is_welcome`: it may come again."""
        self._emit(DropPeer(peer.number, reason, is_fault and not is_welcome))
        self._gone(peer, now, is_welcome=is_welcome)

    def lost(self, event: PeerLost, now: float) -> None:
        """A link has broken, or the peer has closed it."""
        peer = self._peers.get(event.peer)
        if peer is None:
            return
        if event.is_offence and self._offences.is_once_too_often(peer.endpoint):
            self._shut_out(peer.endpoint, peer.peer_id, event.reason)
        self._gone(peer, now, is_welcome=not event.is_offence, is_lost=True)

    def _gone(self, peer: LinkedPeer, now: float, *, is_welcome: bool, is_lost: bool = False) -> None:
        if self._forget(peer, now, is_welcome=is_welcome, is_lost=is_lost):
            self._suspects[peer.number] = peer.endpoint, peer.peer_id
            if len(self._suspects) > SUSPECTS_MAX:
                del self._suspects[next(iter(self._suspects))]
        self.dial(now)
        self.seek_if_short()

    # -- for good -------------------------------------------------------------------------------

    def offended(self, peer: LinkedPeer, error: PeerError, now: float) -> None:
        """`peer` broke the protocol: drop it, and ban its address for a flood or one breach too many."""
        if isinstance(error, FloodError) or self._offences.is_once_too_often(peer.endpoint):
            self._expel(peer, str(error), now)
        else:
            self.drop(peer, str(error), now)

    def convict(self, number: int, reason: str, now: float) -> None:
        """The peer of link `number`, which may have gone, has proven to lie: ban its address."""
        peer = self._peers.get(number)
        if peer is not None:
            self._expel(peer, reason, now)
        elif number in self._suspects:
            self._shut_out(*self._suspects.pop(number), reason)

    def _expel(self, peer: LinkedPeer, reason: str, now: float) -> None:
        self._shut_out(peer.endpoint, peer.peer_id, reason)
        self.drop(peer, reason, now)
        # More may come out; once is enough.
        self._suspects.pop(peer.number, None)

    def _shut_out(self, endpoint: Endpoint, peer_id: PeerId, reason: str) -> None:
        self._book.ban(endpoint, peer_id)
        self._emit(BanHost(endpoint, reason))
