"""Local discovery on the loopback interface, on a port of the test's own."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Callable, Sequence

import pytest

from swarm.base.endpoint import Endpoint
from swarm.base.errors import SwarmError
from swarm.base.ids import InfoHash
from swarm.net.lsd import LocalMulticast
from swarm.net.outlet import Outlet
from swarm.session.finding import local_discovery
from swarm.session.finding.local_discovery import LocalDiscovery
from swarm.session.finding.sources import Membership
from swarm.wire.lsd import GROUP_V4, LocalAnnounce, decode_announce, encode_announce

ON_LOOPBACK = Outlet({False: "127.0.0.1"})
PATIENCE_S = 30.0


def torrent(number: int) -> InfoHash:
    return InfoHash(bytes([number]) * 20)


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def group_port() -> int:
    return free_port()


class Local:
    """One session's local discovery, and the peers that it passed on."""

    def __init__(self, port: int, *numbers: int, listening_at: int = 6881, seed: int = 1) -> None:
        self.source = LocalDiscovery(random.Random(seed), outlet=ON_LOOPBACK, port=port)
        self.found: list[tuple[InfoHash, Endpoint]] = []
        self.swarms = [
            Membership(
                torrent(number),
                lambda: listening_at,
                is_seed=lambda: False,
                is_complete=lambda: False,
                found=self._found_of(torrent(number)),
            )
            for number in numbers
        ]
        for swarm in self.swarms:
            self.source.join(swarm)

    def _found_of(self, info_hash: InfoHash) -> Callable[[Sequence[Endpoint], str], None]:
        def found(peers: Sequence[Endpoint], kind: str) -> None:
            assert kind == "lsd"
            self.found += [(info_hash, peer) for peer in peers]

        return found

    def hear(self, raw: bytes, host: str = "10.0.0.9") -> None:
        self.source._received(raw, host)

    async def until_found(self, count: int) -> None:
        async with asyncio.timeout(PATIENCE_S):
            # Datagrams that arrive set no event of ours.
            while len(self.found) < count:  # noqa: ASYNC110
                await asyncio.sleep(0.002)

    def leave(self) -> None:
        for swarm in self.swarms:
            self.source.leave(swarm)


@pytest.fixture
async def ear(group_port: int) -> AsyncIterator[asyncio.Queue[bytes]]:
    """What anybody sends to the group."""
    heard: asyncio.Queue[bytes] = asyncio.Queue()
    multicast = LocalMulticast(lambda raw, _host: heard.put_nowait(raw), outlet=ON_LOOPBACK, port=group_port)
    yield heard
    multicast.close()


async def take(ear: asyncio.Queue[bytes]) -> LocalAnnounce:
    async with asyncio.timeout(PATIENCE_S):
        return decode_announce(await ear.get())


async def test_whoever_was_there_hears_the_one_who_comes(group_port: int) -> None:
    first = Local(group_port, 1, 2, listening_at=7001, seed=1)
    second = Local(group_port, 2, 3, listening_at=7002, seed=2)
    for swarm in first.swarms:
        assert await first.source.go_round(swarm) == 0
    await asyncio.gather(*map(second.source.go_round, second.swarms))
    await first.until_found(1)
    assert first.found == [(torrent(2), Endpoint("127.0.0.1", 7002))]
    # What was heard since the last round counts for the next.
    assert await first.source.go_round(first.swarms[1]) == 1
    await second.until_found(1)
    assert second.found == [(torrent(2), Endpoint("127.0.0.1", 7001))]
    first.leave()
    second.leave()


async def test_torrents_of_a_moment_share_datagrams(group_port: int, ear: asyncio.Queue[bytes]) -> None:
    local = Local(group_port, *range(60))
    await asyncio.gather(*map(local.source.go_round, local.swarms))
    announces = [await take(ear) for _ in range(3)]
    assert [len(announce.info_hashes) for announce in announces] == [25, 25, 10]
    assert {one for announce in announces for one in announce.info_hashes} == {
        swarm.info_hash for swarm in local.swarms
    }
    assert {announce.port for announce in announces} == {6881}
    assert len({announce.cookie for announce in announces}) == 1
    local.leave()


async def test_datagrams_in_a_minute_are_bounded(
    group_port: int, ear: asyncio.Queue[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_discovery, "INFO_HASHES_MAX", 1)
    local = Local(group_port, *range(12))
    rounds = [asyncio.create_task(local.source.go_round(swarm)) for swarm in local.swarms]
    async with asyncio.timeout(PATIENCE_S):
        await asyncio.gather(*rounds[: local_discovery.DATAGRAMS_MAX])
    assert not rounds[-1].done()
    assert local.source._timer is not None
    assert local.source._timer.when() > asyncio.get_running_loop().time() + 30
    for waiting in rounds[-2:]:
        waiting.cancel()
    await asyncio.gather(*rounds, return_exceptions=True)
    local.leave()


async def test_round_that_waits_for_its_datagram_ends_and_keeps_its_place(
    group_port: int, ear: asyncio.Queue[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_discovery, "INFO_HASHES_MAX", 1)
    monkeypatch.setattr(local_discovery, "_WAIT_MAX_S", 0.0)
    local = Local(group_port, *range(12))
    async with asyncio.timeout(PATIENCE_S):
        await asyncio.gather(*map(local.source.go_round, local.swarms))
    announces = [await take(ear) for _ in range(local_discovery.DATAGRAMS_MAX)]
    assert [announce.info_hashes for announce in announces] == [(torrent(number),) for number in range(10)]
    # The next round is due before the datagram of this one has left.
    await local.source.go_round(local.swarms[11])
    assert list(local.source._due) == [torrent(10), torrent(11)]
    local.source.leave(local.swarms[10])
    assert list(local.source._due) == [torrent(11)]
    local.leave()


async def test_its_own_datagrams_are_not_heard(group_port: int, ear: asyncio.Queue[bytes]) -> None:
    local = Local(group_port, 1)
    await local.source.go_round(local.swarms[0])
    announce = await take(ear)
    local.hear(encode_announce(announce, GROUP_V4))
    assert local.found == []
    local.hear(encode_announce(announce._replace(cookie="other"), GROUP_V4))
    assert local.found == [(torrent(1), Endpoint("10.0.0.9", 6881))]
    local.leave()


async def test_a_flood_is_heard_only_so_far(group_port: int) -> None:
    local = Local(group_port, 1, 2)
    for number in range(1, 2000):
        announce = LocalAnnounce(number, (torrent(1), torrent(9)))
        local.hear(encode_announce(announce, GROUP_V4))
    assert len(local.found) == local_discovery.PEERS_MAX
    local.hear(encode_announce(LocalAnnounce(1, (torrent(2),)), GROUP_V4))
    assert len(local.found) == local_discovery.PEERS_MAX
    local.leave()


async def test_noise_and_impossible_sources_are_passed_over(group_port: int) -> None:
    local = Local(group_port, 1)
    good = encode_announce(LocalAnnounce(7, (torrent(1),)), GROUP_V4)
    for raw in (b"", b"\xff" * 1400, good[:60], good.replace(b"BT", b"TB")):
        local.hear(raw)
    for host in ("0.0.0.0", "239.192.152.143", "ff15::1"):
        local.hear(good, host)
    assert local.found == []
    local.hear(good)
    local.hear(good)
    assert local.found == [(torrent(1), Endpoint("10.0.0.9", 7))]
    local.leave()


async def test_nothing_is_passed_on_to_a_torrent_that_has_left(group_port: int) -> None:
    local = Local(group_port, 1)
    local.leave()
    local.hear(encode_announce(LocalAnnounce(7, (torrent(1),)), GROUP_V4))
    assert local.found == []


async def test_the_last_torrent_closes_the_sockets_and_another_opens_them(group_port: int) -> None:
    local = Local(group_port, 1)
    for _ in range(2):
        await local.source.go_round(local.swarms[0])
        assert local.source._multicast is not None
        local.leave()
        assert local.source._multicast is None and local.source._timer is None
        local.source.join(local.swarms[0])
    local.leave()


async def test_without_multicast_it_says_so(group_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> socket.socket:
        raise OSError(97, "Address family not supported by protocol")

    local = Local(group_port, 1)
    monkeypatch.setattr(socket, "socket", refuse)
    with pytest.raises(SwarmError, match="no local discovery: Address family not supported"):
        await local.source.go_round(local.swarms[0])
    local.leave()


async def test_an_address_that_is_not_ours_has_no_multicast(group_port: int) -> None:
    with pytest.raises(OSError):
        LocalMulticast(lambda *_: None, outlet=Outlet({False: "192.0.2.77"}), port=group_port)


async def test_without_an_address_every_interface_is_used(group_port: int, ear: asyncio.Queue[bytes]) -> None:
    sources: list[str] = []
    everywhere = LocalMulticast(lambda _raw, host: sources.append(host), port=group_port)
    assert everywhere.send(lambda is_v6: b"six" if is_v6 else b"four") >= 1
    async with asyncio.timeout(PATIENCE_S):
        assert await ear.get() == b"four"
        while "127.0.0.1" not in sources:  # noqa: ASYNC110  # as above
            await asyncio.sleep(0.002)
    everywhere.close()
