"""Peer exchange: `ut_pex` (BEP 11), both directions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import IntFlag
from typing import NamedTuple

from swarm.base import bencode
from swarm.base.dataclass import dataclass
from swarm.base.endpoint import (
    COMPACT_V4_BYTES,
    COMPACT_V6_BYTES,
    Endpoint,
    encode_compact,
    unpacked_host,
)
from swarm.base.errors import BencodeError, PeerError

#: Entries that we read of each list. BEP 11: a message has at most 50 of each, but the first may have more.
CONTACTS_READ_MAX = 200


class ContactFlags(IntFlag):
    """What the sender knows of a peer (BEP 11)."""

    PREFERS_ENCRYPTION = 0x01
    UPLOAD_ONLY = 0x02
    UTP = 0x04
    HOLEPUNCH = 0x08
    REACHABLE = 0x10


_KNOWN_FLAGS = 0x1F


class Contact(NamedTuple):
    """A peer as another peer names it."""

    endpoint: Endpoint
    flags: ContactFlags = ContactFlags(0)


@dataclass(slots=True, frozen=True)
class PeerExchange:
    """What has changed in the sender's list of peers since its last message.

    Args:
        added, dropped: no address twice, and none in both.
        is_cut: there were more entries than we read.
    """

    added: Sequence[Contact] = ()
    dropped: Sequence[Endpoint] = ()
    is_cut: bool = False


def encode_peer_exchange(exchange: PeerExchange) -> bytes:
    """The payload after the extended id; empty lists are left out, but for `added`."""
    content: dict[bytes, bencode.Encodable] = {b"added": b"", b"added.f": b""}
    for tail, is_v6 in ((b"", False), (b"6", True)):
        added = [contact for contact in exchange.added if contact.endpoint.is_v6 == is_v6]
        dropped = [endpoint for endpoint in exchange.dropped if endpoint.is_v6 == is_v6]
        if added:
            content[b"added" + tail] = _compact(contact.endpoint for contact in added)
            content[b"added" + tail + b".f"] = bytes(contact.flags for contact in added)
        if dropped:
            content[b"dropped" + tail] = _compact(dropped)
    return bencode.encode(content)


def decode_peer_exchange(payload: bytes) -> PeerExchange:
    """Read the payload after the extended id.

    Left out are keys of the wrong type, entries with port 0, a tail that is no entry, addresses that are
    both added and dropped, and unknown flags; flags that are missing are 0.

    Raises:
        PeerError: not a bencoded dictionary.
    """
    try:
        content, _ = bencode.decode_prefix(payload)
    except BencodeError as error:
        raise PeerError(f"its peer exchange is not bencode: {error}") from None
    if not isinstance(content, dict):
        raise PeerError("its peer exchange is no dictionary")
    added: dict[Endpoint, ContactFlags] = {}
    dropped: dict[Endpoint, ContactFlags] = {}
    is_cut = False
    for tail, size, host_of in ((b"", COMPACT_V4_BYTES, _v4), (b"6", COMPACT_V6_BYTES, unpacked_host)):
        flags = _bytes(content, b"added" + tail + b".f")
        is_cut |= _read(_bytes(content, b"added" + tail), flags, size, host_of, added)
        is_cut |= _read(_bytes(content, b"dropped" + tail), b"", size, host_of, dropped)
    return PeerExchange(
        [Contact(endpoint, flags) for endpoint, flags in added.items() if endpoint not in dropped],
        [endpoint for endpoint in dropped if endpoint not in added],
        is_cut,
    )


def _bytes(content: Mapping[bytes, object], key: bytes) -> bytes:
    value = content.get(key)
    return value if isinstance(value, bytes) else b""


def _read(
    raw: bytes, flags: bytes, size: int, host_of: Callable[[bytes], str], into: dict[Endpoint, ContactFlags]
) -> bool:
    """Read whole entries of `size` bytes; returns whether there were too many."""
    count = len(raw) // size
    for number in range(min(count, CONTACTS_READ_MAX)):
        entry = raw[number * size : (number + 1) * size]
        port = entry[-2] << 8 | entry[-1]
        if port:
            given = flags[number] & _KNOWN_FLAGS if number < len(flags) else 0
            into.setdefault(Endpoint(host_of(entry[:-2]), port), ContactFlags(given))
    return count > CONTACTS_READ_MAX


def _v4(packed: bytes) -> str:
    return f"{packed[0]}.{packed[1]}.{packed[2]}.{packed[3]}"


def _compact(endpoints: Iterable[Endpoint]) -> bytes:
    return b"".join(map(encode_compact, endpoints))
