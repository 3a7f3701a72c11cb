"""Rate limits on real links. A limit bounds how soon a transfer can be done: that is what is asserted."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from swarm import Session, SettingsError, Torrent
from tests.e2e.transfers import Offer, assert_same, offer_file, open_session, seed, settings_of, within

KIB = 1024
LENGTH = 1536 * KIB
RATE = 512 * KIB
#: What may leave at once: the bucket's burst and one turn.
BURST = 64 * KIB


@pytest.fixture
def offer(tmp_path: Path) -> Offer:
    return offer_file(tmp_path / "seed", LENGTH, 64 * KIB)


async def _leech(session: Session, offer: Offer, port: int, folder: Path) -> Torrent:
    return await session.add(offer.raw, save_to=folder, peers=[("127.0.0.1", port)])


@pytest.mark.parametrize("direction", ["up", "down"])
async def test_limited_session_takes_as_long_as_the_limit_says(
    tmp_path: Path, offer: Offer, direction: str
) -> None:
    free = settings_of(tmp_path / "state")
    tight = replace(free, up_bytes_per_s=RATE) if direction == "up" else replace(free, down_bytes_per_s=RATE)
    async with (
        open_session(tight if direction == "up" else free) as seeder,
        open_session(tight if direction == "down" else free) as leecher,
    ):
        await seed(seeder, offer)
        started = time.monotonic()
        torrent = await _leech(leecher, offer, seeder.port, tmp_path / "leech")
        await within(torrent.completed())
        assert time.monotonic() - started >= (LENGTH - BURST) / RATE
    assert_same(tmp_path / "leech/file.bin", offer.path)


async def test_limit_of_one_torrent_holds_although_the_session_has_none(tmp_path: Path, offer: Offer) -> None:
    settings = settings_of(tmp_path / "state")
    async with open_session(settings) as seeder, open_session(settings) as leecher:
        given = await seed(seeder, offer)
        seeder.set_torrent_limits(given, up_bytes_per_s=RATE, down_bytes_per_s=None)
        started = time.monotonic()
        torrent = await _leech(leecher, offer, seeder.port, tmp_path / "leech")
        await within(torrent.completed())
        assert time.monotonic() - started >= (LENGTH - BURST) / RATE
    assert_same(tmp_path / "leech/file.bin", offer.path)


async def test_limit_taken_away_in_mid_transfer_lets_it_finish(tmp_path: Path) -> None:
    """At the first rate it would take ten minutes, longer than the test may."""
    offer = offer_file(tmp_path / "seed", 10_000 * KIB, 256 * KIB)
    settings = settings_of(tmp_path / "state")
    slow = replace(settings, down_bytes_per_s=16 * KIB)
    async with open_session(settings) as seeder, open_session(slow) as leecher:
        await seed(seeder, offer)
        torrent = await _leech(leecher, offer, seeder.port, tmp_path / "leech")
        async for progress in torrent.progress(0.05):
            if progress.downloaded_bytes:
                break
        leecher.set_limits(up_bytes_per_s=None, down_bytes_per_s=None)
        await within(torrent.completed())
    assert_same(tmp_path / "leech/file.bin", offer.path)


async def test_limit_below_a_block_a_second_is_refused(tmp_path: Path) -> None:
    settings = settings_of(tmp_path / "state")
    async with open_session(settings) as session:
        for rate in (0, 1000):
            with pytest.raises(SettingsError, match="at least 16K"):
                session.set_limits(up_bytes_per_s=rate, down_bytes_per_s=None)
