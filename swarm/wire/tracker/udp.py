"""The tracker protocol over UDP, the peer's side: one datagram asks, one answers.

The source of a datagram is easily forged, so a peer first fetches a connection id, which only whoever
gets the tracker's answers can know. `udp_server.py` is the tracker's side of the same.

Sources: BEP 15 (also over IPv6: the family of the socket tells how long addresses are), BEP 41 (URL data).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from swarm.base.endpoint import COMPACT_V4_BYTES, COMPACT_V6_BYTES, decode_compact_v4, decode_compact_v6
from swarm.base.errors import TrackerError
from swarm.base.ids import InfoHash
from swarm.wire.tracker.announce import (
    PEERS_MAX,
    AnnounceRequest,
    AnnounceResponse,
    ScrapeEntry,
    readable,
)
from swarm.wire.tracker.udp_server import ANNOUNCE, CONNECT, CONNECT_MAGIC, ERROR, EVENTS, SCRAPE, SCRAPE_MAX

#: No datagram is longer.
DATAGRAM_MAX_BYTES = 65_535
#: URL data that goes into a request, which must still fit one packet; passkeys have 32 to 64 bytes.
URL_DATA_MAX_BYTES = 1024

_REQUEST = struct.Struct(">QII")
_ANNOUNCE = struct.Struct(">20s20sQQQIIIiH")
_ANSWER = struct.Struct(">II")
_CONNECTED = struct.Struct(">Q")
_ANNOUNCED = struct.Struct(">III")
_SCRAPED = struct.Struct(">III")

# BEP 41's options.
_OPTION_END, _OPTION_URL = 0, 2
_OPTION_MAX_BYTES = 255


# Our requests: what goes out.


def encode_connect(transaction: int) -> bytes:
    """Ask for a connection id; 16 bytes."""
    return CONNECT_MAGIC + _ANSWER.pack(CONNECT, transaction)


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
        # BEP 15 has no number for partial seeds, and a tracker may refuse one that it does not know.
        EVENTS.index(None if request.event == "paused" else request.event),
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
    return b"".join(bytes((_OPTION_URL, len(part))) + part for part in parts) + bytes((_OPTION_END,))


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
        interval_s=interval_s,
        peers=tuple(peer for peer in peers if peer.is_dialable),
        seeds=seeds,
        leechers=leechers,
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
