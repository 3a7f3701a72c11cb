"""Under which names a torrent's content lies."""

from __future__ import annotations

from pathlib import Path

import pytest

from swarm.base.errors import StorageError
from swarm.metainfo.builder import TorrentOptions
from swarm.metainfo.torrent import Metainfo
from swarm.storage.create import create_torrent
from swarm.storage.whereabouts import find_content, named_as_there

FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
DOWNLOADED = FAMILY.replace("\u200d", "")


def made(place: Path) -> bytes:
    return create_torrent(place, TorrentOptions())


def names(raw: bytes, place: Path) -> list[str]:
    torrent = named_as_there(raw, Metainfo.parse(raw, is_own=True), place)
    return [str(find_content(torrent, place).joinpath(*file.path)) for file in torrent.files]


def test_names_of_the_maker_are_found_where_they_lie_and_those_of_a_download_where_that_lies(
    tmp_path: Path,
) -> None:
    folder, download = tmp_path / "maker" / FAMILY, tmp_path / "download" / DOWNLOADED
    for place, name, alike in ((folder, FAMILY, "readme"), (download, DOWNLOADED, "readme.1")):
        place.mkdir(parents=True)
        (place / f"{name}.jpg").write_bytes(b"1")
        (place / "README").write_bytes(b"2")
        (place / alike).write_bytes(b"3")
    raw = made(folder)
    for place in (folder, folder.parent, download, download.parent):
        found = names(raw, place)
        assert len(set(found)) == 3 and all(Path(path).exists() for path in found)


def test_single_file_has_the_name_of_the_torrent(tmp_path: Path) -> None:
    (tmp_path / FAMILY).write_bytes(b"1")
    raw = made(tmp_path / FAMILY)
    assert names(raw, tmp_path) == [str(tmp_path / FAMILY)]
    (tmp_path / FAMILY).rename(tmp_path / DOWNLOADED)
    assert names(raw, tmp_path) == [str(tmp_path / DOWNLOADED)]


def test_plain_names_need_no_look_at_the_disk(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"1")
    own = Metainfo.parse(made(tmp_path / "plain"), is_own=True)
    assert named_as_there(b"", own, tmp_path / "nowhere") is own


def test_where_nothing_lies_is_an_error_that_names_the_place(tmp_path: Path) -> None:
    (tmp_path / FAMILY).write_bytes(b"1")
    raw = made(tmp_path / FAMILY)
    with pytest.raises(StorageError, match="nowhere: no such file"):
        named_as_there(raw, Metainfo.parse(raw, is_own=True), tmp_path / "nowhere")
