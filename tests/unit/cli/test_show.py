"""`swarm show` and `swarm magnet`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from swarm.base.bencode import encode
from swarm.cli.main import main
from swarm.storage import whole_file


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["swarm", *arguments])
    with pytest.raises(SystemExit) as ended:
        main(sys.exit)
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.fixture
def torrent_file(tmp_path: Path) -> Path:
    path = tmp_path / "x.torrent"
    path.write_bytes(
        encode(
            {
                b"announce-list": [[b"http://a"], [b"http://b"]],
                b"url-list": b"http://w",
                b"comment": b"evil \x1b[31mred\xe2\x80\xae",
                b"created by": b"me",
                b"creation date": 1_700_000_000,
                b"info": {
                    b"name": b"folder",
                    b"piece length": 16384,
                    b"pieces": b"h" * 20,
                    b"private": 1,
                    b"source": b"S",
                    b"files": [
                        {b"length": 5, b"path": [b"..", b"d", b"a.txt"]},
                        {b"length": 11, b"path": [b".pad", b"11"], b"attr": b"p"},
                        {b"length": 0, b"path": [b"e"]},
                    ],
                },
            }
        )
    )
    return path


def test_torrent_may_come_through_a_pipe_but_not_through_one_that_nobody_writes_to(
    torrent_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reader, writer = os.pipe()
    os.write(writer, torrent_file.read_bytes())
    os.close(writer)
    assert run(monkeypatch, "show", f"/dev/fd/{reader}") == 0
    os.close(reader)
    assert "folder" in capsys.readouterr().out
    monkeypatch.setattr(whole_file, "WRITER_S", 0.01)
    os.mkfifo(tmp_path / "pipe")
    assert run(monkeypatch, "show", str(tmp_path / "pipe")) == 4
    assert capsys.readouterr().err == f"error: {tmp_path / 'pipe'}: a pipe that nobody writes to\n"


def test_json_has_every_key(
    torrent_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "show", "--json", str(torrent_file)) == 0
    shown = json.loads(capsys.readouterr().out)
    info_hash = shown["infohash_v1"]
    trackers = "tr=http%3A%2F%2Fa&tr=http%3A%2F%2Fb"
    assert shown == {
        "name": "folder",
        "infohash_v1": info_hash,
        "infohash_v2": None,
        "total_bytes": 16,
        "piece_length": 16384,
        "piece_count": 1,
        "private": True,
        "files": [
            {"path": "folder/_/d/a.txt", "length": 5, "pad": False},
            {"path": "folder/.pad/11", "length": 11, "pad": True},
            {"path": "folder/e", "length": 0, "pad": False},
        ],
        "trackers": [["http://a"], ["http://b"]],
        "web_seeds": ["http://w"],
        "comment": "evil \x1b[31mred\u202e",
        "created_by": "me",
        "creation_date": 1_700_000_000,
        "source": "S",
        "magnet": f"magnet:?xt=urn:btih:{info_hash}&dn=folder&{trackers}&ws=http%3A%2F%2Fw",
    }


def test_people_get_lines_that_cannot_steer_the_terminal(
    torrent_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "show", str(torrent_file)) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    for line in (
        "name       folder",
        "size       16 B (16 bytes)",
        "tracker 2  http://b",
        "made on    2023-11-14 22:13:20 UTC",
        "3 files:",
        "       5 B  folder/_/d/a.txt",
        "      11 B  folder/.pad/11  (padding)",
    ):
        assert line in shown.splitlines()


def test_magnet_link_is_shown_with_the_same_keys(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    link = f"magnet:?xt=urn:btih:{'cd' * 20}&dn=foo&tr=http%3A%2F%2Fa&x.pe=[::1]:45"
    assert run(monkeypatch, "show", "--json", link) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["name"], shown["infohash_v1"], shown["trackers"]) == ("foo", "cd" * 20, [["http://a"]])
    assert shown["peers"] == ["[::1]:45"]
    assert shown["files"] == []
    assert run(monkeypatch, "show", link) == 0
    assert "peer       [::1]:45" in capsys.readouterr().out


def test_a_year_beyond_the_calendar_is_shown_as_a_number(
    torrent_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    torrent_file.write_bytes(torrent_file.read_bytes().replace(b"i1700000000e", b"i17000000000000000000e"))
    assert run(monkeypatch, "show", str(torrent_file)) == 0
    assert "made on    17000000000000000000" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "not a bencoded dictionary"),
        (b"<html>", "not a bencoded dictionary"),
        (b"d4:infode", "ends in the middle"),
        (b"d4:infodee", "has no length"),
        (b"d4:info" + b"l" * 5_000_000, "nested deeper"),
    ],
)
def test_what_is_no_torrent_is_one_line_and_status_three(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    raw: bytes,
    reason: str,
) -> None:
    path = tmp_path / "bad.torrent"
    path.write_bytes(raw)
    for command in ("show", "magnet"):
        assert run(monkeypatch, command, str(path)) == 3
        said = capsys.readouterr()
        assert said.out == ""
        (line,) = said.err.splitlines()
        assert line.startswith(f"error: {path}: ")
        assert reason in line


def test_a_file_too_large_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "huge.torrent"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    assert run(monkeypatch, "show", str(path)) == 3
    assert "are more than" in capsys.readouterr().err


@pytest.mark.parametrize("target", ["missing.torrent", "/dev/zero", "."])
def test_what_cannot_be_read_is_status_four(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], target: str
) -> None:
    assert run(monkeypatch, "show", target) == 4
    assert capsys.readouterr().err.startswith(f"error: {target}: ")


def test_link_of_v2_only_is_status_three(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "show", f"magnet:?xt=urn:btmh:1220{'cd' * 32}") == 3
    assert "v2 only" in capsys.readouterr().err


def test_magnet_prints_the_link_alone(
    torrent_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "magnet", str(torrent_file)) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("magnet:?xt=urn:btih:")
    assert run(monkeypatch, "magnet", "--json", str(torrent_file)) == 0
    assert json.loads(capsys.readouterr().out)["magnet"] == line
