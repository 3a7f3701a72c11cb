"""A disk that forgets what was not synced when the power goes: each page, size and name for itself."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from unittest import mock

#: Smaller than a real page: so that one piece of a test has several.
PAGE = 512


class PowerCut(BaseException):
    """Nothing is done any more; a BaseException, so that nobody handles it."""


class Choose(Protocol):
    """Takes one of several possible pasts; hypothesis draws it."""

    def __call__(self, options: Sequence[Any]) -> Any: ...


@dataclass(slots=True)
class _Inode:
    """What may be found of one file after a power cut."""

    descriptor: int
    durable: bytes = b""
    #: page -> what it may hold besides what is durable.
    pages: dict[int, list[bytes]] = field(default_factory=dict)
    sizes: list[int] = field(default_factory=lambda: [0])
    times_ns: list[int] = field(default_factory=list)


class LosingDisk:
    """Watches what goes through `os` below `top`, and says what a power cut may leave of it.

    Legal is: of each page any of the versions written since the last sync or the synced one; any of the sizes
    and times the file had since; of each name the old or the new meaning, until its folder is synced.
    Pages, sizes and names are independent of each other: no order is promised without a sync.

    Args:
        calls_max: the power goes at this call.
    """

    def __init__(self, top: Path, calls_max: int) -> None:
        self.top = top
        self.calls_left = calls_max
        self._inodes: dict[tuple[int, int], _Inode] = {}
        #: path -> the inodes it may lead to; None: it may not be there.
        self._names: dict[Path, list[_Inode | None]] = {}
        self._real = (os.pwritev, os.fdatasync, os.fsync, os.replace)

    @contextmanager
    def watching(self) -> Iterator[None]:
        with (
            mock.patch.object(os, "pwritev", self._pwritev),
            mock.patch.object(os, "fdatasync", self._fdatasync),
            mock.patch.object(os, "fsync", self._fsync),
            mock.patch.object(os, "replace", self._replace),
        ):
            yield

    def close(self) -> None:
        for inode in self._inodes.values():
            os.close(inode.descriptor)

    # -- what is called -----------------------------------------------------------------------------

    def _tick(self) -> None:
        if not self.calls_left:
            raise PowerCut
        self.calls_left -= 1

    def _pwritev(self, descriptor: int, buffers: Sequence[memoryview], offset: int) -> int:
        self._tick()
        inode = self._inode(descriptor)
        written = self._real[0](descriptor, buffers, offset)
        for page in range(offset // PAGE, -(-(offset + written) // PAGE)):
            inode.pages.setdefault(page, []).append(os.pread(descriptor, PAGE, page * PAGE))
        self._note_status(inode)
        return written

    def _fdatasync(self, descriptor: int) -> None:
        self._tick()
        self._real[1](descriptor)
        self._synced(descriptor)

    def _fsync(self, descriptor: int) -> None:
        self._tick()
        self._real[2](descriptor)
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        if not path.is_dir():
            self._synced(descriptor)
            return
        for name, versions in self._names.items():
            if name.parent == path:
                versions[:] = versions[-1:]

    def _replace(self, source: Path, target: Path) -> None:
        self._tick()
        descriptor = os.open(source, os.O_RDONLY)
        try:
            inode = self._inode(descriptor)
        finally:
            os.close(descriptor)
        self._real[3](source, target)
        self._names.setdefault(Path(target), [None]).append(inode)
        self._names[Path(source)].append(None)

    def _inode(self, descriptor: int) -> _Inode:
        status = os.fstat(descriptor)
        key = (status.st_dev, status.st_ino)
        if key not in self._inodes:
            # Held open: the number must not come back for another file.
            path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
            self._inodes[key] = _Inode(os.open(path, os.O_RDONLY))
            self._names.setdefault(path, [None]).append(self._inodes[key])
        return self._inodes[key]

    def _synced(self, descriptor: int) -> None:
        inode = self._inode(descriptor)
        size = os.fstat(descriptor).st_size
        inode.durable = os.pread(inode.descriptor, size, 0)
        inode.pages.clear()
        inode.sizes = [size]
        inode.times_ns.clear()
        self._note_status(inode)

    @staticmethod
    def _note_status(inode: _Inode) -> None:
        status = os.fstat(inode.descriptor)
        inode.sizes.append(status.st_size)
        inode.times_ns.append(status.st_mtime_ns)

    # -- what is left -------------------------------------------------------------------------------

    def leave(self, after: Path, choose: Choose) -> None:
        """Write one of the legal states of `top` to `after`."""
        for path, versions in self._names.items():
            inode = choose(versions)
            if inode is None:
                continue
            place = after / path.relative_to(self.top)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(self._content(inode, choose))
            if inode.times_ns:
                time_ns = choose(inode.times_ns)
                os.utime(place, ns=(time_ns, time_ns))

    @staticmethod
    def _content(inode: _Inode, choose: Choose) -> bytes:
        size = choose(inode.sizes)
        content = bytearray(inode.durable[:size].ljust(size, b"\0"))
        for page, written in inode.pages.items():
            start = page * PAGE
            durable = bytes(content[start : start + PAGE])
            chosen: bytes = choose([durable, *written])
            end = min(start + PAGE, size)
            content[start:end] = chosen[: max(0, end - start)].ljust(max(0, end - start), b"\0")
        return bytes(content)
