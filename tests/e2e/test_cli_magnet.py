"""`swarm leech MAGNET` as users type it, from processes of our own."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from swarm.metainfo.builder import TorrentOptions
from swarm.metainfo.torrent import Metainfo
from swarm.storage.create import create_torrent
from tests.e2e.commands import Commands
from tests.e2e.transfers import assert_same


@pytest.fixture
def commands(tmp_path: Path) -> Iterator[Commands]:
    made = Commands(tmp_path)
    yield made
    made.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Content of two files, and its .torrent beside it."""
    root = tmp_path / "there" / "set"
    root.mkdir(parents=True)
    (root / "a.bin").write_bytes(bytes(100_000))
    (root / "b.txt").write_bytes(b"b" * 70_000)
    options = TorrentOptions(piece_length=16384)
    (tmp_path / "there" / "set.torrent").write_bytes(create_torrent(root, options))
    return root


def metainfo_of(folder: Path) -> Metainfo:
    return Metainfo.parse(folder.with_name("set.torrent").read_bytes())


def near(*more: str) -> tuple[str, ...]:
    """Options that keep a command to this machine."""
    return ("--port", "0", "--bind", "127.0.0.1", "--no-dht", "--no-lsd", *more)


def test_files_are_listed_and_chosen_before_a_byte_of_them_is_fetched(
    commands: Commands, folder: Path
) -> None:
    seeder, port = commands.seed(folder.with_name("set.torrent"), folder)
    link, peer = metainfo_of(folder).magnet(), ("--peer", f"127.0.0.1:{port}")
    listed = commands.run("leech", link, "--list", *near(*peer))
    assert (listed.returncode, listed.stderr) == (0, "")
    assert "a.bin" in listed.stdout and "b.txt" in listed.stdout
    fields = json.loads(commands.run("leech", link, "--list", "--json", *near(*peer)).stdout)
    assert [file["path"] for file in fields["files"]] == ["set/a.bin", "set/b.txt"]
    done = commands.run("leech", link, "--select", "*.txt", "-o", "here", *near(*peer))
    assert done.returncode == 0, done.stderr
    assert [path.name for path in (commands.folder / "here" / "set").iterdir()] == ["b.txt"]
    _, said = seeder.end(signal.SIGINT)
    assert said == "" or "error" not in said


def test_json_tells_of_the_metadata_and_of_the_end(commands: Commands, folder: Path) -> None:
    _, port = commands.seed(folder.with_name("set.torrent"), folder)
    torrent = metainfo_of(folder)
    leecher = commands.start(
        "leech", str(torrent.info_hash), "-o", "here", *near("--peer", f"127.0.0.1:{port}")
    )
    metadata = leecher.wait("metadata")
    assert metadata == {
        "event": "metadata",
        "infohash": str(torrent.info_hash),
        "name": "set",
        "total_bytes": 170_000,
    }
    leecher.wait("complete")
    assert leecher.end()[0] == 0
    assert_same(commands.folder / "here" / "set", folder)


def test_the_torrent_is_written_with_the_links_trackers(commands: Commands, folder: Path) -> None:
    _, port = commands.seed(folder.with_name("set.torrent"), folder)
    torrent = metainfo_of(folder)
    link = f"{torrent.magnet()}&tr=http%3A%2F%2F127.0.0.1%3A9%2Fannounce&ws=http%3A%2F%2F127.0.0.1%3A9%2F"
    for says in ("written", "is here already"):
        done = commands.run("leech", link, "--metadata-only", *near("--peer", f"127.0.0.1:{port}"))
        assert done.returncode == 0 and says in done.stdout, done.stderr
    written = Metainfo.parse((commands.folder / "set.torrent").read_bytes())
    assert written.info_bytes == torrent.info_bytes
    assert written.trackers == (("http://127.0.0.1:9/announce",),)
    assert written.web_seeds == ("http://127.0.0.1:9/",)


@pytest.mark.parametrize("is_link", [True, False])
def test_private_torrent_without_a_tracker_says_what_is_missing(
    commands: Commands, folder: Path, is_link: bool
) -> None:
    torrent = folder.with_name("set.torrent")
    torrent.write_bytes(create_torrent(folder, TorrentOptions(piece_length=16384, is_private=True)))
    _, port = commands.seed(torrent, folder)
    source = f"{metainfo_of(folder).magnet()}&x.pe=127.0.0.1:{port}" if is_link else str(torrent)
    leecher = commands.start("leech", source, "-o", "here", *near())
    said = leecher.wait("warning", lambda event: "private" in event["message"])
    assert said["message"] == (
        "the torrent is private, and no tracker is known: name it with --tracker, or a peer with --peer"
    )


def test_without_peers_it_gives_up_in_time_or_ends_when_asked(commands: Commands) -> None:
    link = "magnet:?xt=urn:btih:" + "a" * 40
    for option in ("--list", "--metadata-only", "--quiet"):
        done = commands.run("leech", link, option, *near("--timeout", "0.2"))
        assert done.returncode == 5 and "no progress for 0.2 s" in done.stderr, option
    leecher = commands.start("leech", link, *near())
    assert leecher.wait("fetching")["total_bytes"] is None
    status, said = leecher.end(signal.SIGINT)
    assert (status, said) == (130, "")
