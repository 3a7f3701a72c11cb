"""Threads to read and write files with, for tests of storage and of what stands on it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from swarm.storage.disk import Disk


@pytest.fixture
async def disk() -> AsyncIterator[Disk]:
    disk = Disk(asyncio.get_running_loop(), thread_count=2)
    yield disk
    await disk.close()
