"""`swarm leech`: download torrents; it ends when everything wanted is here and verified."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

import click

from swarm.base.dataclass import dataclass
from swarm.base.errors import SettingsError, SwarmError
from swarm.cli import ending
from swarm.cli.ending import Ending, Interrupted, first_of
from swarm.cli.exits import EXIT_DONE, EXIT_INTERRUPTED, ExitWith
from swarm.cli.keyboard import Keyboard
from swarm.cli.options import FileName, Number, Text, option
from swarm.cli.output import Output
from swarm.cli.report import Report
from swarm.cli.sources import Source, chosen_files, read_all
from swarm.cli.transfer import (
    LONELY,
    LONELY_PRIVATE,
    TransferOptions,
    begin_fetch,
    first_failure,
    stalled,
    status_of,
    transfer_options,
)
from swarm.metainfo.torrent import Metainfo
from swarm.session.magnets.metadata_fetch import MetadataFetch
from swarm.session.session import Session

if TYPE_CHECKING:
    from swarm.cli.content_pipe import ContentPipe
    from swarm.session.torrent import Torrent


@dataclass(frozen=True, slots=True)
class _Wish:
    """The options of `leech` alone."""

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
    is_explaining: bool


@click.command("leech")
@click.argument("sources", nargs=-1, required=True, type=FileName(), metavar="SOURCE...")
@option(
    "-o",
    "--output",
    "folder",
    type=FileName(),
    default=".",
    metavar="DIR",
    help="Download into this folder (default: here).",
)
@option("--list", "is_list", is_flag=True, help="Show the files, download nothing.")
@option(
    "--select",
    "selections",
    type=Text(),
    multiple=True,
    metavar="1,3-5|GLOB",
    help="Only these files; repeat for more.",
)
@option("--sequential", "is_sequential", is_flag=True, help="In order, from the first byte on.")
@option("--first-last", "is_ends_first", is_flag=True, help="First the beginning and end of each file.")
@option(
    "--seed-ratio",
    type=Number(min=0),
    metavar="R",
    help="Go on seeding until R times the size was uploaded.",
)
@option(
    "--seed-time",
    "seed_time_s",
    type=Number(min=0),
    metavar="SECONDS",
    help="Go on seeding for so long.",
)
@option(
    "--timeout",
    "timeout_s",
    type=Number(min=0, min_open=True),
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
@option("--explain", "is_explaining", is_flag=True, help="Say every few seconds why it does not go faster.")
@transfer_options
def command(
    sources: tuple[str, ...], is_list: bool, is_metadata_only: bool, transfer: TransferOptions, **wishes: Any
) -> None:
    """Download torrents: each SOURCE is a .torrent file or a URL of one, a magnet link or an info-hash.

    Ends when everything wanted is complete and verified. After Ctrl-C the same command goes on where it
    stopped. In a terminal, the key e says why it does not go faster.
    """  # fmt: skip
    wish = _Wish(**wishes)
    if wish.is_piped and (transfer.is_json or is_list or is_metadata_only or len(sources) > 1):
        raise click.UsageError("--stdout is for the content of one SOURCE, and of nothing else.")
    output = transfer.output(is_live=True)
    if is_list or is_metadata_only:
        from swarm.cli.looking import Looking, listing, writing

        look = listing(wish.selections, output) if is_list else writing(wish.folder, output)
        # With --json, --list prints the torrents and nothing else.
        is_mute = is_list and output.is_json
        looking = Looking(look, transfer, output, timeout_s=wish.timeout_s, is_mute=is_mute)
        status = ending.run(lambda end: looking.run(sources, end))
    else:
        status = ending.run(lambda end: _leech(sources, transfer, wish, output, end))
    if status != EXIT_DONE:
        raise ExitWith(status)


async def _leech(
    sources: tuple[str, ...], transfer: TransferOptions, wish: _Wish, output: Output, end: Ending
) -> int:
    session = transfer.session(is_waiting_for_room=wish.on_full == "wait")
    report = Report(output, is_stdout_taken=wish.is_piped, is_explaining=wish.is_explaining)
    try:
        found = await end.unless(read_all(session, sources, output))
        async with session:
            report.opened(session)
            try:
                with Keyboard({"e": report.explain}):
                    status = await end.unless(_Downloads(session, transfer, wish, report).run(found))
            finally:
                report.close()
    except Interrupted:
        output.interrupted("the same command goes on where it stopped", is_saved=report.last_words())
        return EXIT_INTERRUPTED
    report.last_words()
    return status


class _Downloads:
    """All downloads of one command, side by side."""

    def __init__(self, session: Session, transfer: TransferOptions, wish: _Wish, report: Report) -> None:
        self._session = session
        self._transfer = transfer
        self._wish = wish
        self._report = report
        self._running: list[Torrent | MetadataFetch] = []

    async def run(self, sources: list[Source]) -> int:
        for source in sources:
            if source.torrent is not None:
                # So that a wrong --select is found before anything begins.
                chosen_files(source.torrent, self._wish.selections, None)
        works: list[Coroutine[Any, Any, int]] = [
            first_failure(map(self._one, sources)),
            self._report.run(),
        ]
        if self._wish.timeout_s is not None:
            works.append(stalled(lambda: self._running, self._wish.timeout_s, self._report))
        return await first_of(*works)

    async def _one(self, source: Source) -> int:
        """Download one source, and seed on as long as asked to; returns the exit status."""
        try:
            torrent, works = await self._begin(source)
            await _arrived(torrent, works)
        except SwarmError as error:
            self._report.error(str(error))
            return status_of(error)
        self._report.complete(torrent)
        return await _seed_on(torrent, self._wish, self._report)

    async def _begin(self, source: Source) -> tuple[Torrent, list[Coroutine[Any, Any, None]]]:
        """Start a download; returns it, and what else is to be done until it is complete."""
        wish, transfer = self._wish, self._transfer
        metainfo = source.torrent or await self._fetched(source)
        files = chosen_files(metainfo, wish.selections, source.link)
        pipe = _pipe(metainfo, files) if wish.is_piped else None
        torrent = await self._session.add(
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
        self._running.append(torrent)
        self._report.add(torrent)
        works = [] if pipe is None else [pipe.pump(torrent)]
        named = (*metainfo.trackers, *(() if source.link is None else source.link.trackers))
        has_trackers = not transfer.no_trackers and bool(transfer.trackers or named)
        if metainfo.is_private:
            # Whoever gave the metadata of a link is left, unless a tracker or the user has named him.
            if not (transfer.peers or has_trackers):
                works.append(_warn_lonely(torrent, LONELY_PRIVATE))
        elif not (transfer.peers or has_trackers or self._session.has_dht) and source.link is None:
            works.append(_warn_lonely(torrent, LONELY))
        return torrent, works

    async def _fetched(self, source: Source) -> Metainfo:
        assert source.link is not None
        fetch = begin_fetch(self._session, source.link, self._transfer)
        self._running.append(fetch)
        try:
            return await self._report.fetched(fetch)
        finally:
            self._running.remove(fetch)


def _pipe(metainfo: Metainfo, chosen: list[int] | None) -> ContentPipe:
    """What writes the one wanted file to stdout; SettingsError if it is not one."""
    from swarm.cli.content_pipe import ContentPipe

    wanted = [
        file
        for index, file in enumerate(metainfo.files)
        if not file.is_pad and (chosen is None or index in chosen)
    ]
    if len(wanted) != 1:
        raise SettingsError(f"--stdout is for one file, and here are {len(wanted)}: choose with --select")
    return ContentPipe((wanted[0].offset, wanted[0].length))


async def _warn_lonely(torrent: Torrent, warning: str) -> None:
    """Warn that peers must find us themselves, unless everything is here already."""
    async for now in torrent.progress():
        if now.state == "downloading":
            torrent.notice("warning", warning)
        if now.state != "checking":
            break


async def _arrived(torrent: Torrent, works: list[Coroutine[Any, Any, None]]) -> None:
    """Wait until everything wanted is here, and `works` are done."""
    tasks = [asyncio.ensure_future(work) for work in (torrent.completed(), *works)]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _seed_on(torrent: Torrent, wish: _Wish, report: Report) -> int:
    """Go on seeding until --seed-ratio or --seed-time is reached; returns the exit status."""
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
        left_s = ends_at - loop.time()
        # If it is not seeding, content was damaged on disk and is fetched again first.
        if now.state == "seeding" and (left_s <= 0 or now.uploaded_bytes >= ratio * now.wanted_bytes):
            return EXIT_DONE
        await asyncio.sleep(min(1.0, left_s) if left_s > 0 else 1.0)
