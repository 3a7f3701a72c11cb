"""Lines and links: what is sent takes as long as the lines at both ends need.

Each client has one line, up and down. Blocks of all its links share the line up fairly: a quantum of a
few blocks goes out for each in turn, as a rate limiter or a fair queue would have it. The line down
takes what arrives in order; a link with too many bytes under way waits (TCP's window), without
holding up the others. Everything that is not a block is so small that only latency matters: it overtakes
blocks that still wait in their sender, as with a limiter that holds back blocks and not messages.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Protocol

from swarm.base.dataclass import dataclass
from swarm.base.endpoint import Endpoint
from swarm.base.ids import PeerId
from swarm.sim.world import World
from swarm.wire.peer.messages import Message, Piece

#: Bytes of one link that may be under way, as in the buffers of TCP.
LINK_BUFFER_BYTES = 256 << 10
#: Stands for bytes that are not what they should be; a right block carries no parts at all.
WRONG_DATA = memoryview(b"wrong")


@dataclass(frozen=True, slots=True)
class Line:
    """How a client is connected: bytes a second up and down, and seconds from it to the middle."""

    up_bytes_per_s: float
    down_bytes_per_s: float
    latency_s: float = 0.0005


class Host(Protocol):
    """A client, as the network sees it."""

    line: Line
    endpoint: Endpoint
    peer_id: PeerId
    has_fast: bool
    is_online: bool
    down_free_at: float
    uplink: Uplink

    def link_opened(self, end: End, *, is_outgoing: bool) -> None: ...
    def link_received(self, end: End, messages: Sequence[Message]) -> None: ...
    def link_sent(self, end: End, length: int) -> None: ...
    def link_lost(self, end: End, reason: str) -> None: ...
    def dial_failed(self, endpoint: Endpoint) -> None: ...
    def is_spoiling(self) -> bool: ...


@dataclass(slots=True)
class Run:
    """Blocks that wait to be sent: the bytes from `begin` to `end` of `piece`."""

    piece: int
    begin: int
    end: int
    block_bytes: int


class End:
    """One client's side of a link: what it has to send there.

    Attributes:
        number: what the client's engine calls the link.
        under_way_bytes: have left the line up and not yet come out of the other's line down.
    """

    __slots__ = (
        "endpoint",
        "far",
        "host",
        "is_blocked",
        "is_listed",
        "is_open",
        "latency_s",
        "number",
        "queue",
        "under_way_bytes",
    )

    far: End

    def __init__(self, host: Host, endpoint: Endpoint, latency_s: float) -> None:
        self.host = host
        #: From one end to the other.
        self.latency_s = latency_s
        #: The other's address as this side sees it.
        self.endpoint = endpoint
        self.number = -1
        self.queue: list[Run] = []
        self.under_way_bytes = 0
        self.is_open = True
        #: Stands in the uplink's round.
        self.is_listed = False
        #: Waits until some of what is under way has arrived.
        self.is_blocked = False


class Uplink:
    """A client's line up, given to its links in turn, a quantum at a time.

    Args:
        quantum_blocks: how many blocks go at a time; more makes a world of many peers cheaper.
    """

    __slots__ = ("_is_busy", "_quantum_blocks", "_rate", "_round", "_world", "sent_bytes")

    def __init__(self, world: World, bytes_per_s: float, quantum_blocks: int) -> None:
        self._world = world
        self._rate = bytes_per_s
        self._quantum_blocks = quantum_blocks
        self._round: deque[End] = deque()
        self._is_busy = False
        self.sent_bytes = 0

    def offer(self, end: End) -> None:
        """`end` has something to send, or may send again."""
        if end.is_listed or end.is_blocked or not end.queue:
            return
        end.is_listed = True
        self._round.append(end)
        if not self._is_busy:
            self._next()

    def _next(self) -> None:
        while self._round:
            end = self._round.popleft()
            end.is_listed = False
            if not end.is_open or not end.queue:
                continue
            if end.under_way_bytes >= LINK_BUFFER_BYTES:
                end.is_blocked = True
                continue
            run = end.queue[0]
            begin = run.begin
            length = min(run.end - begin, self._quantum_blocks * run.block_bytes)
            run.begin += length
            if run.begin == run.end:
                del end.queue[0]
            self._is_busy = True
            self._world.after(length / self._rate, self._sent, end, run.piece, begin, length)
            return
        self._is_busy = False

    def _sent(self, end: End, piece: int, begin: int, length: int) -> None:
        world = self._world
        self.sent_bytes += length
        if end.is_open:
            receiver = end.far.host
            arrives_at = world.now + end.host.line.latency_s + receiver.line.latency_s
            through_at = max(receiver.down_free_at, arrives_at) + length / receiver.line.down_bytes_per_s
            receiver.down_free_at = through_at
            end.under_way_bytes += length
            parts = [WRONG_DATA] if end.host.is_spoiling() else []
            world.at(through_at, self._arrived, end, Piece(piece, begin, length, parts))
            if end.queue and not end.is_listed:
                end.is_listed = True
                self._round.append(end)
        self._next()
        if end.is_open:
            end.host.link_sent(end, length)

    def _arrived(self, end: End, run: Piece) -> None:
        end.under_way_bytes -= run.length
        if end.is_blocked and end.under_way_bytes < LINK_BUFFER_BYTES:
            end.is_blocked = False
            self.offer(end)
        far = end.far
        if far.is_open:
            far.host.link_received(far, (run,))


class Network:
    """Who can be reached where; opens links and breaks them."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._hosts: dict[Endpoint, Host] = {}
        #: Links that both sides know, by the side that dialled; a dict, since order must not be a hash's.
        self._links: dict[End, None] = {}
        self._next_port = 20_000

    def add(self, host: Host) -> None:
        self._hosts[host.endpoint] = host

    def dial(self, host: Host, endpoint: Endpoint) -> None:
        """Open a link; both hear of it when their handshakes have crossed, or `host` of the failure."""
        target = self._hosts.get(endpoint)
        if target is None:
            self._world.after(host.line.latency_s * 2, host.dial_failed, endpoint)
            return
        span_s = host.line.latency_s + target.line.latency_s
        # SYN, SYN-ACK, our handshake; then the target knows us.
        self._world.after(3 * span_s, self._accept, host, target, host.peer_id, span_s)

    def _accept(self, host: Host, target: Host, dialler_id: PeerId, span_s: float) -> None:
        if not target.is_online:
            self._world.after(span_s, host.dial_failed, target.endpoint)
            return
        if not host.is_online or host.peer_id != dialler_id:
            return
        self._next_port = 20_000 + (self._next_port - 19_999) % 40_000
        near = End(host, target.endpoint, span_s)
        far = End(target, Endpoint(host.endpoint.host, self._next_port), span_s)
        near.far, far.far = far, near
        self._links[near] = None
        # Planned first: what the target says arrives behind its handshake (in the same instant: both hosts
        # add the same floats).
        self._world.after(span_s, self._opened, near)
        target.link_opened(far, is_outgoing=False)

    def _opened(self, near: End) -> None:
        if near.is_open:
            near.host.link_opened(near, is_outgoing=True)

    def close(self, end: End, reason: str) -> None:
        """`end` is closed from its own side; the other hears of it when the last of it has arrived."""
        if not end.is_open:
            return
        end.is_open = False
        end.queue.clear()
        self._links.pop(end, None)
        self._links.pop(end.far, None)
        self._world.after(end.latency_s, self._lost, end.far, reason)

    def _lost(self, end: End, reason: str) -> None:
        if not end.is_open:
            return
        end.is_open = False
        end.queue.clear()
        end.host.link_lost(end, reason)

    def break_link(self, choice: float) -> None:
        """A fault: the link at `choice` (0 to 1) of all is lost for both sides at once."""
        if not self._links:
            return
        near = list(self._links)[int(choice * len(self._links))]
        del self._links[near]
        self._lost(near, "the line failed")
        self._lost(near.far, "the line failed")
