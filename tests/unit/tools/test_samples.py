"""sample_torrents/ is what tools/samples writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from swarm.metainfo.torrent import Metainfo
from tools import sample_files


def test_samples_are_as_the_tool_writes_them() -> None:
    assert sample_files.differences(sample_files.FOLDER) == []


def test_check_names_what_differs(tmp_path: Path) -> None:
    sample_files.write_all(tmp_path)
    (tmp_path / "text.txt").write_text("changed")
    (tmp_path / "tour" / "empty.file").unlink()
    assert sample_files.differences(tmp_path) == ["text.txt", "tour/empty.file"]


@pytest.mark.parametrize("name", ["text", "picture", "tour", "private"])
def test_readme_names_each_torrent_with_its_info_hash(name: str) -> None:
    torrent = Metainfo.parse((sample_files.FOLDER / f"{name}.torrent").read_bytes())
    (line,) = (
        line
        for line in (sample_files.FOLDER / "README.md").read_text().splitlines()
        if line.startswith(f"| `{name}.torrent`")
    )
    assert str(torrent.info_hash) in line
