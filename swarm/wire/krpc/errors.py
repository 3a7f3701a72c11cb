"""The error that decoding raises, and the error codes of the protocol (BEP 5, 44)."""

from __future__ import annotations

from swarm.base.errors import SwarmError

#: BEP 5 (201-204) and BEP 44.
GENERIC_ERROR = 201
SERVER_ERROR = 202
PROTOCOL_ERROR = 203
METHOD_UNKNOWN = 204
VALUE_TOO_BIG = 205
INVALID_SIGNATURE = 206
SALT_TOO_BIG = 207
CAS_MISMATCH = 301
SEQ_TOO_LOW = 302


class KrpcError(SwarmError):
    """A datagram is no valid message.

    Args:
        reason: what is wrong, without a full stop.
        code: the error code to answer with.

    Attributes:
        transaction: the transaction id, where the datagram is a query and so gets an answer; None: drop it.
    """

    def __init__(self, reason: str, *, code: int = PROTOCOL_ERROR) -> None:
        self.reason = reason
        self.code = code
        self.transaction: bytes | None = None
        super().__init__(reason)
