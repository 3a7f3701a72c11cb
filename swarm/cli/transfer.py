"""What `seed` and `leech` share: their options, the session that is made of them, how they end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from swarm.base.dataclass import dataclass
from swarm.base.errors import SwarmError
from swarm.cli.exits import EXIT_DISK, EXIT_DONE, EXIT_MISMATCH, EXIT_NO_PROGRESS, exit_status
from swarm.cli.options import FileName, HostPort, Rate, Text, Whole, bind_option, option, options_as
from swarm.cli.output import Output
from swarm.cli.report import Report
from swarm.engine.settings import EngineSettings
from swarm.metainfo.magnet import Magnet
from swarm.session.magnets.metadata_fetch import MetadataFetch
from swarm.session.session import Session
from swarm.session.settings import SessionSettings, default_dht_routers

if TYPE_CHECKING:
    from swarm.session.torrent import Torrent


def _refuse_require(_ctx: click.Context, _param: click.Parameter, value: str) -> str:
    if value == "require":
        raise click.UsageError("--encryption require: encryption is not built yet; links are in the clear.")
    return value


_OPTIONS = (
    option("--port", type=Whole(0, 65_535), metavar="N",
           help="Listen there; 0: any free port (default: 6881 and upwards)."),
    bind_option,
    option("--peer", "peers", type=HostPort(), multiple=True, metavar="HOST:PORT",
           help="Connect to this peer; repeat for more."),
    option("--tracker", "trackers", type=Text(), multiple=True, metavar="URL",
           help="Another tracker; repeat for more."),
    option("--no-trackers", is_flag=True, help="Ask no tracker."),
    option("--no-dht", is_flag=True, help="Find no peers through the DHT."),
    option("--dht-bootstrap", "dht_routers", type=HostPort(), multiple=True, metavar="HOST:PORT",
           help="A node that leads into the DHT, instead of the public ones; repeat for more."),
    option("--dht-read-only", "is_dht_read_only", is_flag=True, help="Ask the DHT, but answer nobody."),
    option("--no-pex", is_flag=True, help="Neither tell peers of others nor listen to what they tell."),
    option("--no-lsd", is_flag=True, help="Neither look for peers on the local network nor be found there."),
    option("--up", type=Rate(), metavar="RATE",
           help="Send at most so much a second, e.g. 500K or 4M (from 16K on), but for the local network."),
    option("--down", type=Rate(), metavar="RATE", help="Receive at most so much a second, likewise."),
    option("--max-peers", type=Whole(1, 10_000), metavar="N",
           help="Connections at most (default: 55 a torrent, 200 in all)."),
    option("--blocklist", type=FileName(Path), metavar="FILE",
           help="Exchange nothing with these addresses (P2P or CIDR lines); read again when it changes."),
    option("--encryption", type=click.Choice(["off", "allow", "require"]), default="allow",
           callback=_refuse_require, help="Not built yet: links are in the clear."),
    option("--json", "is_json", is_flag=True, help="JSON lines on stdout, nothing else."),
    option("--quiet", "is_quiet", is_flag=True, help="Only warnings and errors."),
    option("-v", "--verbose", "verbosity", count=True, help="Say more."),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class TransferOptions:
    """The shared options as given."""

    port: int | None
    bind: str | None
    peers: tuple[tuple[str, int], ...]
    trackers: tuple[str, ...]
    no_trackers: bool
    no_dht: bool
    dht_routers: tuple[tuple[str, int], ...]
    is_dht_read_only: bool
    no_pex: bool
    no_lsd: bool
    up: int | None
    down: int | None
    max_peers: int | None
    blocklist: Path | None
    encryption: str
    is_json: bool
    is_quiet: bool
    verbosity: int

    def __post_init__(self) -> None:
        if self.no_trackers and self.trackers:
            raise click.UsageError("--no-trackers and --tracker exclude each other.")
        for url in self.trackers:
            if not url.lower().startswith(("http://", "https://", "udp://")):
                raise click.UsageError(f"--tracker {url}: trackers are at http://, https:// or udp:// URLs.")

    def output(self, *, is_live: bool = False) -> Output:
        return Output(is_json=self.is_json, is_quiet=self.is_quiet, verbosity=self.verbosity, is_live=is_live)

    def session(self, *, is_waiting_for_room: bool = True, is_super_seeding: bool = False) -> Session:
        """A session with these options, not opened yet."""
        engine = EngineSettings(is_exchanging=not self.no_pex, is_super_seeding=is_super_seeding)
        if self.max_peers is not None:
            engine = replace(engine, connections_max=self.max_peers)
        settings = SessionSettings(
            up_bytes_per_s=self.up,
            down_bytes_per_s=self.down,
            is_dht_enabled=not self.no_dht,
            is_dht_read_only=self.is_dht_read_only,
            dht_routers=self.dht_routers or default_dht_routers(),
            is_waiting_for_room=is_waiting_for_room,
            is_lsd_enabled=not self.no_lsd,
            blocklist=self.blocklist,
            engine=engine,
        )
        if self.max_peers is not None:
            settings = replace(settings, connections_max=self.max_peers)
        return Session(port=self.port, bind=self.bind, settings=settings)


#: Gives a command the shared options; it gets them as one argument `transfer`.
transfer_options = options_as("transfer", TransferOptions, _OPTIONS)


#: The warning where no source of peers is left.
LONELY = "no trackers, no DHT and no --peer: waiting for peers that find us themselves"
#: The same of a private torrent, for which neither the DHT nor a link's peers are asked (BEP 27).
LONELY_PRIVATE = (
    "the torrent is private, and no tracker is known: name it with --tracker, or a peer with --peer"
)


def begin_fetch(session: Session, link: Magnet, transfer: TransferOptions) -> MetadataFetch:
    """Start to fetch the metadata of a magnet link, from the sources that the options allow."""
    fetch = session.fetch_metadata(
        link, peers=transfer.peers, trackers=transfer.trackers, use_trackers=not transfer.no_trackers
    )
    named = bool(transfer.peers or link.peers)
    has_trackers = not transfer.no_trackers and bool(transfer.trackers or link.trackers)
    if not (named or has_trackers or session.has_dht):
        fetch.notice("warning", LONELY)
    return fetch


async def first_failure(works: Iterable[Coroutine[Any, Any, int]]) -> int:
    """Run `works` side by side; returns the first exit status that is not 0, when all have ended."""
    return next((status for status in await asyncio.gather(*works) if status != EXIT_DONE), EXIT_DONE)


async def stalled(
    running: Callable[[], Sequence[Torrent | MetadataFetch]], timeout_s: float, report: Report
) -> int:
    """Wait until nothing of what is `running` has made progress for `timeout_s`, and say why.

    Torrents that only seed do not count.

    Returns:
        EXIT_NO_PROGRESS; EXIT_DISK where a full disk is the reason.
    """
    from swarm.cli.explanation import text_of

    loop = asyncio.get_running_loop()
    seen: list[tuple[int, ...]] = []
    moved_at = loop.time()
    while True:
        waiting = [(one, movement) for one in running() if (movement := _movement(one)) is not None]
        found = [movement for _, movement in waiting]
        if found != seen or not found:
            seen, moved_at = found, loop.time()
        elif loop.time() - moved_at >= timeout_s:
            held = [now.paused_reason for one, _ in waiting if (now := one.snapshot()).state == "paused"]
            why = held or [text_of(reasons[0].cause) for one, _ in waiting if (reasons := one.explain())]
            report.error(f"no progress for {timeout_s:g} s{': ' if why else ''}{'; '.join(why)}")
            return EXIT_DISK if held else EXIT_NO_PROGRESS
        await asyncio.sleep(min(1.0, timeout_s / 4))


def _movement(one: Torrent | MetadataFetch) -> tuple[int, ...] | None:
    """Figures that change while something is fetched; None where nothing is to come any more."""
    if isinstance(one, MetadataFetch):
        return (one.snapshot().done_bytes,)
    now = one.snapshot()
    return (
        None
        if now.state in ("seeding", "failed", "stopped")
        else (now.done_bytes, now.downloaded_bytes, now.checked_bytes)
    )


def status_of(error: SwarmError) -> int:
    """As `exit_status`, which does not know the error of content that does not match."""
    from swarm.session.keeping.inspection import DataMismatchError

    return EXIT_MISMATCH if isinstance(error, DataMismatchError) else exit_status(error)
