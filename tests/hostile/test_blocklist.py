"""`--blocklist`: nothing is exchanged with the addresses in it, and a change of the file holds at once."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from pathlib import Path

import pytest

from swarm import Session, SessionSettings, Torrent
from swarm.base.endpoint import Endpoint
from swarm.base.errors import SettingsError, StorageError
from tests.e2e.commands import Commands
from tests.e2e.scripted_peer import Line, dialled, scripted_peer
from tests.e2e.transfers import offer_file, open_session, seed, settings_of, until, within

KIB = 1024


def write(path: Path, text: str) -> None:
    """Replace it as editors and downloads do: at once."""
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    os.replace(fresh, path)


def blocking(tmp_path: Path, text: str) -> SessionSettings:
    path = tmp_path / "list.p2p"
    path.write_text(text)
    return replace(settings_of(tmp_path / "state"), blocklist=path, blocklist_check_s=0.02)


class Told:
    """All that a session and its torrent have said."""

    def __init__(self, session: Session, torrent: Torrent) -> None:
        self._both = session, torrent
        self._lines: list[str] = []

    def __contains__(self, text: str) -> bool:
        self._lines += [notice.text for one in self._both for notice in one.notices()]
        return any(text in line for line in self._lines)


async def test_listed_address_is_not_dialled_nor_let_in_until_the_list_changes(tmp_path: Path) -> None:
    offer = offer_file(tmp_path / "seed", 300_003, 32 * KIB)
    met: list[Line] = []

    async def note(line: Line) -> None:
        met.append(line)
        await line.until_closed()

    settings = blocking(tmp_path, "loopback:127.0.0.0-127.0.0.255\n")
    async with (
        scripted_peer(offer.metainfo, note) as listed,
        open_session(settings) as leecher,
        open_session(settings_of(tmp_path / "other")) as seeder,
    ):
        await seed(seeder, offer)
        torrent = await leecher.add(offer.raw, save_to=tmp_path / "leech")
        told = Told(leecher, torrent)
        await until(lambda: torrent.runner is not None)
        assert torrent.runner is not None
        torrent.runner.candidates_found([Endpoint("127.0.0.1", listed.port)], "tracker")
        assert torrent.runner.engine is not None
        assert torrent.runner.engine.stats(0.0).candidates == 0
        # Peers' hearsay goes round the runner; the dial itself is refused.
        leecher._links.dial(torrent.runner, torrent.runner.handshake, Endpoint("127.0.0.1", listed.port))
        await until(lambda: f"127.0.0.1:{listed.port} not reached: it is on the blocklist" in told)
        async with dialled(leecher.port, offer.metainfo) as line:
            await within(line.until_closed())
        await until(lambda: "refused: it is on the blocklist" in told)
        assert not met
        write(tmp_path / "list.p2p", "# nobody\n")
        await until(lambda: "blocklist read again: 0 ranges" in told)
        torrent.runner.candidates_found([Endpoint("127.0.0.1", seeder.port)], "tracker")
        await within(torrent.completed())


async def test_link_ends_when_its_address_is_listed(tmp_path: Path) -> None:
    offer = offer_file(tmp_path / "seed", 300_003, 32 * KIB)
    async with open_session(blocking(tmp_path, "10.0.0.0/8\n")) as seeder:
        torrent = await seed(seeder, offer)
        told = Told(seeder, torrent)
        async with dialled(seeder.port, offer.metainfo) as line:
            await line.shake()
            await until(torrent.peers)
            write(tmp_path / "list.p2p", "10.0.0.0/8\n127.0.0.1\n")
            await within(line.until_closed())
        await until(lambda: "lost: it is on the blocklist" in told)
        assert not torrent.peers()


async def test_broken_change_is_told_in_one_line_and_the_old_list_holds(tmp_path: Path) -> None:
    offer = offer_file(tmp_path / "seed", 300_003, 32 * KIB)
    async with open_session(blocking(tmp_path, "127.0.0.1\n")) as seeder:
        torrent = await seed(seeder, offer)
        told = Told(seeder, torrent)
        write(tmp_path / "list.p2p", "10.0.0.0/8\n<html>\n")
        await until(lambda: "list.p2p: line 2: not a range of addresses: '<html>'; the blocklist" in told)
        os.remove(tmp_path / "list.p2p")
        await until(lambda: "no such file or folder; the blocklist stays as it was" in told)
        async with dialled(seeder.port, offer.metainfo) as line:
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await within(line.shake())


async def test_session_does_not_open_with_a_list_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"list\.p2p: line 1: not a range"):
        async with Session(port=0, bind="127.0.0.1", settings=blocking(tmp_path, "\x1f\x8b garbage")):
            pass
    missing = replace(settings_of(tmp_path / "state"), blocklist=tmp_path / "missing")
    with pytest.raises(StorageError, match="missing: no such file"):
        async with Session(port=0, bind="127.0.0.1", settings=missing):
            pass


async def test_list_that_came_through_a_pipe_is_read_once(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"loopback:127.0.0.0-127.0.0.255\n")
    os.close(writer)
    settings = replace(
        settings_of(tmp_path / "state"), blocklist=Path(f"/dev/fd/{reader}"), blocklist_check_s=0.01
    )
    async with open_session(settings) as session:
        await asyncio.sleep(0.1)
        assert session.notices() == []
    os.close(reader)


def test_commands_take_a_blocklist_and_refuse_a_broken_one_in_one_line(tmp_path: Path) -> None:
    offer = offer_file(tmp_path, 300_003, 32 * KIB)
    torrent = tmp_path / "file.torrent"
    torrent.write_bytes(offer.raw)
    path = tmp_path / "list.txt"
    path.write_text("nobody at all\n")
    commands = Commands(tmp_path)
    try:
        for command in (("seed", torrent, offer.path), ("leech", torrent, "-o", tmp_path / "leech")):
            done = commands.run(*command, "--blocklist", path)
            assert done.returncode != 0
            assert done.stderr.count("\n") == 1, done.stderr
            assert "list.txt: line 1: not a range of addresses: 'nobody at all'" in done.stderr
        path.write_text("127.0.0.1\n")
        _, port = commands.seed(torrent, offer.path, "--blocklist", path)
        done = commands.run(
            "leech", torrent, "-o", tmp_path / "leech", "--peer", f"127.0.0.1:{port}", "--no-dht",
            "--timeout", "1",
        )  # fmt: skip
        assert done.returncode == 5
    finally:
        commands.close()
