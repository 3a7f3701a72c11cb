"""The tracker's UDP side: batches of datagrams in, batches of answers out.

Whoever has not shown that its address is its own gets no more bytes than it sent; what is no request
at all gets silence.

Sources: BEP 15, BEP 41.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from swarm.base.dataclass import dataclass
from swarm.base.errors import TrackerError
from swarm.tracker.announce import Rules
from swarm.tracker.connection_ids import ConnectionIds
from swarm.tracker.datagrams import NAME_V4_BYTES, Batch, address_place, batches_of
from swarm.wire.tracker.announce import ScrapeEntry
from swarm.wire.tracker.udp_server import (
    ANNOUNCE,
    ANNOUNCE_BYTES,
    CONNECT,
    CONNECT_BYTES,
    CONNECT_MAGIC,
    EVENTS,
    SCRAPE,
    SCRAPE_HEAD_BYTES,
    SLOT_BYTES,
    Slot,
    announced_head,
    encode_connected,
    encode_error,
    encode_scraped,
    read_scrape,
    read_slots,
    read_url_data,
)

#: Peers in an answer, so that it fits one Ethernet frame: (1500 - 40 - 8 - 20) / 6 and / 18.
PEERS_V4_MAX, PEERS_V6_MAX = 200, 79
_NO_PORT = b"\0\0"
_EVENT_LAST = len(EVENTS) - 1
_UNKNOWN = ScrapeEntry(0, 0, 0)
#: Shorter than the shortest request that it answers, SCRAPE_HEAD_BYTES and one info-hash.
_BAD_CONNECTION = "connection id expired"


@dataclass(slots=True)
class UdpCounts:
    """What has come and gone since the start."""

    connects: int = 0
    announces: int = 0
    scrapes: int = 0
    errors: int = 0
    #: Too short, of no known action, or a connect without the magic number.
    ignored: int = 0
    #: Answers that the system did not take.
    lost: int = 0


class UdpFrontend:
    """Answers datagrams by the rules; all sockets of a tracker share one.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, rules: Rules, clock: Callable[[], float], ids: ConnectionIds) -> None:
        self.counts = UdpCounts()
        self._rules = rules
        self._clock = clock
        self._ids = ids
        # Found once, as they are asked for with every datagram.
        self._remembered = ids.remembered
        self._visit = rules.visit

    def answer(self, batch: Batch) -> tuple[list[bytes], list[bytes]]:
        """The answers to a batch, and the names that they go to."""
        if not batch.names:
            return [], []
        now = self._clock()
        self._ids.turn(now)
        names: list[bytes] = []
        answers: list[bytes] = []
        start = -SLOT_BYTES
        announces, seconds = 0, int(now)
        remembered, visit = self._remembered, self._visit
        where = address_place(batch.names[0])
        peers_max = PEERS_V4_MAX if len(batch.names[0]) == NAME_V4_BYTES else PEERS_V6_MAX
        is_strict = self._rules.admission.is_strict
        # Announces are answered here and not in a method of their own: there are 100,000 a second of them.
        for slot, length, name in zip(read_slots(batch.slots), batch.lengths, batch.names, strict=True):
            connection, action, transaction, info_hash, peer_id, left_bytes, event, num_want, port = slot
            start += SLOT_BYTES
            if action != ANNOUNCE or length < ANNOUNCE_BYTES:
                datagram = batch.slots[start : start + min(length, SLOT_BYTES)]
                answer = self._other(slot, datagram, name[where])
                if answer is None:
                    self.counts.ignored += 1
                    continue
            else:
                address = name[where]
                if connection != remembered.get(address) and not self._ids.is_good(connection, address):
                    answer = self._refused(transaction, _BAD_CONNECTION)
                else:
                    announces += 1
                    try:
                        if port == _NO_PORT or event > _EVENT_LAST or is_strict:
                            options = batch.slots[start + ANNOUNCE_BYTES : start + min(length, SLOT_BYTES)]
                            self._look_at(slot, options, address, seconds)
                        interval_s, seeds, leechers, near, _ = visit(
                            info_hash,
                            address + port,
                            peer_id,
                            left_bytes,
                            EVENTS[event],
                            # BEP 15: -1 is "as you like".
                            None if num_want < 0 else num_want if num_want < peers_max else peers_max,
                            seconds,
                            True,
                        )
                    except TrackerError as error:
                        answer = self._refused(transaction, error.reason)
                    else:
                        answer = announced_head(ANNOUNCE, transaction, interval_s, leechers, seeds) + near
            answers.append(answer)
            names.append(name)
        self.counts.announces += announces
        return names, answers

    def _look_at(self, slot: Slot, options: memoryview, address: bytes, now: int) -> None:
        """TrackerError for an announce that makes no sense, or of somebody who may not announce now.

        Args:
            options: what follows it (BEP 41), looked at only where it matters who asks.
        """
        *_, event, _, port = slot
        if port == _NO_PORT:
            raise TrackerError("port must be from 1 to 65535")
        if event > _EVENT_LAST:
            raise TrackerError("event is none of none, completed, started, stopped")
        if self._rules.admission.is_strict:
            self._rules.admit(_passkey(options), address, now)

    def _other(self, slot: Slot, datagram: memoryview, address: bytes) -> bytes | None:
        """The answer to a connect or a scrape; None for what is neither."""
        if slot[1] == CONNECT and len(datagram) >= CONNECT_BYTES and slot[0] == CONNECT_MAGIC:
            self.counts.connects += 1
            return encode_connected(slot[2], self._ids.give(address))
        if slot[1] == SCRAPE and len(datagram) >= SCRAPE_HEAD_BYTES + 20:
            return self._scrape(slot, datagram, address)
        return None

    def _scrape(self, slot: Slot, datagram: memoryview, address: bytes) -> bytes:
        if not self._ids.is_good(slot[0], address):
            return self._refused(slot[2], _BAD_CONNECTION)
        self.counts.scrapes += 1
        if self._rules.admission.passkeys is not None:
            # A scrape cannot carry one (BEP 41 has options for announces only).
            return self._refused(slot[2], "this tracker answers scrapes over HTTP only")
        info_hashes = read_scrape(datagram)
        known = self._rules.scrape(info_hashes)
        return encode_scraped(slot[2], [known.get(one, _UNKNOWN) for one in info_hashes])

    def _refused(self, transaction: bytes, why: str) -> bytes:
        self.counts.errors += 1
        return encode_error(transaction, why)


def _passkey(options: memoryview) -> bytes:
    """What stands before /announce in the URL that BEP 41's options carry."""
    return read_url_data(options).partition(b"?")[0][1:].rpartition(b"/")[0]


class UdpEndpoint:
    """One bound socket on the running loop, which it owns."""

    def __init__(self, frontend: UdpFrontend, bound: socket.socket) -> None:
        self._frontend = frontend
        self._socket = bound
        self._datagrams = batches_of(bound)
        self.host, self.port = bound.getsockname()[:2]
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(bound.fileno(), self._readable)

    @property
    def url(self) -> str:
        """The announce URL."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"udp://{host}:{self.port}/announce"

    def close(self) -> None:
        """Stop at once."""
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()

    def _readable(self) -> None:
        # One batch, then others get their turn; what is left makes the socket readable again.
        batch = self._datagrams.receive()
        if batch is None:
            return
        names, answers = self._frontend.answer(batch)
        if answers:
            self._frontend.counts.lost += len(answers) - self._datagrams.send(names, answers)
