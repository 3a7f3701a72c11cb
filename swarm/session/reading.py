"""Reads a torrent's content for its user, in whatever order, while it arrives."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

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
                await self._until_each_came(pieces)
            try:
                await self._disk.run(lambda: self._keeping.files.read(offset, [memoryview(buffer)]))
            except ContentChangedError:
                if self._course.is_over:
                    raise
                if not self._keeping.is_settled:
                    # Nobody verifies it again before all has been looked at for the first time.
                    await self._course.advanced()
                # It is being verified again, or will be in a moment.
                continue
            # It may have been changed meanwhile.
            if self._course.is_over or self._are_right(pieces):
                return bytes(buffer)

    async def _until_each_came(self, pieces: Sequence[int]) -> None:
        """Wait for one after the other; while that lasts, those before may be changed again.

        Whatever comes wakes us: to look at all of them each time would be quadratic in their number.
        """
        has_looked = False
        for piece in pieces:
            while not self._is_right(piece):
                if self._keeping.is_settled:
                    # Of all at first: who waits for a piece must not do so in vain for those behind it.
                    self._refuse_what_never_comes((piece,) if has_looked else pieces)
                    has_looked = True
                await self._course.advanced()

    def _are_right(self, pieces: Iterable[int]) -> bool:
        return all(map(self._is_right, pieces))

    def _is_right(self, piece: int) -> bool:
        return piece in self._keeping.have and self._keeping.is_right(piece)

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
