"""The peers of each torrent, as they have announced themselves to us (BEP 5).

A swarm is one byte string of entries, a compact address and a stamp for each peer (10 bytes; 22 for IPv6).
The peer heard last is at the end, so the ones that are too old are at the front.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from swarm.dht.shelves import Swarms

#: Of 4 bytes after the address: 31 bits of seconds, then whether it is a seed.
_STAMP_BYTES = 4


class PeerStore:
    """Peers by info-hash (20 bytes), in bounded memory.

    Args:
        address_bytes: 6 or 18, the size of a compact endpoint in this family.
        peer_s: a peer is forgotten so many seconds after its last announce.
        swarm_peers_max: peers of one info-hash.
        ports_max: peers of one info-hash at one address.
        peers_max, torrents_max: peers and info-hashes in all.
    """

    __slots__ = (
        "_address_bytes",
        "_born_at",
        "_entry_bytes",
        "_peer_s",
        "_peers_max",
        "_ports_max",
        "_swarm_peers_max",
        "_swarms",
        "_torrents_max",
        "peer_count",
    )

    def __init__(
        self,
        address_bytes: int,
        now: float,
        *,
        peer_s: float,
        swarm_peers_max: int,
        ports_max: int,
        peers_max: int,
        torrents_max: int,
    ) -> None:
        self._address_bytes = address_bytes
        self._entry_bytes = address_bytes + _STAMP_BYTES
        self._born_at = now
        self._peer_s = peer_s
        self._swarm_peers_max = swarm_peers_max
        self._ports_max = ports_max
        self._peers_max = peers_max
        self._torrents_max = torrents_max
        self._swarms = Swarms(self._entry_bytes)
        self.peer_count = 0

    @property
    def torrent_count(self) -> int:
        return len(self._swarms)

    def add(self, info_hash: bytes, peer: bytes, now: float, *, is_seed: bool) -> None:
        """Remember the compact endpoint `peer`; if need be, the peer silent longest makes room for it."""
        swarm = self._fresh(info_hash, now)
        count_before = len(swarm) // self._entry_bytes
        swarm = self._without(swarm, peer)
        swarm = self._with_room(swarm, peer[:-2])
        stamp = int(now - self._born_at) << 1 | is_seed
        if len(swarm) // self._entry_bytes >= count_before:
            self._make_room(info_hash)
        swarm += peer + stamp.to_bytes(_STAMP_BYTES, "big")
        self._swarms.put(info_hash, swarm)
        self.peer_count += len(swarm) // self._entry_bytes - count_before

    def sample(
        self, info_hash: bytes, count: int, now: float, rng: random.Random, *, is_without_seeds: bool = False
    ) -> list[bytes]:
        """At most `count` compact endpoints at random; leechers only where the asker is a seed itself."""
        swarm = self._fresh(info_hash, now)
        size, address_bytes = self._entry_bytes, self._address_bytes
        starts = range(0, len(swarm), size)
        if is_without_seeds:
            starts_of_leechers = [at for at in starts if not swarm[at + size - 1] & 1]
            return [
                swarm[at : at + address_bytes]
                for at in rng.sample(starts_of_leechers, min(count, len(starts_of_leechers)))
            ]
        if len(starts) > count:
            return [swarm[at : at + address_bytes] for at in rng.sample(starts, count)]
        return [swarm[at : at + address_bytes] for at in starts]

    def addresses(self, info_hash: bytes, now: float) -> tuple[set[bytes], set[bytes]]:
        """The packed addresses, without ports, of seeds and of other peers (BEP 33)."""
        seeds: set[bytes] = set()
        leechers: set[bytes] = set()
        for peer, is_seed in self._entries(self._fresh(info_hash, now)):
            (seeds if is_seed else leechers).add(peer[:-2])
        return seeds, leechers

    def has(self, info_hash: bytes) -> bool:
        """Is any peer of it known? It may be too old by now."""
        return info_hash in self._swarms

    def sample_info_hashes(self, count: int, rng: random.Random) -> list[bytes]:
        """At most `count` of the info-hashes that have peers, at random."""
        info_hashes = list(self._swarms)
        return rng.sample(info_hashes, min(count, len(info_hashes)))

    def sweep(self, now: float) -> None:
        """Forget every peer that is too old."""
        oldest = self._oldest(now)
        self.peer_count -= self._swarms.forget_lone(lambda entry: self._heard_s(entry, 0) < oldest)
        for info_hash in self._swarms.shared():
            self._fresh(info_hash, now)

    def _entries(self, swarm: bytes) -> Iterator[tuple[bytes, bool]]:
        for at in range(0, len(swarm), self._entry_bytes):
            yield swarm[at : at + self._address_bytes], bool(swarm[at + self._entry_bytes - 1] & 1)

    def _fresh(self, info_hash: bytes, now: float) -> bytes:
        """The swarm without those that are too old, which are at the front."""
        swarm = self._swarms.get(info_hash)
        oldest = self._oldest(now)
        at = 0
        while at < len(swarm) and self._heard_s(swarm, at) < oldest:
            at += self._entry_bytes
        if at:
            self.peer_count -= at // self._entry_bytes
            swarm = swarm[at:]
            self._swarms.put(info_hash, swarm)
        return swarm

    def _oldest(self, now: float) -> float:
        """Peers heard before this are forgotten. In seconds since we began, as stamps are."""
        return now - self._born_at - self._peer_s

    def _heard_s(self, swarm: bytes, at: int) -> int:
        """When the peer whose entry begins at `at` was heard."""
        return int.from_bytes(swarm[at + self._address_bytes : at + self._entry_bytes], "big") >> 1

    def _without(self, swarm: bytes, peer: bytes) -> bytes:
        at = swarm.find(peer)
        while at >= 0 and at % self._entry_bytes:
            # Found across two entries, where the same bytes stand by chance.
            at = swarm.find(peer, at + 1)
        return swarm if at < 0 else swarm[:at] + swarm[at + self._entry_bytes :]

    def _with_room(self, swarm: bytes, address: bytes) -> bytes:
        """The swarm with a place for one more of `address`."""
        if len(swarm) // self._entry_bytes >= self._swarm_peers_max:
            swarm = swarm[self._entry_bytes :]
        if swarm.count(address) >= self._ports_max:
            of_address = [
                at for at in range(0, len(swarm), self._entry_bytes) if swarm.startswith(address, at)
            ]
            if len(of_address) >= self._ports_max:
                swarm = swarm[: of_address[0]] + swarm[of_address[0] + self._entry_bytes :]
        return swarm

    def _make_room(self, info_hash: bytes) -> None:
        """Before one more peer: where the store is full, drop the smallest swarms, 2 % of them at a time.

        To lose a swarm of one does the least harm, and floods consist of them. Of two alike, the one silent
        for longer goes first.
        """
        is_new = info_hash not in self._swarms
        if self.peer_count < self._peers_max and not (is_new and len(self._swarms) >= self._torrents_max):
            return
        # The stamp at the end of a swarm is its latest.
        smallest = sorted(
            (len(swarm), swarm[-_STAMP_BYTES:], name)
            for name, swarm in self._swarms.items()
            if name != info_hash
        )
        for size, _, name in smallest[: max(1, len(smallest) // 50)]:
            self.peer_count -= size // self._entry_bytes
            self._swarms.put(name, b"")
