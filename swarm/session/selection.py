"""Which files are wanted, and what that means for pieces."""

from __future__ import annotations

from collections.abc import Iterable

from swarm.base.dataclass import dataclass
from swarm.base.errors import SettingsError
from swarm.engine.download.picker import HIGH, NORMAL, UNWANTED
from swarm.metainfo.files import Layout
from swarm.metainfo.torrent import Metainfo


@dataclass(frozen=True, slots=True)
class Selection:
    """The user's choice.

    Args:
        files: indices of the wanted files (in the torrent's order); None for all.
        is_sequential: ascending, for reading while it comes.
        is_ends_first: the first and last pieces of each file before the rest.
    """

    files: frozenset[int] | None = None
    is_sequential: bool = False
    is_ends_first: bool = False

    def unwanted(self, metainfo: Metainfo) -> frozenset[int]:
        """The files that must not be created.

        Raises:
            SettingsError: a number that is no file's, or nothing left to download.
        """
        if self.files is None:
            return frozenset()
        count = len(metainfo.files)
        wrong = [index for index in self.files if not 0 <= index < count]
        if wrong:
            raise SettingsError(f"there is no file {min(wrong) + 1}: the torrent has {count}")
        if not self.files:
            raise SettingsError("no file was selected")
        return frozenset(range(count)) - self.files

    def paths(self, metainfo: Metainfo) -> frozenset[tuple[str, ...]]:
        """The wanted files."""
        unwanted = self.unwanted(metainfo)
        return frozenset(
            file.path
            for index, file in enumerate(metainfo.files)
            if not file.is_pad and index not in unwanted
        )

    def priorities(self, metainfo: Metainfo, layout: Layout) -> bytes:
        """One priority a piece: a piece is wanted if any wanted file has bytes in it."""
        geometry = metainfo.geometry
        wanted: Iterable[int] = range(len(metainfo.files)) if self.files is None else sorted(self.files)
        if self.files is None and not self.is_ends_first:
            return bytes((NORMAL,)) * geometry.piece_count
        priorities = bytearray((UNWANTED,)) * geometry.piece_count
        for index in wanted:
            pieces = layout.pieces_of(index, geometry)
            if metainfo.files[index].is_pad or not pieces:
                continue
            for piece in pieces:
                priorities[piece] = max(priorities[piece], NORMAL)
            if self.is_ends_first:
                priorities[pieces[0]] = priorities[pieces[-1]] = HIGH
        return bytes(priorities)
