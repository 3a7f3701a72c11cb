"""The watch over our way out: what it takes for a change."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from swarm.net.outlet import Outlet
from swarm.net.ways_out import slept_s
from swarm.session.finding import network_watch
from swarm.session.finding.network_watch import SLEPT_MIN_S, NetworkWatch


async def test_who_has_slept_is_in_another_network_though_its_address_is_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slept, looked = 100.0, asyncio.Event()

    def look(_: Outlet) -> tuple[str, ...]:
        looked.set()
        return ("10.0.0.2",)

    monkeypatch.setattr(network_watch, "LOOK_S", 0.0)
    monkeypatch.setattr(network_watch, "ways_out", look)
    monkeypatch.setattr(network_watch, "slept_s", lambda: slept)
    heard: list[Sequence[str]] = []

    async def changed(hosts: Sequence[str]) -> None:
        heard.append(hosts)

    watch = NetworkWatch(Outlet(), changed)
    watch.start()

    async def look_twice() -> None:
        for _ in range(2):
            looked.clear()
            await looked.wait()
        await asyncio.sleep(0)

    await look_twice()
    slept += SLEPT_MIN_S - 1
    await look_twice()
    assert heard == []
    slept += 1
    await look_twice()
    assert heard == [("10.0.0.2",)]
    await watch.close()


def test_this_machine_s_sleep_is_a_number() -> None:
    assert 0 <= slept_s() == pytest.approx(slept_s(), abs=1)
