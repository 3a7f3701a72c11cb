from __future__ import annotations

import re
from pathlib import Path

import pytest

from swarm.base.errors import MetainfoError, SettingsError, StorageError, SwarmError
from swarm.cli.output import Output
from swarm.cli.sources import read_all, read_source, selected_files
from swarm.metainfo.builder import TorrentOptions
from swarm.metainfo.torrent import Metainfo
from swarm.session.session import Session
from swarm.storage.create import create_torrent
from swarm.storage.whereabouts import find_content


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "set"
    (path / "sub").mkdir(parents=True)
    for name in ("a.txt", "b.txt", "sub/c.txt", "sub/d, e.bin"):
        (path / name).write_text(name * 100)
    return path


@pytest.fixture
def torrent(folder: Path) -> Metainfo:
    return Metainfo.parse(create_torrent(folder, TorrentOptions()))


@pytest.mark.parametrize(
    ("selections", "expected"),
    [
        ([], None),
        (["1"], [0]),
        (["1,3-4"], [0, 2, 3]),
        (["2", "1"], [0, 1]),
        (["*.txt"], [0, 1, 2]),
        (["c.txt"], [2]),
        (["sub/*"], [2, 3]),
        (["sub"], [2, 3]),
        (["set/sub/"], [2, 3]),
        (["3-"], [2, 3]),
        (["1, 3-4 "], [0, 2, 3]),
        (["set/a*"], [0]),
        (["*, e.bin"], [3]),
    ],
)
def test_select_takes_numbers_and_globs(
    torrent: Metainfo, selections: list[str], expected: list[int] | None
) -> None:
    assert selected_files(torrent, selections) == expected


def test_select_refuses_numbers_that_python_itself_does_not_read(torrent: Metainfo) -> None:
    with pytest.raises(SettingsError, match="no file of"):
        selected_files(torrent, ["9" * 5000])


@pytest.mark.parametrize("selection", ["0", "5", "5-", "3-2", "-3", "1-999999999999", "none*", "", "/"])
def test_select_refuses_what_fits_no_file(torrent: Metainfo, selection: str) -> None:
    with pytest.raises(SettingsError, match="--select"):
        selected_files(torrent, [selection])


@pytest.mark.parametrize(
    ("source", "kind", "says"),
    [
        ("magnet:?dn=nothing", MetainfoError, "no info-hash"),
        (f"magnet:?xt=urn:btmh:1220{'0' * 64}", MetainfoError, "v2 only"),
        ("0" * 64, MetainfoError, "v2 only"),
        ("z" * 40, MetainfoError, "not an info-hash"),
        ("udp://example.org/x", SwarmError, "only http and https"),
        ("nowhere.torrent", StorageError, "nowhere.torrent"),
    ],
)
async def test_sources_that_are_no_torrents_are_told_apart(
    source: str, kind: type[SwarmError], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SwarmError, match=re.escape(says)) as caught:
        await read_all(Session(), [source], Output())
    assert type(caught.value) is kind


async def test_a_web_page_is_called_one(tmp_path: Path) -> None:
    page = tmp_path / "page.torrent"
    page.write_text("\n<!DOCTYPE html>")
    with pytest.raises(MetainfoError, match="not a torrent but a web page"):
        await read_source(Session(), str(page))


def test_content_is_found_in_its_folder_and_by_itself(torrent: Metainfo, folder: Path) -> None:
    assert find_content(torrent, folder) == folder
    assert find_content(torrent, folder.parent) == folder


def test_a_folder_in_the_content_of_the_same_name_is_not_taken_for_it(
    torrent: Metainfo, folder: Path
) -> None:
    (folder / "set").mkdir()
    assert find_content(torrent, folder) == folder


def test_content_that_is_nowhere_is_a_disk_error(torrent: Metainfo, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(StorageError, match="nothing of set is there"):
        find_content(torrent, empty)
    assert find_content(torrent, empty, may_be_absent=True) == empty / "set"
    with pytest.raises(StorageError, match="no such file or folder"):
        find_content(torrent, tmp_path / "missing")
