"""Names of peers to addresses, with a resolver whose answers are arguments."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator, Mapping

import pytest

from swarm.base.endpoint import Endpoint
from swarm.net import names

Row = tuple[int, int, int, str, tuple[str, int]]


class FakeResolver:
    """In the place of `socket.getaddrinfo`; names that are not in `known` do not exist, "slow" waits."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, known: Mapping[str, list[str]]) -> None:
        self.known = known
        self.asked: list[str] = []
        self.may_go = threading.Event()
        monkeypatch.setattr(socket, "getaddrinfo", self.getaddrinfo)

    def getaddrinfo(self, name: str, port: None, *, type: int) -> Iterator[Row]:
        self.asked.append(name)
        if name == "slow":
            self.may_go.wait(30)
        if name not in self.known:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return iter([(2, type, 6, "", (host, 0)) for host in self.known[name]])


async def test_a_name_with_several_addresses_gives_them_all_and_numbers_are_not_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolver = FakeResolver(monkeypatch, {"two": ["10.0.0.1", "2001:db8::1", "10.0.0.1"]})
    found = await names.endpoints_of([("10.9.9.9", 5), ("two", 6), ("two", 7), ("::ffff:10.0.0.3", 8)], 30)
    assert found == [
        Endpoint("10.9.9.9", 5),
        Endpoint("10.0.0.1", 6),
        Endpoint("2001:db8::1", 6),
        Endpoint("10.0.0.1", 7),
        Endpoint("2001:db8::1", 7),
        Endpoint("10.0.0.3", 8),
    ]
    assert resolver.asked == ["two"]


async def test_names_without_an_address_are_told_and_the_rest_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    FakeResolver(monkeypatch, {"one": ["10.0.0.1"]})
    failures: dict[str, str] = {}
    found = await names.endpoints_of(
        [("nobody", 1), ("one", 2), ("x" * 70, 3)], 30, lambda name, reason: failures.update({name: reason})
    )
    assert found == [Endpoint("10.0.0.1", 2)]
    assert failures == {"nobody": "Name or service not known", "x" * 70: "Name or service not known"}


async def test_a_resolver_that_hangs_costs_its_name_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    resolver = FakeResolver(monkeypatch, {"one": ["10.0.0.1"]})
    failures: list[tuple[str, str]] = []
    found = await names.endpoints_of(
        [("slow", 1), ("one", 2)], 0.2, lambda name, reason: failures.append((name, reason))
    )
    resolver.may_go.set()
    assert (found, failures) == ([Endpoint("10.0.0.1", 2)], [("slow", "no answer")])


async def test_threads_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    resolver = FakeResolver(monkeypatch, {"slow": []})
    monkeypatch.setattr(names, "_lookups", threading.BoundedSemaphore(3))
    waiting = [asyncio.create_task(names.look_up("slow")) for _ in range(3)]
    while len(resolver.asked) < 3:  # noqa: ASYNC110  # threads set no events of ours
        await asyncio.sleep(0.001)
    with pytest.raises(OSError, match="too many names"):
        await names.look_up("slow")
    resolver.may_go.set()
    assert await asyncio.gather(*waiting) == [[], [], []]
    assert await names.look_up("slow") == []


class TestNameCache:
    async def test_asks_once_for_all_who_want_to_know_and_not_for_numbers(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        resolver = FakeResolver(monkeypatch, {"one": ["10.0.0.1"]})
        cache = names.NameCache()
        assert await asyncio.gather(*(cache.addresses("one") for _ in range(9))) == [["10.0.0.1"]] * 9
        assert await cache.addresses("one") == ["10.0.0.1"]
        assert await cache.addresses("::1") == ["::1"]
        assert resolver.asked == ["one"]

    async def test_forgets_what_is_old_what_failed_and_what_is_too_much(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        resolver = FakeResolver(monkeypatch, {name: ["10.0.0.1"] for name in "abc"})
        old = names.NameCache(life_s=0)
        small = names.NameCache(names_max=2)
        for name in "aa":
            await old.addresses(name)
        for name in "abcca":
            await small.addresses(name)
        for _ in range(2):
            with pytest.raises(OSError, match="not known"):
                await small.addresses("nobody")
        assert resolver.asked == [*"aa", *"abca", "nobody", "nobody"]

    async def test_close_ends_the_wait(self, monkeypatch: pytest.MonkeyPatch) -> None:
        resolver = FakeResolver(monkeypatch, {})
        cache = names.NameCache()
        waiting = asyncio.create_task(cache.addresses("slow"))
        while not resolver.asked:  # noqa: ASYNC110  # threads set no events of ours
            await asyncio.sleep(0.001)
        await cache.close()
        with pytest.raises(OSError, match="closed"):
            await waiting
        resolver.may_go.set()
