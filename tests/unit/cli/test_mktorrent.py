"""`mktorrent` as users type it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from swarm.cli.main import mktorrent_main
from swarm.metainfo.torrent import Metainfo
from swarm.storage import create as creating


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with some content in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.bin").write_bytes(b"a" * 100_000)
    (tmp_path / "data" / "b.txt").write_text("hello\n")
    return tmp_path


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["mktorrent", *arguments])
    with pytest.raises(SystemExit) as ended:
        mktorrent_main(sys.exit)
    assert isinstance(ended.value.code, int)
    return ended.value.code


def read(path: Path) -> Metainfo:
    return Metainfo.parse(path.read_bytes())


def test_everything_that_was_asked_is_in_the_torrent(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    status = run(
        monkeypatch, "-a", "http://a,http://b", "-a", "http://c", "-c", "a comment", "-l", "15",
        "-n", "other name", "-p", "-s", "SRC", "-w", "http://w1,http://w2", "-w", "http://w3",
        "-t", "3", "data",
    )  # fmt: skip
    assert status == 0
    torrent = read(here / "other name.torrent")
    assert torrent.trackers == (("http://a", "http://b"), ("http://c",))
    assert torrent.web_seeds == ("http://w1", "http://w2", "http://w3")
    assert (torrent.comment, torrent.source, torrent.name) == ("a comment", "SRC", "other name")
    assert torrent.geometry.piece_length == 32768
    assert torrent.is_private
    assert torrent.creation_date is not None
    assert torrent.created_by.startswith("swarm/")
    assert [file.path for file in torrent.files] == [("a.bin",), ("b.txt",)]


def test_it_says_hash_link_size_pieces_and_file(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "-d", "data/b.txt") == 0
    torrent = read(here / "b.txt.torrent")
    said = capsys.readouterr()
    assert said.out.splitlines() == [
        f"info-hash  {torrent.info_hash}",
        f"magnet     {torrent.magnet()}",
        "size       6 B (6 bytes) in 1 file",
        "pieces     1 of 256 KiB",
        "written    b.txt.torrent",
    ]
    assert said.err == ""
    assert torrent.creation_date is None


def test_json_is_one_object(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "--json", "data") == 0
    torrent = read(here / "data.torrent")
    (line,) = capsys.readouterr().out.splitlines()
    said: dict[str, Any] = json.loads(line)
    assert said["infohash_v1"] == said["infohash"] == str(torrent.info_hash)
    assert said["magnet"] == torrent.magnet()
    assert (said["total_bytes"], said["piece_length"], said["piece_count"]) == (100_006, 262_144, 1)
    assert said["path"] == "data.torrent"


@pytest.mark.parametrize(
    ("text", "piece_length"),
    [("14", 16384), ("18", 262_144), ("256K", 262_144), ("1M", 1 << 20), ("65536", 65536), ("auto", 16384)],
)
def test_piece_length_is_exponent_size_or_auto(
    here: Path, monkeypatch: pytest.MonkeyPatch, text: str, piece_length: int
) -> None:
    assert run(monkeypatch, "-l", text, "data") == 0
    assert read(here / "data.torrent").geometry.piece_length == piece_length


@pytest.mark.parametrize("text", ["13", "29", "3", "300K", "x", "-1", "0", "1T", "18.5"])
def test_piece_length_that_makes_no_sense_is_wrong_usage(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    assert run(monkeypatch, f"--piece-length={text}", "data") == 2
    assert "--piece-length" in capsys.readouterr().err
    assert list(here.glob("*.torrent")) == []


def test_options_come_from_the_environment_too(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWARM_ANNOUNCE", "http://a,http://b http://c")
    monkeypatch.setenv("SWARM_PIECE_LENGTH", "1M")
    monkeypatch.setenv("SWARM_PRIVATE", "1")
    assert run(monkeypatch, "data") == 0
    torrent = read(here / "data.torrent")
    assert torrent.trackers == (("http://a", "http://b"), ("http://c",))
    assert torrent.geometry.piece_length == 1 << 20
    assert torrent.is_private


def test_output_may_be_a_folder(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "out").mkdir()
    assert run(monkeypatch, "-o", "out", "data") == 0
    assert run(monkeypatch, "-o", "out/x.torrent", "data") == 0
    assert sorted(path.name for path in (here / "out").iterdir()) == ["data.torrent", "x.torrent"]


def test_output_is_not_overwritten_unless_forced(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "data.torrent").write_text("precious")
    assert run(monkeypatch, "data") == 1
    assert capsys.readouterr().err == "error: data.torrent: exists already; -f overwrites it\n"
    assert (here / "data.torrent").read_text() == "precious"
    assert run(monkeypatch, "-f", "data") == 0
    assert read(here / "data.torrent").total_bytes == 100_006


def test_tracker_without_a_scheme_is_a_warning(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "-a", "host:6969/announce,UDP://host:6969", "data") == 0
    assert capsys.readouterr().err == (
        "warning: host:6969/announce: trackers are at http://, https:// or udp:// URLs\n"
    )
    assert read(here / "data.torrent").trackers == (("host:6969/announce", "UDP://host:6969"),)


def test_output_within_the_target_is_not_part_of_it(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(2):
        assert run(monkeypatch, "-f", "-o", "data/own.torrent", "data") == 0
        assert len(read(here / "data" / "own.torrent").files) == 2


def test_output_that_appears_while_hashing_is_not_overwritten(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    created = creating.create

    def create_while_another_writes(*args: Any, **kwargs: Any) -> Any:
        (here / "data.torrent").write_text("precious")
        return created(*args, **kwargs)

    monkeypatch.setattr("swarm.cli.mktorrent.create", create_while_another_writes)
    assert run(monkeypatch, "data") == 1
    assert (here / "data.torrent").read_text() == "precious"
    assert sorted(path.name for path in here.iterdir()) == ["data", "data.torrent"]


def test_globs_and_random_entry(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, "-e", "*.bin,*.x", "-e", "*.y", "-o", "1.torrent", "data") == 0
    assert run(monkeypatch, "-x", "-e", "*.bin", "-o", "2.torrent", "data") == 0
    assert run(monkeypatch, "-x", "-e", "*.bin", "-o", "3.torrent", "data") == 0
    torrents = [read(here / f"{number}.torrent") for number in (1, 2, 3)]
    assert [file.path for file in torrents[0].files] == [("b.txt",)]
    assert len({torrent.info_hash for torrent in torrents}) == 3
    assert len({torrent.piece_hashes for torrent in torrents}) == 1


@pytest.mark.parametrize("option", ["--hybrid", "--v2"])
def test_what_is_not_built_yet_is_refused(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    assert run(monkeypatch, option, "data") == 2
    assert "not built yet" in capsys.readouterr().err
    assert run(monkeypatch, "--v1", "data") == 0


@pytest.mark.parametrize(
    ("arguments", "status", "reason"),
    [
        (["missing"], 4, "missing: no such file or folder"),
        (["-o", "no/such/folder.torrent", "data"], 4, "no/such: no such folder"),
        (["-o", "no/", "data"], 4, "no: no such folder"),
        (["-e", "*", "data"], 4, "data: there is no file in it"),
        ([], 2, "Missing argument"),
        (["--no-such-option", "data"], 2, "No such option"),
        (["-t", "-1", "data"], 2, "-t"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_a_status(
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    status: int,
    reason: str,
) -> None:
    assert run(monkeypatch, *arguments) == status
    said = capsys.readouterr()
    assert reason in said.err
    assert said.out == ""
    assert "Traceback" not in said.err
    assert list(here.glob("**/*.t*")) == [here / "data" / "b.txt"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_read_only_folder_is_told_before_hashing(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "out").mkdir(mode=0o500)
    assert run(monkeypatch, "-o", "out", "data") == 4
    assert "not writable" in capsys.readouterr().err


def test_full_disk_leaves_nothing_behind(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert run(monkeypatch, "data") == 4
    assert capsys.readouterr().err == "error: data.torrent: the disk is full\n"
    assert [path.name for path in here.iterdir()] == ["data"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupt_leaves_nothing_behind(here: Path, number: signal.Signals) -> None:
    with (here / "large").open("wb") as file:
        file.truncate(1 << 40)
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "from swarm.cli.main import mktorrent_main; mktorrent_main()",
            "-l",
            "24",
            "large",
        ],
        cwd=here,
        stderr=subprocess.PIPE,
    )
    # It hashes a terabyte of zeros, once its descriptor on the file is open.
    while not any(
        os.path.realpath(link) == str(here / "large") for link in Path(f"/proc/{process.pid}/fd").glob("*")
    ):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    # Only the end of the line that "^C" stands in.
    assert errors.strip() == b""
    assert sorted(path.name for path in here.iterdir()) == ["data", "large"]
