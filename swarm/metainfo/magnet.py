"""Magnet links: a torrent's identity in one line (BEP 9, BEP 53)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import quote, unquote_plus, urlsplit

from swarm.base.endpoint import parse_host_port
from swarm.base.errors import MetainfoError
from swarm.base.ids import InfoHash

#: Longest link that is read; terminals and browsers pass about as much.
MAX_LINK_CHARS = 64 * 1024
#: Most trackers, web seeds, peers or nodes of one link; the rest is ignored.
MAX_ENTRIES = 500
#: Highest file index in a selection (BEP 53), so that `0-999999999` builds no list.
MAX_SELECTED_INDEX = 500_000

_SCHEME = "magnet:?"
_BTIH = "urn:btih:"
_BTMH = "urn:btmh:"
# Patterns are compiled at their first use: writing a link needs none.
_BAD_ESCAPE = "%(?![0-9a-fA-F]{2})"
_TRACKER_KEY = r"tr(\.[0-9]{1,9})?"
# What an address or a name of a peer or node is made of.
_HOST = r"[0-9A-Za-z.:_-]{1,255}"
_TRACKER_SCHEMES = ("http", "https", "udp")
_SELECTION = r"([0-9]{1,9})(?:-([0-9]{1,9}))?"


class Magnet(NamedTuple):
    """What a magnet link says.

    Args:
        name: as written, not safe as a path; "" where it has none.
        trackers: each a tier of its own.
        peers: (host, port) to try at once (`x.pe`).
        dht_nodes: (host, port) of DHT nodes.
        selected: indices of the files wanted (BEP 53), ascending; () where all are.
        total_bytes: `xl`, None where it has none.
    """

    info_hash: InfoHash
    name: str = ""
    trackers: tuple[str, ...] = ()
    web_seeds: tuple[str, ...] = ()
    peers: tuple[tuple[str, int], ...] = ()
    dht_nodes: tuple[tuple[str, int], ...] = ()
    selected: tuple[int, ...] = ()
    total_bytes: int | None = None


def make(
    info_hash: InfoHash,
    *,
    name: str = "",
    trackers: Iterable[str] = (),
    web_seeds: Iterable[str] = (),
    peers: Iterable[tuple[str, int]] = (),
) -> str:
    """Write a magnet link."""
    fields = [f"xt={_BTIH}{info_hash.hex()}"]
    if name:
        fields.append(f"dn={quote(name, safe='', errors='replace')}")
    fields += [f"tr={quote(url, safe='', errors='replace')}" for url in trackers]
    fields += [f"ws={quote(url, safe='', errors='replace')}" for url in web_seeds]
    fields += [f"x.pe=[{host}]:{port}" if ":" in host else f"x.pe={host}:{port}" for host, port in peers]
    return _SCHEME + "&".join(fields)


def is_link(text: str) -> bool:
    """Is it meant as a magnet link? Whether it is a valid one, `parse` tells."""
    return text[:7].lower() == "magnet:"


def parse(link: str) -> Magnet:
    """Read a magnet link; what is not understood in it is passed over.

    Raises:
        MetainfoError: no magnet link, or none with an info-hash of v1.
    """
    if len(link) > MAX_LINK_CHARS:
        raise MetainfoError(f"a magnet link of {len(link)} characters is more than {MAX_LINK_CHARS}")
    if not link[: len(_SCHEME)].lower() == _SCHEME:
        raise MetainfoError(f"not a magnet link: {link[:80]!r}")
    fields = _fields(link[len(_SCHEME) :])
    trackers = [url for key, url in fields if re.fullmatch(_TRACKER_KEY, key) and _is_tracker(url)]
    names = [text for key, text in fields if key == "dn"]
    lengths = [int(text) for key, text in fields if key == "xl" and re.fullmatch(r"[0-9]{1,18}", text)]
    return Magnet(
        info_hash=_info_hash([text for key, text in fields if key == "xt"]),
        name=names[0] if names else "",
        trackers=_distinct(trackers),
        web_seeds=_distinct(url for key, url in fields if key == "ws" and url),
        peers=_endpoints(text for key, text in fields if key == "x.pe"),
        dht_nodes=_endpoints(text for key, text in fields if key == "dht"),
        selected=_selection(text for key, text in fields if key == "so"),
        total_bytes=lengths[0] if lengths else None,
    )


def _fields(query: str) -> list[tuple[str, str]]:
    """Keys in lower case and their values, in order, unescaped."""
    fields = []
    for field in query.split("&"):
        key, equals, value = field.partition("=")
        if not equals:
            continue
        if key.lower() in ("xt", "xs") and re.search(_BAD_ESCAPE, value):
            raise MetainfoError(f"an escape in the magnet link is not valid: {value[:80]!r}")
        fields.append((key.lower(), unquote_plus(value)))
    return fields


def _info_hash(topics: list[str]) -> InfoHash:
    """The info-hash of v1 among the exact topics (BEP 9); others (ed2k, tiger) are not ours."""
    for topic in topics:
        if topic[: len(_BTIH)].lower() == _BTIH:
            return InfoHash.parse(topic[len(_BTIH) :])
    if any(topic[: len(_BTMH)].lower() == _BTMH for topic in topics):
        raise MetainfoError("a magnet link of BitTorrent v2 only; v1 and hybrid links are read so far")
    raise MetainfoError("the magnet link has no info-hash (xt=urn:btih:...)")


def _is_tracker(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in _TRACKER_SCHEMES and bool(parts.netloc)


def _distinct(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(texts))[:MAX_ENTRIES]


def _endpoints(texts: Iterable[str]) -> tuple[tuple[str, int], ...]:
    """Addresses and host names with a port; what is neither is passed over."""
    pairs: list[tuple[str, int]] = []
    for text in texts:
        try:
            pairs.append(parse_host_port(text))
        except ValueError:
            continue
    return valid_endpoints(pairs)


def valid_endpoints(pairs: Iterable[tuple[str, int]]) -> tuple[tuple[str, int], ...]:
    """Those that can be an address or a host name and its port, each once, up to `MAX_ENTRIES`."""
    found = {(host, port): None for host, port in pairs if 0 < port < 65536 and re.fullmatch(_HOST, host)}
    return tuple(found)[:MAX_ENTRIES]


def _selection(texts: Iterable[str]) -> tuple[int, ...]:
    """BEP 53: `0,2,4-6`; parts that make no sense are passed over."""
    runs: list[tuple[int, int]] = []
    for text in texts:
        for part in text.split(","):
            match = re.fullmatch(_SELECTION, part)
            if match is None:
                continue
            first = int(match[1])
            last = int(match[2] or match[1])
            if first <= last <= MAX_SELECTED_INDEX:
                runs.append((first, last))
    chosen: list[int] = []
    for first, last in sorted(runs):
        # Each index once: a link has room for thousands of runs that all say everything.
        chosen += range(max(first, chosen[-1] + 1) if chosen else first, last + 1)
    return tuple(chosen)
