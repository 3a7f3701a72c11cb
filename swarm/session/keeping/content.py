"""The content of one torrent where it lies: its files, and which of its pieces are there."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from swarm.base.bitfield import Bitfield
from swarm.base.blocks import Geometry
from swarm.base.ids import InfoHash
from swarm.storage.files import ContentFiles

#: Of the content's name in that of the part file: enough to tell whose it is. The limit in bytes leaves room
#: for the rest of a name of 255, whatever the script.
_SHOWN_CHARS = 100
_SHOWN_BYTES = 240


def part_path(place: Path, info_hash: InfoHash) -> Path:
    """Where the part file of a torrent whose content lies at `place` belongs: beside it."""
    shown = place.name[:_SHOWN_CHARS]
    while len(shown.encode("utf-8", "surrogateescape")) > _SHOWN_BYTES:
        shown = shown[:-1]
    return place.with_name(f".{shown}.{info_hash.hex()[:8]}.part")


class Content:
    """What all who look after a torrent's content share.

    Args:
        unwanted: files that were not selected; what shares a piece with others lies in the part file.

    Attributes:
        have: the pieces that are verified; once the torrent has joined its swarm the engine's own.
    """

    __slots__ = ("_unwanted", "files", "geometry", "have")

    def __init__(
        self, files: ContentFiles, geometry: Geometry, unwanted: frozenset[int] = frozenset()
    ) -> None:
        self.files = files
        self.geometry = geometry
        self.have = Bitfield(geometry.piece_count)
        self._unwanted = sorted(unwanted)

    def pieces_of(self, index: int) -> Iterable[int]:
        """The pieces that hold bytes of a file; of the part file those of all that is not selected."""
        if index != ContentFiles.PART:
            return self.files.layout.pieces_of(index, self.geometry)
        return dict.fromkeys(piece for one in self._unwanted for piece in self.pieces_of(one))
