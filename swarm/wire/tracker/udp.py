"""The tracker protocol over UDP, both sides: one datagram asks, one answers.

The source of a datagram is easily forged, so a client first fetches a connection id, which only whoever
gets the tracker's answers can know; a tracker that keeps nothing for it still knows its own ids again.

Sources: BEP 15 (also over IPv6: the family of the socket tells how long addresses are), BEP 41 (URL data).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeAlias

from swarm.base.endpoint import (
    COMPACT_V4_BYTES,
    COMPACT_V6_BYTES,
    decode_compact_v4,
    decode_compact_v6,
)
from swarm.base.errors import TrackerError
from swarm.base.ids import InfoHash
from swarm.wire.tracker.announce import (
    PEERS_MAX,
    AnnounceRequest,
    AnnounceResponse,
    Event,
    ScrapeEntry,
    is_usable,
    readable,
)

#: What a connect request begins with, in the place of a connection id.
PROTOCOL_ID = 0x41727101980
#: BEP 15: "Up to about 74 torrents can be scraped at once".
SCRAPE_MAX = 74
#: No datagram is longer.
DATAGRAM_MAX_BYTES = 65_535
#: URL data that goes into a request, which must still fit one packet; passkeys have 32 to 64 bytes.
URL_DATA_MAX_BYTES = 1024

CONNECT, ANNOUNCE, SCRAPE, ERROR = range(4)

# BEP 15's tables. Events are numbered there in the order of this tuple.
_EVENTS: tuple[Event | None, ...] = (None, "completed", "started", "stopped")
_REQUEST = struct.Struct(">QII")
_ANNOUNCE = struct.Struct(">20s20sQQQIIIiH")
_ANSWER = struct.Struct(">II")
_CONNECTED = struct.Struct(">Q")
_ANNOUNCED = struct.Struct(">III")
_SCRAPED = struct.Struct(">III")

# BEP 41's options.
_END, _NOTHING, _URL_DATA = range(3)
_OPTION_MAX_BYTES = 255


# Our requests: what goes out.


def encode_connect(transaction: int) -> bytes:
    """Ask for a connection id; 16 bytes."""
    return _REQUEST.pack(PROTOCOL_ID, CONNECT, transaction)


def encode_announce(connection: int, transaction: int, request: AnnounceRequest, url_data: str = "") -> bytes:
    """Announce ourselves.

    Args:
        connection: the id from the answer to a connect request, not older than a minute.
        url_data: path and query of the tracker's URL, which may be a passkey; "" or "/" are not sent.
    """
    head = _REQUEST.pack(connection, ANNOUNCE, transaction)
    body = _ANNOUNCE.pack(
        request.info_hash,
        request.peer_id,
        request.downloaded_bytes,
        request.left_bytes,
        request.uploaded_bytes,
        _EVENTS.index(request.event),
        # The address is for trackers on this side of a NAT; any other takes the datagram's own.
        0,
        request.key,
        request.num_want,
        request.port,
    )
    return head + body + _options(url_data)


def encode_scrape(connection: int, transaction: int, info_hashes: Sequence[InfoHash]) -> bytes:
    """Ask for the numbers of 1 to `SCRAPE_MAX` swarms."""
    if not 0 < len(info_hashes) <= SCRAPE_MAX:
        raise ValueError(f"1 to {SCRAPE_MAX} info-hashes in a scrape, not {len(info_hashes)}")
    return _REQUEST.pack(connection, SCRAPE, transaction) + b"".join(info_hashes)


def _options(url_data: str) -> bytes:
    if url_data in ("", "/"):
        return b""
    raw = url_data.encode("utf-8", "surrogateescape")[:URL_DATA_MAX_BYTES]
    parts = (raw[at : at + _OPTION_MAX_BYTES] for at in range(0, len(raw), _OPTION_MAX_BYTES))
    return b"".join(bytes((_URL_DATA, len(part))) + part for part in parts) + bytes((_END,))


# Their answers: what comes in.


def transaction_of(raw: bytes) -> int | None:
    """Which of our requests a datagram claims to answer; None where it is too short to be an answer."""
    return _ANSWER.unpack_from(raw)[1] if len(raw) >= _ANSWER.size else None


def decode_connected(raw: bytes) -> int:
    """The connection id.

    Raises:
        TrackerError: the tracker refused (its reason, escaped), or this is no such answer.
    """
    body = _answer(raw, CONNECT)
    if len(body) < _CONNECTED.size:
        raise TrackerError(f"an answer of {len(raw)} bytes to a connect request")
    connection: int = _CONNECTED.unpack_from(body)[0]
    return connection


def decode_announced(raw: bytes, *, is_v6: bool) -> AnnounceResponse:
    """Read the answer to an announce; `is_v6` tells over which family it came.

    Raises:
        TrackerError: as `decode_connected`.
    """
    body = _answer(raw, ANNOUNCE)
    if len(body) < _ANNOUNCED.size:
        raise TrackerError(f"an answer of {len(raw)} bytes to an announce")
    interval_s, leechers, seeds = _ANNOUNCED.unpack_from(body)
    addresses = body[_ANNOUNCED.size :]
    entry_bytes = COMPACT_V6_BYTES if is_v6 else COMPACT_V4_BYTES
    if len(addresses) % entry_bytes:
        raise TrackerError(f"peers of {len(addresses)} bytes are no list of addresses")
    addresses = addresses[: PEERS_MAX * entry_bytes]
    peers = decode_compact_v6(addresses) if is_v6 else decode_compact_v4(addresses)
    return AnnounceResponse(
        interval_s=interval_s, peers=tuple(filter(is_usable, peers)), seeds=seeds, leechers=leechers
    )


def decode_scraped(raw: bytes, info_hashes: Sequence[InfoHash]) -> dict[InfoHash, ScrapeEntry]:
    """Read the answer to a scrape of `info_hashes`, in whose order it comes.

    A tracker says zeros of a swarm that it does not know, so all of them are in it.

    Raises:
        TrackerError: as `decode_connected`; also where there are fewer or more rows than were asked for.
    """
    body = _answer(raw, SCRAPE)
    if len(body) != _SCRAPED.size * len(info_hashes):
        raise TrackerError(f"an answer of {len(raw)} bytes to a scrape of {len(info_hashes)}")
    rows = _SCRAPED.iter_unpack(body)
    return {
        info_hash: ScrapeEntry(seeds=seeds, leechers=leechers, downloads=downloads)
        for info_hash, (seeds, downloads, leechers) in zip(info_hashes, rows, strict=True)
    }


def _answer(raw: bytes, action: int) -> bytes:
    if len(raw) < _ANSWER.size:
        raise TrackerError(f"an answer of {len(raw)} bytes")
    found = _ANSWER.unpack_from(raw)[0]
    body = raw[_ANSWER.size :]
    if found == ERROR:
        raise TrackerError(readable(body.rstrip(b"\0")) or "refused without a reason")
    if found != action:
        raise TrackerError(f"an answer to another question (action {found})")
    return body


# Their requests: what comes in at our tracker.


class ConnectQuery(NamedTuple):
    """Somebody asks for a connection id."""

    transaction: int


class AnnounceQuery(NamedTuple):
    """An announce as our tracker sees it; the address comes from the socket, not from here.

    Args:
        connection: to be checked before anything else is believed.
        info_hash, peer_id: 20 bytes each.
        num_want: None where it is left to us.
        url_data: BEP 41, as it came; b"" for none.
    """

    connection: int
    transaction: int
    info_hash: bytes
    peer_id: bytes
    port: int
    left_bytes: int
    event: Event | None
    num_want: int | None
    url_data: bytes


class ScrapeQuery(NamedTuple):
    """A scrape of 1 to `SCRAPE_MAX` info-hashes."""

    connection: int
    transaction: int
    info_hashes: tuple[bytes, ...]


Query: TypeAlias = ConnectQuery | AnnounceQuery | ScrapeQuery


def decode_query(raw: bytes) -> Query:
    """Read a datagram that came to our tracker.

    Raises:
        TrackerError: it is none of the three. Nobody has proven where it came from, so it deserves
            no answer that is longer than itself, and best none at all.
    """
    if len(raw) < _REQUEST.size:
        raise TrackerError(f"a request of {len(raw)} bytes")
    connection, action, transaction = _REQUEST.unpack_from(raw)
    body = raw[_REQUEST.size :]
    if action == CONNECT:
        if connection != PROTOCOL_ID:
            raise TrackerError("a connect request of another protocol")
        return ConnectQuery(transaction)
    if action == ANNOUNCE:
        return _announce_query(connection, transaction, body)
    if action == SCRAPE:
        # BEP 15 has no room for a torrent more; the rest is left out, as other trackers do.
        count = min(len(body) // 20, SCRAPE_MAX)
        if not count or len(body) % 20:
            raise TrackerError(f"a scrape with {len(body)} bytes of info-hashes")
        return ScrapeQuery(
            connection, transaction, tuple(body[20 * at : 20 * at + 20] for at in range(count))
        )
    raise TrackerError(f"an unknown action {action}")


def _announce_query(connection: int, transaction: int, body: bytes) -> AnnounceQuery:
    if len(body) < _ANNOUNCE.size:
        raise TrackerError(f"an announce of {_REQUEST.size + len(body)} bytes")
    # The address field is not read: who could name another's address could aim a swarm at it.
    info_hash, peer_id, _, left_bytes, _, event, _, _, num_want, port = _ANNOUNCE.unpack_from(body)
    if event >= len(_EVENTS):
        raise TrackerError(f"an unknown event {event}")
    if not port:
        raise TrackerError("port must be a number from 1 to 65535")
    return AnnounceQuery(
        connection,
        transaction,
        info_hash,
        peer_id,
        port,
        left_bytes,
        _EVENTS[event],
        num_want if num_want >= 0 else None,
        _url_data(body[_ANNOUNCE.size :]),
    )


def _url_data(options: bytes) -> bytes:
    """What BEP 41's options say of the URL; options that are cut off or unknown end the reading."""
    found = b""
    at = 0
    while at < len(options):
        kind = options[at]
        at += 1
        if kind == _NOTHING:
            continue
        if kind == _END or at >= len(options):
            break
        length = options[at]
        value = options[at + 1 : at + 1 + length]
        at += 1 + length
        if len(value) < length:
            break
        if kind == _URL_DATA:
            found += value
    return found[:URL_DATA_MAX_BYTES]


# Our tracker's answers: what goes out.


def encode_connected(transaction: int, connection: int) -> bytes:
    """16 bytes, as long as the question."""
    return _ANSWER.pack(CONNECT, transaction) + _CONNECTED.pack(connection)


def encode_announced(
    transaction: int, *, interval_s: int, seeds: int, leechers: int, addresses: bytes
) -> bytes:
    """`addresses` are compact peers of the family over which the question came."""
    return _ANSWER.pack(ANNOUNCE, transaction) + _ANNOUNCED.pack(interval_s, leechers, seeds) + addresses


def encode_scraped(transaction: int, entries: Iterable[ScrapeEntry]) -> bytes:
    """One row an entry, in the order in which they were asked for."""
    rows = (_SCRAPED.pack(entry.seeds, entry.downloads, entry.leechers) for entry in entries)
    return _ANSWER.pack(SCRAPE, transaction) + b"".join(rows)


def encode_error(transaction: int, reason: str) -> bytes:
    """Why we refuse."""
    return _ANSWER.pack(ERROR, transaction) + reason.encode()
