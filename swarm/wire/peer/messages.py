"""The messages peers exchange, as values.

`Request`, `Cancel`, `Reject` and `Piece` stand for *runs*: neighbouring blocks of one piece, as
they come in practice by the dozen. On the wire each block is a message of its own (BEP 3).
"""

from __future__ import annotations

from dataclasses import field
from typing import TypeAlias

from swarm.base.blocks import BLOCK_BYTES
from swarm.base.dataclass import dataclass


@dataclass(slots=True)
class KeepAlive:
    """Nothing to say, but still here; received, `count` of them and of messages that we do not know."""

    count: int = 1


@dataclass(slots=True)
class Choke:
    pass


@dataclass(slots=True)
class Unchoke:
    pass


@dataclass(slots=True)
class Interested:
    pass


@dataclass(slots=True)
class NotInterested:
    pass


@dataclass(slots=True)
class Have:
    piece: int


@dataclass(slots=True)
class BitfieldMessage:
    """What the sender has; `raw` is the wire form, of the right size already."""

    raw: bytes


@dataclass(slots=True)
class Request:
    """A run of requests: `length` bytes from `begin` on, `block_bytes` at a time."""

    piece: int
    begin: int
    length: int
    block_bytes: int = BLOCK_BYTES


@dataclass(slots=True)
class Cancel:
    """Takes back the requests of the run."""

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
    """A run of blocks.

    `parts` are the blocks' bytes in order; they are views of a buffer that its owner will use
    again, so whoever wants to keep them copies them before returning.
    """

    piece: int
    begin: int
    length: int
    parts: list[memoryview] = field(default_factory=list)


@dataclass(slots=True)
class Port:
    """BEP 5: where the sender's DHT node listens."""

    port: int


@dataclass(slots=True)
class Suggest:
    """BEP 6: the sender would like this piece to be asked for."""

    piece: int


@dataclass(slots=True)
class HaveAll:
    pass


@dataclass(slots=True)
class HaveNone:
    pass


@dataclass(slots=True)
class AllowedFast:
    """BEP 6: this piece may be asked for while choked."""

    piece: int


@dataclass(slots=True)
class Extended:
    """BEP 10: `extended_id` 0 is the extension handshake."""

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
