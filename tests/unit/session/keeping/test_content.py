"""Where the content of a torrent lies, and what lies beside it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from swarm.base.ids import InfoHash
from swarm.session.keeping.content import part_path

HASH = InfoHash(bytes(range(20)))


@pytest.mark.parametrize("name", ["a" * 255, "ä" * 127, "漢" * 85, "😀" * 63, "\udcff" * 255])
def test_part_file_of_any_name_can_be_made(tmp_path: Path, name: str) -> None:
    path = part_path(tmp_path / "below" / name, HASH)
    path.parent.mkdir(exist_ok=True)
    path.touch()
    assert path.name.endswith(".00010203.part")


def test_part_file_stands_beside_the_content_and_bears_its_name(tmp_path: Path) -> None:
    assert part_path(tmp_path / "漢字 ä", HASH) == tmp_path / ".漢字 ä.00010203.part"
    assert part_path(tmp_path / ("b" * 120), HASH) == tmp_path / f".{'b' * 100}.00010203.part"
    assert os.fsencode(part_path(tmp_path / "\udcff", HASH).name) == b".\xff.00010203.part"
