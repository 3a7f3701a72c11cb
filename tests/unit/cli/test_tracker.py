"""What `swarm tracker` does beside the tracker itself, whatever becomes of what it prints."""

from __future__ import annotations

import asyncio
import errno
import os

import pytest

from swarm.base.errors import SettingsError
from swarm.cli import tracker
from swarm.cli.output import Output


class FullDisk(Output):
    """Its stdout is a file for which there is no room."""

    def warning(self, text: str) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class BadLists:
    """Lists that are wrong each time they are read.

    Attributes:
        is_read_again: set when they were read for the second time.
    """

    def __init__(self) -> None:
        self.is_read_again = asyncio.Event()
        self._read_count = 0

    def read_changed(self) -> bool:
        self._read_count += 1
        if self._read_count == 2:
            self.is_read_again.set()
        raise SettingsError("line 1: no info-hash")


async def test_lists_are_read_again_although_nothing_can_be_said_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tracker, "LOOK_S", 0.0)
    lists = BadLists()
    reading = asyncio.create_task(tracker._read_again(lists, FullDisk(is_json=True)))
    async with asyncio.timeout(30):
        await lists.is_read_again.wait()
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
