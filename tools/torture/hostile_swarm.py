"""A download beside honest seeds, with and without attackers, in turns: rate, CPU time, memory.

The seeds are processes of `swarm seed`, each with an upload limit, so that the swarm and not this machine
sets the rate; the attackers are one process more, each with an address of its own (127.9.x.1), and come
back whenever they are thrown out. The downloader counts loopback addresses as an open network's.

    tools/torture/hostile --pairs 3 --attackers 50
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from swarm import Metainfo, Session, SessionSettings
from swarm.base.endpoint import Endpoint
from swarm.base.units import parse_size
from swarm.engine.settings import EngineSettings
from swarm.metainfo.builder import TorrentOptions
from swarm.storage.create import create_torrent
from tests.e2e.scripted_peer import BLOCK, HAVE_NONE, INTERESTED, Line, dialled, frame, request
from tests.hostile.attacks import EXTENSIONS, FLOODS
from tools.torture.reporting import Report, end, parser_of

PIECE_BYTES = 256 << 10
#: How soon an attacker comes back.
AGAIN_S = 0.2
_SELF = [sys.executable, "-m", "tools.torture.hostile_swarm"]


# -- the attackers ----------------------------------------------------------------------------------


async def _flood(line: Line, name: str) -> None:
    await line.shake(peer_id=os.urandom(20), reserved=EXTENSIONS)
    line.send(frame(HAVE_NONE))
    reading = asyncio.ensure_future(line.until_closed())
    try:
        while not reading.done():
            line.send(FLOODS[name][0])
            await line.writer.drain()
            await asyncio.sleep(0)
    finally:
        reading.cancel()


async def _poison(line: Line) -> None:
    await line.shake(peer_id=os.urandom(20))
    await line.serve(lambda piece, begin, length: bytes(length))


async def _be_silent(line: Line) -> None:
    line.send(b"\x13")
    await line.until_closed()


async def _answer_nothing(line: Line) -> None:
    await line.shake(peer_id=os.urandom(20))
    await line.serve(lambda piece, begin, length: None)


async def _read_nothing(line: Line) -> None:
    await line.shake(peer_id=os.urandom(20))
    line.send(
        frame(INTERESTED),
        *(request(piece, begin) for piece in range(8) for begin in range(0, PIECE_BYTES, BLOCK)),
    )
    await asyncio.sleep(3600)


async def _attack(number: int, port: int, metainfo: Metainfo) -> None:
    """One attacker: half of them flood, the others lie, are silent, answer or read nothing."""
    names = list(FLOODS)
    others = (_poison, _be_silent, _answer_nothing, _read_nothing)
    while True:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            async with dialled(port, metainfo, host=f"127.9.{number}.1") as line:
                if number % 2:
                    await _flood(line, names[number // 2 % len(names)])
                else:
                    await others[number // 2 % len(others)](line)
        await asyncio.sleep(AGAIN_S)


async def _attack_all(count: int, port: int, torrent: Path) -> None:
    metainfo = Metainfo.parse(torrent.read_bytes())
    await asyncio.gather(*(_attack(number, port, metainfo) for number in range(1, count + 1)))


# -- the download -----------------------------------------------------------------------------------


async def _leech(torrent: Path, folder: Path, ports: list[int], attackers: int) -> dict[str, Any]:
    settings = SessionSettings(
        state_dir=folder / "state",
        is_dht_enabled=False,
        is_lsd_enabled=False,
        engine=EngineSettings(is_loopback_shared=False),
    )
    why: Counter[str] = Counter()
    async with Session(port=0, bind="127.0.0.1", settings=settings) as session:
        download = await session.add(torrent, save_to=folder)
        enemy = None
        if attackers:
            # Nothing else runs on this loop yet.
            enemy = subprocess.Popen(  # noqa: ASYNC220
                [*_SELF, "--role", "attack", str(attackers), str(session.port), str(torrent)]
            )

        def listen() -> None:
            for notice in download.notices():
                news = notice.peer
                if news is not None and news.address.startswith("127.9."):
                    why[f"{news.what}: {news.reason}"] += 1

        # The seeds come when the first attacker has been thrown out.
        while download.runner is None or (attackers and not why):
            await asyncio.sleep(0.01)
            listen()
        download.runner.candidates_found([Endpoint("127.0.0.1", port) for port in ports], "user")
        used = resource.getrusage(resource.RUSAGE_SELF)
        begun = time.monotonic()
        complete = asyncio.ensure_future(download.completed())
        while not complete.done():
            await asyncio.wait([complete], timeout=0.1)
            listen()
        complete.result()
        seconds = time.monotonic() - begun
        now = resource.getrusage(resource.RUSAGE_SELF)
        if enemy is not None:
            enemy.kill()
            enemy.wait()
        size = download.metainfo.total_bytes
    return {
        "seconds": seconds,
        "bytes_per_s": size / seconds,
        "cpu_s": now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime,
        "rss_max_bytes": now.ru_maxrss * 1024,
        "failed_pieces": download.snapshot().failed_pieces,
        "ended": dict(why.most_common(30)),
    }


# -- the bench --------------------------------------------------------------------------------------


def _seed(torrent: Path, content: Path, rate: str, folder: Path) -> tuple[subprocess.Popen[str], int]:
    command = [
        sys.executable,
        "-c",
        "from swarm.cli.main import main; main()",
        "seed",
        str(torrent),
        str(content),
    ]
    options = [
        "--port",
        "0",
        "--bind",
        "127.0.0.1",
        "--no-dht",
        "--no-lsd",
        "--no-pex",
        "--up",
        rate,
        "--json",
    ]
    process = subprocess.Popen(
        [*command, *options],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "SWARM_STATE_DIR": str(folder)},
    )
    assert process.stdout is not None
    port = 0
    for line in process.stdout:
        event = json.loads(line)
        if event["event"] == "listening":
            port = event["port"]
        if event["event"] == "progress" and event["state"] == "seeding":
            break
    return process, port


@dataclass(slots=True)
class HostileReport(Report):
    """Downloads alone and attacked, in pairs; `rate_kept` is the median of the shares in `pairs`."""

    rate_kept: float = 0.0
    pairs: list[float] = field(default_factory=list)
    alone: list[dict[str, Any]] = field(default_factory=list)
    attacked: list[dict[str, Any]] = field(default_factory=list)


def _measure(options: argparse.Namespace, folder: Path) -> HostileReport:
    begun = time.monotonic()
    report = HostileReport()
    content = folder / "content.bin"
    content.write_bytes(random.Random(options.seed).randbytes(parse_size(options.size)))
    torrent = folder / "content.torrent"
    torrent.write_bytes(create_torrent(content, TorrentOptions(piece_length=PIECE_BYTES)))
    seeds = [_seed(torrent, content, options.up, folder / f"seed{number}") for number in range(options.seeds)]
    runs = {"alone": report.alone, "attacked": report.attacked}
    try:
        for number in range(options.pairs):
            for kind, attackers in (("alone", 0), ("attacked", options.attackers)):
                target = folder / f"{kind}{number}"
                target.mkdir()
                ports = [str(port) for _, port in seeds]
                done = subprocess.run(
                    [*_SELF, "--role", "leech", str(torrent), str(target), str(attackers), *ports],
                    stdout=subprocess.PIPE, text=True, check=True, timeout=300,
                )  # fmt: skip
                runs[kind].append(json.loads(done.stdout))
                if (target / content.name).read_bytes() != content.read_bytes():
                    report.wrong.append(f"{kind}: complete, and wrong")
    finally:
        for process, _ in seeds:
            process.kill()
            process.communicate()
    report.pairs = [
        attacked["bytes_per_s"] / alone["bytes_per_s"]
        for alone, attacked in zip(report.alone, report.attacked, strict=True)
    ]
    report.rate_kept = statistics.median(report.pairs)
    if report.rate_kept < options.keep:
        report.wrong.append(f"{report.rate_kept:.0%} of the rate was kept, not {options.keep:.0%}")
    report.seconds = round(time.monotonic() - begun, 1)
    return report


def _role(words: list[str]) -> None:
    role, *rest = words
    if role == "attack":
        asyncio.run(_attack_all(int(rest[0]), int(rest[1]), Path(rest[2])))
    else:
        ports = [int(port) for port in rest[3:]]
        print(json.dumps(asyncio.run(_leech(Path(rest[0]), Path(rest[1]), ports, int(rest[2])))))


def main() -> None:
    if sys.argv[1:2] == ["--role"]:
        _role(sys.argv[2:])
        return
    parser = parser_of(
        "hostile", (__doc__ or "").split("\n\n", 1)[0], "a byte is wrong or too little of the rate is kept."
    )
    parser.add_argument("--pairs", type=int, default=3, help="downloads alone and attacked, in turns")
    parser.add_argument("--attackers", type=int, default=50)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--up", default="4M", help="upload limit of each seed, a second")
    parser.add_argument("--size", default="100M", help="of the content")
    parser.add_argument(
        "--keep", type=float, default=0.9, help="so much of the rate, as a share (default: 0.9)"
    )
    options = parser.parse_args()
    os.environ["PYTHONPATH"] = str(Path(__file__).resolve().parents[2])
    with tempfile.TemporaryDirectory() as folder:
        report = _measure(options, Path(folder))
    end(report, _lines(report), is_json=options.json)


def _lines(report: HostileReport) -> list[str]:
    rows = [("alone", run) for run in report.alone] + [("attacked", run) for run in report.attacked]
    return [
        *(
            f"{kind:9} {run['bytes_per_s'] / 1e6:7.1f} MB/s  {run['cpu_s']:5.2f} s CPU  "
            f"{run['rss_max_bytes'] >> 20} MiB"
            for kind, run in rows
        ),
        f"rate kept: {report.rate_kept:.0%} (median of {len(report.pairs)} pairs)",
        *(f"{count:5}  {reason}" for reason, count in report.attacked[-1]["ended"].items()),
    ]


if __name__ == "__main__":
    main()
