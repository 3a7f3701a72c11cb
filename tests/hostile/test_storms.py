"""Connections that come and go in storms, theirs and ours: nothing is left of them, and others are served."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from swarm.base.endpoint import Endpoint
from swarm.engine.settings import EngineSettings
from swarm.session.notices import NOTICES_MAX
from tests.e2e.scripted_peer import PROTOCOL, Line, dialled, scripted_peer
from tests.e2e.transfers import offer_file, open_session, until
from tests.hostile.test_floods import Told, completes, started, strict

KIB = 1024
STORM = 600


async def close_at_once(line: Line) -> None:
    """It says nothing."""


async def shake_and_close(line: Line) -> None:
    await line.shake(peer_id=os.urandom(20))


async def half_a_handshake(line: Line) -> None:
    line.send(PROTOCOL)


async def garbage(line: Line) -> None:
    line.send(os.urandom(200))


async def cut_in_a_message(line: Line) -> None:
    await line.shake(peer_id=os.urandom(20))
    line.send(b"\0\1\0\0\7")


@pytest.mark.parametrize(
    "manner", [close_at_once, shake_and_close, half_a_handshake, garbage, cut_in_a_message]
)
async def test_storm_of_connections_leaves_nothing_behind_and_the_download_completes(
    tmp_path: Path, manner: Callable[[Line], Awaitable[None]]
) -> None:
    offer = offer_file(tmp_path / "seed", 1_100_003, 64 * KIB)
    async with open_session(strict(tmp_path)) as leecher:
        torrent = await started(leecher, offer, tmp_path)
        told = Told(leecher, torrent)
        descriptors = len(os.listdir("/proc/self/fd"))

        async def visit(number: int) -> None:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                host = f"127.{2 + number % 7}.{number % 251}.9"
                async with dialled(leecher.port, offer.metainfo, host=host) as line:
                    await manner(line)

        for first in range(0, STORM, 50):
            await asyncio.gather(*(visit(number) for number in range(first, first + 50)))
            assert len(leecher._links) <= leecher.settings.connections_max
        await until(lambda: not leecher._links and not torrent.peers())
        assert not any(leecher._links._door.sizes.values())
        assert torrent.runner is not None and torrent.runner.engine is not None
        engine = torrent.runner.engine
        assert engine._company._suspects == {}
        assert engine.stats(0.0).candidates == 0
        assert len(torrent._notices) <= NOTICES_MAX
        await until(lambda: len(os.listdir("/proc/self/fd")) <= descriptors)
        await completes(torrent, offer, tmp_path)
        assert not told.has("127.0.0.1", "banned")


@pytest.mark.parametrize("manner", [close_at_once, shake_and_close])
async def test_peer_that_takes_our_connections_and_closes_them_is_dialled_ever_less_and_given_up(
    tmp_path: Path, manner: Callable[[Line], Awaitable[None]]
) -> None:
    offer = offer_file(tmp_path / "seed", 1_100_003, 64 * KIB)
    engine = EngineSettings(redial_s=0.02, redial_max_s=1.0, tick_s=0.01)
    met_at: list[float] = []

    async def close(line: Line) -> None:
        met_at.append(asyncio.get_running_loop().time())
        await manner(line)

    async with (
        scripted_peer(offer.metainfo, close) as fickle,
        open_session(strict(tmp_path, engine)) as leecher,
    ):
        torrent = await started(leecher, offer, tmp_path)
        assert torrent.runner is not None and torrent.runner.engine is not None
        torrent.runner.candidates_found([Endpoint("127.0.0.1", fickle.port)], "tracker")
        book = torrent.runner.engine._book
        await until(lambda: fickle.met == engine.dial_failures_max)
        await until(lambda: not (book.candidate_count or book.dialling_count or torrent.peers()))
        pauses = [later - earlier for earlier, later in pairwise(met_at)]
        # 2.5 times as long each time, with a fifth of chance either way.
        assert pauses[-1] > 5 * engine.redial_s
        await completes(torrent, offer, tmp_path)
        assert fickle.met == engine.dial_failures_max


async def test_places_taken_by_one_network_are_not_those_of_others(tmp_path: Path) -> None:
    offer = offer_file(tmp_path / "seed", 1_100_003, 64 * KIB)
    settings = replace(strict(tmp_path), connections_per_prefix_max=4)
    async with open_session(settings) as leecher, contextlib.AsyncExitStack() as crowd:
        torrent = await started(leecher, offer, tmp_path)
        for number in range(12):
            line = await crowd.enter_async_context(
                dialled(leecher.port, offer.metainfo, host=f"127.0.5.{1 + number}")
            )
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await line.shake(peer_id=f"-XX0001-{number:012}".encode())
        await until(lambda: len(torrent.peers()) == 4)
        async with dialled(leecher.port, offer.metainfo, host="127.0.6.1") as line:
            await line.shake(peer_id=b"-XX0001-elsewhere!!!")
            await until(lambda: len(torrent.peers()) == 5)
        await completes(torrent, offer, tmp_path)
