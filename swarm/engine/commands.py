"""What the engine tells its host to do, in the imperative; the union is closed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from swarm.base.dataclass import dataclass
from swarm.base.endpoint import Endpoint
from swarm.wire.peer.messages import Message, Piece


@dataclass(slots=True)
class SendMessages:
    """Write these to the link, in this order and at once."""

    peer: int
    messages: Sequence[Message]


@dataclass(slots=True)
class SendBlocks:
    """Read `length` bytes of `piece` from `begin` on and send them, `block_bytes` a message.

    Answer with `BlocksSent(peer, length)`, also where the link dies meanwhile.
    """

    peer: int
    piece: int
    begin: int
    length: int
    block_bytes: int


@dataclass(slots=True)
class StoreBlocks:
    """Copy the run into the piece's buffer, now: its parts are views that will not last.

    Only blocks whose bit is set in `mask` are wanted (bit 0: the run's first block).
    """

    run: Piece
    mask: int


@dataclass(slots=True)
class HashPiece:
    """All blocks of `piece` were stored: hash it, write it if good, answer with `PiecesHashed`.

    All but those that the host said it knows, which count as zeros whatever is in their place in memory.
    """

    piece: int
    with_block_digests: bool


@dataclass(slots=True)
class ForgetBlocks:
    """What was stored of `piece`, which is not complete, is void: its memory is needed."""

    piece: int


@dataclass(slots=True)
class Dial:
    """Connect to it. Answer with `PeerConnected` after the handshake, or with `DialFailed`."""

    endpoint: Endpoint


@dataclass(slots=True)
class DropPeer:
    """Close the link; nothing more of it will be handled. No `PeerLost` is expected.

    `is_fault`: the peer did what it should not, or not what it should.
    """

    peer: int
    reason: str
    is_fault: bool


@dataclass(slots=True)
class BanHost:
    """Refuse links from this address from now on: it is proven to have lied."""

    endpoint: Endpoint
    reason: str


@dataclass(slots=True)
class AnnounceCompleted:
    """Everything wanted is here and verified."""


@dataclass(slots=True)
class AnnounceReopened:
    """After `AnnounceCompleted`, or from the start: some of what is wanted is missing again."""


@dataclass(slots=True)
class SeekPeers:
    """Too few peers are known to go on well: ask the sources again when their rules allow it."""


@dataclass(slots=True)
class NodeFound:
    """A peer says that its DHT node listens there (BEP 5 `port`): worth a ping, no more."""

    endpoint: Endpoint


#: What hosts do with links and addresses, whatever engine they run.
LinkCommand: TypeAlias = SendMessages | Dial | DropPeer | BanHost | SeekPeers | NodeFound
Command: TypeAlias = (
    LinkCommand | SendBlocks | StoreBlocks | HashPiece | ForgetBlocks | AnnounceCompleted | AnnounceReopened
)
