"""`ut_holepunch`: two peers are told to dial each other by a third, the relay (BEP 55)."""

from __future__ import annotations

from enum import IntEnum

from swarm.base.dataclass import dataclass
from swarm.base.endpoint import Endpoint, encode_compact, unpacked_host
from swarm.base.errors import PeerError


class HolepunchKind(IntEnum):
    """`msg_type` of BEP 55: to the relay; from the relay to both; from the relay, which cannot help."""

    RENDEZVOUS = 0
    CONNECT = 1
    ERROR = 2


class HolepunchError(IntEnum):
    """Why the relay cannot help (`err_code` of BEP 55)."""

    NONE = 0
    NO_SUCH_PEER = 1
    NOT_CONNECTED = 2
    NO_SUPPORT = 3
    NO_SELF = 4


@dataclass(slots=True, frozen=True)
class Holepunch:
    """One message.

    Args:
        endpoint: the peer to be dialled; its port may be 0, which the relay will refuse.
        error: a `HolepunchError`, or an unknown number.
    """

    kind: HolepunchKind
    endpoint: Endpoint
    error: int = HolepunchError.NONE


_ADDRESS_BYTES = {0: 6, 1: 18}


def encode_holepunch(message: Holepunch) -> bytes:
    """The payload after the extended id."""
    head = bytes((message.kind, message.endpoint.is_v6))
    return head + encode_compact(message.endpoint) + message.error.to_bytes(4, "big")


def decode_holepunch(payload: bytes) -> Holepunch:
    """Read the payload after the extended id; libtorrent leaves the error code out where it would be 0.

    Raises:
        PeerError: it is too short, or its type or address family does not exist.
    """
    size = _ADDRESS_BYTES.get(payload[1]) if len(payload) > 1 else None
    if size is None or payload[0] > HolepunchKind.ERROR or len(payload) < 2 + size:
        raise PeerError(f"its holepunch message of {len(payload)} bytes is none")
    kind = HolepunchKind(payload[0])
    packed, port = payload[2:size], payload[size] << 8 | payload[size + 1]
    code = payload[2 + size : 6 + size]
    if kind is HolepunchKind.ERROR and len(code) < 4:
        raise PeerError("its holepunch error has no code")
    endpoint = Endpoint(unpacked_host(packed), port)
    return Holepunch(kind, endpoint, int.from_bytes(code, "big") if kind is HolepunchKind.ERROR else 0)
