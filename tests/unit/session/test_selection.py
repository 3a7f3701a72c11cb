"""Which pieces a choice of files asks for."""

from __future__ import annotations

from pathlib import Path

import pytest

from swarm.base.errors import SettingsError
from swarm.engine.download.picker import HIGH, NORMAL, UNWANTED
from swarm.metainfo.builder import TorrentOptions
from swarm.metainfo.files import Layout
from swarm.metainfo.torrent import Metainfo
from swarm.session.selection import Selection
from swarm.storage.create import create_torrent

PIECE = 16384


@pytest.fixture
def metainfo(tmp_path: Path) -> Metainfo:
    """Files a (pieces 0-2), b (piece 2), empty, d (pieces 2-5)."""
    folder = tmp_path / "t"
    folder.mkdir()
    sizes = {"a": 2 * PIECE + 10, "b": 20, "c": 0, "d": 3 * PIECE}
    for name, size in sizes.items():
        (folder / name).write_bytes(bytes(size))
    return Metainfo.parse(create_torrent(folder, TorrentOptions(piece_length=PIECE)))


def drawn(selection: Selection, metainfo: Metainfo) -> str:
    marks = {UNWANTED: " ", NORMAL: "n", HIGH: "H"}
    return "".join(marks[one] for one in selection.priorities(metainfo, Layout(metainfo.files)))


@pytest.mark.parametrize(
    ("files", "is_ends_first", "expected"),
    [
        (None, False, "nnnnnn"),
        ({0}, False, "nnn   "),
        ({1}, False, "  n   "),
        ({2}, False, "      "),
        ({1, 3}, False, "  nnnn"),
        ({0}, True, "HnH   "),
        ({3}, True, "  HnnH"),
        (None, True, "HnHnnH"),
    ],
)
def test_piece_is_wanted_for_any_file_in_it(
    metainfo: Metainfo, files: set[int] | None, is_ends_first: bool, expected: str
) -> None:
    chosen = None if files is None else frozenset(files)
    assert drawn(Selection(chosen, is_ends_first=is_ends_first), metainfo) == expected


def test_files_not_chosen_are_unwanted(metainfo: Metainfo) -> None:
    assert Selection().unwanted(metainfo) == frozenset()
    assert Selection(frozenset({1, 3})).unwanted(metainfo) == {0, 2}


@pytest.mark.parametrize("files", [frozenset(), frozenset({4}), frozenset({-1, 0})])
def test_choice_that_makes_no_sense_is_refused(metainfo: Metainfo, files: frozenset[int]) -> None:
    with pytest.raises(SettingsError):
        Selection(files).unwanted(metainfo)
