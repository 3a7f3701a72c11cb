"""What `tools/bench/tracker` does: announces against trackers on one core, and the store's memory."""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import random
import re
import select
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import quote

import psutil

from swarm.tracker.datagrams import batches_of, bind
from swarm.wire.tracker.udp_server import SLOT_BYTES
from tools.bench import http_load, udp_load
from tools.bench.clients.client import wait_until_listening
from tools.bench.clients.process import Process, free_port
from tools.bench.clients.trackers import NpmTracker, Opentracker, SwarmTracker, Tracker

_WARM_UP_S = 1.0
_TRACKERS = ("opentracker", "swarm", "npm", "swarm-redis")
_PROTOCOLS = ("udp", "http-kept", "http-each")


@dataclass(frozen=True)
class Row:
    """One run of one tracker. `user_us` and `system_us` are its CPU microseconds an announce."""

    tracker: str
    protocol: str
    announces_per_s: float
    user_us: float
    system_us: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    lost: int
    refused: int
    load: float

    @property
    def cpu_us(self) -> float:
        return self.user_us + self.system_us


@contextlib.contextmanager
def _running(name: str, info_hashes: list[bytes], scratch: Path) -> Iterator[tuple[Tracker, int]]:
    """A tracker pinned to core 0, and its process id; a Redis shares the load's core."""
    with contextlib.ExitStack() as stack:
        tracker: Tracker
        match name:
            case "opentracker":
                tracker = Opentracker(scratch)
            case "npm":
                tracker = NpmTracker()
            case "swarm-redis":
                tracker = SwarmTracker("--store", stack.enter_context(_redis(scratch)))
            case _:
                tracker = SwarmTracker()
        yield from _started(tracker, info_hashes)


@contextlib.contextmanager
def _redis(scratch: Path) -> Iterator[str]:
    port = free_port()
    command = [
        "redis-server",
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--dir",
        str(scratch),
    ]
    with Process(command) as process:
        wait_until_listening(process, port, 10)
        yield f"redis://127.0.0.1:{port}/0"


def _started(tracker: Tracker, info_hashes: list[bytes]) -> Iterator[tuple[Tracker, int]]:
    missing = tracker.missing()
    if missing:
        sys.exit(missing)
    with tracker:
        tracker.start(info_hashes)
        process = tracker._process
        assert isinstance(process, Process)
        # Threads too: opentracker has several.
        for thread in os.listdir(f"/proc/{process.pid}/task"):
            os.sched_setaffinity(int(thread), {0})
        yield tracker, process.pid


def udp(name: str, seconds: float, rate: float | None, torrents: int, peers: int) -> Row:
    """One run of UDP announces."""
    rng = random.Random(3)
    info_hashes = [rng.randbytes(20) for _ in range(torrents)]
    packets = udp_load.announces(info_hashes, peers)
    scratch = Path(tempfile.mkdtemp(prefix="tracker-bench-"))
    try:
        with _running(name, info_hashes, scratch) as (tracker, pid):
            # opentracker reads its list in a thread; until then it refuses.
            while udp_load.run(tracker.port, packets[:1000], 0.1, sockets=1).refused:
                time.sleep(0.2)
            udp_load.run(tracker.port, packets, _WARM_UP_S, rate=rate)
            process = psutil.Process(pid)
            before = process.cpu_times()
            load = udp_load.run(tracker.port, packets, seconds, rate=rate)
            after = process.cpu_times()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return _row(name, "udp", load, before, after)


def echo(seconds: float, torrents: int, peers: int) -> Row:
    """The load against a process on core 0 that only mirrors: more than this it cannot measure."""
    rng = random.Random(3)
    packets = udp_load.announces([rng.randbytes(20) for _ in range(torrents)], peers)
    bound = bind("127.0.0.1", 0, socket.AF_INET)
    mirror = os.fork()
    if mirror == 0:
        os.sched_setaffinity(0, {0})
        _mirror(bound)
    try:
        load = udp_load.run(bound.getsockname()[1], packets, seconds, is_echo=True)
        times = psutil.Process(mirror).cpu_times()
    finally:
        os.kill(mirror, signal.SIGKILL)
        os.waitpid(mirror, 0)
        bound.close()
    return Row(
        tracker="mirror",
        protocol="udp",
        announces_per_s=round(load.per_s),
        user_us=round(1e6 * times.user / load.answered, 2),
        system_us=round(1e6 * times.system / load.answered, 2),
        p50_ms=round(load.p50_ms, 2),
        p99_ms=round(load.p99_ms, 2),
        max_ms=round(load.max_ms, 2),
        lost=load.lost,
        refused=0,
        load=round(os.getloadavg()[0], 1),
    )


def _mirror(bound: socket.socket) -> NoReturn:
    """Answer every datagram with its action and transaction, as long as 50 peers."""
    datagrams = batches_of(bound)
    rest = bytes(12 + 50 * 6)
    while True:
        select.select([bound], [], [])
        batch = datagrams.receive()
        if batch is not None:
            starts = range(8, len(batch.slots), SLOT_BYTES)
            datagrams.send(batch.names, [bytes(batch.slots[at : at + 8]) + rest for at in starts])


_WRK_SCRIPT = """
local hashes = {%s}
math.randomseed(7)
request = function()
  local peer = string.format("-XX0000-%%012d", math.random(0, 999999))
  return wrk.format("GET", "/announce?info_hash=" .. hashes[math.random(#hashes)] .. "&peer_id=" .. peer ..
    "&port=" .. math.random(1024, 65535) .. "&uploaded=0&downloaded=0&left=" .. math.random(0, 3) ..
    "&compact=1&numwant=50&event=started")
end
"""


def http(name: str, seconds: float, torrents: int, *, is_kept: bool) -> Row:
    """One run of HTTP announces by wrk, on kept connections or on one for each."""
    rng = random.Random(3)
    info_hashes = [rng.randbytes(20) for _ in range(torrents)]
    scratch = Path(tempfile.mkdtemp(prefix="tracker-bench-"))
    script = scratch / "announce.lua"
    script.write_text(_WRK_SCRIPT % ",".join(f'"{quote(one)}"' for one in info_hashes))
    try:
        with _running(name, info_hashes, scratch) as (tracker, pid):
            time.sleep(1.0)
            # It takes whole seconds only; its rate is of the time that it took.
            command = ["wrk", "-t1", "-c64", f"-d{math.ceil(seconds)}s", "--latency", "-s", str(script)]
            if not is_kept:
                command += ["-H", "Connection: close"]
            process = psutil.Process(pid)
            before = process.cpu_times()
            said = subprocess.run(
                [*command, tracker.announce], capture_output=True, text=True, check=True
            ).stdout
            after = process.cpu_times()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    answered = int(_found(r"(\d+) requests in", said))
    errors = re.search(r"connect (\d+), read (\d+), write (\d+), timeout (\d+)", said)
    return Row(
        tracker=name,
        protocol="http kept" if is_kept else "http each",
        announces_per_s=round(float(_found(r"Requests/sec:\s+([\d.]+)", said))),
        user_us=round(1e6 * (after.user - before.user) / answered, 2),
        system_us=round(1e6 * (after.system - before.system) / answered, 2),
        p50_ms=_milliseconds(_found(r"50%\s+(\S+)", said)),
        p99_ms=_milliseconds(_found(r"99%\s+(\S+)", said)),
        max_ms=_milliseconds(_found(r"Latency\s+\S+\s+\S+\s+(\S+)", said)),
        lost=sum(map(int, errors.groups())) if errors else 0,
        refused=0,
        load=round(os.getloadavg()[0], 1),
    )


def http_at(name: str, seconds: float, torrents: int, rate: float) -> Row:
    """One run of HTTP announces at a fixed rate, on kept connections."""
    rng = random.Random(3)
    info_hashes = [rng.randbytes(20) for _ in range(torrents)]
    asked = http_load.requests(info_hashes, 100_000)
    scratch = Path(tempfile.mkdtemp(prefix="tracker-bench-"))
    try:
        with _running(name, info_hashes, scratch) as (tracker, pid):
            http_load.run(tracker.port, asked, _WARM_UP_S, rate)
            process = psutil.Process(pid)
            before = process.cpu_times()
            load = http_load.run(tracker.port, asked, seconds, rate)
            after = process.cpu_times()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return _row(name, "http kept", load, before, after)


def _row(tracker: str, protocol: str, load: udp_load.Load, before: Any, after: Any) -> Row:
    return Row(
        tracker=tracker,
        protocol=protocol,
        announces_per_s=round(load.per_s),
        user_us=round(1e6 * (after.user - before.user) / load.answered, 2),
        system_us=round(1e6 * (after.system - before.system) / load.answered, 2),
        p50_ms=round(load.p50_ms, 2),
        p99_ms=round(load.p99_ms, 2),
        max_ms=round(load.max_ms, 2),
        lost=load.lost,
        refused=load.refused,
        load=round(os.getloadavg()[0], 1),
    )


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    if match is None:
        sys.exit(f"wrk said: {text}")
    return match[1]


def _milliseconds(text: str) -> float:
    for unit, factor in (("us", 0.001), ("ms", 1.0), ("s", 1000.0), ("m", 60_000.0)):
        if text.endswith(unit):
            return round(float(text.removesuffix(unit)) * factor, 2)
    return float(text)


def _memory(filled: str, swarms: int, peers: int) -> None:
    # A process of its own: what others left in the allocator's hands is not counted.
    code = (
        "import json; from dataclasses import asdict; from tools.bench.tracker_memory import measure; "
        f"print(json.dumps(asdict(measure({filled!r}, {swarms}, {peers}))))"
    )
    root = Path(__file__).resolve().parents[2]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)


def _positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return number


def main() -> None:
    """Print a JSON object for each run, then medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--memory", action="store_true", help="the store's memory and pauses instead")
    parser.add_argument("--echo", action="store_true", help="what the UDP load can do at most, instead")
    parser.add_argument("--swarms", type=int, default=1_000_000, help="for --memory")
    parser.add_argument("--peers", type=int, default=None, help="default 10,000,000; for announces 100,000")
    parser.add_argument("--torrents", type=int, default=1000)
    parser.add_argument(
        "--seconds", type=_positive, default=3.0, help="of a run; wrk's (--protocol http-*) are rounded up"
    )
    parser.add_argument("--rate", type=_positive, help="announces a second; default as many as are answered")
    parser.add_argument("--protocol", choices=_PROTOCOLS, default="udp")
    parser.add_argument("--runs", type=int, default=3, help="rounds, one tracker after the other")
    parser.add_argument("--trackers", default="opentracker,swarm", help=f"of {', '.join(_TRACKERS)}")
    arguments = parser.parse_args()
    if arguments.memory:
        for filled in ("even", "skewed"):
            _memory(filled, arguments.swarms, arguments.peers or 10_000_000)
        return
    cores = os.cpu_count() or 1
    os.sched_setaffinity(0, {min(1, cores - 1)})
    if arguments.echo:
        for _ in range(arguments.runs):
            row = echo(arguments.seconds, arguments.torrents, arguments.peers or 100_000)
            print(json.dumps(asdict(row)), flush=True)
        return
    names = arguments.trackers.split(",")
    if not set(names) <= set(_TRACKERS):
        parser.error(f"there are: {', '.join(_TRACKERS)}")
    rows: dict[str, list[Row]] = {name: [] for name in names}
    for _ in range(arguments.runs):
        for name in names:
            if arguments.protocol == "udp":
                peers = arguments.peers or 100_000
                row = udp(name, arguments.seconds, arguments.rate, arguments.torrents, peers)
            elif arguments.rate is not None:
                row = http_at(name, arguments.seconds, arguments.torrents, arguments.rate)
            else:
                is_kept = arguments.protocol == "http-kept"
                row = http(name, arguments.seconds, arguments.torrents, is_kept=is_kept)
            rows[name].append(row)
            print(json.dumps({**asdict(row), "cpu_us": round(row.cpu_us, 2)}), flush=True)
    for key in ("announces_per_s", "cpu_us", "p50_ms", "p99_ms", "max_ms"):
        medians = {
            name: statistics.median(getattr(row, key) for row in found) for name, found in rows.items()
        }
        ratios = {
            f"{name} / {names[0]}": round(
                statistics.median(
                    getattr(ours, key) / max(getattr(first, key), 1e-9)
                    for ours, first in zip(rows[name], rows[names[0]], strict=True)
                ),
                2,
            )
            for name in names[1:]
        }
        print(json.dumps({"median": key, **medians, **ratios}))
