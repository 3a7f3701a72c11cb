"""Lines are shared fairly, and take their time."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from swarm.base.blocks import BLOCK_BYTES
from swarm.base.endpoint import Endpoint
from swarm.base.ids import PeerId
from swarm.sim.network import LINK_BUFFER_BYTES, End, Line, Network, Run, Uplink
from swarm.sim.world import World
from swarm.wire.peer.messages import Message, Piece

RATE = 64 * BLOCK_BYTES
WIDE = Line(RATE, 1e12, latency_s=0.0)


class Note:
    """A host that notes what happens to it."""

    def __init__(self, world: World, number: int, line: Line = WIDE) -> None:
        self.world = world
        self.line = line
        self.endpoint = Endpoint(f"10.0.0.{number}", 6881)
        self.peer_id = PeerId(number.to_bytes(20, "big"))
        self.has_fast = True
        self.is_online = True
        self.down_free_at = 0.0
        self.uplink = Uplink(world, line.up_bytes_per_s, 1)
        self.ends: list[End] = []
        self.got: list[tuple[float, int, int]] = []
        self.sent_bytes = 0
        self.lost: list[str] = []
        self.failed: list[Endpoint] = []

    def link_opened(self, end: End, *, is_outgoing: bool) -> None:
        self.ends.append(end)

    def link_received(self, end: End, messages: Sequence[Message]) -> None:
        for message in messages:
            assert isinstance(message, Piece)
            self.got.append((self.world.now, message.begin, message.length))

    def link_sent(self, end: End, length: int) -> None:
        self.sent_bytes += length

    def link_lost(self, end: End, reason: str) -> None:
        self.lost.append(reason)

    def dial_failed(self, endpoint: Endpoint) -> None:
        self.failed.append(endpoint)

    def is_spoiling(self) -> bool:
        return False


class Net:
    """Hosts that are linked in a star: the first with all others."""

    def __init__(self, *lines: Line) -> None:
        self.world = World(0)
        self.network = Network(self.world)
        self.hosts = [Note(self.world, number, line) for number, line in enumerate(lines, 1)]
        for host in self.hosts:
            self.network.add(host)
        self.hub, *self.others = self.hosts
        for other in self.others:
            self.network.dial(self.hub, other.endpoint)
        self.pass_time(2.0)

    def send(self, other: int, blocks: int) -> End:
        end = self.hub.ends[other]
        end.queue.append(Run(0, 0, blocks * BLOCK_BYTES, BLOCK_BYTES))
        self.hub.uplink.offer(end)
        return end

    def pass_time(self, span_s: float) -> None:
        self.world.run(self.world.now + span_s, 1_000_000)


def received(host: Note) -> int:
    return sum(length for _, _, length in host.got)


def test_a_line_up_is_shared_equally_block_by_block() -> None:
    net = Net(WIDE, WIDE, WIDE)
    net.send(0, 1000)
    net.send(1, 1000)
    net.pass_time(1.0)
    one, two = (received(host) for host in net.others)
    assert one + two == pytest.approx(RATE, rel=0.03)
    assert abs(one - two) <= BLOCK_BYTES


def test_a_line_down_is_shared_by_all_who_send() -> None:
    world = Net(Line(RATE, RATE, 0.0), WIDE, WIDE)
    for sender in world.others:
        end = sender.ends[0]
        end.queue.append(Run(0, 0, 1000 * BLOCK_BYTES, BLOCK_BYTES))
        sender.uplink.offer(end)
    world.pass_time(1.0)
    assert received(world.hub) == pytest.approx(RATE, rel=0.05)


def test_a_slow_receiver_does_not_hold_up_the_others() -> None:
    net = Net(WIDE, Line(RATE, RATE / 8, 0.0), WIDE)
    slow = net.send(0, 1000)
    net.send(1, 1000)
    net.pass_time(4.0)
    assert received(net.others[1]) > 3 * RATE
    assert slow.under_way_bytes <= LINK_BUFFER_BYTES


def test_blocks_need_latency_and_their_time_on_the_line() -> None:
    net = Net(Line(RATE, RATE, 0.1), Line(RATE, RATE, 0.2))
    begun_at = net.world.now
    net.send(0, 1)
    net.pass_time(1.0)
    ((at, _, length),) = net.others[0].got
    assert length == BLOCK_BYTES
    assert at - begun_at == pytest.approx(2 / 64 + 0.3)


def test_what_was_sent_is_told_when_it_has_left() -> None:
    net = Net(WIDE, WIDE)
    net.send(0, 5)
    net.pass_time(3.5 / 64)
    assert net.hub.sent_bytes == 3 * BLOCK_BYTES
    net.pass_time(1.0)
    assert net.hub.sent_bytes == 5 * BLOCK_BYTES == net.hub.uplink.sent_bytes


def test_dial_to_nobody_or_to_someone_offline_fails() -> None:
    net = Net(WIDE, WIDE)
    net.others[0].is_online = False
    for endpoint in (Endpoint("10.9.9.9", 1), net.others[0].endpoint):
        net.network.dial(net.hub, endpoint)
    net.pass_time(1.0)
    assert len(net.hub.failed) == 2


def test_closing_tells_the_other_side_and_drops_what_waits() -> None:
    net = Net(WIDE, WIDE)
    end = net.send(0, 1000)
    net.network.close(end, "enough")
    net.pass_time(1.0)
    assert net.others[0].lost == ["enough"]
    assert net.hub.lost == []
    assert received(net.others[0]) == 0


def test_a_broken_link_is_lost_for_both() -> None:
    net = Net(WIDE, WIDE)
    net.network.break_link(0.0)
    assert len(net.hub.lost) == len(net.others[0].lost) == 1
    net.network.break_link(0.0)
