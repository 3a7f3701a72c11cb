"""`swarm tracker`: run a tracker until interrupted."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import ipaddress
import resource
import signal
import ssl
from pathlib import Path
from typing import Any

import click

from swarm.base.endpoint import Endpoint
from swarm.base.errors import SettingsError, SwarmError
from swarm.base.units import format_size
from swarm.cli import ending
from swarm.cli.ending import Ending
from swarm.cli.exits import EXIT_DONE, EXIT_INTERRUPTED, ExitWith
from swarm.cli.options import FileName, HostPort, Text, Whole, option
from swarm.cli.output import Output
from swarm.cli.tracker_workers import Workers

#: Between two summaries with -v.
SUMMARY_S = 30.0
#: Between two checks whether a list has changed, or a worker has ended.
LOOK_S = 1.0
#: A state of this size takes a second to read.
PATIENCE_BYTES = 2 << 20
#: Descriptors kept back from clients, for what listens, for files, the Redis and --stats; half of them where
#: there are few.
DESCRIPTORS_KEPT = 256

_FILE = FileName(Path)


@click.command("tracker")
@option("--http", "listen", type=HostPort(), default="0.0.0.0:6969", show_default=True, metavar="HOST:PORT",
        help="Where to listen; port 0 takes any free one.")  # fmt: skip
@option("--udp", type=HostPort(), metavar="HOST:PORT",
        help="Where to listen for UDP.  [default: the same as --http]")  # fmt: skip
@option("--https", type=HostPort(), metavar="HOST:PORT", help="Where to listen with TLS as well.")
@option("--cert", type=_FILE, metavar="FILE", help="Certificate for --https, with its chain, as PEM.")
@option("--key", type=_FILE, metavar="FILE", help="Its key.  [default: in the same file]")
@option("--proxy", "proxies", multiple=True, metavar="NETWORK",
        help="Believe this proxy's X-Forwarded-For. May be repeated.")  # fmt: skip
@option("--store", type=Text(), default="memory", show_default=True, metavar="memory|redis://HOST:PORT/N",
        help="Where swarms are kept; trackers with one Redis (7 or newer) share them.")  # fmt: skip
@option("--workers", type=Whole(1, 64), default=1, show_default=True, metavar="N",
        help="Processes that share the ports, one a core. More than one need a Redis: with a store in memory "
        "each would know its part of the peers only.")  # fmt: skip
@option("--interval", type=Whole(1, 86_400), default=900, show_default=True, metavar="SECONDS",
        help="How often peers should announce.")  # fmt: skip
@option("--near-first", "is_near_first", is_flag=True,
        help="Name peers of the asker's own network (IPv4: /24, IPv6: /64) before all others.")  # fmt: skip
@option("--allow", type=_FILE, metavar="FILE",
        help="Serve only the info-hashes in FILE, one a line in hex; reread on change.")  # fmt: skip
@option("--deny", type=_FILE, metavar="FILE",
        help="Never serve the info-hashes in FILE; reread on change.")  # fmt: skip
@option("--passkeys", type=_FILE, metavar="FILE",
        help="Serve only who announces to /PASSKEY/announce with a PASSKEY of FILE, one a line; reread "
        "on change.")  # fmt: skip
@option("--per-address", type=Whole(0), default=0, metavar="N",
        help="Announces a minute from one address (IPv6: from one /64); 0 for any number.")  # fmt: skip
@option("--stats", type=HostPort(), metavar="HOST:PORT",
        help="Where to show a page, /metrics for Prometheus, /health and /ready.")  # fmt: skip
@option("--admin", type=HostPort(), metavar="HOST:PORT",
        help="Where to take orders (JSON over HTTP); must be a loopback address.")  # fmt: skip
@option("--admin-token", metavar="TOKEN",
        help="What those who give orders must show; better as SWARM_ADMIN_TOKEN.")  # fmt: skip
@option("--state", type=_FILE, metavar="FILE",
        help="Keep what is known in FILE from one run to the next; it is written every five minutes, and at "
        "the end.")  # fmt: skip
@option("--json", "is_json", is_flag=True, help="Print JSON lines.")
@option("--quiet", "is_quiet", is_flag=True, help="Print nothing but warnings and errors.")
@click.option("-v", "--verbose", "verbosity", count=True, help="Also print a summary every 30 seconds.")
def command(is_json: bool, is_quiet: bool, verbosity: int, workers: int, **chosen: Any) -> None:
    """Run a tracker: it lists the members of each swarm, so that they find each other.

    Put the announce URL that it prints into torrents, e.g. with mktorrent -a. One process uses one core;
    it keeps swarms in its own memory, or shares them with others through a Redis.
    """
    output = Output(is_json=is_json, is_quiet=is_quiet, verbosity=verbosity, is_live=True)
    if workers > 1:
        _check_workers(**chosen)
    processes = Workers(workers)
    status = processes.run(
        lambda number, secret, parent: _work(output, chosen, number, secret, parent, processes)
    )
    if status != EXIT_DONE:
        raise ExitWith(status)


def _check_workers(
    store: str, listen: tuple[str, int], udp: tuple[str, int] | None, state: Path | None, **_: Any
) -> None:
    if store == "memory":
        raise click.UsageError("--workers needs --store redis://..., which they share")
    if not listen[1] or (udp is not None and not udp[1]):
        raise click.UsageError("--workers share ports, so these must be named; 0 is none")
    if state is not None:
        raise click.UsageError("--state is for a store in memory; Redis keeps its own")


def _work(
    output: Output,
    chosen: dict[str, Any],
    number: int,
    secret: bytes | None,
    parent: int | None,
    workers: Workers,
) -> int:
    if number:
        # The first worker alone prints, and has the pages.
        chosen = {**chosen, "stats": None, "admin": None}
        output = Output(is_json=False, is_quiet=True, verbosity=0)
    server, lists = _server(**chosen, secret=secret)
    _say_patience(chosen["state"], output)
    # A full garbage collection over millions of swarms would stop the tracker for a second. Young ones
    # suffice: what an announce leaves behind is young, and we leave no reference cycles.
    gc.set_threshold(10_000, 20, 1_000_000)
    host = chosen["listen"][0]
    others = None if number else workers
    return ending.run(lambda end: _serve(server, lists, host, output, end, parent, others))


def _server(
    listen: tuple[str, int],
    udp: tuple[str, int] | None,
    https: tuple[str, int] | None,
    cert: Path | None,
    key: Path | None,
    proxies: tuple[str, ...],
    interval: int,
    is_near_first: bool,
    allow: Path | None,
    deny: Path | None,
    passkeys: Path | None,
    per_address: int,
    stats: tuple[str, int] | None,
    admin: tuple[str, int] | None,
    admin_token: str | None,
    state: Path | None,
    store: str,
    secret: bytes | None = None,
) -> tuple[Any, Any]:
    """The server that the options describe, and the lists that are reread on change."""
    from swarm.tracker.admin import AdminService
    from swarm.tracker.admission import Admission
    from swarm.tracker.announce import TrackerSettings
    from swarm.tracker.http_connection import HttpLimits
    from swarm.tracker.lists import Lists
    from swarm.tracker.server import TrackerServer
    from swarm.tracker.stats import StatsService

    admission = Admission(per_minute=per_address)
    lists = Lists(admission, allow=allow, deny=deny, passkeys=passkeys)
    lists.read()
    services: list[Any] = []
    if stats is not None:
        services.append((stats, "--stats", StatsService))
    if admin is not None:
        if not Endpoint(*admin).is_loopback:
            raise click.UsageError("--admin must be a loopback address, such as 127.0.0.1:6970")
        if not admin_token:
            raise click.UsageError("--admin needs --admin-token, or SWARM_ADMIN_TOKEN in the environment")
        services.append((admin, "--admin", lambda server: AdminService(server, admin_token)))
    server = TrackerServer(
        *listen,
        udp=udp or listen,
        https=https,
        tls=_tls(https, cert, key),
        proxies=[_network(text) for text in proxies],
        settings=TrackerSettings(interval_s=interval, is_near_first=is_near_first),
        admission=admission,
        services=services,
        redis_url=None if store == "memory" else store,
        is_shared=secret is not None,
        secret=secret,
        state=state,
        limits=HttpLimits(connections=_connections_max(HttpLimits().connections)),
    )
    return server, lists


def _connections_max(wanted: int) -> int:
    """`wanted`, or as many as there can be descriptors for: with none left nobody at all would be let in."""
    allowed, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + DESCRIPTORS_KEPT
    if allowed == resource.RLIM_INFINITY or allowed >= needed:
        return wanted
    raised = needed if most == resource.RLIM_INFINITY else min(needed, most)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (raised, most))
        allowed = raised
    return max(1, min(wanted, allowed - min(DESCRIPTORS_KEPT, allowed // 2)))


def _tls(https: tuple[str, int] | None, cert: Path | None, key: Path | None) -> ssl.SSLContext | None:
    if https is None:
        return None
    if cert is None:
        raise click.UsageError("--https needs --cert")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(cert, key)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"{cert}: no certificate with its key ({error.strerror or error})") from None
    return context


def _network(text: str) -> Any:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise click.UsageError(f"--proxy: {text!r} is neither an address nor a network") from None


def _say_patience(state: Path | None, output: Output) -> None:
    """Say that a large state is read, for seconds in which nobody is answered."""
    if state is not None:
        with contextlib.suppress(OSError):
            size_bytes = state.stat().st_size
            if size_bytes >= PATIENCE_BYTES:
                output.info(f"reading {state} ({format_size(size_bytes)})")


async def _serve(
    server: Any,
    lists: Any,
    host: str,
    output: Output,
    end: Ending,
    parent: int | None,
    others: Workers | None,
) -> int:
    """Serve until a signal asks to end; returns the exit status.

    Args:
        parent: a descriptor that reaches its end when the first worker is gone; None in the first itself.
        others: the other workers, which this one watches; None in all but the first.
    """
    if parent is not None:
        loop = asyncio.get_running_loop()

        def parent_gone() -> None:
            loop.remove_reader(parent)
            if not end.has_come:
                end.ask(signal.SIGTERM)

        loop.add_reader(parent, parent_gone)
    async with server:
        _say_where(server, host, output)
        tasks = [asyncio.create_task(_read_again(lists, output))]
        if others is not None:
            tasks.append(asyncio.create_task(_watch(others, output, end)))
            tasks.append(asyncio.create_task(_tell_of_others(server, output)))
            tasks.append(asyncio.create_task(_tell_of_state(server, output)))
        if output.verbosity:
            tasks.append(asyncio.create_task(_summaries(server, output)))
        try:
            await end.wait()
            if server.saving_s is not None:
                # To save millions of peers takes longer than the deadline. A second signal ends that as well.
                end.allow(server.saving_s, "the disk is too slow: --state keeps what was saved the last time")
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    # SIGTERM is the usual end of a server, and no failure; Ctrl-C counts as an interruption.
    return EXIT_INTERRUPTED if end.asked_by == signal.SIGINT else EXIT_DONE


async def _read_again(lists: Any, output: Output) -> None:
    while True:
        await asyncio.sleep(LOOK_S)
        try:
            if lists.read_changed():
                output.info("the lists have changed and were read again")
        except SwarmError as error:
            # The lists stay as they were. That nobody reads what we print, or that the disk has no room for
            # it, is no reason to end.
            with contextlib.suppress(OSError):
                output.warning(str(error))


async def _watch(others: Workers, output: Output, end: Ending) -> None:
    """Warn when another worker has ended, and how; those that are left go on."""
    while True:
        await asyncio.sleep(LOOK_S)
        for line in others.news():
            # After Ctrl-C they all end, in any order.
            if not end.has_come:
                with contextlib.suppress(OSError):
                    output.warning(line)


async def _tell_of_others(server: Any, output: Output) -> None:
    """Say when the other trackers are out of reach, and when they are back."""
    was_cut_off = False
    while True:
        why = server.cut_off
        if (why is not None) is not was_cut_off:
            was_cut_off = why is not None
            with contextlib.suppress(OSError):
                if was_cut_off:
                    output.warning(f"--store: {why}; peers of other trackers are not known until it is back")
                else:
                    output.info("--store: it is back, and so are the peers of other trackers")
        await asyncio.sleep(LOOK_S)


async def _tell_of_state(server: Any, output: Output) -> None:
    """Say when what is known can no longer be kept, and when it can again."""
    was_unsaved = None
    while True:
        why = server.unsaved
        if why != was_unsaved:
            was_unsaved = why
            with contextlib.suppress(OSError):
                if why is not None:
                    output.warning(f"--state: {why}; it is tried again every five minutes")
                else:
                    output.info("--state: it could be saved again")
        await asyncio.sleep(LOOK_S)


def _say_where(server: Any, host: str, output: Output) -> None:
    from swarm.net.outlet import Outlet
    from swarm.net.ways_out import ways_out

    urls, port = server.urls, server.port
    more = {} if server.https_url is None else {"https": server.https_url}
    for service, url in server.services:
        more[service.name] = url
    output.event(
        "listening", http=urls[0], port=port, udp=server.udp_urls[0], udp_port=server.udp_port, **more
    )
    output.info(f"listening on {', '.join([*urls, *server.udp_urls, *more.values()])}")
    if host in ("0.0.0.0", "::"):
        own = next(iter(ways_out(Outlet())), "127.0.0.1")
        host = f"[{own}]" if ":" in own else own
        url = f"http://{host}:{port}/announce"
    else:
        url = urls[0]
    if not output.is_quiet:
        output.result(f"announce URL for torrents: {url}")


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
