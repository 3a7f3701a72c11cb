"""Two files of little content."""

from __future__ import annotations

from pathlib import Path

import pytest

from swarm.storage.files import ContentFiles
from tests.unit.storage.layouts import LAYOUT, files_of


@pytest.fixture
def files(tmp_path: Path) -> ContentFiles:
    return files_of(tmp_path, LAYOUT)
