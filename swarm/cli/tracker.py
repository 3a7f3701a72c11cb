"""`swarm tracker`: run a tracker until interrupted."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import socket
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import click

from swarm.base.errors import MetainfoError, SettingsError, SwarmError
from swarm.base.ids import InfoHash
from swarm.cli.options import HostPort, option
from swarm.cli.output import Output

#: Between two summaries with -v.
SUMMARY_S = 30.0


@click.command("tracker")
@option("--http", "listen", type=HostPort(), default="0.0.0.0:6969", show_default=True, metavar="HOST:PORT",
        help="Where to listen; port 0 takes any free one.")  # fmt: skip
@option("--udp", "udp", type=HostPort(), metavar="HOST:PORT",
        help="Where to listen for UDP.  [default: the same as --http]")  # fmt: skip
@option("--interval", type=click.IntRange(1, 86_400), default=900, show_default=True, metavar="SECONDS",
        help="How often peers should announce.")  # fmt: skip
@option("--allow", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
        help="Serve only the info-hashes in FILE, one a line in hex.")  # fmt: skip
@option("--deny", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
        help="Never serve the info-hashes in FILE.")  # fmt: skip
@option("--state", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
        help="Keep what is known in FILE from one run to the next.")  # fmt: skip
@option("--json", "is_json", is_flag=True, help="Print JSON lines.")
@option("--quiet", "is_quiet", is_flag=True, help="Print nothing but warnings and errors.")
@click.option("-v", "--verbose", "verbosity", count=True, help="Also print a summary every 30 seconds.")
def command(
    listen: tuple[str, int],
    udp: tuple[str, int] | None,
    interval: int,
    allow: Path | None,
    deny: Path | None,
    state: Path | None,
    is_json: bool,
    is_quiet: bool,
    verbosity: int,
) -> None:
    """Run a tracker: it lists the members of each swarm, so that they find each other.

    Put the announce URL that it prints into torrents, e.g. with mktorrent -a.
    """
    from swarm.tracker.announce import TrackerSettings

    output = Output(is_json=is_json, is_quiet=is_quiet, verbosity=verbosity)
    settings = TrackerSettings(
        interval_s=interval,
        allowed=_info_hashes(allow) if allow is not None else None,
        denied=_info_hashes(deny) if deny is not None else frozenset(),
    )
    # A full collection over millions of swarms would stop everybody for a second; what an announce leaves
    # behind is young, and nothing of ours stays in circles.
    gc.set_threshold(10_000, 20, 1_000_000)
    ended_by = _run(_serve(listen, udp or listen, state, settings, output))
    if ended_by == signal.SIGINT:
        from swarm.cli.main import EXIT_INTERRUPTED, ExitWith

        raise ExitWith(EXIT_INTERRUPTED)


def _run(main: Coroutine[Any, Any, signal.Signals]) -> signal.Signals:
    factory = None
    with contextlib.suppress(ImportError):
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main)


async def _serve(
    listen: tuple[str, int], udp: tuple[str, int], state: Path | None, settings: Any, output: Output
) -> signal.Signals:
    """Serve until a signal asks to end; returns which."""
    from swarm.tracker.server import TrackerServer

    loop = asyncio.get_running_loop()
    ended: asyncio.Future[signal.Signals] = loop.create_future()

    def end(by: signal.Signals) -> None:
        if not ended.done():
            ended.set_result(by)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, end, number)
    async with TrackerServer(*listen, udp=udp, state=state, settings=settings) as server:
        _say_where(server, listen[0], output)
        summaries = asyncio.create_task(_summaries(server, output)) if output.verbosity else None
        try:
            return await ended
        finally:
            if summaries is not None:
                summaries.cancel()
                await asyncio.gather(summaries, return_exceptions=True)


def _say_where(server: Any, host: str, output: Output) -> None:
    urls, port = server.urls, server.port
    output.event("listening", http=urls[0], port=port, udp=server.udp_urls[0], udp_port=server.udp_port)
    output.info(f"listening on {', '.join(urls + server.udp_urls)}")
    if host in ("0.0.0.0", "::"):
        own = _own_address()
        host = f"[{own}]" if ":" in own else own
        url = f"http://{host}:{port}/announce"
    else:
        url = urls[0]
    if not output.is_quiet:
        output.result(f"announce URL for torrents: {url}")


def _own_address() -> str:
    """The address by which others most likely reach this machine."""
    for family, elsewhere in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        # Connecting a datagram socket sends nothing; the kernel only chooses the way out.
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((elsewhere, 9))
            return str(probe.getsockname()[0])
    return "127.0.0.1"


async def _summaries(server: Any, output: Output) -> None:
    announced = 0
    while True:
        await asyncio.sleep(SUMMARY_S)
        count = server.frontend.announce_count + server.udp.counts.announces
        output.detail(
            f"{server.store.swarm_count} torrents, {server.store.peer_count} peers, "
            f"{(count - announced) / SUMMARY_S:.1f} announces/s"
        )
        announced = count


def _info_hashes(path: Path) -> frozenset[bytes]:
    """Read info-hashes, one a line in hex; empty lines and what follows '#' are left out."""
    try:
        lines = path.read_text("utf-8", errors="replace").splitlines()
    except OSError as error:
        raise SwarmError(f"{path}: {error.strerror}") from None
    found = set()
    for number, line in enumerate(lines, 1):
        text = line.partition("#")[0].strip()
        try:
            if text:
                found.add(bytes(InfoHash.parse(text)))
        except MetainfoError as error:
            raise SettingsError(f"{path}, line {number}: {error}") from None
    return frozenset(found)
