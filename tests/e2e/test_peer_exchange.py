"""Peers that nobody named but other peers: real sessions, no tracker; and torrents where that must not be."""

from __future__ import annotations

import re
import time
from contextlib import AsyncExitStack
from pathlib import Path
from unittest import mock

import pytest

from swarm import Metainfo, Session, Torrent
from swarm.engine.settings import EngineSettings
from swarm.metainfo.builder import TorrentOptions
from swarm.storage.create import create_torrent
from tests.e2e.scripted_peer import Line, frame, scripted_peer
from tests.e2e.transfers import Offer, assert_same, offer_file, open_session, seed, settings_of, until, within

KIB = 1024
SETTLE_S = 0.05
EXTENDED = 20
#: The reserved bytes of who speaks BEP 10.
EXTENDED_BIT = bytes((0, 0, 0, 0, 0, 0x10, 0, 0))


def private(offer: Offer) -> Offer:
    options = TorrentOptions(piece_length=16 * KIB, is_private=True)
    return Offer(offer.path, create_torrent(offer.path, options))


async def idle(session: Session, offer: Offer, folder: Path, *ports: int) -> Torrent:
    """A leecher that has nothing to give and knows these peers."""
    peers = [("127.0.0.1", port) for port in ports]
    torrent = await session.add(offer.raw, save_to=folder, peers=peers)
    await until(lambda: torrent.state == "downloading")
    return torrent


async def test_those_who_know_one_soon_know_each_other(tmp_path: Path) -> None:
    offer = offer_file(tmp_path / "seed", 600_000, 16 * KIB)
    settings = settings_of(
        tmp_path / "state", engine=EngineSettings(pex_settle_s=SETTLE_S), is_dht_enabled=False
    )
    async with AsyncExitStack() as stack:
        sessions = [await stack.enter_async_context(open_session(settings)) for _ in range(4)]
        middle, *others = sessions
        torrents = [await idle(middle, offer, tmp_path / "middle")]
        for number, session in enumerate(others):
            torrents.append(await idle(session, offer, tmp_path / str(number), middle.port))
        await until(lambda: all(len(torrent.peers()) == 3 for torrent in torrents))


async def test_content_comes_from_a_seed_that_only_another_peer_has_named(tmp_path: Path) -> None:
    offer = offer_file(tmp_path / "seed", 600_000, 16 * KIB)
    settings = settings_of(tmp_path / "state", is_dht_enabled=False)
    async with open_session(settings) as seeder, open_session(settings) as leecher:
        await seed(seeder, offer)

        async def name_the_seed(line: Line) -> None:
            await line.shake(reserved=EXTENDED_BIT)
            line.send(frame(EXTENDED, b"\0d1:md6:ut_pexi9eee"))
            kind, payload = await line.receive()
            while kind != EXTENDED or payload[:1] != b"\0":
                kind, payload = await line.receive()
            theirs = re.search(rb"6:ut_pexi(\d+)e", payload)
            assert theirs is not None
            contact = bytes((127, 0, 0, 1)) + seeder.port.to_bytes(2, "big")
            line.send(frame(EXTENDED, bytes((int(theirs[1]),)) + b"d5:added6:" + contact + b"e"))
            await line.until_closed()

        async with scripted_peer(offer.metainfo, name_the_seed) as middle:
            peers = [("127.0.0.1", middle.port)]
            torrent = await leecher.add(offer.raw, save_to=tmp_path / "leech", peers=peers)
            await within(torrent.completed())
    assert_same(tmp_path / "leech/file.bin", offer.path)


@pytest.mark.parametrize("reason", ["private", "switched off"])
async def test_private_or_switched_off_nobody_learns_of_anybody(tmp_path: Path, reason: str) -> None:
    plain = offer_file(tmp_path / "seed", 4_000_000, 16 * KIB)
    offer = private(plain) if reason == "private" else plain
    assert Metainfo.parse(offer.raw).is_private is (reason == "private")
    engine = EngineSettings(pex_settle_s=SETTLE_S, is_exchanging=reason == "private")
    settings = settings_of(tmp_path / "state", engine=engine, is_dht_enabled=False)
    async with AsyncExitStack() as stack:
        middle, one, two = [await stack.enter_async_context(open_session(settings)) for _ in range(3)]
        dials = [
            stack.enter_context(mock.patch.object(session._links, "dial", wraps=session._links.dial))
            for session in (middle, one, two)
        ]
        known = await idle(middle, offer, tmp_path / "middle")
        await idle(one, offer, tmp_path / "one", middle.port)
        await idle(two, offer, tmp_path / "two", middle.port)
        await until(lambda: len(known.peers()) == 2)
        # The first message would have come by now, many times over.
        met_at = time.monotonic()
        await until(lambda: time.monotonic() - met_at > 10 * SETTLE_S)
        assert [dial.call_count for dial in dials] == [0, 1, 1]
