"""Floods, trickles and crowds on real sockets: each ends at a bound, and the download beside it completes.

The attackers come from 127.0.1.x, the honest from 127.0.0.1; `is_loopback_shared` is off, so that addresses
count here as they do on an open network.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from swarm import Session, SessionSettings, Torrent
from swarm.base.endpoint import Endpoint
from swarm.engine.settings import EngineSettings
from tests.e2e.commands import Commands
from tests.e2e.scripted_peer import (
    BITFIELD,
    BLOCK,
    HAVE,
    HAVE_NONE,
    INTERESTED,
    Line,
    dialled,
    frame,
    request,
    scripted_peer,
)
from tests.e2e.transfers import Offer, assert_same, offer_file, open_session, seed, settings_of, until, within
from tests.hostile.attacks import EXTENSIONS, FLOODS

KIB = 1024
ATTACKER = "127.0.1.7"


def strict(tmp_path: Path, engine: EngineSettings | None = None) -> SessionSettings:
    own = replace(engine or EngineSettings(), is_loopback_shared=False)
    return settings_of(tmp_path / "state", engine=own)


class Told:
    """All that a session and its torrent have said."""

    def __init__(self, session: Session, torrent: Torrent) -> None:
        self._both = session, torrent
        self.lines: list[str] = []

    def has(self, *texts: str) -> bool:
        self.lines += [notice.text for one in self._both for notice in one.notices()]
        return any(all(text in line for text in texts) for line in self.lines)


async def started(session: Session, offer: Offer, tmp_path: Path) -> Torrent:
    torrent = await session.add(offer.raw, save_to=tmp_path / "leech")
    await until(lambda: torrent.runner is not None and torrent.runner.engine is not None)
    return torrent


async def completes(torrent: Torrent, offer: Offer, tmp_path: Path) -> None:
    """An honest seed comes, and the download completes beside whatever else goes on."""
    async with open_session(settings_of(tmp_path / "honest")) as seeder:
        await seed(seeder, offer)
        assert torrent.runner is not None
        torrent.runner.candidates_found([Endpoint("127.0.0.1", seeder.port)], "user")
        await within(torrent.completed())
        assert torrent.runner.engine is not None
        torrent.runner.engine.check()
    assert_same(tmp_path / "leech/file.bin", offer.path)


async def send_until_closed(line: Line, chunk: bytes) -> None:
    closed = asyncio.ensure_future(line.until_closed())
    with contextlib.suppress(ConnectionError):
        while not closed.done():
            line.send(chunk)
            await line.writer.drain()
            await asyncio.sleep(0)
    await closed


@pytest.mark.parametrize("name", FLOODS)
async def test_flood_ends_with_a_ban_of_its_address_and_the_reason(tmp_path: Path, name: str) -> None:
    chunk, reason = FLOODS[name]
    offer = offer_file(tmp_path / "seed", 1_100_003, 64 * KIB)
    async with open_session(strict(tmp_path)) as leecher:
        torrent = await started(leecher, offer, tmp_path)
        told = Told(leecher, torrent)
        async with dialled(leecher.port, offer.metainfo, host=ATTACKER) as line:
            await line.shake(reserved=EXTENSIONS)
            line.send(frame(HAVE_NONE))
            await within(send_until_closed(line, chunk))
        await until(lambda: told.has(f"peer {ATTACKER}:", "banned: it floods us with", reason))
        assert not torrent.peers()
        async with dialled(leecher.port, offer.metainfo, host=ATTACKER) as line:
            await within(line.until_closed())
        await until(lambda: told.has(f"peer {ATTACKER}:", "refused: it is banned"))
        assert leecher._links._door.sizes == {
            "inside": 0, "silent": 0, "addresses": 0, "prefixes": 0, "banned": 1,
        }  # fmt: skip
        await completes(torrent, offer, tmp_path)


@pytest.mark.parametrize(
    ("nonsense", "reason"),
    [
        (b"\xff\xff\xff\xff", "of 4294967295 bytes"),
        (frame(BITFIELD, bytes(9)), "with a length of"),
        (frame(HAVE, b"x"), "with a length of"),
        (request(1 << 31, 0), "outside the torrent"),
    ],
)
async def test_address_that_repeats_messages_which_are_none_is_banned(
    tmp_path: Path, nonsense: bytes, reason: str
) -> None:
    offer = offer_file(tmp_path / "seed", 1_100_003, 64 * KIB)
    async with open_session(strict(tmp_path)) as leecher:
        torrent = await started(leecher, offer, tmp_path)
        told = Told(leecher, torrent)
        times = leecher.settings.engine.offences_max
        for number in range(times):
            assert not told.has("banned")
            async with dialled(leecher.port, offer.metainfo, host=ATTACKER) as line:
                await line.shake(peer_id=f"-XX0001-{number:012}".encode())
                line.send(nonsense)
                await within(line.until_closed())
            await until(lambda: told.has(f"peer {ATTACKER}:", "dropped: ", reason) or told.has("banned"))
        await until(lambda: told.has(f"peer {ATTACKER}:", "banned: ", reason))
        async with dialled(leecher.port, offer.metainfo, host=ATTACKER) as line:
            await within(line.until_closed())
        await until(lambda: told.has(f"peer {ATTACKER}:", "refused: it is banned"))
        assert not torrent.peers()
        assert torrent.runner is not None and torrent.runner.engine is not None
        assert torrent.runner.engine._company._suspects == {}
        await completes(torrent, offer, tmp_path)


async def test_handshake_that_may_be_an_encrypted_one_is_no_offence(tmp_path: Path) -> None:
    offer = offer_file(tmp_path / "seed", 1_100_003, 64 * KIB)
    async with open_session(strict(tmp_path)) as leecher:
        torrent = await started(leecher, offer, tmp_path)
        told = Told(leecher, torrent)
        for _ in range(2 * leecher.settings.engine.offences_max):
            async with dialled(leecher.port, offer.metainfo, host=ATTACKER) as line:
                line.send(bytes(range(96)))
                await within(line.until_closed())
        async with dialled(leecher.port, offer.metainfo, host=ATTACKER) as line:
            await line.shake()
            await until(torrent.peers)
        assert not told.has("banned")


async def test_message_that_comes_a_byte_at_a_time_is_no_sign_of_life(tmp_path: Path) -> None:
    offer = offer_file(tmp_path / "seed", 1_100_003, 64 * KIB)
    engine = EngineSettings(idle_s=0.3, tick_s=0.05, choke_round_s=0.1)
    async with open_session(strict(tmp_path, engine)) as leecher:
        torrent = await started(leecher, offer, tmp_path)
        told = Told(leecher, torrent)
        async with dialled(leecher.port, offer.metainfo, host=ATTACKER) as line:
            await line.shake()
            line.send(struct.pack(">IBII", 9 + BLOCK, 7, 0, 0))

            async def trickle() -> None:
                while True:
                    line.send(b"x")
                    await asyncio.sleep(0.02)

            trickling = asyncio.ensure_future(trickle())
            await within(line.until_closed())
            trickling.cancel()
        await until(lambda: told.has(f"peer {ATTACKER}:", "dropped: nothing was heard from it for too long"))
        await completes(torrent, offer, tmp_path)


async def test_fake_seed_that_answers_nothing_gives_up_its_place(tmp_path: Path) -> None:
    offer = offer_file(tmp_path / "seed", 1_100_003, 64 * KIB)
    engine = EngineSettings(request_timeout_s=0.1, fake_seed_s=0.3, tick_s=0.05, connections_max=1)

    async def fake(line: Line) -> None:
        await line.shake()
        await line.serve(lambda piece, begin, length: None)

    async with scripted_peer(offer.metainfo, fake) as bad, open_session(strict(tmp_path, engine)) as leecher:
        torrent = await started(leecher, offer, tmp_path)
        told = Told(leecher, torrent)
        assert torrent.runner is not None
        torrent.runner.candidates_found([Endpoint("127.0.0.1", bad.port)], "tracker")
        await until(lambda: told.has(f"127.0.0.1:{bad.port} dropped: it answers none of our requests"))
        # The only place is free for an honest one.
        await completes(torrent, offer, tmp_path)


async def test_links_that_say_nothing_do_not_take_the_places_of_others(tmp_path: Path) -> None:
    offer = offer_file(tmp_path / "seed", 1_100_003, 64 * KIB)
    async with open_session(strict(tmp_path)) as leecher, AsyncExitStack() as crowd:
        torrent = await started(leecher, offer, tmp_path)
        told = Told(leecher, torrent)
        for number in range(100):
            host = f"127.1.{number}.1"
            await crowd.enter_async_context(dialled(leecher.port, offer.metainfo, host=host))
        await until(lambda: len(leecher._links) == leecher.settings.silent_links_max)
        assert leecher._links._door.sizes["silent"] == leecher.settings.silent_links_max
        await completes(torrent, offer, tmp_path)
        assert not told.has("127.0.0.1", "banned")


async def test_one_address_and_one_network_get_only_so_many_places(tmp_path: Path) -> None:
    offer = offer_file(tmp_path / "seed", 1_100_003, 64 * KIB)
    async with open_session(strict(tmp_path)) as leecher, AsyncExitStack() as crowd:
        torrent = await started(leecher, offer, tmp_path)
        told = Told(leecher, torrent)
        for number in range(60):
            # Ten each from six addresses of one network.
            host = f"127.0.1.{1 + number // 10}"
            line = await crowd.enter_async_context(dialled(leecher.port, offer.metainfo, host=host))
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await line.shake(peer_id=f"-XX0001-{number:012}".encode())
        await until(lambda: told.has("127.0.1.1:", "refused: there are enough connections from its address"))
        await until(lambda: told.has("refused: there are enough connections from its network"))
        assert len(torrent.peers()) <= leecher.settings.connections_per_prefix_max
        for address in range(1, 7):
            from_there = [one for one in torrent.peers() if one.endpoint.startswith(f"127.0.1.{address}:")]
            assert len(from_there) <= leecher.settings.connections_per_address_max
        await completes(torrent, offer, tmp_path)


async def test_colluding_poisoners_are_banned_and_nobody_else(tmp_path: Path) -> None:
    offer = offer_file(tmp_path / "seed", 3_000_000, 256 * KIB)
    content = offer.content()

    def right(piece: int, begin: int, length: int) -> bytes:
        at = piece * 256 * KIB + begin
        return content[at : at + length]

    def poison(number: int) -> object:
        async def lie(line: Line) -> None:
            await line.shake(peer_id=f"-XX0001-liar{number:08}".encode())
            # Each spoils other blocks than its friends do.
            await line.serve(
                lambda piece, begin, length: (
                    bytes(length) if begin // BLOCK % 3 == number else right(piece, begin, length)
                )
            )

        return lie

    async def help_out(line: Line) -> None:
        await line.shake(peer_id=b"-XX0001-honesthonest")
        await line.serve(right)

    async with AsyncExitStack() as stack:
        liars = [
            await stack.enter_async_context(
                scripted_peer(offer.metainfo, poison(number), host=f"127.0.3.{number + 1}")  # type: ignore[arg-type]
            )
            for number in range(3)
        ]
        honest = await stack.enter_async_context(scripted_peer(offer.metainfo, help_out, host="127.0.4.1"))
        leecher = await stack.enter_async_context(open_session(strict(tmp_path)))
        torrent = await started(leecher, offer, tmp_path)
        told = Told(leecher, torrent)
        assert torrent.runner is not None
        wrong = [Endpoint(f"127.0.3.{number + 1}", liar.port) for number, liar in enumerate(liars)]
        torrent.runner.candidates_found(wrong, "tracker")
        await until(lambda: torrent.snapshot().failed_pieces)
        torrent.runner.candidates_found([Endpoint("127.0.4.1", honest.port)], "tracker")
        await within(torrent.completed())
        assert told.has("127.0.3.", "banned: piece", "had wrong data from it")
        assert not told.has("127.0.4.1", "banned")
        torrent.runner.engine.check()  # type: ignore[union-attr]
    assert_same(tmp_path / "leech/file.bin", offer.path)


async def test_process_whose_answers_nobody_reads_keeps_its_memory(tmp_path: Path) -> None:
    offer = offer_file(tmp_path, 24 << 20, 1 << 20)
    torrent = tmp_path / "file.torrent"
    torrent.write_bytes(offer.raw)
    commands = Commands(tmp_path)
    try:
        seeder, port = commands.seed(torrent, offer.path)
        process = psutil.Process(seeder.process.pid)
        before = process.memory_info().rss
        most = 0
        async with AsyncExitStack() as crowd:
            lines = []
            for number in range(20):
                line = await crowd.enter_async_context(
                    dialled(port, offer.metainfo, host=f"127.0.{number + 1}.1")
                )
                await line.shake(peer_id=f"-XX0001-{number:012}".encode())
                line.reader._limit = 1  # type: ignore[attr-defined]  # the stream stops its transport at once
                line.send(frame(INTERESTED))
                lines.append(line)
            asking = b"".join(
                request(piece, begin) for piece in range(24) for begin in range(0, 1 << 20, BLOCK)
            )
            for _ in range(5):
                for line in lines:
                    line.send(asking)
                await asyncio.sleep(0.1)
                most = max(most, process.memory_info().rss)
        # Eight slots of 4 MiB, the cache of chunks, and what the interpreter keeps.
        assert most - before < 96 << 20
    finally:
        commands.close()
