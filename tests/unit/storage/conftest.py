"""Two files of little content, and threads to read and write them with."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from swarm.storage.disk import Disk
from swarm.storage.files import ContentFiles
from tests.unit.storage.layouts import LAYOUT, files_of


@pytest.fixture
async def disk() -> AsyncIterator[Disk]:
    disk = Disk(asyncio.get_running_loop(), thread_count=2)
    yield disk
    await disk.close()


@pytest.fixture
def files(tmp_path: Path) -> ContentFiles:
    return files_of(tmp_path, LAYOUT)
