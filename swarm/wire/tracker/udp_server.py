"""The tracker protocol over UDP, the tracker's side: many datagrams read and answered at a time.

Datagrams lie in *slots* of one buffer, as `recvmmsg` leaves them; one C call takes the fields of all
of them apart. What lies behind a datagram's end in its slot is of no meaning: look at its length first.

Sources: BEP 15, BEP 41 (options).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

from swarm.wire.tracker.announce import Event, ScrapeEntry

#: A datagram and its place: 74 info-hashes to scrape need 1,496 bytes, options fill an Ethernet frame.
SLOT_BYTES = 2048
#: What a client writes where a connection id belongs while it has none.
CONNECT_MAGIC = (0x41727101980).to_bytes(8, "big")

CONNECT, ANNOUNCE, SCRAPE, ERROR = 0, 1, 2, 3

CONNECT_BYTES = 16
ANNOUNCE_BYTES = 98
SCRAPE_HEAD_BYTES = 16
#: Info-hashes in one scrape: BEP 15 "up to about 74 torrents".
SCRAPE_MAX = 74
#: Options read of one announce, and bytes of the URL in them: a passkey and its path.
OPTIONS_MAX = 16
URL_DATA_MAX = 512
#: Bytes of text in an error.
ERROR_TEXT_MAX = 200

#: BEP 15's numbers; 4 is what libtorrent sends for BEP 21's "paused".
EVENTS: tuple[Event | None, ...] = (None, "completed", "started", "stopped", "paused")

#: connection id, action, transaction id, info-hash, peer id, left, event, num_want, port; in other
#: requests the fields behind the transaction id are something else, or nothing.
Slot = tuple[bytes, int, bytes, bytes, bytes, int, int, int, bytes]

_SLOT = struct.Struct(f">8sI4s20s20s8xQ8xI4x4xi2s{SLOT_BYTES - ANNOUNCE_BYTES}x")
_COUNTS = struct.Struct(">III")
_COUNT_MAX = (1 << 32) - 1
_CONNECTED, _SCRAPED, _FAILED = (number.to_bytes(4, "big") for number in (CONNECT, SCRAPE, ERROR))

_OPTION_END, _OPTION_NOP, _OPTION_URL = 0, 1, 2


def read_slots(buffer: bytes | bytearray | memoryview) -> Iterator[Slot]:
    """Yield the fields of each slot of `buffer`, whose length is a multiple of `SLOT_BYTES`."""
    return _SLOT.iter_unpack(buffer)


def read_scrape(datagram: bytes | memoryview) -> list[bytes]:
    """The info-hashes of a scrape, at most `SCRAPE_MAX`; a tail that is none is ignored."""
    end = min(len(datagram), SCRAPE_HEAD_BYTES + 20 * SCRAPE_MAX)
    return [bytes(datagram[at : at + 20]) for at in range(SCRAPE_HEAD_BYTES, end - 19, 20)]


def read_url_data(options: bytes | memoryview) -> bytes:
    """Path and query of the announce URL out of BEP 41's options; what makes no sense ends the reading."""
    url = b""
    at = 0
    for _ in range(OPTIONS_MAX):
        if at >= len(options) or options[at] == _OPTION_END:
            break
        if options[at] == _OPTION_NOP:
            at += 1
            continue
        if at + 1 >= len(options) or at + 2 + options[at + 1] > len(options):
            break
        end = at + 2 + options[at + 1]
        if options[at] == _OPTION_URL:
            # BEP 41: longer data comes in several options, to be put together.
            url += options[at + 2 : end]
            if len(url) > URL_DATA_MAX:
                return url[:URL_DATA_MAX]
        at = end
    return url


def encode_connected(transaction: bytes, connection: bytes) -> bytes:
    """16 bytes, as many as were asked with: no forged source gets more than it seemed to send."""
    return _CONNECTED + transaction + connection


#: (ANNOUNCE, transaction id, interval in seconds, leechers, seeds) -> the head of an answer to an announce;
#: behind it come peers as the asker's own family has them, 6 or 18 bytes each.
announced_head = struct.Struct(">I4sIII").pack


def encode_announced(transaction: bytes, interval_s: int, leechers: int, seeds: int, peers: bytes) -> bytes:
    """An answer to an announce."""
    return announced_head(ANNOUNCE, transaction, interval_s, leechers, seeds) + peers


def encode_scraped(transaction: bytes, entries: Iterable[ScrapeEntry]) -> bytes:
    """An answer to a scrape, in the order in which was asked; unknown swarms are (0, 0, 0)."""
    return b"".join(
        [
            _SCRAPED,
            transaction,
            *(_COUNTS.pack(one.seeds, min(one.downloads, _COUNT_MAX), one.leechers) for one in entries),
        ]
    )


def encode_error(transaction: bytes, text: str) -> bytes:
    """A refusal with its reason."""
    return _FAILED + transaction + text.encode("utf-8", "replace")[:ERROR_TEXT_MAX]
