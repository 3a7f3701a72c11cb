"""Peers that a swarm has twice: announced over IPv4 and over IPv6 (BEP 7), with one peer id and one port.

Each address is an entry of its own, handed out and forgotten by itself; only in the numbers of the swarm both
are one peer. An index by peer id would take more memory than the entries themselves, so twins are counted now
and then instead, when the sweep comes by (decision 037).
"""

from __future__ import annotations

from collections.abc import Generator
from functools import lru_cache
from typing import NamedTuple

from swarm.tracker.rows import Row
from swarm.tracker.store import DOWNLOADER, SEED, Kind

#: Entries of the smaller row that are remembered for a count, 170 bytes each until it ends. Of larger ones a
#: part is looked for and the result multiplied, which is wrong by a percent or two.
REMEMBERED_MAX = 20_000
#: Entries looked at in one step.
STEP = 250


class Twins(NamedTuple):
    """By how much adding up two rows is too much: members, seeds among them, and seeds or partial seeds.

    A twin whose two entries differ is what the better one says (an announce over the other family is on its
    way), so too much is the other entry: of a seed and a downloader a member, but no seed.
    """

    members: int = 0
    seeds: int = 0
    done: int = 0


def count_twins(four: Row, six: Row) -> Generator[int, None, Twins]:
    """Count them in steps between which rows may change; yields how many entries each step looked at."""
    small, large = (four, six) if len(four) < len(six) else (six, four)
    share = 1 + len(small) // REMEMBERED_MAX
    kinds: dict[bytes, Kind] = {}
    for start in range(0, len(small), STEP):
        names = small.names(start, start + STEP)
        for name, kind in names:
            # Python's hash of bytes is of this process alone: nobody can aim at the part that is looked for.
            if share == 1 or not hash(name) % share:
                kinds[name] = kind
        yield len(names)
    members = seeds = done = 0
    for start in range(0, len(large), STEP):
        names = large.names(start, start + STEP)
        for name, kind in names:
            if name in kinds:
                other = kinds.pop(name)
                members += 1
                seeds += kind == SEED == other
                done += DOWNLOADER not in (kind, other)
        yield len(names)
    return _twins(share * members, share * seeds, share * done)


#: A million small swarms have the same few numbers.
_twins = lru_cache(4096)(Twins)
