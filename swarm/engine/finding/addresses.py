"""Where peers are: every address of a torrent, how it is known, and what becomes of it."""

from __future__ import annotations

from collections.abc import Mapping

from swarm.base.endpoint import Endpoint, unpacked_host
from swarm.engine.alarms import Alarms
from swarm.engine.events import DialFailed
from swarm.engine.finding.exchange import Exchange
from swarm.engine.finding.peer_book import PeerBook
from swarm.engine.finding.places import Places
from swarm.engine.finding.priority import OwnAddress
from swarm.engine.finding.rendezvous import Rendezvous
from swarm.engine.finding.yielding import Yielding
from swarm.engine.peer import Peer, Send
from swarm.engine.settings import EngineSettings
from swarm.wire.peer.extended import ExtendedHandshake


class Addresses:
    """The book, the places, peer exchange, holepunching and our own address: all hear of the same events.

    Args:
        peers: those that are connected, by number.
        book: may know addresses already.
        listen_port: where peers reach us, or None.
        is_private: only trackers and the user name peers, and nobody is told of any (BEP 27).
    """

    __slots__ = ("_own", "_settings", "book", "exchange", "places", "rendezvous")

    def __init__(
        self,
        peers: Mapping[int, Peer],
        book: PeerBook,
        settings: EngineSettings,
        send: Send,
        alarms: Alarms,
        *,
        listen_port: int | None,
        is_private: bool,
    ) -> None:
        self._settings = settings
        self._own = OwnAddress(listen_port)
        self.book = book
        book.rank_by(self._own.priority)
        if is_private:
            book.become_private()
        self.places = Places(peers, book, settings, Yielding(peers, self._own, settings))
        is_exchanging = settings.is_exchanging and not is_private
        self.exchange = Exchange(book, settings, send, alarms, is_on=is_exchanging)
        self.rendezvous = Rendezvous(
            peers, book, self.exchange, self._own, settings, send, is_on=is_exchanging
        )

    # -- what happens to them -------------------------------------------------------------------

    def reached(self, endpoint: Endpoint, now: float) -> None:
        """A dial has led to a peer."""
        self.exchange.tried(endpoint, is_reached=True)
        self.rendezvous.tried(endpoint, now, is_reached=True)

    def not_reached(self, event: DialFailed, now: float) -> None:
        """A dial has led nowhere, or was none."""
        self.book.dial_failed(event.endpoint, now, is_tried=event.is_tried)
        if event.is_tried:
            self.exchange.tried(event.endpoint, is_reached=False if event.has_way else None)
            self.rendezvous.tried(event.endpoint, now, is_reached=False)
        else:
            self.rendezvous.not_tried(event.endpoint)

    def connected(self, peer: Peer, now: float) -> None:
        """`peer` has come in."""
        self.book.connected(peer.endpoint, is_outgoing=peer.is_outgoing)
        self.exchange.joined(peer, now)

    def introduced(self, peer: Peer, handshake: ExtendedHandshake, now: float) -> None:
        """What `peer` says of where it is, and where we are (BEP 10)."""
        peer.prefers_encryption = handshake.prefers_encryption
        if handshake.listen_port is not None and peer.listens_at is None:
            peer.listens_at = Endpoint(peer.endpoint.host, handshake.listen_port)
            self.book.identified(peer.listens_at)
            self.exchange.tried(peer.listens_at, is_reached=True)
        if handshake.your_ip:
            self.own_address_seen(unpacked_host(handshake.your_ip), peer.endpoint.host)
        self.exchange.joined(peer, now)

    def own_address_seen(self, host: str, voter: str) -> None:
        """`voter` says that `host` is our address."""
        if self._own.seen(host, voter):
            self.book.own_address_changed()

    def lost(
        self, peer: Peer, now: float, *, is_welcome: bool, is_lost: bool, is_useless: bool = False
    ) -> None:
        """`peer` is gone (`is_lost`: not by our will, `is_useless`: it has nothing for us, nor we for it)."""
        self.exchange.lost(peer, now)
        self.rendezvous.lost(peer)
        has_served = peer.download.total_bytes > 0
        is_short = now - peer.connected_at < self._settings.short_link_s
        self.book.lost(
            peer.listens_at or peer.endpoint,
            now,
            is_outgoing=peer.is_outgoing,
            is_seed=peer.is_seed or peer.is_upload_only,
            is_welcome=is_welcome or has_served,
            # Who accepts and closes at once is as good as not there.
            was_useless=is_useless,
            was_short=is_lost and is_short and not has_served and not peer.upload.total_bytes,
        )
