"""The DHT of a session: nodes on its UDP sockets, a way in, a memory, and what is asked as awaitables."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Sequence
from functools import partial
from itertools import permutations
from pathlib import Path
from types import TracebackType
from typing import Any, Never, Self

from swarm.base.endpoint import Endpoint
from swarm.base.errors import SwarmError
from swarm.base.ids import InfoHash, NodeId
from swarm.dht.commands import Command, DhtStats, ItemFound, PeersFound, SamplesFound
from swarm.dht.items import Item
from swarm.dht.node import DhtNode
from swarm.dht.settings import DhtSettings
from swarm.net.names import Address, endpoints_of
from swarm.net.udp import UdpSocket
from swarm.session.bugs import watch
from swarm.session.finding import dht_memory
from swarm.session.finding.dht_home import Begin, DhtHome, Inquiry
from swarm.session.finding.dht_memory import DhtMemory, HomeMemory, MemoryFile
from swarm.session.finding.sources import OnNotice

#: With so many answering nodes a table is no beginner's any more: routers are left in peace.
ENOUGH_NODES = 8
#: Nobody answered: asked again after this, doubled each time, to at most ...
RETRY_S = 5.0
RETRY_MAX_S = 15 * 60.0
#: While all is well, the table is looked at and saved this often.
KEEP_S = 15 * 60.0
#: Nodes of the last run may all be gone: routers are asked as well if there are too few after this.
WARM_S = 4.0
#: The names of all routers together may take this long.
ROUTER_NAMES_S = 10.0
#: Addresses told by peers before the nodes were there.
EARLY_CANDIDATES_MAX = 64


class Dht:
    """Takes part in the DHT from `start` to `close`, with a node for each family of address (BEP 32, 45).

        async with Dht(sockets, routers=[("router.bittorrent.com", 6881)]) as dht:
            await dht.joined()
            async for found in dht.get_peers(info_hash).results():
                print(found.endpoints)

    Args:
        sockets: one a family; whoever opened them closes them, after us.
        routers: (name or address, port) of nodes to ask while no others are known.
        memory_path: where identity and routing table are kept between runs; None: nowhere.
        is_keeping: whether they are written there too; otherwise they are only read.
        on_notice: gets ("info" | "warning" | "detail", a line for the user).
        on_own_address: gets our address as most nodes see it, and who says so ("dht IPv4", "dht IPv6").
    """

    def __init__(
        self,
        sockets: Sequence[UdpSocket],
        *,
        routers: Sequence[Address] = (),
        settings: DhtSettings | None = None,
        memory_path: Path | None = None,
        is_keeping: bool = True,
        on_notice: OnNotice = lambda level, text: None,
        on_own_address: Callable[[str, str], None] = lambda host, source: None,
    ) -> None:
        self._sockets = list(sockets)
        self._routers = list(routers)
        self._settings = settings or DhtSettings()
        self._memory_file = MemoryFile(memory_path, is_keeping=is_keeping, on_notice=on_notice)
        self._rng = random.SystemRandom()
        self._on_notice = on_notice
        self._on_own_address = on_own_address
        self._loop = asyncio.get_running_loop()
        self._homes: list[DhtHome] = []
        self._early: list[Endpoint] = []
        #: Whom we knew when we last looked: where all are lost, some are there again when the network is.
        self._known = DhtMemory()
        self._task: asyncio.Task[None] | None = None
        self._problem = ""
        #: Whoever waits for company is woken by setting it, and waits for the next one.
        self._news = asyncio.Event()
        self._wake = asyncio.Event()
        self._is_looking = False
        self._is_newly_settled = False
        self._retry_s = RETRY_S
        self.port = self._sockets[0].port

    # -- life -----------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin, once; from within the running loop."""
        assert self._task is None
        self._task = self._loop.create_task(self._run(), name="dht")
        watch(self._task, self._failed)

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Remember the table, and stop."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._homes:
            await self._save()
        for home in self._homes:
            home.close()
        self._memory_file.release()

    async def _run(self) -> None:
        self._known = await self._memory_file.load()
        self._settle()
        self._tell()
        early, self._early = self._early, []
        self.candidates_found(early)
        while True:
            self._wake.clear()
            self._is_looking = True
            await self._find_company()
            self._is_looking = False
            self._tell()
            if self.node_count:
                self._known = self._memory()
                await self._save()
                wait_s, self._retry_s = KEEP_S, RETRY_S
            elif self._routers or self._known.has_contacts:
                wait_s, self._retry_s = self._retry_s, min(2 * self._retry_s, RETRY_MAX_S)
            else:
                # There is nobody to ask: only peers that tell of their nodes can change that.
                wait_s = None
            if not self.node_count:
                self._wait_for_company()
            if wait_s is not None:
                # Sessions that lost their network together must not come back together.
                wait_s *= self._rng.uniform(0.9, 1.1)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._wake.wait()

    def reach_over(self, socket: UdpSocket) -> None:
        """There is another family of addresses by now: it gets a node of its own."""
        self._sockets.append(socket)
        if self._homes:
            self._settle()
            self._is_newly_settled = True
            self._wake.set()

    def _settle(self) -> None:
        """Give each socket its home."""
        for socket in self._sockets[len(self._homes) :]:
            self._homes.append(self._home(socket, self._known.home(is_v6=socket.is_v6)))
        for home, other in permutations(self._homes, 2):
            home.node.know_other_family(other.node)

    def _failed(self, error: SwarmError) -> None:
        self._problem = str(error)
        self._on_notice("warning", f"dht: {error}")
        self._tell()

    def _home(self, socket: UdpSocket, memory: HomeMemory) -> DhtHome:
        own_id = memory.own_id if self._memory_file.is_ours else b""
        node = DhtNode(
            NodeId(own_id or self._rng.randbytes(dht_memory.ID_BYTES)),
            is_v6=socket.is_v6,
            settings=self._settings,
            rng=self._rng,
            now=self._loop.time(),
            contacts=memory.contacts,
        )
        return DhtHome(node, socket, on_company=self._company_came, on_identity=self._identity_changed)

    def _company_came(self) -> None:
        """A node has answered where none did: that is enough to begin with."""
        self._tell()
        if not self._is_looking:
            # A peer told us of it, and it knows others.
            self._wake.set()

    def _identity_changed(self, external_host: str) -> None:
        self._wake.set()
        self._on_own_address(external_host, _voice(external_host))

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    # -- memory ---------------------------------------------------------------------------------

    async def _save(self) -> None:
        """Keep what is worth keeping: a table that has nodes in it."""
        if self.node_count:
            await self._memory_file.save(self._memory())

    def _memory(self) -> DhtMemory:
        return DhtMemory(*(self._home_memory(is_v6=is_v6) for is_v6 in (False, True)))

    def _home_memory(self, *, is_v6: bool) -> HomeMemory:
        for home in self._homes:
            if home.is_v6 == is_v6:
                # Of a family without a network for the moment, whom we knew before is worth more than nobody.
                contacts = tuple(home.node.contacts()) or self._known.home(is_v6=is_v6).contacts
                return HomeMemory(home.node.own_id, contacts)
        return HomeMemory()

    # -- the way in -----------------------------------------------------------------------------

    async def _find_company(self) -> None:
        """Look for our own neighbourhood, first among whom we know, then through the routers."""
        for home in self._homes:
            if not home.node.contacts():
                home.node.restore(self._known.home(is_v6=home.is_v6).contacts, self._loop.time())
        if any(home.node.contacts() for home in self._homes):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(WARM_S if self._routers else None):
                    await self._bootstrap({})
        # A family that has just come may know nobody, however many nodes the other one knows.
        is_new, self._is_newly_settled = self._is_newly_settled, False
        if not self._routers or (self.node_count >= ENOUGH_NODES and not is_new):
            return
        routers = await self._router_endpoints()
        if routers:
            # Asked at once: in a lookup they come last, after all that memory holds.
            for known in routers.values():
                self.candidates_found(known)
            await self._bootstrap(routers)
        if self.node_count:
            self._problem = ""
        elif routers:
            self._problem = "no router answers, and no other nodes are known"
        else:
            self._problem = "the names of the routers cannot be looked up, and no other nodes are known"

    async def _bootstrap(self, routers: dict[bool, list[Endpoint]]) -> None:
        inquiry = Inquiry[Never]()
        for home in self._homes:
            known = routers.get(home.is_v6, [])
            if known or home.node.contacts():
                home.ask(inquiry, partial(_bootstrap, known))
        await inquiry.ended()

    async def _router_endpoints(self) -> dict[bool, list[Endpoint]]:
        """The routers' addresses by family; names that have none are left out."""
        found = await endpoints_of(self._routers, ROUTER_NAMES_S)
        return {is_v6: [e for e in found if e.is_v6 == is_v6] for is_v6 in (False, True)} if found else {}

    def candidates_found(self, endpoints: Sequence[Endpoint]) -> None:
        """Addresses that may be nodes: peers told of them (BEP 5 `port`), or the user did."""
        if not self._homes:
            self._early = [*self._early, *endpoints][:EARLY_CANDIDATES_MAX]
            return
        for home in self._homes:
            ours = [endpoint for endpoint in endpoints if endpoint.is_v6 == home.is_v6]
            if ours:
                home.candidates_found(ours)

    def network_changed(self) -> None:
        """We are at another address, or back: who failed may answer; others have to learn where we are."""
        self._problem = ""
        self._retry_s = RETRY_S
        self._wake.set()

    async def opened(self) -> None:
        """Wait until questions can be asked, of nodes that the caller knows."""
        while not self._homes:
            await self._news.wait()

    async def joined(self) -> None:
        """Wait until at least one node answers us.

        Raises:
            SwarmError: none does; it says why. It is tried again from time to time.
        """
        if self._homes and not (self.node_count or self._problem or self._is_looking):
            # All were lost since the last look, and the next one may be far off.
            self._wake.set()
        while not self.node_count:
            if self._problem:
                raise SwarmError(self._problem)
            # Of a few nodes all can have been silent for so long that they are to be asked again.
            self._wait_for_company()
            await self._news.wait()

    def _wait_for_company(self) -> None:
        """Nobody answers any more: who does next, in whatever family, is news."""
        for home in self._homes:
            home.wait_for_company()

    async def settled(self) -> None:
        """Wait until our own neighbourhood is known, as far as it can be: later lookups are complete then.

        Raises:
            SwarmError: nobody answers; it says why.
        """
        while not self._homes or self._is_looking:
            await self._news.wait()
        await self.joined()

    def own_addresses(self) -> list[tuple[str, str]]:
        """Our addresses as far as most nodes agree on them, each with who says so."""
        hosts = (home.node.external_host for home in self._homes)
        return [(host, _voice(host)) for host in hosts if host is not None]

    @property
    def node_count(self) -> int:
        """Nodes known to answer, of both families."""
        return sum(stats.good_nodes for stats in self.stats())

    def stats(self) -> list[DhtStats]:
        """One a node."""
        return [home.node.stats() for home in self._homes]

    # -- questions ------------------------------------------------------------------------------
    # They begin at once, among the nodes known now: wait for `joined` or `settled` before.

    def ping(self, endpoint: Endpoint) -> Inquiry[Never]:
        """Ask whether there is a node."""
        return self._ask_family(endpoint, lambda node, op, now: node.ping(op, endpoint, now))

    def find_node(self, target: bytes) -> Inquiry[Never]:
        """Find the nodes nearest to `target`."""
        return self._ask(lambda node, op, now: node.find_node(op, NodeId(target), now))

    def get_peers(self, info_hash: InfoHash, *, is_scrape: bool = False) -> Inquiry[PeersFound]:
        """Find peers; `is_scrape` estimates their number (BEP 33)."""
        return self._ask(lambda node, op, now: node.get_peers(op, info_hash, now, is_scrape=is_scrape))

    def announce(
        self, info_hash: InfoHash, port: int, *, is_port_implied: bool = False, is_seed: bool = False
    ) -> Inquiry[PeersFound]:
        """Find peers, and say that we are one: on `port`, or on that of our datagrams where it is implied."""
        return self._ask(
            lambda node, op, now: node.announce(
                op, info_hash, port, now, is_port_implied=is_port_implied, is_seed=is_seed
            )
        )

    def get(self, target: bytes, *, salt: bytes = b"") -> Inquiry[ItemFound]:
        """Fetch an item (BEP 44); of a mutable one, newer versions may follow older ones."""
        return self._ask(lambda node, op, now: node.get(op, target, now, salt=salt))

    def put(self, item: Item, *, cas: int | None = None) -> Inquiry[Never]:
        """Store an item; `cas`: only over the version with that sequence number."""
        return self._ask(lambda node, op, now: node.put(op, item, now, cas=cas))

    def sample(self, where: Endpoint | bytes) -> Inquiry[SamplesFound]:
        """Ask for info-hashes (BEP 51): one node, or the nodes on the way to a target."""
        if isinstance(where, Endpoint):
            return self._ask_family(where, lambda node, op, now: node.sample(op, where, now))
        return self._ask(lambda node, op, now: node.sample(op, where, now))

    def _ask(self, begin: Begin) -> Inquiry[Any]:
        inquiry = Inquiry[Any]()
        for home in self._homes:
            home.ask(inquiry, begin)
        return inquiry

    def _ask_family(self, endpoint: Endpoint, begin: Begin) -> Inquiry[Any]:
        inquiry = Inquiry[Any]()
        for home in self._homes:
            if home.is_v6 == endpoint.is_v6:
                home.ask(inquiry, begin)
        return inquiry


def _bootstrap(routers: Sequence[Endpoint], node: DhtNode, operation: int, now: float) -> list[Command]:
    return node.bootstrap(operation, routers, now)


def _voice(host: str) -> str:
    # Each voter has one vote, and our address of one family says nothing of the other.
    return "dht IPv6" if ":" in host else "dht IPv4"
