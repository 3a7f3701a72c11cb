"""Reads a torrent's content for its user, in whatever order, while it arrives."""

from __future__ import annotations

from collections.abc import Iterable

from swarm.base.errors import SettingsError, StorageError
from swarm.metainfo.torrent import Metainfo
from swarm.session.course import Course
from swarm.session.keeping.keeping import Keeping
from swarm.session.selection import Selection
from swarm.storage.disk import Disk
from swarm.storage.faults import ContentChangedError


class Reading:
    """Waits for pieces to be verified, and reads them.

    Args:
        keeping: what is on disk, which is not known yet while it is not settled.
    """

    def __init__(
        self,
        metainfo: Metainfo,
        keeping: Keeping,
        disk: Disk,
        course: Course,
        selection: Selection,
    ) -> None:
        self._metainfo = metainfo
        self._keeping = keeping
        self._disk = disk
        self._course = course
        self._selection = selection

    async def read(self, offset: int, length: int) -> bytes:
        """As `Torrent.read`."""
        geometry = self._metainfo.geometry
        if offset < 0 or length < 0 or offset + length > geometry.total_bytes:
            raise IndexError(f"bytes {offset} to {offset + length} of {geometry.total_bytes}")
        if not length:
            return b""
        size = geometry.piece_length
        pieces = range(offset // size, (offset + length - 1) // size + 1)
        buffer = bytearray(length)
        while True:
            while not self._are_right(pieces):
                if self._keeping.is_settled:
                    self._refuse_what_never_comes(pieces)
                await self._course.advanced()
            try:
                await self._disk.run(lambda: self._keeping.files.read(offset, [memoryview(buffer)]))
            except ContentChangedError:
                if self._course.is_over:
                    raise
                # It is being verified again, or will be in a moment.
                continue
            # It may have been changed meanwhile.
            if self._course.is_over or self._are_right(pieces):
                return bytes(buffer)

    def _are_right(self, pieces: Iterable[int]) -> bool:
        have = self._keeping.have
        return all(piece in have and self._keeping.is_right(piece) for piece in pieces)

    def _refuse_what_never_comes(self, pieces: Iterable[int]) -> None:
        geometry, files = self._metainfo.geometry, self._metainfo.files
        layout = self._keeping.files.layout
        have, chosen = self._keeping.have, self._selection.files
        for piece in pieces:
            if piece in have:
                continue
            indices = [
                part.file_index
                for part in layout.ranges(geometry.piece_offset(piece), geometry.piece_bytes(piece))
                if not files[part.file_index].is_pad
            ]
            if self._keeping.is_seeding_only and indices:
                path = str(self._keeping.files.path_of(indices[0]))
                raise StorageError(f"piece {piece} is not what the torrent says", path=path)
            if chosen is not None and not chosen.intersection(indices):
                names = ", ".join("/".join(files[index].path) for index in indices)
                raise SettingsError(
                    f"piece {piece} has bytes of {names}, which was not selected: it never comes"
                )
