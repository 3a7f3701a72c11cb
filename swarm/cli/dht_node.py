"""What the commands of `swarm dht` share: their options, and a node of the DHT."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swarm.base.dataclass import dataclass
from swarm.base.endpoint import Endpoint
from swarm.base.errors import SettingsError, SwarmError
from swarm.base.ids import InfoHash
from swarm.base.units import format_count
from swarm.cli import ending
from swarm.cli.ending import Ending, Interrupted
from swarm.cli.exits import EXIT_DONE, EXIT_INTERRUPTED, EXIT_NO_PROGRESS, ExitWith
from swarm.cli.options import HostPort, Number, Whole, bind_option, option, options_as
from swarm.cli.output import Output
from swarm.cli.waiting import waiting_for

if TYPE_CHECKING:
    from swarm.dht.commands import LookupOutcome
    from swarm.session.finding.dht import Dht

TIMEOUT_S = 30.0
_OPTIONS = (
    option("--bootstrap", "routers", type=HostPort(), multiple=True, metavar="HOST:PORT",
           envvar="SWARM_DHT_BOOTSTRAP",
           help="A node that leads into the DHT, instead of the public ones; repeat for more."),
    option("--port", type=Whole(0, 65_535), default=0, metavar="N",
           help="Our own UDP port (default: any free one)."),
    bind_option,
    option("--timeout", "timeout_s", type=Number(min=0, min_open=True), default=TIMEOUT_S,
           show_default=True, metavar="SECONDS", help="Give up after so long."),
    option("--json", "is_json", is_flag=True, help="JSON lines on stdout, nothing else."),
    option("-v", "--verbose", "verbosity", count=True, help="Say more."),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class NodeOptions:
    """The shared options as given."""

    routers: tuple[tuple[str, int], ...]
    port: int
    bind: str | None
    timeout_s: float
    is_json: bool
    verbosity: int

    def output(self, *, is_live: bool = False) -> Output:
        return Output(is_json=self.is_json, verbosity=self.verbosity, is_live=is_live)


#: Gives a command the shared options; it gets them as one argument `node`.
node_options = options_as("node", NodeOptions, _OPTIONS)


@contextlib.asynccontextmanager
async def opened(
    node: NodeOptions, *, is_alone: bool = False, is_serving: bool = False
) -> AsyncIterator[Dht]:
    """A node of the DHT for the length of the block.

    Args:
        is_alone: do not join the DHT: a single node is to be asked.
        is_serving: answer other nodes, and save the routing table. Otherwise the node is read-only (BEP 43),
            and only reads the table that a session has saved.
    """
    from swarm.dht.settings import DhtSettings
    from swarm.net.outlet import Outlet, bind_addresses
    from swarm.net.udp import open_sockets
    from swarm.session.finding.dht import Dht
    from swarm.session.finding.dht_memory import memory_path
    from swarm.session.settings import default_dht_routers, default_state_dir

    output = node.output()
    sockets = open_sockets(bind_addresses(node.bind), node.port, Outlet.of(node.bind))
    if node.port and sockets[0].port != node.port:
        for socket in sockets:
            socket.close()
        raise SwarmError(f"UDP port {node.port} is in use; choose another with --port, or 0 for any")
    # A user who names bootstrap nodes means their network, which may not be that of the saved table.
    is_remembering = is_serving or not (is_alone or node.routers)
    say = {"warning": output.warning, "info": output.info}
    dht = Dht(
        sockets,
        routers=() if is_alone else node.routers or default_dht_routers(),
        settings=DhtSettings(answer_bytes_per_s=None) if is_serving else DhtSettings(is_read_only=True),
        memory_path=memory_path(default_state_dir()) if is_remembering else None,
        is_keeping=is_serving,
        on_notice=lambda level, text: say.get(level, output.detail)(text),
    )
    try:
        async with dht:
            yield dht
    finally:
        for socket in sockets:
            socket.close()


def run(node: NodeOptions, work: Callable[[], Coroutine[Any, Any, int]], *, has_timeout: bool = True) -> None:
    """Run a command's coroutine until it is done, interrupted, or `--timeout` is over.

    Raises:
        ExitWith: the exit status, unless it is EXIT_DONE.
    """

    async def main(end: Ending) -> int:
        try:
            if not has_timeout:
                return await end.unless(work())
            async with asyncio.timeout(node.timeout_s), waiting_for("the DHT", node.output()):
                return await end.unless(work())
        except Interrupted:
            return EXIT_INTERRUPTED
        except TimeoutError:
            node.output().error(f"no end within {node.timeout_s:g} s; --timeout allows more")
            return EXIT_NO_PROGRESS

    status = ending.run(main)
    if status != EXIT_DONE:
        raise ExitWith(status)


async def endpoint_of(address: tuple[str, int]) -> Endpoint:
    """The first address of a node given by name or number; SwarmError if it has none."""
    from swarm.net.names import endpoints_of

    reasons: list[str] = []
    found = await endpoints_of([address], TIMEOUT_S, lambda name, reason: reasons.append(reason))
    if not found:
        raise SwarmError(f"{address[0]}: {reasons[0] if reasons else 'no address'}")
    return found[0]


def info_hash_of(source: str) -> InfoHash:
    """The info-hash of SOURCE, which is one, a magnet link or a .torrent; MetainfoError if it is none."""
    from swarm.metainfo import magnet

    if magnet.is_link(source):
        return magnet.parse(source).info_hash
    if re.fullmatch(r"[0-9A-Za-z]{32}|[0-9A-Za-z]{40}", source):
        return InfoHash.parse(source)
    from swarm.cli.torrent_file import read_torrent

    return read_torrent(source)[1].info_hash


def target_of(text: str) -> bytes:
    """The 20 bytes of a target in hex; SettingsError for anything else."""
    try:
        target = bytes.fromhex(text)
    except ValueError:
        target = b""
    if len(target) != 20:
        raise SettingsError(f"a target has 40 hex digits: {text[:60]!r}")
    return target


def outcome_fields(outcome: LookupOutcome) -> dict[str, int]:
    """The fields of a JSON event that say how a lookup went."""
    return {"queries": outcome.queries, "answers": outcome.answers, "hops": outcome.hops}


def asked(outcome: LookupOutcome) -> str:
    """How many nodes were asked and have answered, fit for a line."""
    return f"{format_count(outcome.answers, 'answer')} to {format_count(outcome.queries, 'question')}"


def refusals(outcome: LookupOutcome) -> str:
    """The errors that nodes have answered with, each once, at most three, fit for a line; "" for none."""
    said = dict.fromkeys(f"{text} ({code})" for code, text in outcome.errors)
    return "; ".join(list(said)[:3])


def read_file(path: Path, bytes_max: int) -> bytes:
    """The bytes of a small file, but at most one more than `bytes_max`; StorageError names the file."""
    from swarm.storage.whole_file import read_whole

    return read_whole(path, bytes_max)[0]
