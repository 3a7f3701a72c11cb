"""Prints how transfers go: as JSON lines, as bars, or as a plain line now and then."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, NoReturn

from swarm.base.units import format_size, format_span
from swarm.cli.output import Output
from swarm.cli.progress import LineClock, TransferBars, are_bars_shown
from swarm.cli.source_report import SourceReport
from swarm.cli.standing import describe, describe_fetch, fetch_row, row, total_row
from swarm.metainfo.torrent import Metainfo
from swarm.session.magnets.metadata_fetch import FetchProgress, MetadataFetch
from swarm.session.notices import Notice, PeerNews
from swarm.session.progress import Progress

if TYPE_CHECKING:
    from swarm.session.session import Session
    from swarm.session.torrent import Torrent

#: Between two ticks, at each of which the state of all transfers is looked at.
TICK_S = 1.0
#: The same with bars, which people watch.
BAR_TICK_S = 0.5
#: Between two explanations, where they were asked for with --explain.
EXPLAIN_S = 5.0


class Report:
    """Prints what happens to all transfers of one command.

    Args:
        is_stdout_taken: stdout carries content, so results go to stderr.
        is_explaining: say every few seconds, and at the end, why it does not go faster.
    """

    def __init__(self, output: Output, *, is_stdout_taken: bool = False, is_explaining: bool = False) -> None:
        self._output = output
        self._is_stdout_taken = is_stdout_taken
        self._is_explaining = is_explaining
        self._explained_at = time.monotonic()
        self._session: Session | None = None
        self._torrents: list[Torrent] = []
        self._fetches: list[MetadataFetch] = []
        self._said: dict[Torrent | MetadataFetch, str] = {}
        self._warning_count = 0
        self._bars = TransferBars() if are_bars_shown(output) else None
        self._sources = SourceReport(output, self._hide_bars)

    def opened(self, session: Session) -> None:
        """The session listens; its own notices are printed from now on."""
        self._session = session
        self._output.event("listening", port=session.port)
        self._output.detail(f"listening on port {session.port}")

    def add(self, torrent: Torrent, fields: Mapping[str, str] | None = None) -> None:
        """Print the torrent's name and size, and report on it from now on.

        Args:
            fields: further fields of the JSON event.
        """
        self._torrents.append(torrent)
        self._output.event(
            "metadata",
            infohash=str(torrent.info_hash),
            name=torrent.name,
            total_bytes=torrent.metainfo.total_bytes,
            **(fields or {}),
        )

    async def fetched(self, fetch: MetadataFetch) -> Metainfo:
        """Wait for the metadata of a magnet link, and report on it meanwhile.

        Raises:
            MetainfoError, SwarmError: as `MetadataFetch.metainfo`.
        """
        self._fetches.append(fetch)
        self._say_fetch_notices(fetch)
        try:
            return await fetch.metainfo()
        finally:
            self._say_fetch_notices(fetch)
            self._fetches.remove(fetch)

    async def run(self) -> NoReturn:
        """Report until cancelled."""
        clock = LineClock()
        while True:
            self._tick(is_line_due=clock.strike())
            await asyncio.sleep(BAR_TICK_S if self._bars is not None else TICK_S)

    def result(self, text: str) -> None:
        """A line that the user has asked for; bars make room for it."""
        if self._output.is_quiet:
            return
        self._hide_bars()
        if self._is_stdout_taken:
            self._output.info(text)
        else:
            self._output.result(text)

    def error(self, text: str) -> None:
        # What led to it comes first.
        self._say_all_notices()
        self._hide_bars()
        self._output.error(text)

    def complete(self, torrent: Torrent) -> None:
        """Print that everything wanted is here and verified."""
        now = torrent.snapshot()
        seconds = torrent.seconds_to_complete or 0.0
        self._say_notices(torrent)
        self._json_progress(torrent, now)
        self._output.event("complete", infohash=str(torrent.info_hash), seconds=round(seconds, 3))
        rate = (
            f", {format_size(now.downloaded_bytes / seconds)}/s" if now.downloaded_bytes and seconds else ""
        )
        self.result(
            f"{torrent.name}: complete, {format_size(now.done_bytes)} in {_span(seconds)}{rate}"
            f" -> {torrent.content}"
        )

    def explain(self) -> None:
        """Print why each transfer does not go faster."""
        from swarm.cli import explanation

        self._explained_at = time.monotonic()
        for one in self._all:
            reasons = one.explain()
            now = one.snapshot()
            rate = now.down_bytes_per_s if isinstance(now, Progress) else 0.0
            self._output.event(
                "explain",
                infohash=str(one.info_hash),
                down_bytes_per_s=round(rate),
                causes=explanation.fields(reasons),
            )
            if self._output.is_json or self._output.is_quiet:
                continue
            self._hide_bars()
            self._output.info(f"{one.name}: {format_size(rate)}/s, held back by")
            for line in explanation.lines(reasons):
                self._output.info(f"  {line}")

    def state_changed(self, torrent: Torrent) -> None:
        """Print at once what the next tick would print otherwise."""
        self._say_notices(torrent)
        self._json_progress(torrent, torrent.snapshot())

    def close(self) -> None:
        """Remove the bars, and print the last notices."""
        if self._is_explaining and any(one.state not in ("complete", "seeding") for one in self._all):
            self.explain()
        self._say_all_notices()
        if self._bars is not None:
            self._bars.close()
            self._bars = None

    def last_words(self) -> bool:
        """Print what was said while the session closed; returns whether all was saved, without a warning."""
        count = self._warning_count
        self._say_session_notices()
        for torrent in self._torrents:
            self._say_all(torrent, torrent.notices())
        return self._warning_count == count

    def _tick(self, *, is_line_due: bool) -> None:
        rows = []
        self._say_session_notices()
        for fetch in self._fetches:
            self._say_fetch_notices(fetch)
            sought = fetch.snapshot()
            self._json_fetch(fetch, sought)
            if self._bars is not None:
                rows.append(fetch_row(sought))
            elif is_line_due:
                self._say_line(fetch, f"{sought.name}: {describe_fetch(sought)}")
        if self._is_explaining and time.monotonic() - self._explained_at >= EXPLAIN_S:
            self.explain()
        for torrent in self._torrents:
            self._say_notices(torrent)
            now = torrent.snapshot()
            self._json_progress(torrent, now)
            if self._bars is not None:
                rows.append(row(now))
            elif is_line_due:
                self._say_line(torrent, f"{now.name}: {describe(now)}")
        if self._bars is not None:
            self._bars.show([*rows, total_row(rows)] if len(rows) > 1 else rows)

    def _json_progress(self, torrent: Torrent, now: Progress) -> None:
        if not self._output.is_json:
            return
        self._output.tick(
            "progress",
            infohash=str(torrent.info_hash),
            state=now.state,
            done_bytes=now.done_bytes,
            total_bytes=now.wanted_bytes,
            down_bytes_per_s=round(now.down_bytes_per_s),
            up_bytes_per_s=round(now.up_bytes_per_s),
            downloaded_bytes=now.downloaded_bytes,
            uploaded_bytes=now.uploaded_bytes,
            peers=now.peers,
            seeds=now.seeds,
            pieces_done=now.pieces_done,
            pieces_total=now.pieces_total,
            checked_bytes=now.checked_bytes,
            checking_bytes=now.checking_bytes,
            **({"paused_reason": now.paused_reason} if now.paused_reason else {}),
        )

    def _json_fetch(self, fetch: MetadataFetch, now: FetchProgress) -> None:
        self._output.event(
            "fetching",
            infohash=str(fetch.info_hash),
            name=now.name,
            peers=now.peers,
            candidates=now.candidates,
            done_bytes=now.done_bytes,
            total_bytes=now.total_bytes,
        )

    def _json_peer(self, one: Torrent | MetadataFetch | None, news: PeerNews) -> None:
        # Peers come and go all the time: without -v, only those that did something wrong are told of.
        if news.is_fault or self._output.verbosity:
            self._output.event(
                "peer",
                # A peer that was refused belongs to no torrent.
                **({} if one is None else {"infohash": str(one.info_hash)}),
                what=news.what,
                address=news.address,
                client=news.client,
                reason=news.reason,
            )

    def _say_line(self, one: Torrent | MetadataFetch, line: str) -> None:
        # Not the same line again and again, as of an idle seeder.
        if self._said.get(one) != line:
            self._said[one] = line
            self._output.info(line)

    def _say_all_notices(self) -> None:
        self._say_session_notices()
        for fetch in self._fetches:
            self._say_fetch_notices(fetch)
        for torrent in self._torrents:
            self._say_notices(torrent)

    def _say_notices(self, torrent: Torrent) -> None:
        self._say_all(torrent, torrent.notices())
        self._say_sources(torrent)

    def _say_session_notices(self) -> None:
        if self._session is not None:
            self._say_all(None, self._session.notices())

    def _say_fetch_notices(self, fetch: MetadataFetch) -> None:
        self._say_all(fetch, fetch.notices())
        self._say_sources(fetch)

    def _say_sources(self, one: Torrent | MetadataFetch) -> None:
        self._sources.say(str(one.info_hash), "" if self._is_alone else one.name, one.sources())

    def _hide_bars(self) -> None:
        if self._bars is not None:
            self._bars.hide()

    @property
    def _all(self) -> list[Torrent | MetadataFetch]:
        return [*self._fetches, *self._torrents]

    @property
    def _is_alone(self) -> bool:
        return len(self._all) <= 1

    def _say_all(self, one: Torrent | MetadataFetch | None, notices: list[Notice]) -> None:
        """Print the notices of `one`, or of the session where it is None."""
        name = "" if one is None or self._is_alone else f"{one.name}: "
        for notice in notices:
            if notice.peer is not None:
                self._json_peer(one, notice.peer)
            text = f"{name}{notice.text}"
            is_shown = notice.level == "warning" or self._output.verbosity or not self._output.is_quiet
            if is_shown:
                self._hide_bars()
            if notice.level == "warning":
                self._warning_count += 1
                self._output.warning(text)
            elif notice.level == "info":
                self._output.info(text)
            else:
                self._output.detail(text)


def _span(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else format_span(seconds)
