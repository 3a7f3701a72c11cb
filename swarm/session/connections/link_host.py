"""What the hosts of both engines, a magnet link's and a torrent's, do alike: their links and their timer."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol, assert_never

from swarm.base.blocks import Geometry
from swarm.base.bucket import Bucket
from swarm.base.endpoint import Endpoint
from swarm.base.errors import SwarmError
from swarm.engine.commands import (
    BanHost,
    Dial,
    DropPeer,
    LinkCommand,
    NodeFound,
    SeekPeers,
    SendMessages,
)
from swarm.engine.events import (
    CandidatesFound,
    DialFailed,
    LinkEvent,
    MessagesReceived,
    OwnAddressSeen,
    PeerConnected,
    PeerLost,
    WokenUp,
)
from swarm.session.bugs import failure
from swarm.session.connections.peer_link import LinkOwner, PeerLink
from swarm.session.notices import PeerFate, PeerNews
from swarm.wire.peer.handshake import Handshake
from swarm.wire.peer.messages import Message
from swarm.wire.peer.protocol import encode

if TYPE_CHECKING:
    from swarm.storage.chunks import Chunk

OnPeer = Callable[[PeerNews], None]

#: uvloop counts time in whole milliseconds: a wake-up that was too early by a float's rounding error was
#: followed by one after the other until the next of them.
_TIMER_S = 0.001


#: What comes of what a peer sends, and what others say of themselves or of us.
_OF_LINKS = (MessagesReceived, PeerConnected)
_OF_STRANGERS = (*_OF_LINKS, CandidatesFound, OwnAddressSeen)
#: When the engine is woken after it has broken in the middle of what they said.
_UPSET_S = 1.0


class Dialler(Protocol):
    """The session's `Links`, as the host of an engine uses them."""

    def dial(self, owner: LinkOwner, handshake: Handshake, endpoint: Endpoint) -> None: ...
    def ban(self, endpoint: Endpoint, reason: str) -> None: ...
    def is_refused(self, endpoint: Endpoint) -> bool: ...


class LinkHost(ABC):
    """Numbers an engine's links, tells it what happens to them, and carries out its commands on them.

    It is the `LinkOwner` of its links. Whoever inherits it has the engine, and passes events to it in `tell`.

    Args:
        handshake: what is said first on each link.
        on_peer: what became of a peer, for the user.
        seek_peers: ask the sources for more.
        on_node: a peer says that its DHT node listens there.
    """

    #: None as long as nobody knows how many pieces there are.
    geometry: Geometry | None

    def __init__(
        self,
        handshake: Handshake,
        dialler: Dialler,
        *,
        on_peer: OnPeer,
        seek_peers: Callable[[], None],
        on_node: Callable[[Endpoint], None] | None,
    ) -> None:
        self.handshake = handshake
        self.is_stopped = False
        self._dialler = dialler
        self._on_peer = on_peer
        self._seek_peers = seek_peers
        self._on_node = on_node
        self._loop = asyncio.get_running_loop()
        #: This torrent's own limits, besides those of the session.
        self.up_bucket = Bucket(None, self._loop.time())
        self.down_bucket = Bucket(None, self._loop.time())
        self._links: dict[int, PeerLink] = {}
        #: Named by the user, who has not heard of a failure to reach them; and those of whom he has.
        self._awaited: set[Endpoint] = set()
        self._unreached: set[Endpoint] = set()
        self._next_number = 0
        self._timer: asyncio.TimerHandle | None = None
        self._wakeup_at = float("inf")

    @abstractmethod
    def tell(self, event: LinkEvent) -> None:
        """Give the engine an event and carry out what follows."""

    @abstractmethod
    def link_sent(self, link: PeerLink, length: int, chunks: Sequence[Chunk]) -> None:
        """`length` bytes of blocks have left, or will not any more; the link needs `chunks` no longer."""

    def _upset(self, error: Exception, event: object, doing: str) -> SwarmError | None:
        """A bug of ours has shown at `event`: returns why the whole torrent fails, or None where it goes on.

        What strangers say must not end a torrent. If they said it on a link, the error is raised again, so
        that the transport ends that link; if it was only hearsay, it is passed over.
        """
        if not isinstance(event, _OF_STRANGERS):
            return failure(error, doing)
        # Whatever the engine was about to ask for, it is woken.
        self._wake_up_at(self._loop.time() + _UPSET_S)
        if isinstance(event, _OF_LINKS):
            raise error
        failure(error, doing)
        return None

    # -- time -----------------------------------------------------------------------------------

    def _wake_up_at(self, at: float | None) -> None:
        """Wake the engine at that instant and not before; None: not at all."""
        if at is None:
            at = float("inf")
        if at != self._wakeup_at:
            self._stop_timer()
            self._wakeup_at = at
            if at < float("inf"):
                self._timer = self._loop.call_at(at + _TIMER_S, self._wake)

    def _wake(self) -> None:
        self._timer = None
        self._wakeup_at = float("inf")
        self.tell(WokenUp())

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # -- commands -------------------------------------------------------------------------------

    def _carry_out_on_links(self, command: LinkCommand) -> None:
        match command:
            case SendMessages(number, messages):
                link = self._links.get(number)
                if link is not None:
                    link.send(encode(messages))
            case Dial(endpoint):
                self._dialler.dial(self, self.handshake, endpoint)
            case DropPeer(number, reason, is_fault):
                link = self._links.pop(number, None)
                if link is not None:
                    self._on_peer(PeerNews("dropped", str(link.endpoint), link.client, reason, is_fault))
                    link.finish(reason)
            case BanHost(endpoint, reason):
                self._dialler.ban(endpoint, reason)
                # Who lied may have left before it was proven.
                clients = (link.client for link in self._links.values() if link.endpoint == endpoint)
                self._on_peer(PeerNews("banned", str(endpoint), next(clients, ""), reason, True))
            case SeekPeers():
                self._seek_peers()
            case NodeFound(endpoint):
                if self._on_node is not None:
                    self._on_node(endpoint)
            case _:
                assert_never(command)

    # -- links ----------------------------------------------------------------------------------

    def link_opened(self, link: PeerLink, handshake: Handshake, *, is_greeted: bool = False) -> None:
        if self.is_stopped:
            link.close("the torrent was stopped")
            return
        link.number = self._next_number
        self._next_number += 1
        self._links[link.number] = link
        self.tell(
            PeerConnected(
                link.number,
                link.endpoint,
                handshake.peer_id,
                link.is_outgoing,
                has_fast=handshake.has_fast and self.handshake.has_fast,
                has_extended=handshake.has_extended and self.handshake.has_extended,
                has_dht=handshake.has_dht and self.handshake.has_dht,
                is_greeted=is_greeted,
            )
        )

    def link_received(self, link: PeerLink, messages: Sequence[Message]) -> None:
        self.tell(MessagesReceived(link.number, messages))

    def link_lost(self, link: PeerLink, reason: str) -> None:
        if link.number < 0:
            # It never got as far as a handshake.
            if link.is_outgoing:
                self.dial_failed(link.endpoint, reason)
        elif link.number in self._links:
            what: PeerFate = "dropped" if link.has_offended else "lost"
            self._on_peer(PeerNews(what, str(link.endpoint), link.client, reason, link.has_offended))
            self.tell(PeerLost(link.number, reason, link.has_offended))
            self._links.pop(link.number, None)

    def dial_failed(
        self, endpoint: Endpoint, reason: str, *, is_tried: bool = True, has_way: bool = True
    ) -> None:
        if not self.is_stopped:
            # What was not tried for want of a place comes later.
            is_awaited = is_tried and endpoint in self._awaited
            if is_awaited:
                self._awaited.remove(endpoint)
                self._unreached.add(endpoint)
            self._on_peer(PeerNews("not reached", str(endpoint), "", reason, False, is_awaited))
        self.tell(DialFailed(endpoint, reason, is_tried, has_way))

    def candidates_found(self, endpoints: Sequence[Endpoint], source: str) -> None:
        welcome = [endpoint for endpoint in endpoints if not self._dialler.is_refused(endpoint)]
        if source == "user":
            self._awaited.update(set(endpoints) - self._unreached)
        self.tell(CandidatesFound(welcome, source))

    def take_place_of(self, other: LinkHost) -> None:
        """What `other` has told the user of peers that he named is not told again."""
        self._unreached |= other._unreached
