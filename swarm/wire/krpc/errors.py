"""What is wrong with a datagram, and the codes that say so (BEP 5, 44)."""

from __future__ import annotations

from swarm.base.errors import SwarmError

#: Errors of BEP 5 and BEP 44.
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
    """A datagram that is no message of KRPC.

    Args:
        reason: what is wrong, without a full stop.
        code: the error to answer with (BEP 5).
        transaction: of the query that it was, so that it can be answered; None means drop.
    """

    def __init__(self, reason: str, *, code: int = PROTOCOL_ERROR, transaction: bytes | None = None) -> None:
        self.reason = reason
        self.code = code
        self.transaction = transaction
        super().__init__(reason)
