"""The user's blocklist: read at the start, and again whenever its file changes."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from swarm.base.errors import SettingsError, SwarmError
from swarm.base.ip_ranges import IpRanges, parse_ranges
from swarm.session.bugs import watch
from swarm.storage.whole_file import read_whole

#: The largest file that is read; the largest lists of the field have 30 MB.
BLOCKLIST_BYTES_MAX = 128 << 20

#: What tells one content of a file from another: time, size, which file it is.
_Mark: TypeAlias = tuple[int, int, int]


class Blocklist:
    """Watches one file of addresses.

    Args:
        check_s: how often it is looked at.
        on_ranges: gets the ranges, at `open` and after each change.
        on_notice: (level, text) for the user.
    """

    def __init__(
        self,
        path: Path,
        check_s: float,
        on_ranges: Callable[[IpRanges], None],
        on_notice: Callable[[str, str], None],
    ) -> None:
        self._path = path
        self._check_s = check_s
        self._on_ranges = on_ranges
        self._on_notice = on_notice
        self._mark: _Mark | None = None
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Read the file.

        Raises:
            SettingsError: it is no list of addresses. StorageError: it cannot be read.
        """
        ranges, self._mark = await asyncio.to_thread(self._read)
        self._on_ranges(ranges)

    def watch(self) -> None:
        """Look at it from now on."""
        self._task = asyncio.get_running_loop().create_task(self._watch(), name="watching the blocklist")
        watch(self._task, lambda error: self._on_notice("warning", f"{error}; the blocklist stays as it is"))

    async def close(self) -> None:
        """Watch it no longer."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._check_s)
            try:
                status = os.stat(self._path)
                # What came through a pipe (`<(zcat list.gz)`) comes once.
                mark: _Mark | None = self._mark if stat.S_ISFIFO(status.st_mode) else _mark_of(status)
            except OSError:
                mark = None  # `_read` says what is wrong with it.
            if mark == self._mark:
                continue
            self._mark = mark
            try:
                ranges, self._mark = await asyncio.to_thread(self._read)
            except SwarmError as error:
                # To let everybody in because of a typing error would be worse.
                self._on_notice("warning", f"{error}; the blocklist stays as it was")
                continue
            self._on_ranges(ranges)
            self._on_notice("info", f"blocklist read again: {len(ranges)} ranges")

    def _read(self) -> tuple[IpRanges, _Mark]:
        """The ranges in the file, and what it looks like; runs in a thread."""
        raw, status = read_whole(self._path, BLOCKLIST_BYTES_MAX)
        mark = _mark_of(status)
        if len(raw) > BLOCKLIST_BYTES_MAX:
            raise SettingsError(f"{self._path}: larger than any blocklist ({BLOCKLIST_BYTES_MAX >> 20} MiB)")
        try:
            # Names may be in any encoding; what counts is ASCII.
            return parse_ranges(raw.decode("latin-1").removeprefix("\xef\xbb\xbf")), mark
        except SettingsError as error:
            raise SettingsError(f"{self._path}: {error}") from None


def _mark_of(status: os.stat_result) -> _Mark:
    return status.st_mtime_ns, status.st_size, status.st_ino
