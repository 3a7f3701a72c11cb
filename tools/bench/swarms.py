"""What `tools/bench/limited_swarm` does: whole swarms of real processes on one machine, measured."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from tools.bench.clients import (
    CLIENTS,
    LOOPBACK,
    Client,
    Peer,
    SwarmTracker,
    Torrent,
    first_difference,
    make_torrent,
    write_random,
)
from tools.bench.transfers import MIB, default_scratch, set_memory_aside, size

DEFAULT_CLIENTS = "swarm,libtorrent,libtorrent-defaults,aria2,transmission"
START_TIMEOUT_S = 120.0
#: A swarm may take so many times the fluid bound, and a minute.
_PATIENCE = 12.0
#: What peers say of their uploads is up to a second old.
_LAST_TOTALS_S = 1.3
_PEERS_MAX = 200
#: Where peers are that need an address each: in a network namespace of our own, on its loopback device.
_OWN_NETWORK = "10.77.0."
_INSIDE = "SWARM_BENCH_INSIDE_NAMESPACE"


@dataclass(frozen=True)
class Row:
    """One swarm, or the medians of several.

    Attributes:
        case: "limited", "unlimited" or "mixed".
        client: of all peers, or of the leechers that this row is about in a mixed swarm.
        peers: leechers of that client; bytes: of the file.
        bound_s: max(F/u_s, N F/(u_s + N u_l)), what no swarm can beat; 0 without limits.
        seconds, median_s, first_s: until the last, median and first leecher was complete and verified.
        efficiency: bound_s / seconds.
        total_mb_per_s: bytes received by all, in 10^6 a second.
        seeder_copies: content sent by the seeder, in copies of the file.
        wasted_bytes: content sent by all, less one copy for each leecher.
        cpu_s: of all peers' processes (not the tracker's), their start and the seeder's check included.
        startup_s: from the first leecher's start until the last one was up; when the clock starts depends on
            `start`.
    """

    case: str
    start: str
    client: str
    peers: int
    bytes: int
    bound_s: float
    seconds: float
    median_s: float
    first_s: float
    efficiency: float
    total_mb_per_s: float
    seeder_copies: float
    wasted_bytes: int
    cpu_s: float
    startup_s: float

    @classmethod
    def median(cls, rows: Sequence[Row]) -> Row:
        """Each figure's own median."""
        first = asdict(rows[0])
        figures = {
            field.name: statistics.median(asdict(row)[field.name] for row in rows)
            for field in fields(cls)
            if isinstance(first[field.name], float)
        }
        wasted = int(statistics.median(row.wasted_bytes for row in rows))
        return cls(**{**first, **figures, "wasted_bytes": wasted})

    def json(self, **more: object) -> str:
        rounded = {
            name: round(value, 3) if isinstance(value, float) else value
            for name, value in asdict(self).items()
        }
        return json.dumps({**rounded, **more})


@dataclass(frozen=True)
class Case:
    """What is run: one seeder, and leechers by client.

    Attributes:
        leechers: names out of CLIENTS, one a leecher.
        up_bytes_per_s: of each process; None for no limits.
    """

    name: str
    seeder: str
    leechers: tuple[str, ...]
    torrent: Torrent
    up_bytes_per_s: int | None
    start: str

    @property
    def bound_s(self) -> float:
        up, count = self.up_bytes_per_s, len(self.leechers)
        if up is None:
            return 0.0
        return max(self.torrent.total_bytes / up, count * self.torrent.total_bytes / (up + count * up))


class Swarm:
    """One run of a case: starts the processes, and ends them whatever happens."""

    def __init__(self, case: Case, scratch: Path, tracker: SwarmTracker) -> None:
        self._case = case
        self._scratch = scratch
        self._tracker = tracker
        self._hosts = _hosts([case.seeder, *case.leechers])

    def run(self) -> list[Row]:
        """A row for each client among the leechers.

        Raises:
            ClientError: one ended, or took too long.
        """
        room_bytes = len(self._case.leechers) * self._case.torrent.total_bytes
        aside = set_memory_aside(self._scratch, room_bytes + 256 * MIB)
        with contextlib.ExitStack() as stack:
            if self._case.start == "together":
                seeder = self._start_seeder(stack)
                aside.unlink()
                leechers = self._start_leechers(stack)
                begin_at = max(leecher.started_at for leecher in leechers)
                up_at = max(leecher.wait_ready(START_TIMEOUT_S) for leecher in leechers)
            else:
                leechers = self._start_leechers(stack)
                up_at = max(leecher.wait_ready(START_TIMEOUT_S) for leecher in leechers)
                self._tracker.wait_for_members(self._case.torrent.infohash, len(leechers))
                aside.unlink()
                seeder = self._start_seeder(stack)
                begin_at = self._seeder_known_at
            patience_s = 60.0 + _PATIENCE * self._case.bound_s
            ends = [
                leecher.wait_complete(max(1.0, begin_at + patience_s - time.monotonic()))
                for leecher in leechers
            ]
            startup_s = up_at - min(leecher.started_at for leecher in leechers)
            time.sleep(_LAST_TOTALS_S)
            peers = [seeder, *leechers]
            sent = [peer.uploaded_bytes() for peer in peers]
            cpu_s = sum(peer.usage().cpu_s for peer in peers)
        self._compare()
        return self._rows([end - begin_at for end in ends], sent, cpu_s, startup_s)

    def _client(self, name: str, number: int) -> Client:
        return CLIENTS[name](up_bytes_per_s=self._case.up_bytes_per_s, host=self._hosts[number])

    def _start_seeder(self, stack: contextlib.ExitStack) -> Peer:
        """Start it and wait until the tracker knows that it has all."""
        torrent = self._case.torrent
        seeder = self._client(self._case.seeder, 0).seed(torrent, self._scratch / "seeder")
        stack.enter_context(seeder)
        deadline = time.monotonic() + START_TIMEOUT_S
        while self._tracker.scrape(torrent.infohash)[0] < 1:
            if time.monotonic() > deadline or not seeder.process.is_running:
                raise seeder.process.failure("the tracker does not know the seeder")
            time.sleep(0.01)
        self._seeder_known_at = time.monotonic()
        return seeder

    def _start_leechers(self, stack: contextlib.ExitStack) -> list[Peer]:
        """Start all at once; one after the other they would be staggered by their own start-up."""

        def start(number: int) -> Peer:
            folder = self._folder(number)
            folder.mkdir()
            client = self._client(self._case.leechers[number], number + 1)
            return client.leech(self._case.torrent, folder, self._scratch / f"state-{number}")

        count = len(self._case.leechers)
        with ThreadPoolExecutor(count) as pool:
            jobs = [pool.submit(start, number) for number in range(count)]
            # Those that were started are ended, also where another could not be.
            for job in jobs:
                if job.exception() is None:
                    stack.enter_context(job.result())
        return [job.result() for job in jobs]

    def _folder(self, number: int) -> Path:
        return self._scratch / f"leecher-{number}"

    def _compare(self) -> None:
        content = self._case.torrent.content
        for number, name in enumerate(self._case.leechers):
            difference = first_difference(content, self._folder(number) / content.name)
            if difference is not None:
                raise SystemExit(f"{name}, leecher {number}: {difference}")

    def _rows(self, spans: list[float], sent: list[int], cpu_s: float, startup_s: float) -> list[Row]:
        case, total = self._case, self._case.torrent.total_bytes
        rows = []
        for name in dict.fromkeys(case.leechers):
            own = [span for span, client in zip(spans, case.leechers, strict=True) if client == name]
            rows.append(
                Row(
                    case=case.name,
                    start=case.start,
                    client=name,
                    peers=len(own),
                    bytes=total,
                    bound_s=case.bound_s,
                    seconds=max(own),
                    median_s=statistics.median(own),
                    first_s=min(own),
                    efficiency=case.bound_s / max(own),
                    total_mb_per_s=len(own) * total / max(own) / 1e6,
                    seeder_copies=sent[0] / total,
                    wasted_bytes=sum(sent) - len(spans) * total,
                    cpu_s=cpu_s,
                    startup_s=startup_s,
                )
            )
        return rows


def _hosts(names: Sequence[str]) -> list[str]:
    """Where each process is: all on loopback, or, where one of them needs it, each at its own address."""
    if not any(_needs_own_address(name) for name in names):
        return [LOOPBACK] * len(names)
    return [f"{_OWN_NETWORK}{number + 1}" for number in range(len(names))]


def _needs_own_address(name: str) -> bool:
    return CLIENTS[name].is_alone_on_host or not CLIENTS[name].is_dialling_loopback


def enter_own_network() -> None:
    """Run this program again where it may have addresses of its own, which nobody else sees."""
    if os.environ.get(_INSIDE):
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True, timeout=10)
        for number in range(1, _PEERS_MAX + 1):
            address = f"{_OWN_NETWORK}{number}/32"
            subprocess.run(["ip", "address", "add", address, "dev", "lo"], check=True, timeout=10)
        return
    command = ["unshare", "--net", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"])]
    os.environ[_INSIDE] = "1"
    os.execvp(command[0], [*command, sys.executable, *sys.argv])


def markdown(rows: Iterable[Row]) -> str:
    """The table for the README."""
    lines = [
        "| client | leechers | file, MiB | bound, s | first / median / last, s | of the bound | total MB/s "
        "| seeder's copies | wasted, MiB | CPU, s |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.client}{' (mixed)' if row.case == 'mixed' else ''} | {row.peers} | {row.bytes / MIB:.0f} "
        f"| {row.bound_s:.1f} | {row.first_s:.1f} / {row.median_s:.1f} / {row.seconds:.1f} "
        f"| {row.efficiency:.2f} | {row.total_mb_per_s:,.0f} | {row.seeder_copies:.2f} "
        f"| {row.wasted_bytes / MIB:.1f} | {row.cpu_s:.1f} |"
        for row in rows
    ]
    return "\n".join(lines)


def installed(names: str) -> list[str]:
    """The clients of a list that can be started; says on stderr what is left out."""
    found = []
    for name in names.split(","):
        if name not in CLIENTS or name == "floor":
            raise SystemExit(f"--clients: '{name}' is none of {', '.join(CLIENTS)}")
        missing = CLIENTS[name]().missing()
        if (
            missing is None
            and _needs_own_address(name)
            and not (shutil.which("unshare") and shutil.which("ip"))
        ):
            missing = "it needs an address for each peer: install util-linux and iproute2"
        if missing:
            print(f"{name} left out: {missing}", file=sys.stderr)
        else:
            found.append(name)
    return found


def cases_of(arguments: argparse.Namespace, torrent: Torrent) -> list[Case]:
    """What the command line asks for."""
    count: int = arguments.peers
    up = None if arguments.unlimited else arguments.up
    if arguments.mixed:
        half = count // 2
        both = ("swarm", "libtorrent") * half
        return [
            Case("mixed", "swarm", both, torrent, up, arguments.start),
            Case("limited", "libtorrent", ("libtorrent",) * 2 * half, torrent, up, arguments.start),
        ]
    name = "unlimited" if arguments.unlimited else "limited"
    return [
        Case(name, client, (client,) * count, torrent, up, arguments.start)
        for client in installed(arguments.clients)
    ]


def run_case(case: Case, scratch: Path) -> list[Row]:
    with tempfile.TemporaryDirectory(dir=scratch) as folder, SwarmTracker() as tracker:
        # A tracker of its own: it must not remember the run before.
        path = Path(folder) / "swarm.torrent"
        torrent = case.torrent
        own = make_torrent(torrent.content, path, torrent.piece_length, tracker.announce)
        tracker.start([own.infohash])
        here = Case(case.name, case.seeder, case.leechers, own, case.up_bytes_per_s, case.start)
        return Swarm(here, Path(folder), tracker).run()


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="tools/bench/limited_swarm",
        description="A tracker, a seeder and N leechers as real processes on this machine, each with a "
        "limited uplink; leechers stay as seeds until all are complete, and every byte is compared. Each run "
        "is a JSON row on stderr, the medians are JSON rows on stdout. The fluid bound is "
        "max(F/u_s, N F/(u_s + N u_l)) for a file of F bytes. Clients that know one peer an address get one "
        "each, in a network namespace.",
    )
    parser.add_argument("--clients", default=DEFAULT_CLIENTS, metavar="NAME,...",
                        help=f"a swarm of each (default {DEFAULT_CLIENTS})")  # fmt: skip
    parser.add_argument("--peers", type=int, help="leechers (default 10; 4 with --unlimited)")
    parser.add_argument("--size", type=size, help="of the file (default 64M; 512M with --unlimited)")
    parser.add_argument("--piece-length", type=size, help="default 256K; 1M with --unlimited")
    parser.add_argument("--up", type=size, default=size("4M"), metavar="RATE",
                        help="of each process, a second (default 4M)")  # fmt: skip
    parser.add_argument("--unlimited", action="store_true", help="no limits: how fast is all of it together")
    parser.add_argument("--mixed", action="store_true",
                        help="half swarm, half libtorrent, swarm seeds; then libtorrent alone")  # fmt: skip
    parser.add_argument("--start", choices=["seeder-last", "together"], default="seeder-last",
                        help="seeder-last: all leechers are up and have announced, and the clock starts when "
                        "the tracker hears of the seeder, so that no program's loading counts; together: the "
                        "seeder is up, and the clock starts when the last leecher's process was started, so "
                        "that it does (default seeder-last)")  # fmt: skip
    parser.add_argument("--runs", type=int, default=5, help="of each swarm (default 5)")
    parser.add_argument("--scratch", type=Path, help="where the files go, deleted after (default: /dev/shm "
                        "if it has room, or the temporary folder)")  # fmt: skip
    parser.add_argument("--markdown", action="store_true", help="print a table instead of the medians' rows")
    arguments = parser.parse_args()
    is_free = arguments.unlimited
    arguments.peers = arguments.peers or (4 if is_free else 10)
    arguments.size = arguments.size or size("512M" if is_free else "64M")
    arguments.piece_length = arguments.piece_length or size("1M" if is_free else "256K")
    if not 1 <= arguments.peers < _PEERS_MAX:
        parser.error(f"--peers: 1 to {_PEERS_MAX - 1}")
    if arguments.up < 16 << 10:
        parser.error("--up: at least 16K, a block a second")
    if arguments.mixed and arguments.peers < 2:
        parser.error("--mixed: at least 2 peers")
    return arguments


def main() -> None:
    arguments = parse_arguments()
    if not arguments.mixed and any(map(_needs_own_address, installed(arguments.clients))):
        enter_own_network()
    room_bytes = arguments.size * (2 * arguments.peers + 2)
    with tempfile.TemporaryDirectory(
        prefix="swarm-bench-", dir=arguments.scratch or default_scratch(room_bytes // 4)
    ) as folder:
        content = Path(folder) / "content" / "content.bin"
        write_random(content, arguments.size)
        torrent = make_torrent(content, Path(folder) / "plain.torrent", arguments.piece_length)
        cases = cases_of(arguments, torrent)
        runs: dict[tuple[int, str], list[Row]] = {}
        for number in range(arguments.runs):
            for place, case in enumerate(cases):
                for row in run_case(case, Path(folder)):
                    print(row.json(run=number + 1), file=sys.stderr, flush=True)
                    runs.setdefault((place, row.client), []).append(row)
    medians = [Row.median(rows) for rows in runs.values()]
    if arguments.markdown:
        print(markdown(medians))
    else:
        for row in medians:
            print(row.json(runs=arguments.runs))
