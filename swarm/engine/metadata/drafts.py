"""Tries at putting the metadata together: one a size that peers claim, or one a peer after a lie (BEP 9)."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from swarm.engine.settings import EngineSettings
from swarm.wire.peer.metadata import METADATA_BYTES_MAX, METADATA_PIECE_BYTES, metadata_piece_count

#: Peers that are asked for one piece at a time.
_ASKERS_MAX = 2


class Draft:
    """One try at an info dictionary of `total_bytes`; memory is taken only for pieces that came.

    Args:
        sole: the only peer that gives to it; None where all who claim that size do.
    """

    def __init__(self, total_bytes: int, now: float, sole: int | None = None) -> None:
        self.total_bytes = total_bytes
        self.piece_count = metadata_piece_count(total_bytes)
        self.sole = sole
        self.begun_at = now
        #: piece -> its bytes, and who sent them.
        self.parts: dict[int, bytes] = {}
        self.senders: dict[int, int] = {}
        #: piece -> who was asked for it, and when; those asked first come first.
        self._asked: dict[int, dict[int, float]] = {}
        self._unasked: deque[int] = deque(range(self.piece_count))

    @property
    def is_complete(self) -> bool:
        return len(self.parts) == self.piece_count

    @property
    def arrived_bytes(self) -> int:
        return min(len(self.parts) * METADATA_PIECE_BYTES, self.total_bytes)

    def next_for(self, peer: int, now: float, hurry_s: float) -> int | None:
        """The piece to ask `peer` for: one that nobody was asked for, else one that others are slow with."""
        if self._unasked:
            return self._unasked[0]
        for piece, askers in self._asked.items():
            if peer in askers or len(askers) >= _ASKERS_MAX:
                continue
            if now - max(askers.values()) >= hurry_s:
                return piece
        return None

    def asked(self, piece: int, peer: int, now: float) -> None:
        if self._unasked and self._unasked[0] == piece:
            self._unasked.popleft()
        self._asked.setdefault(piece, {})[peer] = now

    def took_back(self, piece: int, peer: int) -> None:
        """`peer` will not send `piece`, or not in time."""
        askers = self._asked.get(piece, {})
        if askers.pop(peer, None) is not None and not askers:
            del self._asked[piece]
            self._unasked.appendleft(piece)

    def arrived(self, piece: int, peer: int, data: bytes) -> bool:
        """Keep `data`; False where it was here already."""
        if piece in self.parts:
            return False
        if self._asked.pop(piece, None) is None:
            # It was given back to be asked of others, and came all the same.
            self._unasked.remove(piece)
        self.parts[piece] = data
        self.senders[piece] = peer
        return True

    def info(self) -> bytes:
        """All pieces in order; they need not be right."""
        return b"".join(self.parts[piece] for piece in range(self.piece_count))


class Testimony(NamedTuple):
    """What `peer` said a piece of a failed draft was; right or wrong is known when the right one is."""

    peer: int
    total_bytes: int
    piece: int
    digest: bytes


class Drafts:
    """Which tries are under way, a bounded number at a time.

    Peers that claim the same size work on one draft. Where its hash is wrong and several have sent it,
    nobody knows who lied: from then on each peer that claims this size gives a whole one of its own, which
    proves it right or a liar.
    """

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._shared: dict[int, Draft] = {}
        self._sole: dict[int, Draft] = {}
        #: Sizes whose shared draft was wrong, and who said what in it.
        self._contested: set[int] = set()
        self._testimonies: list[Testimony] = []
        #: What each peer sent of a failed draft: its own draft need not ask for that again.
        self._said: dict[int, dict[int, bytes]] = {}
        self._said_bytes = 0

    def __iter__(self) -> Iterator[Draft]:
        yield from self._shared.values()
        yield from self._sole.values()

    def of(self, peer: int, total_bytes: int) -> Draft | None:
        """The draft that `peer`, which claims that size, works on now."""
        if total_bytes in self._contested:
            return self._sole.get(peer)
        return self._shared.get(total_bytes)

    def begin(self, peer: int, total_bytes: int, votes: dict[int, int], now: float) -> Draft | None:
        """The draft that `peer` shall work on, which lacks something; None where others must end first.

        Args:
            votes: size -> how many peers claim it and answer.
        """
        draft = self.of(peer, total_bytes)
        if draft is not None:
            return draft
        is_sole = total_bytes in self._contested
        if len(self._shared) + len(self._sole) >= self._settings.metadata_drafts_max:
            worst = min(self, key=lambda one: self._worth(one, votes, now))
            is_slow = now - worst.begun_at >= self._settings.metadata_draft_s
            if not is_slow and votes.get(worst.total_bytes, 0) >= votes.get(total_bytes, 0):
                return None
            self.end(worst)
        draft = Draft(total_bytes, now, peer if is_sole else None)
        if is_sole:
            self._sole[peer] = draft
            # Others sent some of what failed, so this is never all of it.
            for piece, data in self._forget_said(peer).items():
                draft.arrived(piece, peer, data)
        else:
            self._shared[total_bytes] = draft
        return draft

    def _worth(self, draft: Draft, votes: dict[int, int], now: float) -> tuple[int, float]:
        rate = draft.arrived_bytes / max(1.0, now - draft.begun_at)
        return votes.get(draft.total_bytes, 0), rate

    def end(self, draft: Draft) -> None:
        """Give it up, and its memory."""
        if draft.sole is not None:
            self._sole.pop(draft.sole, None)
        else:
            self._shared.pop(draft.total_bytes, None)

    def failed(self, draft: Draft) -> int | None:
        """`draft` is complete and wrong; returns the peer that is proven to have lied, where one is."""
        self.end(draft)
        senders = set(draft.senders.values())
        if len(senders) == 1:
            return senders.pop()
        self._contested.add(draft.total_bytes)
        for piece, peer in draft.senders.items():
            data = draft.parts[piece]
            self._testimonies.append(Testimony(peer, draft.total_bytes, piece, hashlib.sha1(data).digest()))
            if self._said_bytes + len(data) <= METADATA_BYTES_MAX:
                self._said.setdefault(peer, {})[piece] = data
                self._said_bytes += len(data)
        return None

    def _forget_said(self, peer: int) -> dict[int, bytes]:
        said = self._said.pop(peer, {})
        self._said_bytes -= sum(map(len, said.values()))
        return said

    def has_testimony_of(self, peer: int) -> bool:
        """Did `peer` send to a draft that failed, or may yet fail?"""
        return any(testimony.peer == peer for testimony in self._testimonies) or any(
            peer in draft.senders.values() for draft in self
        )

    def lost(self, peer: int) -> None:
        """`peer` is gone: what it alone was to give will not come."""
        self._sole.pop(peer, None)
        self._forget_said(peer)

    def liars(self, info: bytes) -> list[int]:
        """Those who have sent of a failed draft what the right `info` does not say, in order."""
        found: dict[int, None] = {}
        for peer, total_bytes, piece, digest in self._testimonies:
            begin = piece * METADATA_PIECE_BYTES
            right = info[begin : begin + METADATA_PIECE_BYTES]
            if total_bytes != len(info) or hashlib.sha1(right).digest() != digest:
                found[peer] = None
        return list(found)

    def clear(self) -> None:
        """The metadata is here: nothing more is tried."""
        self._shared.clear()
        self._sole.clear()
        self._said.clear()
