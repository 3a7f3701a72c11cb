"""Finds out which pieces of a torrent are on disk already, hashing as little as possible."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from swarm.base.bitfield import Bitfield
from swarm.base.errors import StorageError, SwarmError
from swarm.metainfo.torrent import Metainfo
from swarm.storage import resume
from swarm.storage.check import check_pieces, pieces_with_data
from swarm.storage.disk import Disk
from swarm.storage.files import ContentFiles


class DataMismatchError(SwarmError):
    """Content that should be complete is not what the torrent says; `files` names the bad ones."""

    def __init__(self, reason: str, files: list[str]) -> None:
        self.files = files
        super().__init__(reason)


class Inspection:
    """Compares what is on disk with the torrent, and with what was known of it.

    Attributes:
        checked_bytes, checking_bytes: how far the hashing is, for progress displays.
    """

    def __init__(self, metainfo: Metainfo, files: ContentFiles, disk: Disk) -> None:
        self._metainfo = metainfo
        self._layout = files.layout
        self._files = files
        self._disk = disk
        self.checked_bytes = 0
        self.checking_bytes = 0

    async def trust(self, path: Path, on_notice: Callable[[str, str], None]) -> resume.Trust:
        """What may be believed of the resume data in the file `path`; nothing where it cannot be read."""
        geometry = self._metainfo.geometry
        nothing = resume.Trust.nothing(geometry.piece_count)
        try:
            record = await resume.load(path)
        except StorageError as error:
            on_notice("warning", f"{error}; the content is verified afresh")
            return nothing
        if (
            record is None
            or record.info_hash != self._metainfo.info_hash
            or len(record.verified) != len(nothing.verified)
        ):
            return nothing
        return await self._disk.run(lambda: self._weigh(record))

    def _weigh(self, record: resume.ResumeRecord) -> resume.Trust:
        """What `record` is worth with the files as they look now; in a thread."""
        geometry, files = self._metainfo.geometry, self._files
        pieces = [self._layout.pieces_of(index, geometry) for index in range(len(self._metainfo.files))]

        def reach(index: int, piece: int) -> int:
            return files.signed_length(index, geometry.piece_offset(piece) + geometry.piece_bytes(piece))

        return resume.weigh(record, files.signature(), pieces, resume.boot_id(), reach)

    async def check(self, have: Bitfield, *, is_whole: bool) -> None:
        """Hash what `have` does not name, and add what matches as it is found.

        Args:
            is_whole: everything; otherwise only pieces that can have data.
        """
        geometry = self._metainfo.geometry
        if is_whole:
            suspects = list(have.missing())
        else:
            with_data = await self._disk.run(self._files.data_ranges)
            suspects = [piece for piece in pieces_with_data(geometry, with_data) if piece not in have]
        self.checked_bytes = 0
        self.checking_bytes = sum(map(geometry.piece_bytes, suspects))

        def progress(size_bytes: int, good: Sequence[int]) -> None:
            self.checked_bytes += size_bytes
            # At once: it may be stopped before its end.
            for piece in good:
                have.add(piece)

        await self.matching(suspects, progress)

    async def matching(
        self, pieces: Sequence[int], progress: Callable[[int, Sequence[int]], None] | None = None
    ) -> Bitfield:
        """Those of `pieces` that are right on disk.

        Raises:
            StorageError: for want of descriptors nothing can be said.
        """
        metainfo = self._metainfo
        return await check_pieces(
            self._files, metainfo.geometry, metainfo.piece_hashes, self._disk, pieces, progress=progress
        )

    def mismatch(self, have: Bitfield) -> DataMismatchError:
        """What to tell a user whose content is not complete."""
        metainfo = self._metainfo
        bad = [
            str(self._files.path_of(index))
            for index, file in enumerate(metainfo.files)
            if not file.is_pad
            and any(piece not in have for piece in self._layout.pieces_of(index, metainfo.geometry))
        ]
        missing = len(have) - have.count
        shown = ", ".join(bad[:3]) + (f" and {len(bad) - 3} more" if len(bad) > 3 else "")
        return DataMismatchError(
            f"{missing} of {len(have)} pieces of {metainfo.name} do not match what is on disk: {shown}", bad
        )
