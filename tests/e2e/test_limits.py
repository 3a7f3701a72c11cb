"""Rate limits on real links. A limit bounds how soon a transfer can be done: that is what is asserted."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
import tracemalloc
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from swarm import Session, SettingsError, SwarmError, Torrent
from swarm.base.endpoint import Endpoint
from tests.e2e.scripted_peer import dialled, frame
from tests.e2e.transfers import (
    Offer,
    assert_same,
    offer_file,
    open_session,
    seed,
    settings_of,
    until,
    within,
)

KIB = 1024
LENGTH = 1536 * KIB
RATE = 512 * KIB
#: A rate at which the content takes longer than a test may.
CRAWL = 16 * KIB


def at_once(rate: int) -> int:
    """What may flow at once: what was saved, a turn that is paid for afterwards, and the rest of a block."""
    return rate // 10 + max(rate // 10, 16 * KIB) + 16 * KIB


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
        assert time.monotonic() - started >= (LENGTH - at_once(RATE)) / RATE
    assert_same(tmp_path / "leech/file.bin", offer.path)


async def test_limit_of_one_torrent_holds_although_the_session_has_none(tmp_path: Path, offer: Offer) -> None:
    settings = settings_of(tmp_path / "state")
    async with open_session(settings) as seeder, open_session(settings) as leecher:
        given = await seed(seeder, offer)
        given.set_limits(up_bytes_per_s=RATE, down_bytes_per_s=None)
        started = time.monotonic()
        torrent = await _leech(leecher, offer, seeder.port, tmp_path / "leech")
        await within(torrent.completed())
        assert time.monotonic() - started >= (LENGTH - at_once(RATE)) / RATE
    assert_same(tmp_path / "leech/file.bin", offer.path)


async def test_limit_of_one_torrent_leaves_the_other_alone(tmp_path: Path) -> None:
    slow, fast = (
        offer_file(tmp_path / "seed", LENGTH, 64 * KIB, seed=seed, name=f"{seed}.bin") for seed in (1, 2)
    )
    settings = settings_of(tmp_path / "state")
    async with open_session(settings) as seeder, open_session(settings) as leecher:
        for one in (slow, fast):
            await seed(seeder, one)
        held = await _leech(leecher, slow, seeder.port, tmp_path / "leech")
        await until(lambda: held.state == "downloading")
        held.set_limits(up_bytes_per_s=None, down_bytes_per_s=CRAWL)
        free = await _leech(leecher, fast, seeder.port, tmp_path / "leech")
        await within(free.completed())
        # Some may have come before the limit did.
        held.set_limits(up_bytes_per_s=None, down_bytes_per_s=None)
        await within(held.completed())
    for one in (slow, fast):
        assert_same(tmp_path / "leech" / one.path.name, one.path)


@pytest.mark.parametrize("direction", ["up", "down"])
async def test_local_network_is_left_out_unless_it_is_asked_for(
    tmp_path: Path, offer: Offer, direction: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The only local network that every machine has is itself; so it is taken for one."""
    monkeypatch.setattr(Endpoint, "is_loopback", False)
    free = settings_of(tmp_path / "state")
    tight = (
        replace(free, up_bytes_per_s=CRAWL) if direction == "up" else replace(free, down_bytes_per_s=CRAWL)
    )
    async with (
        open_session(tight if direction == "up" else free) as seeder,
        open_session(tight if direction == "down" else free) as leecher,
    ):
        await seed(seeder, offer)
        await within((await _leech(leecher, offer, seeder.port, tmp_path / "leech")).completed())
    assert_same(tmp_path / "leech/file.bin", offer.path)

    counted = replace(
        tight,
        is_local_unlimited=False,
        up_bytes_per_s=RATE if direction == "up" else None,
        down_bytes_per_s=RATE if direction == "down" else None,
    )
    async with (
        open_session(counted if direction == "up" else free) as seeder,
        open_session(counted if direction == "down" else free) as leecher,
    ):
        await seed(seeder, offer)
        started = time.monotonic()
        await within((await _leech(leecher, offer, seeder.port, tmp_path / "again")).completed())
        assert time.monotonic() - started >= (LENGTH - at_once(RATE)) / RATE


@pytest.mark.parametrize("direction", ["up", "down"])
async def test_limit_changed_in_mid_transfer_holds_from_then_on(tmp_path: Path, direction: str) -> None:
    """None, low, higher, low again, none: each as soon as it is said, and the transfer never stands still."""
    offer = offer_file(tmp_path / "seed", 48 << 20, 256 * KIB)
    settings = settings_of(tmp_path / "state")
    async with open_session(settings) as seeder, open_session(settings) as leecher:
        limited = seeder if direction == "up" else leecher

        def limit(rate: int | None) -> None:
            up, down = (rate, None) if direction == "up" else (None, rate)
            limited.set_limits(up_bytes_per_s=up, down_bytes_per_s=down)

        def has(size_bytes: int) -> bool:
            return torrent.snapshot().downloaded_bytes >= size_bytes

        await seed(seeder, offer)
        limit(8 << 20)
        torrent = await _leech(leecher, offer, seeder.port, tmp_path / "leech")
        await until(lambda: torrent.snapshot().downloaded_bytes > 1 << 20)
        for rate in (CRAWL, 4 << 20, 256 * KIB):
            limit(rate)
            # What was sent before it is still on its way; a block more has come when that is over.
            since, had = time.monotonic(), torrent.snapshot().downloaded_bytes
            on_its_way = at_once(8 << 20) + (1 << 20)
            wanted = had + 32 * KIB if rate == CRAWL else had + rate // 2
            await until(partial(has, wanted))
            spent = time.monotonic() - since
            came = torrent.snapshot().downloaded_bytes - had
            assert came <= rate * spent + at_once(rate) + on_its_way
        limit(None)
        await within(torrent.completed())
    assert_same(tmp_path / "leech/file.bin", offer.path)


async def test_limit_set_in_mid_transfer_stops_what_ran_free(tmp_path: Path) -> None:
    """What is left would take hours: only a limit that does not hold gets it there."""
    offer = offer_file(tmp_path / "seed", 96 << 20, 1 << 20)
    settings = settings_of(tmp_path / "state")
    async with open_session(settings) as seeder, open_session(settings) as leecher:
        await seed(seeder, offer)
        torrent = await _leech(leecher, offer, seeder.port, tmp_path / "leech")
        await until(lambda: torrent.snapshot().downloaded_bytes > 1 << 20)
        leecher.set_limits(up_bytes_per_s=None, down_bytes_per_s=CRAWL)
        had, since = torrent.snapshot().downloaded_bytes, time.monotonic()
        assert had < 96 << 20
        await until(lambda: time.monotonic() - since > 1.5)
        came = torrent.snapshot().downloaded_bytes - had
        assert came <= CRAWL * (time.monotonic() - since) + at_once(CRAWL)


async def test_limit_taken_away_in_mid_transfer_lets_it_finish(tmp_path: Path) -> None:
    """At the first rate it would take ten minutes, longer than the test may."""
    offer = offer_file(tmp_path / "seed", 10_000 * KIB, 256 * KIB)
    settings = settings_of(tmp_path / "state")
    slow = replace(settings, down_bytes_per_s=CRAWL)
    async with open_session(settings) as seeder, open_session(slow) as leecher:
        await seed(seeder, offer)
        torrent = await _leech(leecher, offer, seeder.port, tmp_path / "leech")
        async for progress in torrent.progress(0.05):
            if progress.downloaded_bytes:
                break
        leecher.set_limits(up_bytes_per_s=None, down_bytes_per_s=None)
        await within(torrent.completed())
    assert_same(tmp_path / "leech/file.bin", offer.path)


@pytest.mark.parametrize("direction", ["up", "down"])
async def test_lowest_limit_gets_there(tmp_path: Path, direction: str) -> None:
    offer = offer_file(tmp_path / "seed", 40 * KIB, 16 * KIB)
    free = settings_of(tmp_path / "state")
    async with open_session(free) as seeder, open_session(free) as leecher:
        await seed(seeder, offer)
        seeder.set_limits(up_bytes_per_s=CRAWL if direction == "up" else None, down_bytes_per_s=None)
        leecher.set_limits(up_bytes_per_s=None, down_bytes_per_s=CRAWL if direction == "down" else None)
        await within((await _leech(leecher, offer, seeder.port, tmp_path / "leech")).completed())
    assert_same(tmp_path / "leech/file.bin", offer.path)


@pytest.mark.parametrize("rate", [0, -1, 1000, 16383.9, float("nan"), float("inf")])
async def test_limit_that_is_none_is_refused_and_changes_nothing(
    tmp_path: Path, offer: Offer, rate: float
) -> None:
    settings = settings_of(tmp_path / "state")
    async with open_session(settings) as session:
        torrent = await seed(session, offer)
        session.set_limits(up_bytes_per_s=RATE, down_bytes_per_s=RATE)
        for limits in ({"up": rate, "down": None}, {"up": None, "down": rate}):
            up, down = limits["up"], limits["down"]
            with pytest.raises(SettingsError, match="at least 16K"):
                session.set_limits(up_bytes_per_s=up, down_bytes_per_s=down)
            with pytest.raises(SettingsError, match="at least 16K"):
                torrent.set_limits(up_bytes_per_s=up, down_bytes_per_s=down)
        # The former limit still holds.
        async with open_session(settings_of(tmp_path / "other")) as leecher:
            started = time.monotonic()
            await within((await _leech(leecher, offer, session.port, tmp_path / "leech")).completed())
            assert time.monotonic() - started >= (LENGTH - at_once(RATE)) / RATE


async def test_who_is_not_there_to_be_limited_is_an_error(tmp_path: Path, offer: Offer) -> None:
    async with open_session(settings_of(tmp_path / "state")) as session:
        torrent = await seed(session, offer)
    for limited, reason in ((session, "the session is not open"), (torrent, "has ended")):
        with pytest.raises(SwarmError, match=reason):
            limited.set_limits(up_bytes_per_s=RATE, down_bytes_per_s=None)


async def test_fast_sender_under_a_low_limit_is_held_off_by_the_kernel(tmp_path: Path, offer: Offer) -> None:
    """It sends long messages without end: unread, they fill the kernel's buffers and no more."""
    settings = replace(settings_of(tmp_path / "state"), down_bytes_per_s=CRAWL)
    flood = frame(20, b"\x63" + bytes(100_000)) * 10
    async with open_session(settings) as session:
        await seed(session, offer)
        async with dialled(session.port, offer.metainfo) as line:
            await line.shake()
            line.writer.transport.set_write_buffer_limits(0)
            connection = line.writer.get_extra_info("socket")
            sent = 0
            tracemalloc.start()
            try:
                with contextlib.suppress(TimeoutError):
                    while sent < 64 << 20:
                        async with asyncio.timeout(0.5):
                            line.send(flood)
                            await line.writer.drain()
                        sent += len(flood)
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            kernel = connection.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
            # Both ends' buffers grow to some MiB each (net.ipv4.tcp_rmem, tcp_wmem).
            assert sent <= max(32 << 20, 4 * kernel), "somebody reads faster than the limit"
            # What lies with the sender, and hardly anything of ours.
            assert peak <= 2 * len(flood) + (1 << 20)
