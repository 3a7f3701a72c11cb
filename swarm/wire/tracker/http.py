"""The tracker protocol over HTTP, the peer's side: the URL that asks, the answer in bencode.

`http_server.py` is the tracker's side of the same.

Sources: BEP 3, 7 (`peers6`), 21 (`downloaders`), 23 (compact), 24 (external ip), 31 (`retry in`),
48 (scrape).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote

from swarm.base import bencode
from swarm.base.bencode import Value
from swarm.base.endpoint import (
    COMPACT_V4_BYTES,
    COMPACT_V6_BYTES,
    Endpoint,
    decode_compact_v4,
    decode_compact_v6,
    numeric_host,
    unpacked_host,
)
from swarm.base.errors import BencodeError, TrackerError
from swarm.base.ids import InfoHash
from swarm.wire.tracker.announce import (
    INTERVAL_DEFAULT_S,
    PEERS_MAX,
    TRACKER_ID_MAX_BYTES,
    AnnounceRequest,
    AnnounceResponse,
    ScrapeEntry,
    readable,
)

#: Bytes of an answer that we read: 170,000 compact peers, far more than anybody can use.
ANSWER_MAX_BYTES = 1 << 20
#: Values in an answer: 50,000 peers as dictionaries; reading more would hold up the event loop.
_ANSWER_MAX_VALUES = 250_000
#: The largest count shown of a swarm: what 32 bits (BEP 15) can carry.
_COUNT_MAX = (1 << 32) - 1

_HOST_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,252}[A-Za-z0-9_.])?")


# Our announces: what goes out.


def announce_url(url: str, request: AnnounceRequest) -> str:
    """The URL to GET; one that already has a query (a passkey) gets '&', not a second '?'.

    Source: BEP 3; bytes percent-coded as raw bytes, nothing of them is text.
    """
    fields = [
        ("info_hash", quote(bytes(request.info_hash), safe="")),
        ("peer_id", quote(bytes(request.peer_id), safe="")),
        ("port", str(request.port)),
        ("uploaded", str(request.uploaded_bytes)),
        ("downloaded", str(request.downloaded_bytes)),
        ("left", str(request.left_bytes)),
        ("compact", "1"),
        ("numwant", str(request.num_want)),
        ("key", f"{request.key:08X}"),
    ]
    if request.event is not None:
        fields.append(("event", request.event))
    if request.tracker_id is not None:
        fields.append(("trackerid", quote(request.tracker_id, safe="")))
    return _with_query(url, fields)


def scrape_url(announce_url: str) -> str | None:
    """The scrape URL by BEP 48's convention, None where the tracker does not follow it.

    The text after the last '/' must begin with "announce", also where that slash is in the query.
    """
    head, slash, tail = announce_url.rpartition("/")
    if not slash or not tail.startswith("announce"):
        return None
    return f"{head}/scrape{tail.removeprefix('announce')}"


def scrape_request_url(url: str, info_hashes: Iterable[InfoHash]) -> str:
    """The URL to GET for these swarms' numbers; `url` is what `scrape_url` gave."""
    return _with_query(url, [("info_hash", quote(bytes(info_hash), safe="")) for info_hash in info_hashes])


def _with_query(url: str, fields: Iterable[tuple[str, str]]) -> str:
    url = url.partition("#")[0]
    query = "&".join(f"{name}={value}" for name, value in fields)
    if "?" not in url:
        return f"{url}?{query}"
    return f"{url}{query}" if url.endswith(("?", "&")) else f"{url}&{query}"


# Their answers: what comes in.


def decode_announce(raw: bytes) -> AnnounceResponse:
    """Read a tracker's answer to an announce.

    Raises:
        TrackerError: it failed or refused (its reason, escaped), or this is no answer. Numbers that
            make no sense are left out; peers that cannot be dialled too.
    """
    answer = _answer(raw)
    peers, named = _peers(answer.get(b"peers", b""))
    compact_v6 = answer.get(b"peers6", b"")
    if isinstance(compact_v6, bytes):
        peers += decode_compact_v6(_whole(compact_v6, COMPACT_V6_BYTES, "peers6"))
    warning = answer.get(b"warning message")
    tracker_id = answer.get(b"tracker id")
    is_id = isinstance(tracker_id, bytes) and len(tracker_id) <= TRACKER_ID_MAX_BYTES
    interval_s = _count(answer, b"interval")
    return AnnounceResponse(
        interval_s=INTERVAL_DEFAULT_S if interval_s is None else interval_s,
        min_interval_s=_count(answer, b"min interval"),
        peers=tuple(peer for peer in peers[:PEERS_MAX] if peer.is_dialable),
        named_peers=tuple(named),
        seeds=_count(answer, b"complete"),
        leechers=_count(answer, b"incomplete"),
        warning=readable(warning) if isinstance(warning, bytes) and warning else None,
        tracker_id=tracker_id if is_id and isinstance(tracker_id, bytes) else None,
        external_ip=_external_ip(answer.get(b"external ip")),
    )


def decode_scrape(raw: bytes) -> dict[InfoHash, ScrapeEntry]:
    """Read a tracker's answer to a scrape; swarms that it does not know are not in it.

    Raises:
        TrackerError: as `decode_announce`.
    """
    files = _answer(raw).get(b"files")
    if not isinstance(files, dict):
        raise TrackerError("the answer has no list of torrents")
    return {
        InfoHash(info_hash): ScrapeEntry(
            seeds=_count(entry, b"complete") or 0,
            leechers=_count(entry, b"incomplete") or 0,
            downloads=_count(entry, b"downloaded") or 0,
            downloaders=_count(entry, b"downloaders"),
        )
        for info_hash, entry in files.items()
        if len(info_hash) == 20 and isinstance(entry, dict)
    }


def _answer(raw: bytes) -> dict[bytes, Value]:
    try:
        answer, end = bencode.decode_prefix(
            raw, max_bytes=2 * ANSWER_MAX_BYTES, max_values=_ANSWER_MAX_VALUES
        )
        # Some trackers are scripts that end their output with a newline.
        if raw[end:].strip():
            raise BencodeError("bytes after the end of the answer", end)
        if not isinstance(answer, dict):
            raise BencodeError("not a dictionary")
    except BencodeError as error:
        head = raw[:64].lstrip()
        if not head:
            raise TrackerError("an empty answer") from None
        if head.startswith(b"<"):
            raise TrackerError("HTML instead of bencode") from None
        raise TrackerError(f"not a tracker's answer: {error}") from None
    if b"failure reason" in answer:
        raise _failure(answer)
    return answer


def _failure(answer: Mapping[bytes, Value]) -> TrackerError:
    raw = answer[b"failure reason"]
    reason = readable(raw) if isinstance(raw, bytes) else ""
    retry_in = answer.get(b"retry in")
    # BEP 31: minutes as an integer or digits, or "never".
    is_final = retry_in == b"never"
    if isinstance(retry_in, bytes) and retry_in.isdigit() and len(retry_in) < 10:
        retry_in = int(retry_in)
    is_span = isinstance(retry_in, int) and 0 <= retry_in <= _COUNT_MAX
    retry_in_s = 60.0 * retry_in if is_span and isinstance(retry_in, int) else None
    return TrackerError(reason or "refused without a reason", retry_in_s=retry_in_s, is_final=is_final)


def _count(values: Mapping[bytes, Value], key: bytes) -> int | None:
    value = values.get(key)
    return min(value, _COUNT_MAX) if isinstance(value, int) and value >= 0 else None


def _whole(raw: bytes, entry_bytes: int, what: str) -> bytes:
    """The first `PEERS_MAX` entries of `raw`, which must be whole ones (as libtorrent has it)."""
    if len(raw) % entry_bytes:
        raise TrackerError(f"{what} of {len(raw)} bytes are no list of addresses")
    return raw[: PEERS_MAX * entry_bytes]


def _peers(value: Value) -> tuple[list[Endpoint], list[tuple[str, int]]]:
    if isinstance(value, bytes):
        return decode_compact_v4(_whole(value, COMPACT_V4_BYTES, "peers")), []
    peers: list[Endpoint] = []
    named: list[tuple[str, int]] = []
    for entry in value[:PEERS_MAX] if isinstance(value, list) else ():
        if not isinstance(entry, dict):
            continue
        raw_host, port = entry.get(b"ip"), entry.get(b"port")
        if not isinstance(raw_host, bytes) or not isinstance(port, int) or not 0 < port <= 65535:
            continue
        name = raw_host[:256].decode("latin-1")
        if "%" in name:
            # An address of one of somebody else's interfaces: the zone means nothing here.
            continue
        host = numeric_host(name)
        if host is not None:
            peers.append(Endpoint(host, port))
        elif _HOST_NAME.fullmatch(name):
            named.append((name, port))
    return peers, named


def _external_ip(value: Value | None) -> str | None:
    # BEP 24: the address as raw bytes, 4 or 16 of them.
    if isinstance(value, bytes) and len(value) in (4, 16):
        return unpacked_host(value)
    return None
