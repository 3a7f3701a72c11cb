"""`swarm leech --list` and `--metadata-only`: torrents are read, not downloaded."""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeAlias

from swarm.base.errors import SwarmError
from swarm.base.units import format_size
from swarm.cli.ending import Ending, Interrupted, first_of
from swarm.cli.exits import EXIT_DONE, EXIT_INTERRUPTED
from swarm.cli.output import Output
from swarm.cli.report import Report
from swarm.cli.show import torrent_fields
from swarm.cli.sources import Source, chosen_files, read_all
from swarm.cli.torrent_file import check_writable, output_path, write_torrent
from swarm.cli.transfer import TransferOptions, begin_fetch, first_failure, stalled, status_of
from swarm.metainfo.magnet import Magnet
from swarm.metainfo.torrent import Metainfo
from swarm.session.magnets.metadata_fetch import MetadataFetch
from swarm.session.session import Session
from swarm.storage.faults import storage_error

#: What to do with a torrent: gets its bytes, itself, and the magnet link it came from.
Look: TypeAlias = Callable[[bytes, Metainfo, Magnet | None], None]


def listing(selections: tuple[str, ...], output: Output) -> Look:
    """A `Look` that prints the files, or those of them that are selected."""

    def look(_raw: bytes, torrent: Metainfo, link: Magnet | None) -> None:
        if output.is_json:
            output.json(torrent_fields(torrent))
            return
        chosen = chosen_files(torrent, selections, link)
        output.result(f"{torrent.name}: {format_size(torrent.total_bytes)}")
        for index, file in enumerate(torrent.files):
            if file.is_pad or (chosen is not None and index not in chosen):
                continue
            path = "/".join(file.path) or torrent.name
            output.result(f"{index + 1:>6}  {format_size(file.length):>10}  {path}")

    return look


def writing(folder: str, output: Output) -> Look:
    """A `Look` that writes NAME.torrent into `folder`, which is made if it is missing."""

    def look(raw: bytes, torrent: Metainfo, _link: Magnet | None) -> None:
        try:
            os.makedirs(folder, exist_ok=True)
        except OSError as error:
            raise storage_error(error, folder) from None
        path = output_path(folder, torrent.name)
        if os.path.isfile(path):
            with open(path, "rb") as file:
                if file.read(len(raw) + 1) == raw:
                    output.event("written", infohash=str(torrent.info_hash), path=path)
                    output.result(f"{path}: is here already")
                    return
        check_writable(path, may_replace=False, advice="it is another one; -o names another folder")
        write_torrent(path, raw, may_replace=False)
        output.event("written", infohash=str(torrent.info_hash), path=path)
        output.result(f"written    {path}")

    return look


class Looking:
    """Calls `look` for each torrent of a command; for that of a magnet link, when its metadata is here.

    Args:
        timeout_s: give up after so long without progress; None for never.
        is_mute: print nothing but what `look` prints.
    """

    def __init__(
        self, look: Look, transfer: TransferOptions, output: Output, *, timeout_s: float | None, is_mute: bool
    ) -> None:
        self._look = look
        self._transfer = transfer
        self._output = output
        self._timeout_s = timeout_s
        self._is_mute = is_mute
        self._fetches: list[MetadataFetch] = []

    async def run(self, sources: Sequence[str], end: Ending) -> int:
        """Read or fetch all `sources`; returns the exit status."""
        session = self._transfer.session()
        try:
            found = await end.unless(read_all(session, sources, self._output))
            if all(source.torrent is not None for source in found):
                for source in found:
                    assert source.torrent is not None
                    self._look(source.raw, source.torrent, source.link)
                return EXIT_DONE
            report = Report(Output(is_quiet=True) if self._is_mute else self._output)
            async with session:
                try:
                    return await end.unless(self._fetch(session, found, report))
                finally:
                    report.close()
        except Interrupted:
            return EXIT_INTERRUPTED

    async def _fetch(self, session: Session, sources: list[Source], report: Report) -> int:
        looks = (self._one(session, source, report) for source in sources)
        works: list[Coroutine[Any, Any, int]] = [first_failure(looks), report.run()]
        if self._timeout_s is not None:
            works.append(stalled(lambda: self._fetches, self._timeout_s, report))
        return await first_of(*works)

    async def _one(self, session: Session, source: Source, report: Report) -> int:
        raw, torrent = source.raw, source.torrent
        try:
            if torrent is None:
                assert source.link is not None
                fetch = begin_fetch(session, source.link, self._transfer)
                self._fetches.append(fetch)
                torrent = await report.fetched(fetch)
                raw = fetch.raw
            self._look(raw, torrent, source.link)
        except SwarmError as error:
            report.error(str(error))
            return status_of(error)
        return EXIT_DONE
