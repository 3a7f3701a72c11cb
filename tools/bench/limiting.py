"""What `tools/bench/limits` does: transfers under rate limits, against the clock and the processor."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import math
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from tools.bench.clients import LOOPBACK, ClientError, Torrent, make_torrent, write_random
from tools.bench.clients.libtorrent_client import Libtorrent
from tools.bench.clients.process import Line, Process
from tools.bench.clients.swarm_client import COMMAND, json_event
from tools.bench.transfers import default_scratch, size

#: The limit must be in force before it is measured, and TCP at its rate.
_WARM_UP_S = 2.0
_START_TIMEOUT_S = 60.0
#: What the kernel has got for a connection, of `ss`'s second line; the first says what is unread, and whose.
_BYTES_RECEIVED = re.compile(r"bytes_received:(\d+)")
_OWNER = re.compile(r"pid=(\d+)")


@dataclass(frozen=True)
class Row:
    """One transfer.

    Attributes:
        direction: whose limit: "up" of the seeder, "down" of the leecher; "none" for no limit.
        limit_bytes_per_s: 0 for none. leechers: of a limit up, how many share it.
        seconds: measured; without a limit from the leechers' listening to their completion.
        share: what flowed, of what the limit allows.
        fairness: Jain's index over what the leechers got.
        cpu_ns_per_byte: of all processes together, for each byte received.
        cpu_ms_per_s: the same, for each second.
    """

    direction: str
    limit_bytes_per_s: int
    leechers: int
    seconds: float
    share: float
    fairness: float
    cpu_ns_per_byte: float
    cpu_ms_per_s: float


def _jain(values: list[int]) -> float:
    squares = sum(value * value for value in values)
    return sum(values) ** 2 / (len(values) * squares) if squares else 1.0


class Program(Protocol):
    """A client whose processes can be limited; `limited` is "up", "down", or empty for no limit.

    Attributes:
        totals_event: what its processes call the line that says how much came so far.
    """

    totals_event: str

    def seed(self, torrent: Torrent, scratch: Path, limited: str, rate: int) -> tuple[Process, int]:
        """A seeder that has verified, and its port."""

    def leech(
        self, torrent: Torrent, scratch: Path, number: int, seeder: int, limited: str, rate: int
    ) -> Process:
        """A leecher that dials this port and nobody else."""


class SwarmProgram:
    """`swarm seed` and `swarm leech`."""

    totals_event = "progress"

    def _start(self, scratch: Path, *arguments: str | Path) -> Process:
        # Leechers must not meet: what they gave each other would not be under the limit.
        alone = ["--no-trackers", "--no-dht", "--no-pex", "--no-lsd"]
        command = [*COMMAND, *arguments, "--port", "0", "--json", *alone]
        return Process(command, env={"SWARM_STATE_DIR": str(scratch / "state"), "SWARM_NO_LSD": "1"})

    def seed(self, torrent: Torrent, scratch: Path, limited: str, rate: int) -> tuple[Process, int]:
        limit = ["--up", str(rate)] if limited == "up" else []
        seeder = self._start(scratch, "seed", torrent.path, torrent.content, *limit)
        port = json_event(_wait(seeder, "listening").text)["port"]
        _wait(seeder, "progress", is_verified=True)
        return seeder, port

    def leech(
        self, torrent: Torrent, scratch: Path, number: int, seeder: int, limited: str, rate: int
    ) -> Process:
        limit = ["--down", str(rate)] if limited == "down" else []
        place: list[str | Path] = ["--output", scratch / f"leech {number}", "--peer", f"{LOOPBACK}:{seeder}"]
        leecher = self._start(scratch, "leech", torrent.path, *place, *limit)
        _wait(leecher, "listening")
        return leecher


class LibtorrentProgram:
    """libtorrent in processes of its own; limited on the way up only."""

    totals_event = "totals"

    def seed(self, torrent: Torrent, scratch: Path, limited: str, rate: int) -> tuple[Process, int]:
        peer = Libtorrent(up_bytes_per_s=rate if limited == "up" else None).seed(torrent, scratch)
        peer.wait_ready(_START_TIMEOUT_S)
        return peer.process, peer.port

    def leech(
        self, torrent: Torrent, scratch: Path, number: int, seeder: int, limited: str, rate: int
    ) -> Process:
        folder = scratch / f"leech {number}"
        folder.mkdir()
        return Libtorrent().leech(torrent, folder, scratch, [(LOOPBACK, seeder)]).process


class Transfer:
    """A seeder, and leechers that are told where it is; ended whatever happens."""

    def __init__(
        self, program: Program, torrent: Torrent, scratch: Path, stack: contextlib.ExitStack
    ) -> None:
        self._program = program
        self._torrent = torrent
        self._scratch = scratch
        self._stack = stack

    def run(self, direction: str, limit: int, leecher_count: int, window_s: float) -> Row:
        program, torrent, scratch = self._program, self._torrent, self._scratch
        limited = direction if limit else ""
        seeder, port = program.seed(torrent, scratch, limited, limit)
        self._stack.enter_context(seeder)
        seeder_cpu_s = seeder.usage().cpu_s
        leechers = [
            self._stack.enter_context(program.leech(torrent, scratch, number, port, limited, limit))
            for number in range(leecher_count)
        ]
        processes = [seeder, *leechers]
        if not limit:
            cpu_s = seeder_cpu_s + sum(leecher.usage().cpu_s for leecher in leechers)
            begin_at = time.monotonic()
            end_at = max(_wait(leecher, "complete").at for leecher in leechers)
            got = [self._torrent.total_bytes] * leecher_count
            cost_s = sum(process.usage().cpu_s for process in processes) - cpu_s
        else:
            for leecher in leechers:
                _wait(leecher, program.totals_event, has_data=True)
            time.sleep(_WARM_UP_S)
            before, begin_at = _received(port), time.monotonic()
            cpu_s = sum(map(_cpu_s, processes))
            time.sleep(window_s)
            after, end_at = _received(port), time.monotonic()
            got = [after[leecher.pid] - before[leecher.pid] for leecher in leechers]
            cost_s = sum(map(_cpu_s, processes)) - cpu_s
        seconds = end_at - begin_at
        return Row(
            direction if limit else "none",
            limit,
            leecher_count,
            seconds,
            sum(got) / seconds / limit if limit else 0.0,
            _jain(got),
            cost_s * 1e9 / max(1, sum(got)),
            cost_s * 1e3 / seconds,
        )


def _wait(process: Process, kind: str, *, is_verified: bool = False, has_data: bool = False) -> Line:
    def fits(text: str) -> bool:
        event = json_event(text)
        if event.get("event") != kind:
            return False
        if is_verified and event.get("done_bytes") != event.get("total_bytes"):
            return False
        # libtorrent's process says `downloaded`.
        return not has_data or bool(event.get("downloaded_bytes") or event.get("downloaded"))

    return process.wait_for(fits, _START_TIMEOUT_S, kind)


def _received(port: int) -> dict[int, int]:
    """By process: how much it has read of what came from `port`, to the byte and all at one instant.

    What the programs say of themselves is of another instant for each, and in whole blocks: added up, one
    seeder's 4 MiB/s were once 1.037 of themselves.
    """
    command = ["ss", "-tinpH", f"dport = :{port}"]
    try:
        lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError) as error:
        raise ClientError(f"ss (Debian: iproute2) does not work here: {error}") from None
    found: dict[int, int] = {}
    for first, second in itertools.pairwise(lines):
        owner, received = _OWNER.search(first), _BYTES_RECEIVED.search(second)
        if owner is not None and received is not None:
            found[int(owner[1])] = int(received[1]) - int(first.split()[1])
    return found


def _cpu_s(process: Process) -> float:
    """What all its threads have run so far; `usage` knows only hundredths of a second."""
    tasks = Path(f"/proc/{process.pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="tools/bench/limits",
        description="Transfers between real processes on loopback under rate limits: what flows in the "
        "window, of what the limit allows (1.0 is exact; counted by the kernel, with ss); how fairly it is "
        "shared; and what a byte costs the processors, against a transfer without a limit in the same "
        "round. Each run is a JSON row on stderr, the medians by cost are JSON rows on stdout.",
    )
    parser.add_argument("--rates", default="100K,4M,100M", metavar="RATE,...", help="(default %(default)s)")
    parser.add_argument("--window", type=float, default=10.0, metavar="SECONDS", help="measured (default 10)")
    parser.add_argument("--runs", type=int, default=3, help="rounds of all (default 3)")
    parser.add_argument("--leechers", type=int, default=3, help="that share a limit up (default 3)")
    parser.add_argument(
        "--client",
        choices=["swarm", "libtorrent"],
        default="swarm",
        help="whose (default %(default)s); libtorrent's are limited on the way up only",
    )
    parser.add_argument("--scratch", type=Path, default=None, help="where the files go, deleted after")
    arguments = parser.parse_args()
    rates = [size(rate) for rate in arguments.rates.split(",")]
    scratch = Path(
        tempfile.mkdtemp(prefix="swarm-limits-", dir=arguments.scratch or default_scratch(3 << 30))
    )
    cases = [("none", 0, 1)]
    program, directions = (
        (SwarmProgram(), ["up", "down"]) if arguments.client == "swarm" else (LibtorrentProgram(), ["up"])
    )
    cases += [(direction, rate, 1) for rate in rates for direction in directions]
    cases += [("up", rate, arguments.leechers) for rate in rates if rate >= 1 << 20]
    rows: list[list[Row]] = [[] for _ in cases]
    try:
        # In turn: what a byte costs changes with the hour, and a case is compared with the first.
        for number, (of_case, case) in itertools.product(
            range(arguments.runs), zip(rows, cases, strict=True)
        ):
            row = _measure(program, *case, arguments.window, scratch / f"{number}")
            print(json.dumps(asdict(row)), file=sys.stderr, flush=True)
            of_case.append(row)
    except ClientError as error:
        sys.exit(f"limits: {error}")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    unlimited = statistics.median(row.cpu_ns_per_byte for row in rows[0])
    for of_case in rows:
        row = sorted(of_case, key=lambda one: one.cpu_ns_per_byte)[len(of_case) // 2]
        rounded = {k: round(v, 4) if isinstance(v, float) else v for k, v in asdict(row).items()}
        report = {
            **rounded,
            "cpu_ratio": round(row.cpu_ns_per_byte / unlimited, 2),
            "cpu_all": [round(one.cpu_ns_per_byte, 2) for one in of_case],
            "shares": [round(one.share, 4) for one in of_case],
            "runs": len(of_case),
        }
        print(json.dumps(report), flush=True)


def _measure(program: Program, direction: str, rate: int, leechers: int, window_s: float, place: Path) -> Row:
    content_bytes = int(rate * (window_s + _WARM_UP_S + 4)) if rate else 1 << 30
    place.mkdir()
    content = place / "content.bin"
    write_random(content, max(16 << 20, math.ceil(content_bytes / (1 << 20)) << 20))
    torrent = make_torrent(content, place / "content.torrent", piece_length=1 << 18)
    try:
        with contextlib.ExitStack() as stack:
            return Transfer(program, torrent, place, stack).run(direction, rate, leechers, window_s)
    finally:
        shutil.rmtree(place)
