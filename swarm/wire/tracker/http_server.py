"""The tracker protocol over HTTP, the tracker's side: the query that asks, the answer in bencode.

Sources: BEP 3, 7 (`peers6`), 21 (partial seeds), 23 (compact), 24 (external ip), 31 (`retry in`),
48 (scrape).
"""

from __future__ import annotations

import binascii
import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from swarm.base import bencode
from swarm.base.endpoint import Endpoint, unmapped
from swarm.base.errors import TrackerError
from swarm.wire.tracker.announce import Event, ScrapeEntry

#: Info-hashes in one scrape; BEP 15 sets 74 for UDP, and URLs of more than 4 KiB meet limits.
SCRAPE_MAX = 64
#: Read of X-Forwarded-For, from its end: 40 addresses; who sends more hides something.
FORWARDED_MAX_BYTES = 1600
#: Numbers in a query: sums of bytes are at most 64 bits.
_NUMBER_MAX = (1 << 64) - 1
#: Info-hashes remembered as they were written, some 250 bytes each: the same ones come all the time.
_REMEMBERED = 1 << 16


# Their announces: what comes in. This is the hot path of the tracker.


class AnnounceQuery(NamedTuple):
    """An announce as our tracker sees it; the address comes from the socket, not from here.

    Args:
        info_hash, peer_id: 20 bytes each.
        left_bytes: None where it was not said.
        num_want: None where it was not said.
        is_compact: BEP 23; only compact=0 asks for dictionaries.
        wants_peer_ids: in dictionaries; no_peer_id=1 does without.
        address: what `ip` says, 4 or 16 bytes, empty where it says nothing of the kind. To be believed of a
            proxy of ours only: who could name another's address could aim a swarm at it.
    """

    info_hash: bytes
    peer_id: bytes
    port: int
    left_bytes: int | None
    event: Event | None
    num_want: int | None
    is_compact: bool
    wants_peer_ids: bool
    address: bytes = b""


_EVENTS: dict[bytes | None, Event | None] = {
    None: None,
    b"": None,
    b"empty": None,
    # BEP 21: a partial seed.
    b"paused": "paused",
    b"started": "started",
    b"completed": "completed",
    b"stopped": "stopped",
}
#: Fields that decide something: coming twice, they could mean two things.
_ONCE = frozenset((b"info_hash", b"peer_id", b"port", b"left", b"event", b"numwant", b"compact"))
_ESCAPES = {
    (high + low).encode(): bytes.fromhex(high + low)
    for high in "0123456789abcdefABCDEF"
    for low in "0123456789abcdefABCDEF"
}


#: Announces as libtorrent, transmission, aria2 and we write them: these fields first, then others in any
#: order. It takes less than the strict reader does, never more: what it does not match is left to that one.
_USUAL = re.compile(
    rb"""info_hash=([^&]{20,60}) &peer_id=([^&]{20,60}) (?:&port=(\d{1,5}))?
    &uploaded=\d{1,19} &downloaded=\d{1,19} &left=(\d{1,19})
    (?:&(?: compact=1 (?!.*&compact=)
        | numwant=(\d{1,19}) (?!.*&numwant=)
        | event=([a-z]*) (?!.*&event=)
        | port=(\d{1,5}) (?!.*&port=)
        | no_peer_id=(1)
        | (?:key|corrupt|redundant|supportcrypto|requirecrypto|trackerid)=[^&]*
    ))*""",
    re.VERBOSE | re.DOTALL,
).fullmatch


def parse_announce_query(query: bytes) -> AnnounceQuery:
    """Read what follows '?' in an announce to us.

    `ipv4` and `ipv6` are not read; `key`, `trackerid` and what else there is decide nothing here.

    Raises:
        TrackerError: a field is missing, given twice or makes no sense; says which.
    """
    if (usual := _USUAL(query)) is not None:
        quoted, peer_id, port, left, num_want, event, later_port, no_peer_id = usual.groups()
        info_hash, peer_id, number = _info_hash(quoted), unquoted(peer_id), int(port or later_port or 0)
        if (
            info_hash is not None
            and peer_id is not None
            and len(peer_id) == 20
            and event in _EVENTS
            and 0 < number <= 65535
            and (port is None or later_port is None)
        ):
            return AnnounceQuery(
                info_hash,
                peer_id,
                number,
                int(left),
                _EVENTS[event],
                None if num_want is None else int(num_want),
                True,
                no_peer_id is None,
            )
    return parse_any_announce_query(query)


@lru_cache(_REMEMBERED)
def _info_hash(quoted: bytes) -> bytes | None:
    raw = unquoted(quoted)
    return raw if raw is not None and len(raw) == 20 else None


def parse_any_announce_query(query: bytes) -> AnnounceQuery:
    """`parse_announce_query` for fields in any order, which says what is wrong."""
    pairs = [item.partition(b"=") for item in query.split(b"&")]
    fields = {name: value for name, _, value in pairs}
    if len(fields) != len(pairs):
        _refuse_doubled([name for name, _, _ in pairs])
    event = fields.get(b"event")
    if event not in _EVENTS:
        raise TrackerError("event is none of started, completed, stopped")
    port = _number(fields, b"port", 65535)
    if not port:
        raise TrackerError("port must be a number from 1 to 65535")
    _number(fields, b"uploaded", _NUMBER_MAX)
    _number(fields, b"downloaded", _NUMBER_MAX)
    # BEP 15 writes "as you like" as -1, and some send that over HTTP too.
    num_want = None if fields.get(b"numwant") == b"-1" else _number(fields, b"numwant", _NUMBER_MAX)
    return AnnounceQuery(
        info_hash=_twenty_bytes(fields, b"info_hash"),
        peer_id=_twenty_bytes(fields, b"peer_id"),
        port=port,
        left_bytes=_number(fields, b"left", _NUMBER_MAX),
        event=_EVENTS[event],
        num_want=num_want,
        is_compact=fields.get(b"compact") != b"0",
        wants_peer_ids=fields.get(b"no_peer_id") != b"1",
        address=_packed(unquoted(fields[b"ip"]) or b"") if b"ip" in fields else b"",
    )


def parse_forwarded_for(value: bytes) -> list[bytes]:
    """The addresses of X-Forwarded-For, 4 or 16 bytes each, the nearest last; what is none is left out.

    Some proxies write ports too: `192.0.2.1:80`, `[2001:db8::1]:80`.
    """
    found = []
    for item in value[-FORWARDED_MAX_BYTES:].split(b","):
        text = item.strip().removeprefix(b"for=").strip(b'"')
        if text.startswith(b"["):
            text = text[1:].partition(b"]")[0]
        elif text.count(b":") == 1:
            text = text.partition(b":")[0]
        if address := _packed(text):
            found.append(address)
    return found


def _packed(text: bytes) -> bytes:
    """A numeric address as 4 or 16 bytes, IPv4 for a mapped one; empty if it is none."""
    if len(text) > 45:
        return b""
    try:
        address = ipaddress.ip_address(text.decode("ascii"))
    except ValueError:
        return b""
    return unmapped(address).packed


def parse_scrape_query(query: bytes) -> list[bytes]:
    """Read the info-hashes after '?' in a scrape of us: one to `SCRAPE_MAX`, each of 20 bytes.

    Raises:
        TrackerError: none, too many, or one is not an info-hash.
    """
    values = [item[10:] for item in query.split(b"&") if item.startswith(b"info_hash=")]
    if not values:
        raise TrackerError("info_hash is missing; this tracker gives no list of everything")
    if len(values) > SCRAPE_MAX:
        raise TrackerError(f"at most {SCRAPE_MAX} torrents in one scrape")
    return [_twenty_bytes({b"info_hash": value}, b"info_hash") for value in values]


def _refuse_doubled(names: Sequence[bytes]) -> None:
    for name in sorted(_ONCE):
        if names.count(name) > 1:
            raise TrackerError(f"{name.decode()} was given twice")


def _number(fields: Mapping[bytes, bytes], name: bytes, most: int) -> int | None:
    value = fields.get(name)
    if not value:
        return None
    # bytes.isdigit knows ASCII only; the length keeps int() from quadratic work.
    if value.isdigit() and len(value) <= 20 and (number := int(value)) <= most:
        return number
    raise TrackerError(f"{name.decode()} is not a number from 0 to {most}")


def _twenty_bytes(fields: Mapping[bytes, bytes], name: bytes) -> bytes:
    value = fields.get(name)
    if value is None:
        raise TrackerError(f"{name.decode()} is missing")
    raw = unquoted(value)
    if raw is None:
        raise TrackerError(f"{name.decode()} is not percent-coded")
    if len(raw) != 20:
        raise TrackerError(f"{name.decode()} has {len(raw)} bytes, not 20")
    return raw


def unquoted(value: bytes) -> bytes | None:
    """Undo percent-coding ('+' stays: these are bytes, not a form); None if it is not such."""
    if b"%" not in value:
        return value
    if b"=" in value or b"\r" in value or b"\n" in value:
        # Signs that mean something in quoted-printable, and that no client leaves as they are.
        head, *parts = value.split(b"%")
        try:
            return head + b"".join([_ESCAPES[part[:2]] + part[2:] for part in parts])
        except KeyError:
            return None
    # Percent-coding is quoted-printable with another sign, and that the standard library has in C. Each
    # escape makes three bytes one; one that is none would leave them, so the length tells.
    raw = binascii.a2b_qp(value.replace(b"%", b"="))
    return raw if len(raw) == len(value) - 2 * value.count(b"%") else None


# Our answers: what goes out.


def encode_announce(
    *,
    interval_s: int,
    min_interval_s: int,
    seeds: int,
    leechers: int,
    compact_v4: bytes = b"",
    compact_v6: bytes = b"",
    external_ip: bytes = b"",
    warning: bytes = b"",
) -> bytes:
    """An answer to an announce, compact; written by hand for speed, and a test compares with `bencode`.

    Args:
        compact_v4, compact_v6: entries of 6 and 18 bytes (BEP 23, BEP 7).
        external_ip: the asker's address, 4 or 16 bytes (BEP 24).
        warning: shown to the user, who is served all the same (BEP 3 "warning message").
    """
    end = b"15:warning message%d:%se" % (len(warning), warning) if warning else b"e"
    return (
        b"d8:completei%de11:external ip%d:%s10:incompletei%de8:intervali%de12:min intervali%de5:peers%d:"
        % (seeds, len(external_ip), external_ip, leechers, interval_s, min_interval_s, len(compact_v4))
        + compact_v4
        + (b"6:peers6%d:%s" % (len(compact_v6), compact_v6) if compact_v6 else b"")
        + end
    )


def encode_announce_dictionaries(
    *,
    interval_s: int,
    min_interval_s: int,
    seeds: int,
    leechers: int,
    peers: Iterable[tuple[Endpoint, bytes | None]],
    external_ip: bytes = b"",
    warning: bytes = b"",
) -> bytes:
    """An answer to an announce in BEP 3's form: a dictionary a peer, with its peer id unless None.

    The rest is as in `encode_announce`, by hand too: anybody may ask for this form as often as for the other.
    """
    head = b"d8:completei%de11:external ip%d:%s10:incompletei%de8:intervali%de12:min intervali%de5:peersl" % (
        seeds, len(external_ip), external_ip, leechers, interval_s, min_interval_s,
    )  # fmt: skip
    entries = [
        b"d2:ip%d:%s%s4:porti%dee"
        % (
            len(host),
            host.encode(),
            b"" if peer_id is None else b"7:peer id%d:%s" % (len(peer_id), peer_id),
            port,
        )
        for (host, port), peer_id in peers
    ]
    end = b"e15:warning message%d:%se" % (len(warning), warning) if warning else b"ee"
    return head + b"".join(entries) + end


def encode_scrape(entries: Mapping[bytes, ScrapeEntry]) -> bytes:
    """An answer to a scrape (BEP 48, 21): info-hash -> numbers."""
    files: dict[bytes, bencode.Encodable] = {
        bytes(info_hash): {
            b"complete": entry.seeds,
            b"downloaded": entry.downloads,
            **({} if entry.downloaders is None else {b"downloaders": entry.downloaders}),
            b"incomplete": entry.leechers,
        }
        for info_hash, entry in entries.items()
    }
    return bencode.encode({b"files": files})


def encode_failure(error: TrackerError) -> bytes:
    """An answer that refuses, with the reason and when to try again (BEP 31)."""
    answer: dict[bytes, bencode.Encodable] = {b"failure reason": error.reason}
    if error.is_final:
        answer[b"retry in"] = "never"
    elif error.retry_in_s is not None:
        answer[b"retry in"] = max(1, round(error.retry_in_s / 60))
    return bencode.encode(answer)
