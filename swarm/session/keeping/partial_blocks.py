"""Blocks of pieces that are not complete, kept from one run of the program to the next."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping

from swarm.base.bitfield import Bitfield
from swarm.base.blocks import BLOCK_BYTES, Geometry, mask_runs
from swarm.base.errors import StorageError
from swarm.storage.pieces import PieceStore


class PartialBlocks:
    """Which blocks those are: to be loaded before the start, to be found again after the end.

    Attributes:
        masks: piece -> mask of its blocks.
    """

    def __init__(self, geometry: Geometry) -> None:
        self._geometry = geometry
        self.masks: dict[int, int] = {}

    def believe(self, masks: Mapping[int, int], have: Bitfield) -> None:
        """Take up what was saved, as far as it can be."""
        self.masks = {
            piece: mask
            for piece, mask in masks.items()
            if 0 <= piece < self._geometry.piece_count
            and piece not in have
            and 0 < mask < self._geometry.full_mask(piece)
        }

    def load(self, store: PieceStore) -> None:
        """Fetch them from where an orderly stop has put them, as far as they can be read; in a thread."""
        loaded = {}
        for piece, mask in self.masks.items():
            with contextlib.suppress(StorageError):
                store.load_blocks(piece, self._runs(piece, mask))
                loaded[piece] = mask
        self.masks = loaded

    def take(self) -> dict[int, int]:
        """Those that are loaded; they are the engine's from now on."""
        taken, self.masks = self.masks, {}
        return taken

    def keep(
        self, masks: Mapping[int, int], store: PieceStore, on_notice: Callable[[str, str], None]
    ) -> None:
        """Put these where they belong; in a thread, when all has stopped."""
        kept = {}
        for piece, mask in masks.items():
            try:
                store.write_blocks(piece, self._runs(piece, mask))
            except StorageError as error:
                on_notice("warning", f"incomplete pieces could not be kept: {error}")
                break
            kept[piece] = mask
        self.masks = kept

    def _runs(self, piece: int, mask: int) -> list[tuple[int, int]]:
        run_bytes = self._geometry.run_bytes
        return [(first * BLOCK_BYTES, run_bytes(piece, first, count)) for first, count in mask_runs(mask)]
