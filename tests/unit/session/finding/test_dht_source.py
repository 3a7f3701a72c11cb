"""The DHT as a source of peers of many torrents."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from swarm.base.ids import InfoHash
from swarm.session.finding import dht_source
from swarm.session.finding.dht import Dht
from swarm.session.finding.dht_home import Inquiry
from swarm.session.finding.dht_source import DhtSource
from swarm.session.finding.sources import Membership


class Silent:
    """A DHT that is there, and says nothing; notes what it was asked for."""

    def __init__(self) -> None:
        self.has_company = asyncio.Event()
        self.asked: list[InfoHash] = []

    async def joined(self) -> None:
        await self.has_company.wait()

    def announce(self, info_hash: InfoHash, port: int, *, is_seed: bool) -> Inquiry[Any]:
        self.asked.append(info_hash)
        return Inquiry()


def torrent(number: int) -> Membership:
    return Membership(
        InfoHash(bytes([number]) * 20),
        lambda: 6881,
        is_seed=lambda: False,
        is_complete=lambda: False,
        found=lambda peers, kind: None,
    )


@pytest.mark.parametrize(("between_s", "asked_count"), [(3600.0, 1), (0.0, 10)])
async def test_torrents_that_waited_for_the_first_node_ask_it_one_by_one(
    monkeypatch: pytest.MonkeyPatch, between_s: float, asked_count: int
) -> None:
    monkeypatch.setattr(dht_source, "BETWEEN_LOOKUPS_S", between_s)
    dht = Silent()
    source = DhtSource(cast(Dht, dht))
    torrents = [torrent(number) for number in range(10)]
    rounds = [asyncio.ensure_future(source.go_round(one)) for one in torrents]
    await asyncio.sleep(0)
    assert not dht.asked
    dht.has_company.set()
    for _ in range(10):
        await asyncio.sleep(0)
    assert dht.asked == [one.info_hash for one in torrents[:asked_count]]
    for one in rounds:
        one.cancel()
    await asyncio.gather(*rounds, return_exceptions=True)
