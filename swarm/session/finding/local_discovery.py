"""Peers on the local network, for all torrents of a session (BEP 14)."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Sequence
from itertools import islice

from swarm.base.endpoint import Endpoint
from swarm.base.errors import PeerError, SwarmError
from swarm.base.ids import InfoHash
from swarm.net.lsd import LocalMulticast
from swarm.net.outlet import Outlet
from swarm.session.finding.sources import Membership
from swarm.wire.lsd import (
    GROUP_V4,
    GROUP_V6,
    INFO_HASHES_MAX,
    LocalAnnounce,
    decode_announce,
    encode_announce,
)

#: BEP 14: "every 5 minutes".
INTERVAL_S = 300.0
#: Torrents that are announced within this time share a datagram.
_GATHER_S = 0.05
#: BEP 14 asks for one announce a minute so that large networks see no storms. That is kept for each
#: torrent (`engine/finding/pace`); all of them together are so many datagrams in any minute.
DATAGRAMS_MAX = 10
_MINUTE_S = 60.0
#: A round that waits for its datagram for longer ends before it: others wait, and nothing is wrong. The
#: torrent keeps its place among them.
_WAIT_MAX_S = 60.0
#: Datagrams of others that are read in a minute; whoever sends more is not heard until it is over.
HEARD_MAX = 600
#: Peers of one torrent that are passed on between two rounds of ours.
PEERS_MAX = 100


class LocalDiscovery:
    """Tells the local network which torrents we have, and hears it from others.

    Args:
        outlet: the only way to be used; None for all.
        port: of the multicast groups.
    """

    kind = "lsd"
    interval_s = INTERVAL_S

    def __init__(
        self,
        rng: random.Random,
        *,
        outlet: Outlet | None = None,
        port: int = GROUP_V4.port,
    ) -> None:
        self._outlet = outlet
        self._port = port
        #: By which we know our own datagrams.
        self._cookie = f"{rng.getrandbits(64):016x}"
        self._multicast: LocalMulticast | None = None
        self._swarms: dict[InfoHash, Membership] = {}
        #: What was heard since the last round of each torrent.
        self._heard: dict[InfoHash, set[Endpoint]] = {}
        #: Those to be announced next, and who waits for that.
        self._due: dict[InfoHash, asyncio.Future[None]] = {}
        self._timer: asyncio.TimerHandle | None = None
        #: When each of the last datagrams left.
        self._sent_at: deque[float] = deque(maxlen=DATAGRAMS_MAX)
        self._minute_at = float("-inf")
        self._heard_count = 0

    def join(self, swarm: Membership) -> None:
        """From now on its peers are passed on when they are heard."""
        self._swarms[swarm.info_hash] = swarm
        self._heard[swarm.info_hash] = set()

    async def go_round(self, swarm: Membership) -> int:
        """Announce it, or have it announced later where many wait; how many peers were heard since then.

        Raises:
            SwarmError: there is no multicast here.
        """
        if self._multicast is None:
            try:
                self._multicast = LocalMulticast(self._received, outlet=self._outlet, port=self._port)
            except OSError as error:
                raise SwarmError(f"no local discovery: {error.strerror or error}") from None
        told = self._due.get(swarm.info_hash)
        if told is None:
            told = self._due[swarm.info_hash] = asyncio.get_running_loop().create_future()
        self._plan()
        await asyncio.wait([told], timeout=_WAIT_MAX_S)
        heard = self._heard.get(swarm.info_hash, set())
        count = len(heard)
        heard.clear()
        return count

    def leave(self, swarm: Membership) -> None:
        """Its peers are not passed on any more; with the last torrent the sockets are closed."""
        self._swarms.pop(swarm.info_hash, None)
        self._heard.pop(swarm.info_hash, None)
        self._due.pop(swarm.info_hash, None)
        if not self._swarms:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            self._close()

    def network_changed(self) -> None:
        """Sockets held to an interface are deaf when it was made anew: the next round opens others."""
        if self._outlet is not None and self._outlet.interface:
            self._close()

    def _close(self) -> None:
        if self._multicast is not None:
            self._multicast.close()
            self._multicast = None

    def _plan(self) -> None:
        if self._timer is not None or not self._due:
            return
        loop = asyncio.get_running_loop()
        wait_s = _GATHER_S
        if len(self._sent_at) == DATAGRAMS_MAX:
            wait_s = max(wait_s, self._sent_at[0] + _MINUTE_S - loop.time())
        self._timer = loop.call_later(wait_s, self._announce)

    def _announce(self) -> None:
        """Send one datagram of those that wait longest."""
        self._timer = None
        if self._multicast is None:
            # A change of the network took the sockets; the next round is not far.
            for told in self._due.values():
                if not told.done():
                    told.set_result(None)
            self._due.clear()
            return
        info_hashes = list(islice(self._due, INFO_HASHES_MAX))
        if info_hashes:
            self._sent_at.append(asyncio.get_running_loop().time())
            announce = LocalAnnounce(self._swarms[info_hashes[0]].port(), tuple(info_hashes), self._cookie)
            self._multicast.send(lambda is_v6: encode_announce(announce, GROUP_V6 if is_v6 else GROUP_V4))
        for info_hash in info_hashes:
            told = self._due.pop(info_hash)
            if not told.done():
                told.set_result(None)
        self._plan()

    def _received(self, raw: bytes, host: str) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._minute_at >= _MINUTE_S:
            self._minute_at = now
            self._heard_count = 0
        self._heard_count += 1
        if self._heard_count > HEARD_MAX:
            return
        try:
            announce = decode_announce(raw)
        except PeerError:
            return
        endpoint = Endpoint(host, announce.port)
        if announce.cookie != self._cookie and endpoint.is_dialable:
            self._pass_on(announce.info_hashes, endpoint)

    def _pass_on(self, info_hashes: Sequence[InfoHash], endpoint: Endpoint) -> None:
        for info_hash in info_hashes:
            swarm, heard = self._swarms.get(info_hash), self._heard.get(info_hash)
            if swarm is None or heard is None or endpoint in heard or len(heard) >= PEERS_MAX:
                continue
            heard.add(endpoint)
            swarm.found([endpoint], self.kind)
