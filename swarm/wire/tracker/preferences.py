"""What a host says in the DNS about its trackers, and what that makes of a tracker's URL (BEP 34)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple
from urllib.parse import urlsplit, urlunsplit

#: Other URLs tried in the place of one that the host does not serve.
ALTERNATIVES_MAX = 3
#: Words of a record that are read; a record has at most 64 KiB.
_WORDS_MAX = 64


class Service(NamedTuple):
    """A tracker of a host: "udp" or "tcp" (which is HTTP or HTTPS), and its port."""

    protocol: str
    port: int


def decode_preferences(records: Iterable[str]) -> tuple[Service, ...] | None:
    """The trackers that a host says it runs, in the order in which it wants them used.

    Args:
        records: its TXT records.

    Returns:
        None where it says nothing of trackers; () where it says that it runs none. Unknown words are
        left out, so "BITTORRENT DENY ALL" is ().
    """
    found: dict[Service, None] | None = None
    for record in records:
        # BEP 34: "case-sensitive", "This should always be the first word in the record".
        first, *words = record.split(" ", _WORDS_MAX)[:_WORDS_MAX] or [""]
        if first != "BITTORRENT":
            continue
        found = {} if found is None else found
        for word in words:
            protocol, _, port = word.partition(":")
            is_port = port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) < 65536
            if protocol in ("UDP", "TCP") and is_port:
                found[Service(protocol.lower(), int(port))] = None
    return None if found is None else tuple(found)


def preferred_urls(url: str, services: Sequence[Service] | None) -> list[str]:
    """The URLs to ask in the place of `url`, in order; none where the host runs no tracker.

    Args:
        url: of a tracker, over http, https or udp, with a host.
        services: what `decode_preferences` found.

    Raises:
        ValueError: this is no such URL.
    """
    if services is None:
        return [url]
    parts = urlsplit(url)
    is_udp = parts.scheme == "udp"
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
    if Service("udp" if is_udp else "tcp", port) in services:
        return [url]
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    user = parts.netloc.rpartition("@")[0]
    found = []
    for service in services[:ALTERNATIVES_MAX]:
        # The record does not tell HTTP from HTTPS; what was asked for in secret stays so.
        over_tcp = "http" if is_udp else parts.scheme
        scheme = "udp" if service.protocol == "udp" else over_tcp
        netloc = f"{user}@{host}:{service.port}" if user and scheme != "udp" else f"{host}:{service.port}"
        found.append(urlunsplit((scheme, netloc, parts.path, parts.query, "")))
    return found
