"""The peers of a swarm back to back: found, drawn at random and taken out without a gap.

A random run of them is an answer already. Seeds come first and partial seeds next, so that "who downloads"
is a run too.
"""

from __future__ import annotations

import struct
from array import array

from swarm.tracker.store import DOWNLOADER, PARTIAL_SEED, SEED, Kind, Randomness

#: Peers of one family from which on they are found through a dictionary: below, searching some hundred
#: bytes costs no more, and a dictionary takes 150 bytes a peer.
INDEX_ABOVE = 64
#: Of so many peers all are copied for a pick that wants some of them; more would cost more than it saves.
COPIED_MAX = 256

PEER_ID_BYTES = 20
_PEER_ID = struct.Struct(f"{PEER_ID_BYTES}s")
#: The port of a compact address, by its length.
_PORT = {6: struct.Struct("4x2s"), 18: struct.Struct("16x2s")}


class Row:
    """The peers of one swarm of one address family without gaps: seeds, partial seeds, downloaders."""

    __slots__ = (
        "addresses",
        "done_count",
        "oldest_at",
        "peer_ids",
        "places",
        "seed_count",
        "seen_at",
        "twice",
        "width",
    )

    def __init__(self, width: int) -> None:
        self.width = width
        self.addresses = bytearray()
        #: `addresses` twice, as picks cut them up (slices of bytes cost half of those of a bytearray); None
        #: from a change to the next pick that needs it. Kept neither in large rows nor in small ones, of
        #: which there are a million.
        self.twice: bytes | None = None
        self.peer_ids = bytearray()
        #: Whole seconds; below zero for before this machine was started, where its clock begins.
        self.seen_at = array("i")
        self.seed_count = 0
        #: Seeds and partial seeds.
        self.done_count = 0
        #: Before this instant nobody here was seen; a bound, not the very instant. Of rows that take
        #: several looks it stays as it is, since peers may move between looks.
        self.oldest_at = 0
        #: compact address -> index, in large rows only.
        self.places: dict[bytes, int] | None = None

    def __len__(self) -> int:
        return len(self.seen_at)

    def find(self, peer: bytes) -> int:
        """Its index, or -1."""
        if self.places is not None:
            return self.places.get(peer, -1)
        at = self.addresses.find(peer)
        width = self.width
        while at > 0 and at % width:
            # Found across the border of two addresses: on from that border.
            at = self.addresses.find(peer, at - at % width + width)
        return at // width

    def find_twin(self, peer_id: bytes, port: bytes) -> int:
        """The index here of the peer with this id and port, or -1.

        Asked of the row of the other family, it finds a peer's second address (BEP 7).
        """
        at = self.peer_ids.find(peer_id)
        while at >= 0:
            place, rest = divmod(at, PEER_ID_BYTES)
            if not rest and self._peer(place).endswith(port):
                return place
            at = self.peer_ids.find(peer_id, (place + 1) * PEER_ID_BYTES)
        return -1

    def add(self, peer: bytes, peer_id: bytes, kind: Kind, now: int, rng: Randomness) -> int:
        """Take in a peer that is not there yet; returns its index.

        Anywhere among its kind, so that a run of neighbours is a sample of the swarm: those who came at the
        same time know the same others, and have no place left for one to whom only they are named.
        """
        at = len(self.seen_at)
        # Restored peers come in any order.
        if not at or now < self.oldest_at:
            self.oldest_at = now
        self.addresses += peer
        self.twice = None
        self.peer_ids += peer_id
        self.seen_at.append(now)
        if self.places is not None:
            self.places[peer] = at
        elif at >= INDEX_ABOVE:
            self.places = {self._peer(index): index for index in range(at + 1)}
        at = self.turn(at, kind)
        if kind == SEED:
            start, end = 0, self.seed_count
        elif kind == PARTIAL_SEED:
            start, end = self.seed_count, self.done_count
        else:
            start, end = self.done_count, len(self.seen_at)
        place = start + int(rng.random() * (end - start))
        self._swap(at, place)
        return place

    def turn(self, at: int, kind: Kind) -> int:
        """Make the peer at `at` one of this kind; returns its new index."""
        # Over one border at a time: who stands there takes its place.
        if kind != DOWNLOADER and at >= self.done_count:
            at = self._swap(at, self.done_count)
            self.done_count += 1
        if kind == SEED and at >= self.seed_count:
            at = self._swap(at, self.seed_count)
            self.seed_count += 1
        if kind != SEED and at < self.seed_count:
            self.seed_count -= 1
            at = self._swap(at, self.seed_count)
        if kind == DOWNLOADER and at < self.done_count:
            self.done_count -= 1
            at = self._swap(at, self.done_count)
        return at

    def remove(self, at: int) -> None:
        """Take out the peer at `at`, and let others fill the gap."""
        at = self.turn(at, DOWNLOADER)
        last = len(self.seen_at) - 1
        self._swap(at, last)
        if self.places is not None:
            del self.places[self._peer(last)]
            if last <= INDEX_ABOVE // 2:
                self.places = None
        del self.addresses[last * self.width :]
        self.twice = None
        del self.peer_ids[last * PEER_ID_BYTES :]
        self.seen_at.pop()

    def names(self, start: int, end: int) -> list[tuple[bytes, Kind]]:
        """Peer id with port, and kind, of those from `start` to `end`: a peer's are the same in both rows."""
        end, width = min(end, len(self.seen_at)), self.width
        peer_ids = _PEER_ID.iter_unpack(self.peer_ids[start * PEER_ID_BYTES : end * PEER_ID_BYTES])
        ports = _PORT[width].iter_unpack(self.addresses[start * width : end * width])
        seeds, done = self.seed_count, self.done_count
        return [
            (peer_id + port, DOWNLOADER if at >= done else SEED if at < seeds else PARTIAL_SEED)
            for at, (peer_id,), (port,) in zip(range(start, end), peer_ids, ports, strict=True)
        ]

    def peer_id(self, at: int) -> bytes:
        return bytes(self.peer_ids[at * PEER_ID_BYTES : (at + 1) * PEER_ID_BYTES])

    def _peer(self, at: int) -> bytes:
        return bytes(self.addresses[at * self.width : (at + 1) * self.width])

    def _swap(self, one: int, other: int) -> int:
        """Let two peers change places; returns `other`."""
        if one == other:
            return other
        self.twice = None
        for row, width in ((self.addresses, self.width), (self.peer_ids, PEER_ID_BYTES)):
            i, j = one * width, other * width
            row[i : i + width], row[j : j + width] = row[j : j + width], row[i : i + width]
        seen_at = self.seen_at
        seen_at[one], seen_at[other] = seen_at[other], seen_at[one]
        if self.places is not None:
            self.places[self._peer(one)] = one
            self.places[self._peer(other)] = other
        return other

    def pick(self, start: int, end: int, count: int, asker: int, rng: Randomness) -> bytes:
        """`count` random peers of [start, end), or all if there are fewer, never the one at `asker`.

        Two runs in random places of that part closed to a ring: every peer is as likely as any other, at
        the price of a random number. Source: aquatic's tracker picks likewise.
        """
        if not count:
            return b""
        width = self.width
        is_among = start <= asker < end
        others = end - start - is_among
        if count >= others:
            addresses = self.addresses
            if is_among:
                return b"".join(
                    (addresses[start * width : asker * width], addresses[(asker + 1) * width : end * width])
                )
            return bytes(addresses[start * width : end * width])
        # Where the first run begins, and how many peers lie between its end and the second.
        drawn = int(rng.random() * (others * (others - count + 1)))
        gap = drawn // others
        one = drawn - gap * others
        first = count // 2
        other = one + first + gap
        last = other + count - first
        if others > COPIED_MAX:
            # The others as a line that begins behind the asker and is closed to a ring without it.
            ring = (start, end, asker + 1 if is_among else start, others)
            return self._run(ring, one, first) + self._run(ring, other % others, count - first)
        twice = self.twice
        if twice is None:
            twice = bytes(self.addresses) * 2
            if self.places is not None:
                self.twice = twice
        if not is_among:
            line = twice[start * width : end * width]
        elif end - start == len(self.seen_at):
            line = twice[(asker + 1) * width : (asker + 1 + others) * width]
        else:
            line = twice[start * width : asker * width] + twice[(asker + 1) * width : end * width]
        if last > others:
            line += line
        return line[one * width : (one + first) * width] + line[other * width : last * width]

    def _run(self, ring: tuple[int, int, int, int], at: int, length: int) -> bytes:
        """`length` peers of a ring from its place `at` on.

        Args:
            ring: start and end of the part of the row that is closed to a ring, the index of the ring's place
                0, and how many places it has. An asker in that part has none: it stands just before place 0.
        """
        start, end, base, others = ring
        if at + length > others:
            seam = others - at
            return self._run(ring, at, seam) + self._run(ring, 0, length - seam)
        width, addresses = self.width, self.addresses
        at += base
        if at >= end:
            at -= end - start
        upto = at + length
        if upto <= end:
            return bytes(addresses[at * width : upto * width])
        rest = start + upto - end
        return bytes(addresses[at * width : end * width] + addresses[start * width : rest * width])
