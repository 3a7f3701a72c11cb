"""`swarm verify`: compare content on disk with its .torrent."""

from __future__ import annotations

import os
from pathlib import Path

import click

from swarm.base.bitfield import Bitfield
from swarm.base.dataclass import dataclass
from swarm.base.errors import StorageError
from swarm.base.units import format_size
from swarm.cli import ending
from swarm.cli.ending import Ending, Interrupted
from swarm.cli.exits import EXIT_DONE, EXIT_INTERRUPTED, EXIT_MISMATCH, ExitWith
from swarm.cli.options import FileName, option, threads_option
from swarm.cli.output import Output
from swarm.cli.progress import hashing_bar
from swarm.cli.torrent_file import read_torrent
from swarm.metainfo.files import Layout
from swarm.metainfo.torrent import Metainfo
from swarm.storage.faults import storage_error
from swarm.storage.whereabouts import find_content, named_as_there


@dataclass(frozen=True, slots=True)
class BadFile:
    """A file that is not what the torrent says."""

    path: str
    reason: str


@click.command("verify")
@click.argument("file", metavar="FILE.torrent", type=FileName())
@click.argument("path", required=False, type=FileName(Path))
@threads_option
@option("--json", "is_json", is_flag=True, help="One JSON object on stdout.")
@option("--quiet", "is_quiet", is_flag=True, help="No bar and no result, only the exit status.")
def command(file: str, path: Path | None, threads: int, is_json: bool, is_quiet: bool) -> None:
    """Compare the content at PATH with the .torrent FILE.

    PATH is the content or the folder that holds it (default: where FILE is). Exit status 0: all is as it
    should be; 6: the files that are named are not.
    """  # fmt: skip
    raw, torrent = read_torrent(file, is_own=True)
    place = path or Path(file).parent
    torrent = named_as_there(raw, torrent, place)
    content = find_content(torrent, place, may_be_absent=True)
    output = Output(is_json=is_json, is_quiet=is_quiet)
    found: list[Bitfield] = []

    async def main(end: Ending) -> int:
        try:
            found.append(await end.unless(_hash(torrent, content, threads, output)))
        except Interrupted:
            return EXIT_INTERRUPTED
        return EXIT_DONE

    sizes = _sizes(torrent, content)
    status = ending.run(main)
    if status != EXIT_DONE:
        raise ExitWith(status)
    bad = bad_files(torrent, content, sizes, found[0])
    _say(output, torrent, content, found[0], bad)
    if bad:
        raise ExitWith(EXIT_MISMATCH)


async def _hash(torrent: Metainfo, content: Path, threads: int, output: Output) -> Bitfield:
    import asyncio

    from swarm.storage.check import check_pieces
    from swarm.storage.disk import Disk
    from swarm.storage.files import ContentFiles

    files = ContentFiles(content, Layout(torrent.files), part_path=content, is_reading_only=True)
    disk = Disk(asyncio.get_running_loop(), threads or os.cpu_count() or 1)
    try:
        with hashing_bar(torrent.total_bytes, "verifying", output) as progress:
            pieces = range(torrent.geometry.piece_count)
            return await check_pieces(
                files,
                torrent.geometry,
                torrent.piece_hashes,
                disk,
                pieces,
                progress=lambda size_bytes, good: progress(size_bytes),
            )
    finally:
        await disk.close()
        files.close()


def _sizes(torrent: Metainfo, content: Path) -> list[int | None]:
    """The size of each file on disk, None where there is no file.

    Raises:
        StorageError: a file cannot be read, which says nothing about its data.
    """
    sizes: list[int | None] = []
    for entry in torrent.files:
        path = content.joinpath(*entry.path)
        if entry.is_pad:
            sizes.append(entry.length)
            continue
        try:
            size = path.stat().st_size if path.is_file() else None
        except OSError as error:
            raise storage_error(error, path) from None
        if size is not None and not os.access(path, os.R_OK):
            raise StorageError("cannot be read: permission denied", path=str(path))
        sizes.append(size)
    return sizes


def bad_files(torrent: Metainfo, content: Path, sizes: list[int | None], good: Bitfield) -> list[BadFile]:
    """The files that are not what the torrent says, and why.

    A bad piece is blamed on the files in it that are missing or too short; only where there are none, on
    all of its files, since its hash cannot say which.
    """
    reasons: dict[int, str] = {}
    for index, (entry, size) in enumerate(zip(torrent.files, sizes, strict=True)):
        if size is None:
            reasons[index] = "missing"
        elif size != entry.length:
            kind = "too short" if size < entry.length else "too long"
            reasons[index] = f"{kind}: {size:,} bytes, not {entry.length:,}"
    layout, geometry = Layout(torrent.files), torrent.geometry
    incomplete = {index for index in reasons if (sizes[index] or 0) < torrent.files[index].length}
    for piece in good.missing():
        ranges = layout.ranges(geometry.piece_offset(piece), geometry.piece_bytes(piece))
        touched = [part.file_index for part in ranges if not torrent.files[part.file_index].is_pad]
        if incomplete.isdisjoint(touched):
            for index in touched:
                reasons.setdefault(index, "the data differs")
    return [
        BadFile(str(content.joinpath(*torrent.files[index].path)), reasons[index])
        for index in sorted(reasons)
    ]


def _say(output: Output, torrent: Metainfo, content: Path, good: Bitfield, bad: list[BadFile]) -> None:
    if output.is_json:
        output.json(
            {
                "name": torrent.name,
                "infohash": str(torrent.info_hash),
                "path": str(content),
                "ok": not bad,
                "total_bytes": torrent.total_bytes,
                "pieces_good": good.count,
                "pieces_total": len(good),
                "bad_files": [{"path": file.path, "reason": file.reason} for file in bad],
            }
        )
    if output.is_quiet:
        return
    for file in bad:
        output.result(f"{file.path}: {file.reason}")
    if bad:
        pieces = f"{len(good) - good.count:,} of {len(good):,} pieces do not match"
        output.result(f"{torrent.name}: {pieces}")
    else:
        output.result(f"{content}: all {len(good):,} pieces match ({format_size(torrent.total_bytes)})")
