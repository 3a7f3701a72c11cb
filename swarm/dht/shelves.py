"""A dictionary of swarms by info-hash, in which swarms of one peer, as most are, take little memory.

An entry of a dict with two byte strings costs some 150 bytes, many times what a lone peer needs. So swarms of
one peer are kept as records (the info-hash, then the peer's entry) in 256 byte strings, the shelves, by the
last byte of the info-hash. To find a record is to search its shelf, to change it is to copy the shelf: 2 KB
where 20,000 are stored, and 600 KB at worst, where somebody has filled one shelf alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

_HASH_BYTES = 20


class Swarms:
    """Swarms by info-hash (20 bytes).

    Args:
        entry_bytes: the size of one peer's entry; a swarm is one or more of them, in one byte string.
    """

    __slots__ = ("_entry_bytes", "_lone_count", "_record_bytes", "_shared", "_shelves")

    def __init__(self, entry_bytes: int) -> None:
        self._entry_bytes = entry_bytes
        self._record_bytes = _HASH_BYTES + entry_bytes
        #: Swarms of one peer: the last byte of the info-hash -> its shelf, in no order.
        self._shelves: dict[int, bytes] = {}
        self._lone_count = 0
        #: Swarms of more than one peer.
        self._shared: dict[bytes, bytes] = {}

    def __len__(self) -> int:
        return self._lone_count + len(self._shared)

    def __contains__(self, info_hash: bytes) -> bool:
        return info_hash in self._shared or self._find(info_hash) >= 0

    def __iter__(self) -> Iterator[bytes]:
        """All info-hashes; nothing may be changed meanwhile."""
        for info_hash, _ in self.items():
            yield info_hash

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """All (info-hash, swarm); nothing may be changed meanwhile."""
        for shelf in self._shelves.values():
            for at in range(0, len(shelf), self._record_bytes):
                yield shelf[at : at + _HASH_BYTES], shelf[at + _HASH_BYTES : at + self._record_bytes]
        yield from self._shared.items()

    def get(self, info_hash: bytes) -> bytes:
        """The swarm of `info_hash`; empty where there is none."""
        swarm = self._shared.get(info_hash)
        if swarm is not None:
            return swarm
        at = self._find(info_hash)
        return b"" if at < 0 else self._shelves[info_hash[-1]][at + _HASH_BYTES : at + self._record_bytes]

    def put(self, info_hash: bytes, swarm: bytes) -> None:
        """Make `swarm` that of `info_hash`; an empty one removes it."""
        if len(swarm) > self._entry_bytes:
            if info_hash not in self._shared:
                self._replace(info_hash, b"")
            self._shared[info_hash] = swarm
        else:
            self._shared.pop(info_hash, None)
            self._replace(info_hash, info_hash + swarm if swarm else b"")

    def forget_lone(self, is_old: Callable[[bytes], bool]) -> int:
        """Remove the swarms of one peer whose entry `is_old`; returns how many.

        Removed one by one they would cost the square of their number, if one shelf held them all.
        """
        count_before = self._lone_count
        for number, shelf in list(self._shelves.items()):
            records = (shelf[at : at + self._record_bytes] for at in range(0, len(shelf), self._record_bytes))
            kept = b"".join(record for record in records if not is_old(record[_HASH_BYTES:]))
            self._lone_count -= (len(shelf) - len(kept)) // self._record_bytes
            self._shelve(number, kept)
        return count_before - self._lone_count

    def shared(self) -> list[bytes]:
        """The info-hashes of swarms of more than one peer."""
        return list(self._shared)

    def _find(self, info_hash: bytes) -> int:
        """Where the record of `info_hash` begins on its shelf; -1 where there is none."""
        shelf = self._shelves.get(info_hash[-1], b"")
        at = shelf.find(info_hash)
        while at >= 0 and at % self._record_bytes:
            # Found across two records, where the same bytes stand by chance, or by somebody's design.
            at = shelf.find(info_hash, at + 1)
        return at

    def _replace(self, info_hash: bytes, record: bytes) -> None:
        """Put `record` in the place of the record of `info_hash`; either of them may be missing."""
        number = info_hash[-1]
        shelf = self._shelves.get(number, b"")
        at = self._find(info_hash)
        if at < 0:
            self._shelve(number, shelf + record)
        else:
            self._shelve(number, shelf[:at] + record + shelf[at + self._record_bytes :])
        self._lone_count += bool(record) - (at >= 0)

    def _shelve(self, number: int, shelf: bytes) -> None:
        if shelf:
            self._shelves[number] = shelf
        else:
            self._shelves.pop(number, None)
