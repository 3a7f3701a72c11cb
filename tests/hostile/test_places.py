"""All places of a torrent taken from as many networks as it has places, by peers who do nothing with them."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from swarm.base.endpoint import Endpoint
from swarm.engine.settings import EngineSettings
from tests.e2e.scripted_peer import FAST, HAVE_NONE, INTERESTED, dialled, frame, full_bitfield
from tests.e2e.test_magnet import EXTENDED, link_of
from tests.e2e.transfers import Offer, assert_same, offer_file, open_session, seed, settings_of, until, within
from tests.hostile.test_floods import Told, completes, started, strict

KIB = 1024
PLACES = 5
#: As on an open network, but for the clock: what takes five minutes there takes a third of a second.
ENGINE = EngineSettings(
    connections_max=PLACES,
    idle_place_s=0.3,
    turnover_s=0.1,
    choke_round_s=0.1,
    optimistic_s=0.1,
    tick_s=0.05,
    redial_s=0.1,
    metadata_useless_s=0.3,
)


@contextlib.asynccontextmanager
async def squatters(port: int, offer: Offer, claims: bytes, reserved: bytes = FAST) -> AsyncIterator[None]:
    """Twice as many as there are places, each of a network of its own, who come again whenever they may."""

    async def squat(number: int) -> None:
        while True:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                async with dialled(port, offer.metainfo, host=f"127.4.{number}.1") as line:
                    await line.shake(peer_id=os.urandom(20), reserved=reserved)
                    line.send(claims)
                    await line.until_closed()
            await asyncio.sleep(0.01)

    tasks = [asyncio.ensure_future(squat(number)) for number in range(2 * PLACES)]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize("claim", ["nothing", "interest", "everything"])
async def test_who_takes_all_places_and_does_nothing_does_not_keep_an_honest_seed_out(
    tmp_path: Path, claim: str
) -> None:
    offer = offer_file(tmp_path / "seed", 1_100_003, 64 * KIB)
    claims = {
        "nothing": frame(HAVE_NONE),
        "interest": frame(HAVE_NONE) + frame(INTERESTED),
        "everything": full_bitfield(offer.metainfo),
    }[claim]
    async with open_session(strict(tmp_path, ENGINE)) as leecher:
        torrent = await started(leecher, offer, tmp_path)
        told = Told(leecher, torrent)
        async with squatters(leecher.port, offer, claims):
            await until(lambda: len(torrent.peers()) == PLACES)
            assert torrent.runner is not None
            # Who comes by itself is turned away: it might be one of them.
            async with dialled(leecher.port, offer.metainfo, host="127.5.1.1") as line:
                await line.shake(peer_id=os.urandom(20))
                await within(line.until_closed())
            await completes(torrent, offer, tmp_path)
        assert told.has("127.4.", "it gave and took nothing for too long")
        assert not told.has("banned")


async def test_who_takes_all_places_of_a_seed_does_not_keep_out_those_whom_it_dials(tmp_path: Path) -> None:
    offer = offer_file(tmp_path / "seed", 1_100_003, 64 * KIB)
    async with (
        open_session(strict(tmp_path, ENGINE)) as seeder,
        open_session(settings_of(tmp_path / "honest")) as leecher,
    ):
        seeded = await seed(seeder, offer)
        async with squatters(seeder.port, offer, frame(HAVE_NONE) + frame(INTERESTED)):
            await until(lambda: len(seeded.peers()) == PLACES)
            torrent = await started(leecher, offer, tmp_path)
            assert seeded.runner is not None
            seeded.runner.candidates_found([Endpoint("127.0.0.1", leecher.port)], "tracker")
            await within(torrent.completed())
        assert_same(tmp_path / "leech/file.bin", offer.path)


async def test_who_takes_all_places_of_a_magnet_link_does_not_keep_it_from_the_metadata(
    tmp_path: Path,
) -> None:
    offer = offer_file(tmp_path / "seed", 1_100_003, 64 * KIB)
    async with (
        open_session(strict(tmp_path, ENGINE)) as leecher,
        open_session(settings_of(tmp_path / "honest")) as seeder,
    ):
        await seed(seeder, offer)
        adding = asyncio.ensure_future(leecher.add(link_of(offer), save_to=tmp_path / "leech"))
        await until(lambda: leecher._fetches.all())
        (fetch,) = leecher._fetches.all()
        async with squatters(leecher.port, offer, b"", EXTENDED):
            await until(lambda: fetch.snapshot().peers == PLACES)
            fetch.candidates_found([Endpoint("127.0.0.1", seeder.port)], "tracker")
            await within(adding)
            torrent = adding.result()
            await within(torrent.completed())
        assert_same(tmp_path / "leech/file.bin", offer.path)
