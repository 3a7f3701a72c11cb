"""`swarm leech`: download torrents; done when everything wanted is here and verified."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

import click

from swarm.base.errors import SettingsError, SwarmError
from swarm.cli import ending
from swarm.cli.content_pipe import ContentPipe
from swarm.cli.ending import Ending, Interrupted, first_of
from swarm.cli.main import EXIT_DISK, EXIT_DONE, EXIT_INTERRUPTED, EXIT_NO_PROGRESS, ExitWith
from swarm.cli.options import option
from swarm.cli.output import Output
from swarm.cli.report import Report
from swarm.cli.sources import read_source, selected_files
from swarm.cli.transfer import TransferOptions, status_of, transfer_options
from swarm.metainfo.torrent import Metainfo
from swarm.session.progress import Progress
from swarm.session.session import Session
from swarm.session.torrent import Torrent


@dataclass(frozen=True, slots=True)
class _Wish:
    """What is to become of the torrents."""

    folder: str
    selections: tuple[str, ...]
    is_sequential: bool
    is_ends_first: bool
    seed_ratio: float | None
    seed_time_s: float | None
    timeout_s: float | None
    is_piped: bool
    allocate: str
    on_full: str


@click.command("leech")
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@option(
    "-o", "--output", "folder", default=".", metavar="DIR", help="Download into this folder (default: here)."
)
@option("--list", "is_list", is_flag=True, help="Show the files, download nothing.")
@option(
    "--select", "selections", multiple=True, metavar="1,3-5|GLOB", help="Only these files; repeat for more."
)
@option("--sequential", "is_sequential", is_flag=True, help="In order, from the first byte on.")
@option("--first-last", "is_ends_first", is_flag=True, help="First the beginning and end of each file.")
@option(
    "--seed-ratio",
    type=click.FloatRange(min=0),
    metavar="R",
    help="Go on seeding until R times the size was uploaded.",
)
@option(
    "--seed-time",
    "seed_time_s",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="Go on seeding for so long.",
)
@option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="Give up after so long without progress: exit status 5, or 4 where the disk is full.",
)
@option("--metadata-only", "is_metadata_only", is_flag=True, help="Write NAME.torrent and stop.")
@option(
    "--stdout",
    "is_piped",
    is_flag=True,
    help="Write a single file to stdout too, in order, as it is verified.",
)
@option(
    "--allocate",
    type=click.Choice(["sparse", "full"]),
    default="sparse",
    show_default=True,
    help="full: reserve the disk space of each file first.",
)
@option(
    "--on-full",
    type=click.Choice(["wait", "stop"]),
    default="wait",
    show_default=True,
    help="Disk full: wait for room, and seed what is here; or stop, with exit status 4.",
)
@transfer_options
def command(
    sources: tuple[str, ...], is_list: bool, is_metadata_only: bool, transfer: TransferOptions, **wishes: Any
) -> None:
    """Download torrents: each SOURCE is a .torrent file or an http(s) URL of one.

    Ends when everything wanted is complete and verified. After Ctrl-C the same command goes on where it
    stopped.
    """  # fmt: skip
    wish = _Wish(**wishes)
    if wish.is_piped and (transfer.is_json or is_list or is_metadata_only or len(sources) > 1):
        raise click.UsageError("--stdout is for the content of one SOURCE, and of nothing else.")
    output = transfer.output()
    if is_list or is_metadata_only:
        look = _list if is_list else _write_torrents
        status = ending.run(lambda end: _look(look, sources, transfer, wish, end))
    else:
        status = ending.run(lambda end: _leech(sources, transfer, wish, output, end))
    if status != EXIT_DONE:
        raise ExitWith(status)


# -- looking only -----------------------------------------------------------------------------------


async def _look(
    look: Any, sources: tuple[str, ...], transfer: TransferOptions, wish: _Wish, end: Ending
) -> int:
    try:
        for source in sources:
            raw, torrent = await end.unless(read_source(transfer.session(), source))
            look(raw, torrent, wish, transfer.output())
    except Interrupted:
        return EXIT_INTERRUPTED
    return EXIT_DONE


def _list(_raw: bytes, torrent: Metainfo, wish: _Wish, output: Output) -> None:
    from swarm.base.units import format_size
    from swarm.cli.show import torrent_fields

    if output.is_json:
        output.json(torrent_fields(torrent))
        return
    chosen = selected_files(torrent, wish.selections)
    output.result(f"{torrent.name}: {format_size(torrent.total_bytes)}")
    for index, file in enumerate(torrent.files):
        if file.is_pad or (chosen is not None and index not in chosen):
            continue
        path = "/".join(file.path) or torrent.name
        output.result(f"{index + 1:>6}  {format_size(file.length):>10}  {path}")


def _write_torrents(raw: bytes, torrent: Metainfo, wish: _Wish, output: Output) -> None:
    import os

    from swarm.cli.torrent_file import check_writable, output_path, write_torrent

    path = output_path(wish.folder, torrent.name)
    if os.path.isfile(path):
        with open(path, "rb") as file:
            if file.read(len(raw) + 1) == raw:
                output.event("written", infohash=str(torrent.info_hash), path=path)
                output.result(f"{path}: is here already")
                return
    check_writable(path, may_replace=False)
    write_torrent(path, raw, may_replace=False)
    output.event("written", infohash=str(torrent.info_hash), path=path)
    output.result(f"written    {path}")


# -- downloading ------------------------------------------------------------------------------------


async def _leech(
    sources: tuple[str, ...], transfer: TransferOptions, wish: _Wish, output: Output, end: Ending
) -> int:
    session = transfer.session(is_waiting_for_room=wish.on_full == "wait")
    report = Report(output, is_stdout_taken=wish.is_piped)
    try:
        metainfos = await end.unless(_read_all(session, sources, output))
        async with session:
            report.listening(session.port)
            try:
                return await end.unless(_transfer(session, metainfos, transfer, wish, report))
            finally:
                report.close()
    except Interrupted:
        output.interrupted("the same command goes on where it stopped")
        return EXIT_INTERRUPTED


async def _read_all(session: Session, sources: tuple[str, ...], output: Output) -> list[Metainfo]:
    found: dict[bytes, Metainfo] = {}
    for source in sources:
        _, torrent = await read_source(session, source)
        if torrent.info_hash in found:
            output.warning(f"{source}: the same torrent as another one here")
        found[torrent.info_hash] = torrent
    return list(found.values())


async def _transfer(
    session: Session, metainfos: list[Metainfo], transfer: TransferOptions, wish: _Wish, report: Report
) -> int:
    chosen = [selected_files(metainfo, wish.selections) for metainfo in metainfos]
    pipes = [ContentPipe(_single_file(metainfos[0], chosen[0]))] if wish.is_piped else []
    torrents: list[Torrent] = []
    lonely: list[Torrent] = []
    for metainfo, files in zip(metainfos, chosen, strict=True):
        torrent = await session.add(
            metainfo,
            save_to=wish.folder,
            peers=transfer.peers,
            trackers=transfer.trackers,
            use_trackers=not transfer.no_trackers,
            files=files,
            is_sequential=wish.is_sequential or wish.is_piped,
            is_ends_first=wish.is_ends_first,
            allocate=wish.allocate,
        )
        report.add(torrent)
        if not transfer.peers and (transfer.no_trackers or not (transfer.trackers or metainfo.trackers)):
            lonely.append(torrent)
        torrents.append(torrent)
    works: list[Coroutine[Any, Any, int]] = [
        _all(torrents, lonely, wish, report, pipes),
        report.run(),
    ]
    if wish.timeout_s is not None:
        works.append(_stalled(torrents, wish.timeout_s, report))
    return await first_of(*works)


def _single_file(metainfo: Metainfo, chosen: list[int] | None) -> tuple[int, int]:
    """Offset and length of the only wanted file."""
    wanted = [
        file
        for index, file in enumerate(metainfo.files)
        if not file.is_pad and (chosen is None or index in chosen)
    ]
    if len(wanted) != 1:
        raise SettingsError(f"--stdout is for one file, and here are {len(wanted)}: choose with --select")
    return wanted[0].offset, wanted[0].length


async def _all(
    torrents: list[Torrent], lonely: list[Torrent], wish: _Wish, report: Report, pipes: list[ContentPipe]
) -> int:
    """Wait for every torrent; the first exit status that is not 0, once all have ended."""
    works = [_one(torrent, wish, report, pipes) for torrent in torrents]
    statuses = await asyncio.gather(*works, *map(_warn_lonely, lonely))
    return next((status for status in statuses if status != EXIT_DONE), EXIT_DONE)


async def _warn_lonely(torrent: Torrent) -> int:
    """Say that nothing may ever come, unless everything is here already."""
    async for now in torrent.progress():
        if now.state == "downloading":
            torrent.notice("warning", "no trackers and no --peer: waiting for peers that find us themselves")
        if now.state != "checking":
            break
    return EXIT_DONE


async def _one(torrent: Torrent, wish: _Wish, report: Report, pipes: list[ContentPipe]) -> int:
    try:
        await _arrived(torrent, pipes)
    except SwarmError as error:
        report.error(str(error))
        return status_of(error)
    report.complete(torrent)
    return await _seed_on(torrent, wish, report)


async def _arrived(torrent: Torrent, pipes: list[ContentPipe]) -> None:
    """Wait until everything is here, and written to stdout where that was asked for."""
    works = [asyncio.ensure_future(torrent.completed())]
    works += [asyncio.ensure_future(pipe.pump(torrent)) for pipe in pipes]
    try:
        await asyncio.gather(*works)
    finally:
        for work in works:
            work.cancel()
        await asyncio.gather(*works, return_exceptions=True)


async def _seed_on(torrent: Torrent, wish: _Wish, report: Report) -> int:
    """Go on seeding until one of the goals is reached."""
    if wish.seed_ratio is None and wish.seed_time_s is None:
        return EXIT_DONE
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + wish.seed_time_s if wish.seed_time_s is not None else float("inf")
    ratio = wish.seed_ratio if wish.seed_ratio is not None else float("inf")
    while True:
        now = torrent.snapshot()
        if torrent.error is not None:
            report.error(str(torrent.error))
            return status_of(torrent.error)
        if now.uploaded_bytes >= ratio * now.wanted_bytes or loop.time() >= ends_at:
            return EXIT_DONE
        await asyncio.sleep(min(1.0, max(0.0, ends_at - loop.time())))


async def _stalled(torrents: list[Torrent], timeout_s: float, report: Report) -> int:
    """End when nothing has moved for `timeout_s`; a full disk is a reason of its own."""
    loop = asyncio.get_running_loop()
    seen: list[tuple[int, ...]] = []
    moved_at = loop.time()
    while True:
        found = [_movement(now) for torrent in torrents if (now := torrent.snapshot()).state != "seeding"]
        if found != seen or not found:
            seen, moved_at = found, loop.time()
        elif loop.time() - moved_at >= timeout_s:
            held = [
                now.paused_reason for torrent in torrents if (now := torrent.snapshot()).state == "paused"
            ]
            report.error(f"no progress for {timeout_s:g} s{': ' if held else ''}{'; '.join(held)}")
            return EXIT_DISK if held else EXIT_NO_PROGRESS
        await asyncio.sleep(min(1.0, timeout_s / 4))


def _movement(now: Progress) -> tuple[int, ...]:
    return now.done_bytes, now.downloaded_bytes, now.checked_bytes
