"""The magnet links of a session at their door: each is fetched once, and nothing is left of one let go."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from swarm import Session
from swarm.base.endpoint import Endpoint
from swarm.base.errors import SwarmError
from swarm.base.ids import InfoHash
from swarm.metainfo.magnet import Magnet
from swarm.metainfo.torrent import Metainfo
from swarm.net import names
from swarm.session import torrent_source
from swarm.session.hints import Hints
from swarm.session.magnets import metadata_cache
from swarm.session.magnets.fetches import Fetches
from tests.e2e.transfers import PATIENCE_S, Offer, offer_file, open_session, seed, settings_of, until, within

NOBODY = Hints.of([], [], use_trackers=False)
#: A tracker at which nobody is: a fetch that looks there does not end at once.
DEAD = Hints.of([], ["http://127.0.0.1:1/announce"], use_trackers=True)


@pytest.fixture
def offer(tmp_path: Path) -> Offer:
    return offer_file(tmp_path / "seed", 100_000, 16384)


@contextlib.asynccontextmanager
async def opened(tmp_path: Path) -> AsyncIterator[tuple[Session, Fetches]]:
    async with open_session(settings_of(tmp_path / "state")) as session:
        yield session, session._fetches


def link_of(offer: Offer) -> Magnet:
    return Magnet(offer.metainfo.info_hash)


async def test_link_is_begun_once(tmp_path: Path, offer: Offer) -> None:
    async with opened(tmp_path) as (_, fetches):
        fetch = fetches.begin(link_of(offer), NOBODY)
        assert fetches.of(offer.metainfo.info_hash) is fetch and fetches.all() == [fetch]
        with pytest.raises(SwarmError, match="is being fetched already"):
            fetches.begin(link_of(offer), NOBODY)
        assert len(fetches) == 1


async def test_who_waits_for_the_same_link_waits_for_the_same_fetch(tmp_path: Path, offer: Offer) -> None:
    async with opened(tmp_path) as (_, fetches), open_session(settings_of(tmp_path / "other")) as seeder:
        await seed(seeder, offer)
        peers = Hints.of([("127.0.0.1", seeder.port)], [], use_trackers=False)
        waiting = [asyncio.ensure_future(fetches.metainfo_of(link_of(offer), peers)) for _ in range(3)]
        await until(lambda: len(fetches) == 1)
        await within(asyncio.wait(waiting))
        assert {one.result().info_hash for one in waiting} == {offer.metainfo.info_hash}
        # It waits for its torrent.
        assert len(fetches) == 1


async def test_names_of_the_user_that_hang_hold_up_nobody_whom_the_link_names(
    tmp_path: Path, offer: Offer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang(name: str) -> list[str]:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(names, "look_up", hang)
    settings = replace(settings_of(tmp_path / "state"), names_timeout_s=3600.0)
    async with open_session(settings) as session, open_session(settings_of(tmp_path / "other")) as seeder:
        await seed(seeder, offer)
        link = Magnet(offer.metainfo.info_hash, peers=(("127.0.0.1", seeder.port),))
        hints = Hints.of([("hangs.invalid", 6881)], [], use_trackers=False)
        await within(session._fetches.begin(link, hints).metainfo())


async def test_metadata_of_many_files_is_understood_beside_the_loop(
    tmp_path: Path, offer: Offer, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[threading.Thread] = []
    parse = Metainfo.parse

    def parse_somewhere(raw: bytes) -> Metainfo:
        threads.append(threading.current_thread())
        return parse(raw)

    async with opened(tmp_path) as (_, fetches), open_session(settings_of(tmp_path / "other")) as seeder:
        await seed(seeder, offer)
        link = link_of(offer)
        monkeypatch.setattr(Metainfo, "parse", parse_somewhere)
        monkeypatch.setattr(torrent_source, "_READ_BESIDE_BYTES", 0)
        peers = Hints.of([("127.0.0.1", seeder.port)], [], use_trackers=False)
        await within(fetches.begin(link, peers).metainfo())
    assert len(threads) == 1 and threading.current_thread() not in threads


async def test_metadata_that_is_read_as_the_session_closes_is_kept(
    tmp_path: Path, offer: Offer, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_reading, may_end = threading.Event(), threading.Event()
    info_hash, parse = offer.metainfo.info_hash, Metainfo.parse

    def parse_slowly(raw: bytes) -> Metainfo:
        is_reading.set()
        may_end.wait(PATIENCE_S)
        return parse(raw)

    save = metadata_cache.save

    async def save_slowly(state_dir: Path, info_hash: InfoHash, info: bytes) -> None:
        for _ in range(100):
            await asyncio.sleep(0)
        await save(state_dir, info_hash, info)

    monkeypatch.setattr(metadata_cache, "save", save_slowly)
    async with (
        opened(tmp_path) as (session, fetches),
        open_session(settings_of(tmp_path / "other")) as seeder,
    ):
        await seed(seeder, offer)
        monkeypatch.setattr(Metainfo, "parse", parse_slowly)
        monkeypatch.setattr(torrent_source, "_READ_BESIDE_BYTES", 0)
        fetches.begin(Magnet(info_hash), Hints.of([("127.0.0.1", seeder.port)], [], use_trackers=False))
        await until(is_reading.is_set)
        closing = asyncio.ensure_future(session.close())
        await until(lambda: not session._is_open)
        may_end.set()
        await within(closing)
        assert await metadata_cache.load(session.settings.state_dir, info_hash)


async def test_nothing_is_left_of_one_for_which_nobody_waits_any_more(tmp_path: Path, offer: Offer) -> None:
    async with opened(tmp_path) as (session, fetches):
        waiting = asyncio.ensure_future(fetches.metainfo_of(link_of(offer), NOBODY))
        await until(lambda: len(fetches) == 1)
        waiting.cancel()
        await within(asyncio.wait([waiting]))
        assert waiting.cancelled() and len(fetches) == 0
        assert len(session._links) == 0
        fetches.begin(link_of(offer), NOBODY)


async def test_one_that_is_let_go_ends_for_all_who_wait(tmp_path: Path, offer: Offer) -> None:
    async with opened(tmp_path) as (_, fetches):
        waiting = asyncio.ensure_future(fetches.metainfo_of(link_of(offer), NOBODY))
        await until(lambda: len(fetches) == 1)
        await fetches.let_go(offer.metainfo.info_hash)
        await within(asyncio.wait([waiting]))
        assert isinstance(waiting.exception(), SwarmError)
        assert len(fetches) == 0
        await fetches.let_go(offer.metainfo.info_hash)


async def begin_to_close(session: Session, fetches: Fetches, offer: Offer) -> asyncio.Future[None]:
    """Begin a fetch, and then its end, which is not done at once."""
    fetch = fetches.begin(link_of(offer), DEAD)
    await until(lambda: session._finder.of(offer.metainfo.info_hash))
    closing = asyncio.ensure_future(fetch.close())
    await asyncio.sleep(0)
    return closing


async def test_one_whose_closing_is_given_up_is_closed_all_the_same(tmp_path: Path, offer: Offer) -> None:
    info_hash = offer.metainfo.info_hash
    async with opened(tmp_path) as (session, fetches):
        closing = await begin_to_close(session, fetches, offer)
        closing.cancel()
        await asyncio.wait([closing])
        await until(lambda: not len(fetches))
        assert session._finder.of(info_hash) is None
        fetches.begin(link_of(offer), DEAD)


async def test_link_is_not_begun_anew_while_its_fetch_is_being_closed(tmp_path: Path, offer: Offer) -> None:
    info_hash = offer.metainfo.info_hash
    async with opened(tmp_path) as (session, fetches):
        closing = await begin_to_close(session, fetches, offer)
        assert fetches.of(info_hash) is None
        with pytest.raises(SwarmError, match="is being fetched already"):
            # What it finds peers with would be stopped in place of that of the first.
            fetches.begin(link_of(offer), DEAD)
        waiting = asyncio.ensure_future(fetches.metainfo_of(link_of(offer), NOBODY))
        await within(closing)
        await until(lambda: fetches.of(info_hash))
        waiting.cancel()
        await within(asyncio.wait([waiting]))
        assert len(fetches) == 0


async def test_torrent_that_comes_while_its_fetch_is_being_closed_finds_its_own_peers(
    tmp_path: Path, offer: Offer
) -> None:
    info_hash = offer.metainfo.info_hash
    trackers = Hints.of([], ["http://127.0.0.1:1/announce"], use_trackers=True)
    async with opened(tmp_path) as (session, fetches):
        fetch = fetches.begin(link_of(offer), DEAD)
        await until(lambda: session._finder.of(info_hash))
        closing = asyncio.ensure_future(fetch.close())
        torrent = await session.add(offer.metainfo, save_to=tmp_path / "here", trackers=trackers.trackers)
        await within(closing)
        await until(lambda: torrent.discovery)
        assert session._finder.of(info_hash) is torrent.discovery
        assert torrent.discovery is not fetch.discovery


async def test_metadata_that_was_kept_needs_no_peer(tmp_path: Path, offer: Offer) -> None:
    async with opened(tmp_path) as (session, fetches):
        info_hash = offer.metainfo.info_hash
        await metadata_cache.save(session.settings.state_dir, info_hash, offer.metainfo.info_bytes)
        found = fetches.metainfo_of(link_of(offer), Hints.of([("192.0.2.1", 1)], [], use_trackers=False))
        assert (await asyncio.wait_for(found, 20)).info_bytes == offer.metainfo.info_bytes
        (fetch,) = fetches.all()
        assert fetch.snapshot().peers == 0 and not session._links.of(fetch)


async def test_metadata_that_peers_sent_is_kept_however_soon_the_session_ends(
    tmp_path: Path, offer: Offer
) -> None:
    info_hash, info = offer.metainfo.info_hash, offer.metainfo.info_bytes
    async with opened(tmp_path) as (session, fetches):
        fetches.begin(link_of(offer), NOBODY).completed(info, is_new=True)
        assert not metadata_cache.cache_path(session.settings.state_dir, info_hash).exists()

    assert await metadata_cache.load(session.settings.state_dir, info_hash) == info


async def test_metadata_that_cannot_be_kept_is_a_line_for_the_user(tmp_path: Path, offer: Offer) -> None:
    async with opened(tmp_path) as (session, fetches):
        state = session.settings.state_dir
        state.write_bytes(b"no folder")
        fetches.begin(link_of(offer), NOBODY).completed(offer.metainfo.info_bytes, is_new=True)

    assert ["the metadata cannot be kept" in notice.text for notice in session.notices()] == [True]


async def test_peer_that_a_fetch_has_not_reached_is_told_of_once(tmp_path: Path, offer: Offer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        nobody = Endpoint("127.0.0.1", deaf.getsockname()[1])
    async with opened(tmp_path) as (session, fetches):
        fetch = fetches.begin(link_of(offer), Hints.of([nobody], [], use_trackers=False))
        await until(lambda: "warning" in [notice.level for notice in fetch.notices()])
        torrent = await session.add(offer.metainfo, save_to=tmp_path / "here", peers=[nobody])
        await within(session._starting[torrent.info_hash])
        assert torrent.runner is not None
        torrent.runner.dial_failed(nobody, "connection refused")
        told = [notice for notice in torrent.notices() if str(nobody) in notice.text]
        assert told and "warning" not in [notice.level for notice in told]
