"""Makes a .torrent of a file or folder: finds its files, hashes their pieces, writes down what it is."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

from swarm.base.blocks import Geometry
from swarm.metainfo.builder import (
    TorrentOptions,
    are_plain,
    auto_piece_length,
    build_info,
    build_metainfo,
    check_piece_length,
)
from swarm.storage.piece_hasher import PieceHasher, Progress
from swarm.storage.source_files import find_files, own_name


class Created(NamedTuple):
    """A torrent just made; `warnings` are lines for the user."""

    raw: bytes
    info_bytes: bytes
    name: str
    geometry: Geometry
    file_count: int
    warnings: list[str]


def create_torrent(
    path: str | bytes | os.PathLike[str],
    options: TorrentOptions | None = None,
    *,
    exclude: Sequence[str] = (),
    omit: str | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> bytes:
    """Hash a file or folder and return the bytes of its .torrent.

    It blocks until all is hashed, on every core unless told otherwise; in a program with an asyncio loop:

        raw = await asyncio.to_thread(swarm.create_torrent, "dataset")

    Args:
        exclude: globs; files and folders whose name or path matches are left out.
        omit: the path of a file to leave out, such as the .torrent itself in the folder.
        threads: hashing threads, None or 0 for one a core.
        progress: called about ten times a second, in this thread, with the bytes hashed so far and in all.

    Raises:
        StorageError: a file cannot be read, vanished or changed meanwhile; it names the file.
        MetainfoError: nothing to share, or more than a torrent holds.
    """
    options = options or TorrentOptions()
    return create(path, options, exclude=exclude, omit=omit, threads=threads, progress=progress).raw


def create(
    path: str | bytes | os.PathLike[str],
    options: TorrentOptions,
    *,
    exclude: Sequence[str] = (),
    omit: str | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Created:
    """Hash a file or folder and make its torrent. Blocks; uses every core unless told otherwise.

    Args:
        exclude: globs; files and folders whose name or path matches are left out.
        omit: the path of a file to leave out: the output, where it lies in the folder.
        threads: hashing threads, None or 0 for one a core.
        progress: called about ten times a second, in this thread.

    Raises:
        StorageError: a file cannot be read, vanished or changed meanwhile; it names the file.
        MetainfoError: nothing to share, or more than a torrent holds.
    """
    root = os.fsencode(path)
    files = find_files(root, exclude=exclude, omit=omit)
    total = sum([file.length for file in files])
    piece_length = options.piece_length or auto_piece_length(total)
    check_piece_length(piece_length, total)
    hashes = PieceHasher(files, piece_length, threads or os.cpu_count() or 1).run(progress)
    name = os.fsencode(options.name) if options.name else own_name(root)
    names = [file.name for file in files]
    listed = list(zip(names, [file.length for file in files], strict=True))
    info = build_info(name, listed, piece_length, hashes, options)
    return Created(
        raw=build_metainfo(info, options),
        info_bytes=info,
        name=name.decode(errors="replace"),
        geometry=Geometry(total, piece_length),
        file_count=len(files),
        warnings=_name_warnings([name, *names] if names[0] else [name]),
    )


def _name_warnings(names: Sequence[bytes]) -> list[str]:
    """Names that another machine, or we ourselves, would write otherwise."""
    if are_plain(names):
        return []
    # Only here: nearly all names are plain, and the import costs.
    from swarm.metainfo.paths import unportable_names

    changed = unportable_names(names)
    if not changed:
        return []
    count = "a name" if len(changed) == 1 else f"{len(changed)} names"
    first = os.fsdecode(changed[0])
    return [f"{count} will be another after a download, and here a seeder looks for that one: {first!r}"]
