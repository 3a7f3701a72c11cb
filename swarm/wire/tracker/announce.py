"""What a peer and a tracker tell each other, whatever carries it (HTTP here, UDP as well)."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

from swarm.base.dataclass import dataclass
from swarm.base.endpoint import Endpoint
from swarm.base.ids import InfoHash, PeerId

#: "paused" is BEP 21's: a partial seed.
Event = Literal["started", "completed", "stopped", "paused"]

#: Peers asked for; transmission's number, and enough to fill our 55 connections.
NUM_WANT = 80
#: Where a tracker names no interval, or an impossible one: half an hour, the most common answer.
INTERVAL_DEFAULT_S = 1800
#: Peers taken from one answer: as many as one torrent's peer list holds.
PEERS_MAX = 2000
#: Characters kept of a reason or warning: two lines of a terminal.
TEXT_MAX_CHARS = 200
#: Bytes of a tracker id that we will send back in URLs; real ones have 8 to 40.
TRACKER_ID_MAX_BYTES = 256


@dataclass(frozen=True, slots=True)
class AnnounceRequest:
    """One announce of ours.

    Args:
        port: where we listen, 1-65535.
        uploaded_bytes, downloaded_bytes: since the `started` announce.
        left_bytes: of the torrent, wanted or not; 0 makes us a seed.
        event: None for a regular announce.
        num_want: peers asked for; 0 when we leave.
        key: 32 bits that prove to the tracker who we are when our address changes.
        tracker_id: what this tracker gave us in an earlier answer.

    Source: BEP 3 "Trackers", BEP 15.
    """

    info_hash: InfoHash
    peer_id: PeerId
    port: int
    uploaded_bytes: int
    downloaded_bytes: int
    left_bytes: int
    event: Event | None = None
    num_want: int = NUM_WANT
    key: int = 0
    tracker_id: bytes | None = None


@dataclass(frozen=True, slots=True)
class AnnounceResponse:
    """A tracker's answer, already bounded and fit for display.

    Args:
        interval_s: the tracker's wish as it stands; the announcer sets its own floor and ceiling.
        min_interval_s: None where none was given.
        peers: numeric addresses.
        named_peers: (host name, port) that somebody has to resolve first.
        seeds, leechers: None where the tracker does not count.
        warning: escaped text, None where there is none.
        external_ip: our address as the tracker sees it (BEP 24).
    """

    interval_s: int = INTERVAL_DEFAULT_S
    min_interval_s: int | None = None
    peers: tuple[Endpoint, ...] = ()
    named_peers: tuple[tuple[str, int], ...] = ()
    seeds: int | None = None
    leechers: int | None = None
    warning: str | None = None
    tracker_id: bytes | None = None
    external_ip: str | None = None


@dataclass(frozen=True, slots=True)
class ScrapeEntry:
    """A swarm in numbers.

    Args:
        leechers: who lacks something, partial seeds among them.
        downloads: completed ones since the tracker knows the torrent.
        downloaders: leechers that are no partial seeds (BEP 21); None where the tracker does not say.
    """

    seeds: int
    leechers: int
    downloads: int
    downloaders: int | None = None


def readable(raw: bytes, max_chars: int = TEXT_MAX_CHARS) -> str:
    """Text of a stranger as one line that cannot steer a terminal, cut at `max_chars`."""
    text = raw[: 4 * max_chars].decode("utf-8", "backslashreplace").strip()[:max_chars]
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text
    )


def tracker_name(url: str) -> str:
    """HOST[:PORT] of a tracker for messages; the path is left out, it may be somebody's passkey."""
    try:
        netloc = urlsplit(url).netloc.rpartition("@")[2]
    except ValueError:
        netloc = ""
    return readable((netloc or url).encode("utf-8", "backslashreplace"), max_chars=80)
