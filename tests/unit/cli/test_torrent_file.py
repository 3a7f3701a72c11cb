"""Where the commands write a .torrent, whatever is there and however long its name is."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from swarm.base.errors import SettingsError, StorageError
from swarm.cli.torrent_file import check_writable, output_path, read_torrent, write_torrent

RAW = b"d4:infod6:lengthi1eee"


def test_pipe_is_written_to_and_stays_one(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        check_writable(str(pipe), may_replace=True)
        write_torrent(str(pipe), RAW, may_replace=True)
        assert os.read(reader, 100) == RAW
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert os.listdir(tmp_path) == ["pipe"]


@pytest.mark.parametrize("name", ["a" * 255, "ä" * 127, "漢" * 85, "漢" * 82, "\udcff" * 20])
def test_torrent_of_the_longest_name_is_written(tmp_path: Path, name: str) -> None:
    path = output_path(str(tmp_path), name)
    check_writable(path, may_replace=False)
    write_torrent(path, RAW, may_replace=False)
    assert path.endswith(".torrent") and Path(path).read_bytes() == RAW
    assert os.path.basename(path).startswith(name[:20])


def test_file_that_is_replaced_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "x.torrent"
    path.write_bytes(b"old")
    write_torrent(str(path), RAW, may_replace=True)
    assert path.read_bytes() == RAW and os.listdir(tmp_path) == ["x.torrent"]


def test_what_a_killed_process_of_our_number_has_left_is_not_in_the_way(tmp_path: Path) -> None:
    # In containers every process may be number 1.
    (tmp_path / f".x.torrent.{os.getpid()}.tmp").write_bytes(b"half")
    write_torrent(str(tmp_path / "x.torrent"), RAW, may_replace=False)
    assert (tmp_path / "x.torrent").read_bytes() == RAW and len(os.listdir(tmp_path)) == 2


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("http://host/x.torrent", "a URL"),
        ("HTTPS://host/x.torrent", "a URL"),
        ("magnet:?xt=urn:btih:" + "0" * 40 + "&tr=" + "http%3A//tracker/announce" * 20, "a magnet link"),
        ("0123456789" * 4, "an info-hash"),
        ("a" * 32, "an info-hash"),
    ],
)
def test_what_is_no_file_is_named_and_how_to_make_one_of_it(source: str, kind: str) -> None:
    with pytest.raises(SettingsError) as refused:
        read_torrent(source)
    assert str(refused.value).startswith(f"{source}: {kind}, ")
    assert "swarm leech --metadata-only" in str(refused.value)


@pytest.mark.parametrize("source", ["nowhere.torrent", "no/where", "a" * 31])
def test_file_that_is_missing_is_called_missing(source: str) -> None:
    with pytest.raises(StorageError, match="no such file"):
        read_torrent(source)


def test_file_that_is_called_as_a_magnet_link_is_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("magnet:x").write_bytes(
        b"d4:infod6:lengthi1e4:name1:n12:piece lengthi16384e6:pieces20:" + b"h" * 20 + b"ee"
    )
    assert read_torrent("magnet:x")[1].name == "n"
