"""The files of a torrent laid end to end: which bytes of the content lie in which file."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

from swarm.base.blocks import Geometry


class FileEntry(NamedTuple):
    """One file of a torrent (a tuple, since a torrent may have half a million).

    Args:
        path: safe parts below the torrent's name, () for the file of a single-file torrent: on disk it
            is `save_to / name / *path`.
        length: bytes.
        offset: where it starts in the content, in bytes.
        is_pad: only zeros, to align the next file to a piece (BEP 47); never written to disk.
    """

    path: tuple[str, ...]
    length: int
    offset: int
    is_pad: bool = False


class FileRange(NamedTuple):
    """`length` bytes of one file from `offset` (within the file) on."""

    file_index: int
    offset: int
    length: int


class Layout:
    """Finds the files behind ranges of the content; pad files are among them, empty files never.

    Args:
        files: in the torrent's order, each starting where the one before ended.
    """

    __slots__ = ("_indices", "_offsets", "end_offset", "files")

    def __init__(self, files: Sequence[FileEntry]) -> None:
        self.files = files
        # Empty files cover no byte; without them each offset stands for one file.
        self._indices = [index for index, file in enumerate(files) if file.length]
        self._offsets = [files[index].offset for index in self._indices]
        self.end_offset = files[-1].offset + files[-1].length if files else 0

    def ranges(self, offset: int, length: int) -> list[FileRange]:
        """The file ranges that `length` bytes from `offset` on cover, in order; lengths sum to `length`.

        Raises:
            IndexError: the range goes beyond the content (a caller's bug).
        """
        end = offset + length
        if offset < 0 or length < 0 or end > self.end_offset:
            raise IndexError(f"bytes {offset} to {end} of {self.end_offset}")
        found = []
        at = bisect_right(self._offsets, offset) - 1
        while offset < end:
            index = self._indices[at]
            file = self.files[index]
            taken = min(end, file.offset + file.length) - offset
            found.append(FileRange(index, offset - file.offset, taken))
            offset += taken
            at += 1
        return found

    def pieces_of(self, file_index: int, geometry: Geometry) -> range:
        """The pieces that hold bytes of the file; an empty range for an empty file."""
        file = self.files[file_index]
        if not file.length:
            return range(0)
        first = file.offset // geometry.piece_length
        last = (file.offset + file.length - 1) // geometry.piece_length
        return range(first, last + 1)
