"""What a host tells the engine, in the past tense."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from swarm.base.blocks import BLOCK_BYTES
from swarm.base.dataclass import dataclass
from swarm.base.endpoint import Endpoint
from swarm.base.ids import PeerId
from swarm.wire.peer.messages import Message


@dataclass(slots=True)
class PeerConnected:
    """A link is open and both handshakes are read; `peer` is the host's number for the link.

    `endpoint` is where the link goes; of an incoming one its port is not where the peer listens.
    `is_greeted`: the link was made while the metadata was not known; it was told that we have nothing.
    """

    peer: int
    endpoint: Endpoint
    peer_id: PeerId
    is_outgoing: bool
    has_fast: bool
    has_extended: bool
    has_dht: bool = False
    is_greeted: bool = False


@dataclass(slots=True)
class PeerLost:
    """The link is gone; `reason` is what the host saw.

    `is_offence`: the peer broke the protocol in a way that only the host can see (frames that are none).
    """

    peer: int
    reason: str
    is_offence: bool = False


@dataclass(slots=True)
class MessagesReceived:
    """Everything that one `recv` brought, in order."""

    peer: int
    messages: Sequence[Message]


@dataclass(slots=True)
class BlocksSent:
    """`length` bytes of blocks given to the host by `SendBlocks` have left (or were given up)."""

    peer: int
    length: int


@dataclass(slots=True)
class HashResult:
    """One piece was hashed, and written if it was good.

    `block_digests` has one digest a block, where the piece is bad or was hashed with digests.
    """

    piece: int
    is_good: bool
    block_digests: Sequence[bytes] = ()


@dataclass(slots=True)
class PiecesHashed:
    """What came of `HashPiece`, of as many pieces as were ready."""

    results: Sequence[HashResult]


@dataclass(slots=True)
class PieceNotWritten:
    """The piece was good, but the disk would not take it; it counts as missing again."""

    piece: int


@dataclass(slots=True)
class PieceUnreadable:
    """The piece on disk can no longer be read; it must not be offered any more.

    Where it was found out by a `SendBlocks`, `peer` and the rest say which part of it will not be sent.
    """

    piece: int
    peer: int | None = None
    begin: int = 0
    length: int = 0
    block_bytes: int = BLOCK_BYTES


@dataclass(slots=True)
class CandidatesFound:
    """Addresses of peers, from `source` ("tracker", "user", ...)."""

    endpoints: Sequence[Endpoint]
    source: str


@dataclass(slots=True)
class DialFailed:
    """`endpoint` was not reached.

    Args:
        is_tried: it was dialled (else the host has no place for it now).
        has_way: whether any way leads there from here, a network or a family of addresses; it is no fault of
            the address, nor of who named it, where none does.
    """

    endpoint: Endpoint
    reason: str
    is_tried: bool = True
    has_way: bool = True


@dataclass(slots=True)
class OwnAddressSeen:
    """`host` is how `source` ("tracker NAME", "dht IPv4") sees us; it is weighed against what peers say."""

    host: str
    source: str


@dataclass(slots=True)
class DownloadHeld:
    """The disk takes no more (`is_held`), or takes again: nothing new is asked for meanwhile."""

    is_held: bool


@dataclass(slots=True)
class UploadLimited:
    """The host will send all peers together this many bytes a second at the most; None: no limit known."""

    bytes_per_s: float | None


@dataclass(slots=True)
class WokenUp:
    """`next_wakeup()` has come."""


#: What happens to links and addresses, whatever engine is told of it.
LinkEvent: TypeAlias = PeerConnected | PeerLost | MessagesReceived | CandidatesFound | DialFailed | WokenUp
Event: TypeAlias = (
    LinkEvent
    | BlocksSent
    | PiecesHashed
    | PieceNotWritten
    | PieceUnreadable
    | OwnAddressSeen
    | DownloadHeld
    | UploadLimited
)
