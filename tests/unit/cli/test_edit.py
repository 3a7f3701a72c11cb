"""`swarm edit`: the info-hash stays unless asked, and so does everything unknown."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from swarm.base.bencode import decode, encode
from swarm.cli.main import main
from swarm.metainfo.torrent import Metainfo


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["swarm", "edit", *arguments])
    with pytest.raises(SystemExit) as ended:
        main(sys.exit)
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "x.torrent"
    info = {b"name": b"x", b"piece length": 16384, b"pieces": b"h" * 20, b"length": 5, b"unknown": [1]}
    path.write_bytes(
        encode(
            {
                b"info": info,
                b"announce": b"http://a",
                b"comment": b"old",
                b"creation date": 5,
                b"mine": {b"k": 1},
            }
        )
    )
    return path


def read(path: Path) -> Metainfo:
    return Metainfo.parse(path.read_bytes())


@pytest.mark.parametrize(
    ("arguments", "tiers"),
    [
        (["--announce", "http://b,http://c", "-a", "http://d"], (("http://b", "http://c"), ("http://d",))),
        (["--add-tracker", "http://b"], (("http://a",), ("http://b",))),
        (["--add-tracker", "http://b", "--remove-tracker", "http://a"], (("http://b",),)),
        (["--no-trackers"], ()),
    ],
)
def test_trackers_change_and_the_info_hash_stays(
    file: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], tiers: tuple[tuple[str, ...], ...]
) -> None:
    before = read(file)
    assert run(monkeypatch, str(file), *arguments) == 0
    after = read(file)
    assert after.trackers == tiers
    assert (after.info_hash, after.info_bytes, after.comment) == (before.info_hash, before.info_bytes, "old")
    top = decode(file.read_bytes())
    assert isinstance(top, dict)
    assert top[b"mine"] == {b"k": 1}


def test_texts_date_and_web_seeds_change(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["-c", "new", "--created-by", "me", "-d", "-w", "http://w,http://v"]
    assert run(monkeypatch, str(file), *arguments) == 0
    torrent = read(file)
    assert (torrent.comment, torrent.created_by, torrent.creation_date) == ("new", "me", None)
    assert torrent.web_seeds == ("http://w", "http://v")
    assert run(monkeypatch, str(file), "-c", "", "--no-web-seeds", "--creation-date", "9") == 0
    torrent = read(file)
    assert (torrent.comment, torrent.web_seeds, torrent.creation_date) == ("", (), 9)


def test_tracker_that_is_no_url_is_taken_with_a_warning_and_an_empty_one_is_not(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, str(file), "--add-tracker", "host:6969") == 0
    assert capsys.readouterr().err == (
        "warning: host:6969: trackers are at http://, https:// or udp:// URLs\n"
    )
    before = file.read_bytes()
    for option in ("--announce", "--add-tracker", "--remove-tracker", "--web-seed"):
        assert run(monkeypatch, str(file), option, "") == 2
        assert "it is empty" in capsys.readouterr().err
    assert file.read_bytes() == before


def test_what_changes_the_info_hash_must_be_asked_for(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = file.read_bytes()
    for arguments in (["--private"], ["-s", "S"], ["-n", "other"]):
        assert run(monkeypatch, str(file), *arguments) == 2
        assert "--new-info-hash" in capsys.readouterr().err
    assert file.read_bytes() == before
    old = read(file)
    assert run(monkeypatch, str(file), "--private", "-s", "S", "-n", "other", "--new-info-hash") == 0
    new = read(file)
    assert (new.is_private, new.source, new.name) == (True, "S", "other")
    assert new.info_hash != old.info_hash
    assert b"7:unknownli1ee" in new.info_bytes


def test_output_elsewhere_leaves_the_file_alone(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = file.read_bytes()
    other = file.with_name("other.torrent")
    assert run(monkeypatch, str(file), "-c", "new", "-o", str(other), "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["path"], said["infohash_v1"]) == (str(other), str(read(file).info_hash))
    assert file.read_bytes() == before
    assert read(other).comment == "new"
    assert run(monkeypatch, str(file), "-c", "newer", "-o", str(other)) == 1
    assert run(monkeypatch, str(file), "-c", "newer", "-o", str(other), "-f") == 0
    assert read(other).comment == "newer"


def test_nothing_to_change_is_wrong_usage(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, str(file)) == 2


def test_what_is_no_torrent_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bad.torrent"
    path.write_bytes(b"d4:infode")
    assert run(monkeypatch, str(path), "-c", "x") == 3
    assert path.read_bytes() == b"d4:infode"
    assert list(tmp_path.iterdir()) == [path]


def test_what_came_through_a_pipe_is_written_where_the_user_says(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reader, writer = os.pipe()
    with open(writer, "wb") as pipe:
        pipe.write(file.read_bytes())
    assert run(monkeypatch, f"/dev/fd/{reader}", "--comment", "new") == 2
    assert "-o has to say where to write" in capsys.readouterr().err
    os.close(reader)
    reader, writer = os.pipe()
    with open(writer, "wb") as pipe:
        pipe.write(file.read_bytes())
    assert run(monkeypatch, f"/dev/fd/{reader}", "--comment", "new", "-o", str(tmp_path / "new.torrent")) == 0
    os.close(reader)
    assert read(tmp_path / "new.torrent").comment == "new"
