"""Makes a .torrent of a file or folder: finds its files, hashes their pieces, writes down what it is."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from typing import NamedTuple

from swarm.base.blocks import Geometry
from swarm.base.errors import SwarmError
from swarm.metainfo.builder import (
    TorrentOptions,
    are_plain,
    auto_piece_length,
    build_info,
    build_metainfo,
    check_piece_length,
)
from swarm.storage.piece_hasher import PieceHasher, Progress
from swarm.storage.source_files import SourceFile, find_files, own_name


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
    is_to_be_seeded: bool = False,
) -> Created:
    """Hash a file or folder and make its torrent. Blocks; uses every core unless told otherwise.

    Args:
        exclude: globs; files and folders whose name or path matches are left out.
        omit: the path of a file to leave out: the output, where it lies in the folder.
        threads: hashing threads, None or 0 for one a core.
        progress: called about ten times a second, in this thread.
        is_to_be_seeded: by ourselves, from where it lies.

    Raises:
        StorageError: a file cannot be read, vanished or changed meanwhile; it names the file.
        MetainfoError: nothing to share, or more than a torrent holds.
        SwarmError: it is to be seeded, and there are names that we would not find again.
    """
    root = os.fsencode(path)
    files = find_files(root, exclude=exclude, omit=omit)
    if is_to_be_seeded:
        check_names_kept(files, os.fsdecode(root))
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


def check_names_kept(files: Sequence[SourceFile], folder: str) -> None:
    """Check that files are found by the names that they get in a torrent of `folder`.

    Raises:
        SwarmError: some are not; it names the first.
    """
    names = [file.name for file in files]
    # The name of a single file, or of the folder, is the user's to say.
    lost = [] if names == [b""] else _lost_names(names)
    if lost:
        raise SwarmError(
            f"{folder}: {_so_many(lost)} that a torrent cannot keep, and that seeding would not find: "
            f"{os.fsdecode(lost[0])!r}; rename what is called so"
        )


def _lost_names(names: Sequence[bytes]) -> list[bytes]:
    """Those that seeding would not find again: not UTF-8, or too long."""
    if are_plain(names):
        return []
    # Only here: nearly all names are plain, and the import costs.
    from swarm.metainfo.paths import unportable_names

    return unportable_names(names, is_own=True)


def _name_warnings(names: Sequence[bytes]) -> list[str]:
    """Names that another machine, or we ourselves, would write otherwise."""
    if are_plain(names):
        return []
    from swarm.metainfo.paths import unportable_names

    lost = set(_lost_names(names))
    others = [name for name in unportable_names(names) if name not in lost]
    # Safe as they are: it is only that there are others that are equal but for case.
    alike = [name for name in others if not unportable_names([name])]
    changed = [name for name in others if name not in alike]
    warnings = []
    if lost:
        warnings.append(
            f"{_so_many(lost)} that downloads change, and that seeding from here does not find: "
            f"{os.fsdecode(min(lost))!r}"
        )
    if changed:
        warnings.append(
            f"{_so_many(changed)} with characters that downloads leave out or replace: "
            f"{os.fsdecode(changed[0])!r}"
        )
    if alike:
        first = os.fsdecode(alike[0])
        warnings.append(f"{_so_many(alike)} like others but for case, which downloads number: {first!r}")
    return warnings


def _so_many(names: Collection[bytes]) -> str:
    return "there is a name" if len(names) == 1 else f"there are {len(names)} names"
