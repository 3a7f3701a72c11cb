"""The end game: everything has been asked for, and some peer has nothing left to send."""

from __future__ import annotations

from swarm.base.blocks import BLOCK_BYTES, lowest_blocks
from swarm.engine.alarms import Alarms
from swarm.engine.download.debts import Debts
from swarm.engine.download.partial_piece import PartialPiece
from swarm.engine.peer import Peer
from swarm.engine.settings import EngineSettings


class EndGame:
    """Chooses which blocks are asked of a second peer as well.

    A block that comes twice is wasted. So two things are required: the idle peer would clearly be sooner, and
    the peer that owes the blocks has sent nothing for a moment. As long as blocks keep coming from it, they
    may be moved instead (see `moves`, which needs BEP 6), since rates say little about a transfer that takes
    a fraction of a second.
    """

    __slots__ = ("_alarms", "_debts", "_peers", "_settings")

    def __init__(
        self,
        debts: Debts,
        peers: dict[int, Peer],
        settings: EngineSettings,
        alarms: Alarms,
    ) -> None:
        self._alarms = alarms
        self._debts = debts
        self._peers = peers
        self._settings = settings

    def owed_by_slower(self, idle: Peer, room: int, now: float) -> list[tuple[PartialPiece, int]]:
        """At most `room` blocks to ask of `idle` as well, as masks by piece."""
        chosen: list[tuple[PartialPiece, int]] = []
        taken = 0
        rate = max(idle.download.average(now, 5.0), 1.0)
        for partial in self._debts.partials.values():
            if not self._debts.may_ask(idle, partial) or idle.number in partial.asked:
                continue
            for number, mask in partial.asked.items():
                owing = self._peers[number]
                expected_s = owing.asked_blocks * BLOCK_BYTES / max(owing.download.average(now, 5.0), 1.0)
                ours_s = (taken + mask.bit_count()) * BLOCK_BYTES / rate
                if expected_s < self._settings.end_game_advantage * ours_s:
                    continue
                if not self._is_late(owing, expected_s, now):
                    continue
                mask &= ~partial.asked_by_many(self._settings.end_game_askers_max)
                mask = lowest_blocks(mask, room - taken)
                if mask:
                    chosen.append((partial, mask))
                    taken += mask.bit_count()
                    break
            if taken >= room:
                break
        return chosen

    def _is_late(self, owing: Peer, expected_s: float, now: float) -> bool:
        late_at = max(owing.asked_since, owing.last_block_at) + self._settings.end_game_silence_s
        # Without BEP 6 nothing can be moved away from it.
        if now >= late_at or (not owing.has_fast and expected_s >= self._settings.end_game_after_s):
            return True
        self._alarms.look_again_at = min(self._alarms.look_again_at, late_at)
        return False
