"""The messages that peers exchange, as values (BEP 3, 5, 6, 10).

A `Request`, `Cancel`, `Reject` or `Piece` stands for a *run*: neighbouring blocks of one piece, as in
practice they come by the dozen. On the wire each block has a message of its own. Offsets and lengths are in
bytes.
"""

from __future__ import annotations

from dataclasses import field
from typing import TypeAlias

from swarm.base.blocks import BLOCK_BYTES
from swarm.base.dataclass import dataclass


@dataclass(slots=True)
class KeepAlive:
    """Nothing to say, but still here. Of received ones, `count` includes messages of unknown types."""

    count: int = 1


@dataclass(slots=True)
class Choke:
    """The sender will not answer requests (BEP 3)."""


@dataclass(slots=True)
class Unchoke:
    """The sender will answer requests (BEP 3)."""


@dataclass(slots=True)
class Interested:
    """The sender would ask for blocks, were it not choked (BEP 3)."""


@dataclass(slots=True)
class NotInterested:
    """The sender wants nothing that the receiver has (BEP 3)."""


@dataclass(slots=True)
class Have:
    """The sender has verified this piece (BEP 3)."""

    piece: int


@dataclass(slots=True)
class BitfieldMessage:
    """The pieces that the sender has, as on the wire; a received one has the right length."""

    raw: bytes


@dataclass(slots=True)
class Request:
    """A run of requests: `length` bytes from `begin` on, `block_bytes` at a time."""

    piece: int
    begin: int
    length: int
    block_bytes: int = BLOCK_BYTES

    @property
    def block_count(self) -> int:
        """How many requests it stands for; the last may be for less."""
        return -(-self.length // self.block_bytes)


@dataclass(slots=True)
class Cancel:
    """The requests of the run are taken back."""

    piece: int
    begin: int
    length: int
    block_bytes: int = BLOCK_BYTES


@dataclass(slots=True)
class Reject:
    """BEP 6: the requests of the run will not be answered."""

    piece: int
    begin: int
    length: int
    block_bytes: int = BLOCK_BYTES


@dataclass(slots=True)
class Piece:
    """A run of blocks; `length` is that of all `parts`, a block each.

    The parts are views of the receive buffer, which is used again after the call that got this message:
    whoever wants to keep them copies them before (decision 002).
    """

    piece: int
    begin: int
    length: int
    parts: list[memoryview] = field(default_factory=list)


@dataclass(slots=True)
class Port:
    """BEP 5: the UDP port of the sender's DHT node."""

    port: int


@dataclass(slots=True)
class Suggest:
    """BEP 6: the sender suggests to ask for this piece."""

    piece: int


@dataclass(slots=True)
class HaveAll:
    """BEP 6: in the place of a bitfield, the sender has all pieces."""


@dataclass(slots=True)
class HaveNone:
    """BEP 6: in the place of a bitfield, the sender has no piece."""


@dataclass(slots=True)
class AllowedFast:
    """BEP 6: this piece may be asked for while choked."""

    piece: int


@dataclass(slots=True)
class Extended:
    """BEP 10: a message of the extension to which the receiver gave this id; 0: the extension handshake."""

    extended_id: int
    payload: bytes


Message: TypeAlias = (
    KeepAlive
    | Choke
    | Unchoke
    | Interested
    | NotInterested
    | Have
    | BitfieldMessage
    | Request
    | Piece
    | Cancel
    | Port
    | Suggest
    | HaveAll
    | HaveNone
    | Reject
    | AllowedFast
    | Extended
)
