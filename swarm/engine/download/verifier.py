"""Who sent what of a bad piece: finds the liar, and only the liar."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field

from swarm.base.blocks import mask_runs
from swarm.base.dataclass import dataclass


@dataclass(slots=True)
class Suspicion:
    """One failed try at a piece: who sent which blocks, and what was in them."""

    senders: dict[int, int]
    block_digests: Sequence[bytes]


@dataclass(slots=True)
class Verdict:
    """What follows from a hash result.

    Args:
        liars: peer numbers proven to have sent wrong blocks.
        is_retry_solo: the piece should be asked of one peer alone next time.
    """

    liars: list[int] = field(default_factory=list)
    is_retry_solo: bool = False


class Verifier:
    """Keeps the blocks of failed pieces apart by sender until the good piece tells who lied.

    A bad piece from one sender proves that sender wrong. From several it proves nothing yet: the
    digests of its blocks are kept, and compared with those of the good piece when it comes.
    """

    __slots__ = ("_suspicions", "failed_count")

    def __init__(self) -> None:
        self._suspicions: dict[int, list[Suspicion]] = {}
        self.failed_count = 0

    def is_suspected(self, piece: int) -> bool:
        """Does `piece` need the digests of its blocks when it is hashed next?"""
        return piece in self._suspicions

    def judge(
        self, piece: int, senders: dict[int, int], *, is_good: bool, block_digests: Sequence[bytes]
    ) -> Verdict:
        """Weigh one hash result.

        Args:
            senders: peer number -> mask of the blocks it sent.
            block_digests: one a block; needed where the piece is bad or suspected.
        """
        if is_good:
            return Verdict(self._compare(self._suspicions.pop(piece, ()), block_digests))
        self.failed_count += 1
        if len(senders) == 1:
            # What others sent in earlier tries stays open until the piece is good.
            return Verdict(list(senders), is_retry_solo=piece in self._suspicions)
        self._suspicions.setdefault(piece, []).append(Suspicion(dict(senders), block_digests))
        return Verdict(is_retry_solo=True)

    @staticmethod
    def _compare(suspicions: Sequence[Suspicion], good: Sequence[bytes]) -> list[int]:
        liars: dict[int, None] = {}
        for suspicion in suspicions:
            for number, mask in suspicion.senders.items():
                for first, count in mask_runs(mask):
                    if suspicion.block_digests[first : first + count] != good[first : first + count]:
                        liars[number] = None
        return list(liars)
