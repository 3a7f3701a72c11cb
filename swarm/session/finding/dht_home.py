"""The host of one DHT node: its socket, its timer, and the questions that are under way."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, Generic, TypeAlias, TypeVar, assert_never

from swarm.base.endpoint import Endpoint
from swarm.dht.commands import (
    Command,
    IdentityChanged,
    ItemFound,
    LookupOutcome,
    OperationEnded,
    PeersFound,
    SamplesFound,
    SendDatagram,
)
from swarm.dht.node import DhtNode
from swarm.net.udp import UdpSocket

F = TypeVar("F")
#: Starts an operation of a node: (node, operation, now) -> commands.
Begin: TypeAlias = Callable[[DhtNode, int, float], list[Command]]

#: First byte of KRPC: every message is a bencoded dictionary (BEP 5).
KRPC_BYTE = ord("d")


class Inquiry(Generic[F]):
    """One question to the DHT, over IPv4, IPv6 or both: gives what is found as it comes, then the outcome."""

    def __init__(self) -> None:
        self._outcomes: list[LookupOutcome] = []
        self._found: deque[F] = deque()
        self._news = asyncio.Event()
        self._under_way: list[tuple[DhtHome, int]] = []

    def begun(self, home: DhtHome, operation: int) -> None:
        self._under_way.append((home, operation))

    def found(self, what: F) -> None:
        self._found.append(what)
        self._news.set()

    def home_ended(self, home: DhtHome, operation: int, outcome: LookupOutcome) -> None:
        self._under_way.remove((home, operation))
        self._outcomes.append(outcome)
        self._news.set()

    async def results(self) -> AsyncGenerator[F, None]:
        """Yield what is found until all homes have ended; whoever stops earlier should close it."""
        try:
            while True:
                while self._found:
                    yield self._found.popleft()
                if not self._under_way:
                    return
                self._news.clear()
                await self._news.wait()
        finally:
            self.cancel()

    async def ended(self) -> LookupOutcome:
        """Wait until all homes have ended; what was found is passed over."""
        async for _ in self.results():
            pass
        return self.outcome()

    def outcome(self) -> LookupOutcome:
        """How it went, both homes together."""
        total = LookupOutcome()
        for one in self._outcomes:
            total.hops = max(total.hops, one.hops)
            total.queries += one.queries
            total.answers += one.answers
            total.closest = [*total.closest, *one.closest]
            total.announced_count += one.announced_count
            # Most peers of an IPv6 swarm are in the IPv4 one as well: a sum would count them twice.
            total.seeds = max(total.seeds, one.seeds)
            total.leechers = max(total.leechers, one.leechers)
            total.errors += one.errors
        return total

    def cancel(self) -> None:
        """Ask no further."""
        under_way, self._under_way = self._under_way, []
        for home, operation in under_way:
            home.cancel(operation)
        self._news.set()


class DhtHome:
    """Runs one node on one socket.

    Args:
        on_company: the first node has answered it, or the first since `wait_for_company`.
        on_identity: gets the address that others agree is ours; its id and neighbours may be others now.
    """

    def __init__(
        self,
        node: DhtNode,
        socket: UdpSocket,
        *,
        on_company: Callable[[], None],
        on_identity: Callable[[str], None],
    ) -> None:
        self.node = node
        self.is_v6 = socket.is_v6
        self._socket = socket
        self._on_company = on_company
        self._on_identity = on_identity
        self._is_lonely = True
        self._loop = asyncio.get_running_loop()
        self._inquiries: dict[int, Inquiry[Any]] = {}
        self._next_operation = 0
        self._timer: asyncio.TimerHandle | None = None
        self._wakeup_at = float("inf")
        self._is_closed = False
        socket.receive([KRPC_BYTE], self._received)
        self._plan()

    def ask(self, inquiry: Inquiry[Any], begin: Begin) -> None:
        """Start an operation whose results go to `inquiry`."""
        if self._is_closed:
            return
        operation = self._next_operation
        self._next_operation += 1
        self._inquiries[operation] = inquiry
        inquiry.begun(self, operation)
        self._carry_out(begin(self.node, operation, self._loop.time()))

    def cancel(self, operation: int) -> None:
        if self._inquiries.pop(operation, None) is not None and not self._is_closed:
            self._carry_out(self.node.cancel(operation))

    def wait_for_company(self) -> None:
        """Call `on_company` again for the next node that answers."""
        self._is_lonely = True

    def candidates_found(self, endpoints: Sequence[Endpoint]) -> None:
        """Addresses that may be nodes."""
        if not self._is_closed:
            self._carry_out(self.node.add_candidates(endpoints, self._loop.time()))

    def close(self) -> None:
        """Stop at once; what is under way ends without an outcome."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        inquiries, self._inquiries = self._inquiries, {}
        for inquiry in inquiries.values():
            inquiry.cancel()

    def _received(self, batch: Sequence[tuple[bytes, Endpoint]]) -> None:
        now = self._loop.time()
        for datagram, source in batch:
            # An address that is good on one link only cannot be told to others.
            if not self._is_closed and "%" not in source.host:
                self._act(self.node.received(datagram, source, now))
        self._plan()
        if self._is_lonely and not self._is_closed and self.node.stats().good_nodes:
            self._is_lonely = False
            self._on_company()

    def _carry_out(self, commands: Sequence[Command]) -> None:
        self._act(commands)
        self._plan()

    def _act(self, commands: Sequence[Command]) -> None:
        for command in commands:
            match command:
                case SendDatagram(endpoint, payload):
                    self._socket.send(payload, endpoint)
                case PeersFound() | ItemFound() | SamplesFound():
                    inquiry = self._inquiries.get(command.operation)
                    if inquiry is not None:
                        inquiry.found(command)
                case OperationEnded(operation, outcome):
                    inquiry = self._inquiries.pop(operation, None)
                    if inquiry is not None:
                        inquiry.home_ended(self, operation, outcome)
                case IdentityChanged(_, external_host):
                    self._on_identity(external_host)
                case _:
                    assert_never(command)

    def _plan(self) -> None:
        """Wake the node in time; a timer that comes too early is let be, as it sets the next one."""
        if self._is_closed:
            return
        wakeup_at = self.node.next_wakeup()
        if wakeup_at is None or wakeup_at >= self._wakeup_at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._wakeup_at = wakeup_at
        self._timer = self._loop.call_at(wakeup_at, self._wake)

    def _wake(self) -> None:
        self._timer = None
        self._wakeup_at = float("inf")
        self._carry_out(self.node.woken(self._loop.time()))
