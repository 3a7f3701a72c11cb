"""Contents for the tests of storage: a few files laid end to end, and their bytes."""

from __future__ import annotations

import random
from collections.abc import Callable
from hashlib import sha1
from pathlib import Path

from swarm.base.blocks import BLOCK_BYTES, Geometry
from swarm.metainfo.files import FileEntry, Layout
from swarm.storage.descriptors import OpenFiles
from swarm.storage.files import ContentFiles


def random_bytes(length: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(length)


def layout_of(*files: tuple[str, int]) -> Layout:
    """A layout of (path, length); a path that starts with ".pad/" is a pad file."""
    entries = []
    offset = 0
    for path, length in files:
        entries.append(FileEntry(tuple(path.split("/")), length, offset, is_pad=path.startswith(".pad/")))
        offset += length
    return Layout(entries)


def content_of(layout: Layout, seed: int = 1) -> bytes:
    """Random bytes for the whole content, zeros where a pad file lies."""
    content = bytearray(random_bytes(layout.end_offset, seed))
    for file in layout.files:
        if file.is_pad:
            content[file.offset : file.offset + file.length] = bytes(file.length)
    return bytes(content)


def files_of(
    folder: Path,
    layout: Layout,
    *,
    unwanted: frozenset[int] = frozenset(),
    open_max: int = 100,
    is_reading_only: bool = False,
    is_allocating: bool = False,
    on_changed: Callable[[int], None] | None = None,
) -> ContentFiles:
    """The content of `layout` in `folder / "content"`."""
    return ContentFiles(
        folder / "content",
        layout,
        part_path=folder / ".content.part",
        unwanted=unwanted,
        open_files=OpenFiles(open_max),
        is_reading_only=is_reading_only,
        is_allocating=is_allocating,
        on_changed=on_changed,
    )


def write_pieces(files: ContentFiles, content: bytes, pieces: list[int], piece_length: int) -> None:
    for piece in pieces:
        data = content[piece * piece_length : (piece + 1) * piece_length]
        files.write(piece * piece_length, [memoryview(data)])


def read_bytes(files: ContentFiles, offset: int, length: int) -> bytes:
    buffer = bytearray(b"?" * length)
    files.read(offset, [memoryview(buffer)])
    return bytes(buffer)


def hashes_of(content: bytes, geometry: Geometry) -> bytes:
    """20 bytes a piece."""
    starts = range(0, len(content), geometry.piece_length)
    return b"".join(sha1(content[start : start + geometry.piece_length]).digest() for start in starts)


#: Of what most tests read and write: two files, of which the second ends within a piece.
PIECE = 4 * BLOCK_BYTES
LAYOUT = layout_of(("a", 3 * PIECE), ("b", PIECE + 100))
CONTENT = content_of(LAYOUT)
GEOMETRY = Geometry(len(CONTENT), PIECE)
