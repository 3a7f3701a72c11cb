"""Whom to serve: tit for tat while we download, whoever spreads best when we seed (BEP 3)."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable

from swarm.engine.alarms import Alarms
from swarm.engine.peer import Peer
from swarm.engine.settings import EngineSettings


class Choker:
    """Gives the unchoke slots away, anew every round.

    All slots but one go to the interested peers that give us most (downloading) or take most
    (seeding); the last is optimistic: it moves every 30 s and favours newcomers, so that better
    peers can be found and new ones get their first piece. Peers that snub us keep no slot, except
    that one.

    Args:
        choke, unchoke: how the coordinator carries out a decision.
        serves_crowd: told at each look whether so many want something that they fill more than the usual
            slots, under a limit.
    """

    __slots__ = (
        "_alarms",
        "_choke",
        "_credit_bytes",
        "_crowd_slots_max",
        "_has_waiting",
        "_optimistic",
        "_optimistic_at",
        "_rng",
        "_serves_crowd",
        "_settings",
        "_slots_now",
        "_unchoke",
        "next_round_at",
        "slots",
    )

    def __init__(
        self,
        settings: EngineSettings,
        piece_length: int,
        rng: random.Random,
        choke: Callable[[Peer, float], None],
        unchoke: Callable[[Peer], None],
        serves_crowd: Callable[[bool], None],
        alarms: Alarms,
    ) -> None:
        self._alarms = alarms
        self._settings = settings
        self._credit_bytes = max(settings.taker_bytes, settings.taker_pieces * piece_length)
        self._rng = rng
        self._choke = choke
        self._unchoke = unchoke
        self._serves_crowd = serves_crowd
        self._optimistic: Peer | None = None
        self._optimistic_at = float("-inf")
        self.next_round_at = float("-inf")
        #: As many as usual, and as many as at the last look.
        self.slots = self._slots_now = settings.unchoke_slots
        #: Up to so many in a crowd; 0: not more than usual.
        self._crowd_slots_max = 0
        #: Does anybody who is choked want something, as far as is known? Else nothing is to be refilled.
        self._has_waiting = False

    def limit(self, bytes_per_s: float | None) -> None:
        """The host sends at most so many bytes a second: have as many slots as go well with that."""
        settings = self._settings
        if bytes_per_s is None:
            self.slots = settings.unchoke_slots
            self._crowd_slots_max = 0
        else:
            more = int(bytes_per_s / settings.slot_bytes_per_s)
            self.slots = min(settings.limited_slots_min + more, settings.limited_slots_max)
            most = int(bytes_per_s / settings.crowd_slot_bytes_per_s)
            self._crowd_slots_max = min(most, settings.limited_slots_max)

    def _look_for_crowd(self, wanting_count: int) -> None:
        """So many want something: decide how many slots there are now, and whether it is a crowd.

        In a crowd most of those in slots have all that we have; the more may ask, the sooner somebody does.
        """
        slots = min(wanting_count // self._settings.crowd_per_slot, self._crowd_slots_max)
        self._slots_now = max(slots, self.slots)
        self._serves_crowd(slots >= self.slots)

    def interested(self, peer: Peer, peers: Iterable[Peer], now: float, *, is_dry: bool = False) -> None:
        """`peer` wants something: a free slot is given soon, not at the next round.

        Who has got the first piece of a crowd is asked by all at once. Were all his slots given to those who
        ask first, they would be the same few everywhere; so most are given a moment later, by lot.
        """
        if not peer.am_choking:
            return
        self._has_waiting = True
        taken = wanting = 0
        for other in peers:
            taken += not other.am_choking
            wanting += other.peer_interested
        if taken < self._settings.slots_at_once:
            self._give_slot(peer, now)
            return
        self._look_for_crowd(wanting)
        if taken < self._slots_now or is_dry:
            self._refill_soon(now)

    def ran_dry(self, now: float) -> None:
        """Our line is idle because those who have slots ask for nothing: give the slots to others soon."""
        self._refill_soon(now)

    def _refill_soon(self, now: float) -> None:
        self._alarms.refill_at = min(self._alarms.refill_at, now + self._settings.slot_delay_s)

    def weigh(self, peer: Peer) -> None:
        """Bytes went to `peer` or came from it while we still download: find out whether it only takes.

        It is judged by all that it has given us since it came, and the judgement stands when we have become a
        seed. A newcomer may take a little before it has to give, and a peer on a slow line may give far less
        than it takes.
        """
        credit = self._credit_bytes + self._settings.taker_ratio * peer.download.total_bytes
        peer.is_taker = peer.upload.total_bytes > credit

    def reconsider(self, now: float) -> None:
        """A peer that has a slot comes last by now: give the slot to others soon, if any wait."""
        if self._has_waiting:
            self._refill_soon(now)

    def refill(self, peers: Iterable[Peer], *, is_seeding: bool, now: float, is_dry: bool = False) -> None:
        """Give free slots away between two rounds.

        A whole round would stop transfers in their midst each time that somebody has got all we have. Nobody
        who uses his slot loses it, but for those who only take.

        Args:
            is_dry: the line up stands still. Then slots that are not used are free as well: in a young swarm
                most of those who have one have got all that we have, and wait for what others are sending.
        """
        self._alarms.refill_at = float("inf")
        taken = wanting = 0
        waiting: list[Peer] = []
        unused: list[Peer] = []
        takers: list[Peer] = []
        has_waiting = False
        used_at = now - self._settings.unused_slot_s
        next_at = float("inf")
        for peer in peers:
            wanting += peer.peer_interested
            if peer.am_choking:
                if peer.peer_interested:
                    has_waiting = True
                    if is_seeding or not peer.is_snubbed:
                        waiting.append(peer)
                continue
            taken += 1
            if is_dry and not peer.queue and not peer.sending_bytes:
                at = max(peer.unchoked_at, peer.last_served_at)
                if at <= used_at:
                    unused.append(peer)
                    continue
                next_at = min(next_at, at)
            if peer.comes_last:
                takers.append(peer)
        self._has_waiting = has_waiting
        if not waiting:
            return
        self._look_for_crowd(wanting)
        free = self._slots_now - taken
        if free <= 0 and next_at < float("inf"):
            # Not before a moment from now: the sum of two floats may be now itself.
            used_up_at = next_at + self._settings.unused_slot_s
            self._alarms.refill_at = max(used_up_at, now + self._settings.slot_delay_s)
        waiting.sort(key=self._seed_rank(now) if is_seeding else self._leech_rank(now), reverse=True)
        free = max(free, 0)
        count = free + len(unused)
        # Those who give something come before those in slots who do not.
        count = max(count, min(count + len(takers), sum(not peer.comes_last for peer in waiting)))
        del waiting[count:]
        for peer in [*unused, *takers][: len(waiting) - free]:
            self._choke(peer, now)
            self._has_waiting = True
        for peer in waiting:
            self._give_slot(peer, now)

    def _give_slot(self, peer: Peer, now: float) -> None:
        peer.unchoked_at = now
        self._unchoke(peer)

    def lost(self, peer: Peer) -> None:
        if self._optimistic is peer:
            self._optimistic = None
            self._optimistic_at = float("-inf")

    def round(self, peers: Iterable[Peer], *, is_seeding: bool, now: float) -> None:
        """Decide on all slots; the host calls about every `choke_round_s`."""
        self.next_round_at = now + self._settings.choke_round_s
        wanting = [peer for peer in peers if peer.peer_interested]
        ranked = sorted(
            wanting, key=self._seed_rank(now) if is_seeding else self._leech_rank(now), reverse=True
        )
        self._look_for_crowd(len(wanting))
        slots = self._slots_now
        if len(ranked) <= slots:
            # Room for all, snubbers and free riders too: what is left over costs nobody anything.
            chosen = ranked
        else:
            regular = (
                ranked[: slots - 1]
                if is_seeding
                else [peer for peer in ranked if not peer.is_snubbed][: slots - 1]
            )
            optimistic = self._pick_optimistic([peer for peer in ranked if peer not in regular], now)
            chosen = [*regular, optimistic]
        keep = {peer.number for peer in chosen}
        for peer in peers:
            if peer.number not in keep and not peer.am_choking:
                self._choke(peer, now)
        for peer in chosen:
            if peer.am_choking:
                self._give_slot(peer, now)
        self._has_waiting = len(chosen) < len(wanting)

    def _pick_optimistic(self, waiting: list[Peer], now: float) -> Peer:
        # By lot among those of whom it is not known yet that they give nothing.
        waiting = [peer for peer in waiting if not peer.comes_last] or waiting
        current = self._optimistic
        if current in waiting and now < self._optimistic_at + self._settings.optimistic_s:
            return current
        newcomer_s, weight = self._settings.newcomer_s, self._settings.newcomer_weight
        weights = [weight if now - peer.connected_at < newcomer_s else 1 for peer in waiting]
        choice = self._rng.choices(waiting, weights)[0]
        self._optimistic = choice
        self._optimistic_at = now
        return choice

    def _leech_rank(self, now: float) -> Callable[[Peer], tuple[float, ...]]:
        # Among those who gave nothing yet: who has least can do least for himself; then by lot.
        draw = self._rng.random
        return lambda peer: (
            not peer.comes_last,
            peer.download.average(now),
            not peer.am_choking,
            -peer.have.count,
            draw(),
        )

    def _seed_rank(self, now: float) -> Callable[[Peer], tuple[float, ...]]:
        # Those unchoked within the last two rounds stay, by rate; then the ones that waited longest get
        # their turn: everyone is served, and nobody is dropped before TCP got up to speed.
        recent_s = 2 * self._settings.choke_round_s

        def rank(peer: Peer) -> tuple[float, ...]:
            is_recent = not peer.am_choking and now - peer.unchoked_at < recent_s
            # A turn that was not used is a turn too, or peers that never ask would keep their slots.
            turn_at = max(peer.last_served_at, peer.unchoked_at)
            return (not peer.comes_last, is_recent, peer.upload.average(now) if is_recent else 0.0, -turn_at)

        return rank
