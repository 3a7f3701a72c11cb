"""The DHT's host: nodes on real sockets of this machine, their way in, their memory and their end."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

import swarm.session.finding.dht as module
from swarm.base.endpoint import Endpoint
from swarm.base.errors import SwarmError
from swarm.base.ids import InfoHash
from swarm.dht.settings import DhtSettings
from swarm.net.udp import open_sockets
from swarm.session.finding import dht_memory
from swarm.session.finding.dht import Dht
from swarm.session.finding.dht_memory import DhtMemory, HomeMemory, memory_path
from swarm.session.finding.dht_source import DhtSource
from swarm.session.finding.sources import Membership
from swarm.wire.krpc import Contact

INFO_HASH = InfoHash(b"i" * 20)
#: Answers on this machine come in a millisecond; nobody has to wait for those that never come.
IMPATIENT = DhtSettings(slow_s=0.05, slow_min_s=0.02, slow_max_s=0.1)


@contextlib.asynccontextmanager
async def running(
    *routers: tuple[str, int],
    addresses: tuple[str, ...] = ("127.0.0.1",),
    state: Path | None = None,
    notices: list[tuple[str, str]] | None = None,
    settings: DhtSettings = IMPATIENT,
) -> AsyncIterator[Dht]:
    """A part in the DHT, on any free port."""
    said = [] if notices is None else notices
    sockets = open_sockets(addresses, 0)
    dht = Dht(
        sockets,
        routers=routers,
        settings=settings,
        memory_path=None if state is None else memory_path(state),
        on_notice=lambda level, text: said.append((level, text)),
    )
    try:
        async with dht, asyncio.timeout(20):
            yield dht
    finally:
        for socket in sockets:
            socket.close()


def at(dht: Dht) -> tuple[str, int]:
    return "127.0.0.1", dht.port


def own_ids(dht: Dht) -> list[bytes]:
    """What its nodes call themselves."""
    return [home.node.own_id for home in dht._homes]


async def until_known(dht: Dht, count: int) -> None:
    # A node tells nobody that it has met another one.
    while dht.node_count < count:  # noqa: ASYNC110
        await asyncio.sleep(0.005)


async def test_peers_announced_by_one_are_found_by_another() -> None:
    async with running() as first, running(at(first)) as seeder, running(at(first)) as leecher:
        await seeder.joined()
        assert (await seeder.announce(INFO_HASH, 7001, is_seed=True).ended()).announced_count >= 1
        await leecher.joined()
        inquiry = leecher.get_peers(INFO_HASH, is_scrape=True)
        found = [peer async for one in inquiry.results() for peer in one.endpoints]
        assert found == [Endpoint("127.0.0.1", 7001)]
        assert (inquiry.outcome().seeds, inquiry.outcome().leechers) == (1, 0)


async def test_both_families_are_asked_together() -> None:
    both = ("127.0.0.1", "::1")
    async with running(addresses=both) as first:
        router6 = ("::1", first.port)
        async with running(at(first), router6, addresses=both) as other:
            await other.settled()
            outcome = await other.announce(INFO_HASH, 7001).ended()
            assert outcome.announced_count == 2
            found = [peer async for one in other.get_peers(INFO_HASH).results() for peer in one.endpoints]
            assert set(found) == {Endpoint("127.0.0.1", 7001), Endpoint("::1", 7001)}
            pong = await other.ping(Endpoint("::1", first.port)).ended()
            assert pong.answers == 1


async def test_routers_that_do_not_answer_are_said_and_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_S", 0.01)
    (silent,) = open_sockets(["127.0.0.1"], 0)
    port = silent.port
    async with running(("127.0.0.1", port)) as dht:
        with pytest.raises(SwarmError, match="no router answers, and no other nodes are known"):
            await dht.joined()
        # From now on there is somebody.
        silent.close()
        sockets = open_sockets(["127.0.0.1"], port)
        async with Dht(sockets):
            await until_known(dht, 1)
            await dht.joined()
        sockets[0].close()


async def test_names_that_nobody_knows_are_said() -> None:
    async with running(("no name at all", 1)) as dht:
        with pytest.raises(SwarmError, match="names of the routers cannot be looked up"):
            await dht.joined()


async def test_without_routers_it_waits_for_peers_that_tell_of_nodes() -> None:
    async with running() as first, running(at(first)) as second, running() as lonely:
        await second.joined()
        waiting = asyncio.ensure_future(lonely.joined())
        lonely.candidates_found([Endpoint(*at(first)), Endpoint("::1", 5)])
        await waiting
        # Through the first it meets the second by itself.
        await until_known(lonely, 2)


async def test_who_waits_for_a_node_goes_on_when_one_that_was_silent_answers_again() -> None:
    forgetful = replace(IMPATIENT, good_s=0.05)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        async with running() as first, running(at(first), settings=forgetful) as second:
            await second.settled()
            while second.node_count:
                await second.ping(Endpoint(*silent.getsockname())).ended()
            joined = asyncio.create_task(second.joined())
            await asyncio.sleep(0)
            assert not joined.done()
            await second.ping(Endpoint(*at(first))).ended()
            await joined


@pytest.mark.parametrize("has_silent_router", [False, True])
async def test_who_lost_all_nodes_finds_them_again_when_asked(
    has_silent_router: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network that was away for longer than a table lasts; it is looked at every 15 minutes."""
    monkeypatch.setattr(module, "RETRY_S", 0.01)
    await dht_memory.save(memory_path(tmp_path), DhtMemory(HomeMemory(b"a" * 20)))
    (silent,) = open_sockets(["127.0.0.1"], 0)
    routers = [("127.0.0.1", silent.port)] if has_silent_router else []
    async with running(*routers) as dht:
        (before,) = open_sockets(["127.0.0.1"], 0)
        port = before.port
        async with Dht([before], memory_path=memory_path(tmp_path)) as node:
            await node.opened()
            await dht.opened()
            dht.candidates_found([Endpoint("127.0.0.1", port)])
            await until_known(dht, 1)
            while not dht._known.has_contacts:  # noqa: ASYNC110  (nor does it tell that it looks around)
                await asyncio.sleep(0.005)
        before.close()
        while dht.node_count:
            await dht.ping(Endpoint("127.0.0.1", port)).ended()
        sockets = open_sockets(["127.0.0.1"], port)
        async with Dht(sockets, memory_path=memory_path(tmp_path)) as node:
            await node.opened()
            while True:
                # As rounds do.
                with contextlib.suppress(SwarmError):
                    await dht.joined()
                    break
                await asyncio.sleep(0.005)
        sockets[0].close()
    silent.close()


async def test_address_that_nodes_agree_on_is_told() -> None:
    told: list[tuple[str, str]] = []
    sockets = open_sockets(["127.0.0.1"], 0)
    async with running() as first, running(at(first)) as second:
        await second.joined()
        agreed = replace(IMPATIENT, votes_needed=2)
        async with Dht(
            sockets,
            routers=[at(first), at(second)],
            settings=agreed,
            on_own_address=lambda host, source: told.append((host, source)),
        ) as dht:
            assert dht.own_addresses() == []
            await until_known(dht, 2)
            assert dht.own_addresses() == told == [("127.0.0.1", "dht IPv4")]
    sockets[0].close()


async def test_a_table_and_an_id_outlive_the_process(tmp_path: Path) -> None:
    async with running() as first:
        async with running(at(first), state=tmp_path) as dht:
            await dht.settled()
            own_id = own_ids(dht)[0]
        assert sorted(path.name for path in tmp_path.iterdir()) == ["dht.state"]
        async with running(state=tmp_path) as again:
            await again.joined()
            assert own_ids(again) == [own_id]


async def test_a_second_process_uses_the_table_under_an_id_of_its_own(tmp_path: Path) -> None:
    async with running() as first:
        async with running(at(first), state=tmp_path) as dht:
            await dht.settled()
        async with running(state=tmp_path) as one, running(state=tmp_path) as two:
            await one.joined()
            await two.joined()
            assert own_ids(one) != own_ids(two)
            ids = own_ids(one) + own_ids(two)
    saved = await dht_memory.load(memory_path(tmp_path))
    assert saved.v4.own_id == ids[0]


async def test_a_table_of_nodes_that_have_gone_does_not_hold_up_the_routers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WARM_S", 0.01)
    (silent,) = open_sockets(["127.0.0.1"], 0)
    gone = tuple(Contact(bytes((n,)) * 20, Endpoint(f"127.0.0.{n}", silent.port)) for n in range(2, 60))
    await dht_memory.save(memory_path(tmp_path), DhtMemory(HomeMemory(b"a" * 20, gone)))
    # With these nobody is given up within the time that a test has.
    patient = DhtSettings(slow_s=60, slow_min_s=60, slow_max_s=60)
    async with running() as first, running(at(first), state=tmp_path, settings=patient) as dht:
        await dht.joined()
        assert own_ids(dht) == [b"a" * 20]
    silent.close()


async def test_a_damaged_table_is_said_and_done_without(tmp_path: Path) -> None:
    memory_path(tmp_path).write_bytes(b"rubbish")
    notices: list[tuple[str, str]] = []
    async with running(state=tmp_path, notices=notices) as dht:
        await dht.opened()
    ((level, text),) = notices
    assert level == "warning"
    assert "the saved routing table is damaged; it was set aside as dht.state.broken" in text
    assert text.endswith("; starting without it")


async def test_a_table_that_cannot_be_written_is_said_once(tmp_path: Path) -> None:
    notices: list[tuple[str, str]] = []
    async with running() as first, running(at(first), state=tmp_path, notices=notices):
        while not memory_path(tmp_path).exists():  # noqa: ASYNC110  (a file tells nobody that it is there)
            await asyncio.sleep(0.005)
        memory_path(tmp_path).unlink()
        memory_path(tmp_path).mkdir()
    assert [level for level, _ in notices] == ["warning"]
    assert "the routing table cannot be kept" in notices[0][1]


async def test_the_end_leaves_no_task_and_no_timer() -> None:
    async with running() as first, running(at(first)) as dht:
        await dht.settled()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    timers = getattr(asyncio.get_running_loop(), "_scheduled", [])
    assert [timer for timer in timers if not timer.cancelled()] == []


async def test_questions_under_way_end_with_it() -> None:
    (silent,) = open_sockets(["127.0.0.1"], 0)
    async with running(settings=DhtSettings()) as dht:
        await dht.opened()
        waiting = asyncio.ensure_future(dht.ping(Endpoint("127.0.0.1", silent.port)).ended())
        await asyncio.sleep(0)
    assert (await waiting).answers == 0
    silent.close()


async def test_who_stops_listening_ends_the_question() -> None:
    async with running() as first, running(at(first)) as dht:
        await dht.joined()
        inquiry = dht.get_peers(INFO_HASH)
        inquiry.cancel()
        assert [found async for found in inquiry.results()] == []


async def test_a_read_only_node_is_answered_and_not_remembered() -> None:
    async with running() as first, running(at(first), settings=DhtSettings(is_read_only=True)) as reader:
        await reader.joined()
        await reader.get_peers(INFO_HASH).ended()
        assert (first.node_count, reader.node_count) == (0, 1)


# -- as a source of peers ---------------------------------------------------------------------------


def membership(found: list[tuple[Endpoint, str]], *, port: int, is_seed: bool) -> Membership:
    return Membership(
        INFO_HASH,
        lambda: port,
        lambda: is_seed,
        lambda: is_seed,
        lambda endpoints, source: found.extend((endpoint, source) for endpoint in endpoints),
    )


async def test_a_round_finds_peers_and_says_that_we_are_one() -> None:
    found: list[tuple[Endpoint, str]] = []
    async with running() as first, running(at(first)) as one, running(at(first)) as other:
        assert await DhtSource(one).go_round(membership([], port=7001, is_seed=True)) == 0
        assert await DhtSource(other).go_round(membership(found, port=7002, is_seed=False)) == 1
        assert found == [(Endpoint("127.0.0.1", 7001), "dht")]
        outcome = await other.get_peers(INFO_HASH, is_scrape=True).ended()
        assert (outcome.seeds, outcome.leechers) == (1, 1)


async def test_a_round_fails_when_all_nodes_have_gone() -> None:
    async with running() as dht:
        async with running() as first:
            dht.candidates_found([Endpoint(*at(first))])
            await dht.joined()
        with pytest.raises(SwarmError, match="no node answers any more"):
            await DhtSource(dht).go_round(membership([], port=7001, is_seed=False))
