"""The DHT as a source of peers, one for all torrents of a session."""

from __future__ import annotations

import asyncio

from swarm.base.errors import SwarmError
from swarm.session.finding.dht import Dht
from swarm.session.finding.sources import Membership

#: BEP 5's peers are kept for half an hour by those we tell of us.
ANNOUNCE_S = 15 * 60.0
#: Lookups begin one by one, with so much between two: a thousand torrents that all wait for the first node to
#: answer would ask that one node at once, and it would answer hardly any.
BETWEEN_LOOKUPS_S = 0.02


class DhtSource:
    """Finds a swarm's peers through `dht`, and announces that we are one (see `sources.PeerSource`)."""

    kind = "dht"
    interval_s = ANNOUNCE_S

    def __init__(self, dht: Dht) -> None:
        self._dht = dht
        #: When the next lookup may begin.
        self._free_at = float("-inf")

    def join(self, swarm: Membership) -> None:
        """Nothing to do before the first round."""

    async def go_round(self, swarm: Membership) -> int:
        """Look up the swarm and announce ourselves to the nodes nearest to it; how many peers it has.

        Raises:
            SwarmError: no node answers.
        """
        await self._dht.joined()
        await self._turn()
        inquiry = self._dht.announce(swarm.info_hash, swarm.port(), is_seed=swarm.is_seed())
        count = 0
        async for found in inquiry.results():
            count += len(found.endpoints)
            swarm.found(found.endpoints, self.kind)
        if not inquiry.outcome().answers:
            raise SwarmError("no node answers any more")
        return count

    async def _turn(self) -> None:
        now = asyncio.get_running_loop().time()
        begin_at = max(now, self._free_at)
        self._free_at = begin_at + BETWEEN_LOOKUPS_S
        if begin_at > now:
            await asyncio.sleep(begin_at - now)

    def leave(self, swarm: Membership) -> None:
        """Nobody can be told; we are forgotten within half an hour."""
