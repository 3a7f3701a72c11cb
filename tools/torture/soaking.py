"""Hundreds of connections that come and go, some of them broken, beside a seeder that verifies all the time.

One process is looked at: its resident memory, descriptors, tasks, threads, and how long its loop stalls. The
crowd is a process of its own: each member connects, says as much of the protocol as it likes (nothing, half a
handshake, garbage, or proper requests whose answers are verified), stays for a while, and vanishes.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from hashlib import sha1
from pathlib import Path

import psutil

from swarm.base.units import format_size, parse_size
from swarm.cli.ending import loop_factory
from swarm.engine.settings import EngineSettings
from swarm.metainfo.builder import TorrentOptions
from swarm.metainfo.torrent import Metainfo
from swarm.session.session import Session
from swarm.session.settings import SessionSettings
from swarm.storage.check import check_pieces
from swarm.storage.create import create_torrent
from swarm.storage.disk import Disk
from swarm.storage.files import ContentFiles
from tools.torture.reporting import Report, end, parser_of

PIECE = 1 << 18
_BLOCK = 1 << 14
_POOL_THREADS = 2
_STALLS_SHOWN = 8
_ROOT = Path(__file__).resolve().parents[2]


@dataclass(slots=True)
class SoakReport(Report):
    """What was seen; what grew or leaked is wrong."""

    connections_peak: int = 0
    connections_made: int = 0
    blocks_verified: int = 0
    blocks_wrong: int = 0
    verified_bytes: int = 0
    rss_settled_bytes: int = 0
    rss_peak_bytes: int = 0
    rss_end_bytes: int = 0
    #: At the end of each minute.
    rss_bytes: list[int] = field(default_factory=list)
    stall_longest_s: float = 0.0
    stalls_over_limit: int = 0
    #: Of a stall the processor time of the loop's own thread: the rest is others' on a busy machine.
    busy_longest_s: float = 0.0
    #: The longest stalls: when, how long, how much of it the loop itself computed (seconds).
    stalls: list[tuple[float, float, float]] = field(default_factory=list)
    descriptors: tuple[int, int] = (0, 0)
    tasks: tuple[int, int] = (0, 0)
    threads: tuple[int, int] = (0, 0)


class Soak:
    """The process that is looked at."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.report = SoakReport()
        self._options = options
        self._folder = folder
        self._content = folder / "content.bin"
        with open(self._content, "wb") as file:
            for _ in range(options.size >> 20):
                file.write(os.urandom(1 << 20))
        raw = create_torrent(self._content, TorrentOptions(piece_length=PIECE))
        self._metainfo = Metainfo.parse(raw)
        (folder / "content.torrent").write_bytes(raw)
        self._own = psutil.Process()

    async def run(self) -> None:
        started_at = time.monotonic()
        await _fill_pool()
        settings = SessionSettings(
            state_dir=self._folder / "state",
            is_dht_enabled=False,
            connections_max=self._options.connections + 50,
            engine=EngineSettings(connections_max=self._options.connections + 50),
        )
        async with Session(port=0, bind="127.0.0.1", settings=settings) as session:
            torrent = await session.add(self._metainfo, content=self._content, is_seeding_only=True)
            await torrent.completed()
            torrent.notices()
            before = self._counts()
            verifying = asyncio.ensure_future(self._verify(torrent.files))
            ticking = asyncio.ensure_future(self._tick())
            crowd = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tools.torture.soaking",
                "--crowd", str(self._folder / "content.torrent"), str(self._content), str(session.port),
                "--connections", str(self._options.connections),
                "--minutes", str(self._options.minutes), stdout=subprocess.PIPE, cwd=_ROOT,
                env={**os.environ, "PYTHONPATH": str(_ROOT)},
            )  # fmt: skip
            looking = asyncio.ensure_future(self._look(session, torrent.notices))
            assert crowd.stdout is not None
            said = json.loads(await crowd.stdout.read())
            await crowd.wait()
            for task in (verifying, ticking, looking):
                task.cancel()
            await asyncio.gather(verifying, ticking, looking, return_exceptions=True)
            # What the crowd left must be gone after a moment.
            for _ in range(100):
                after = self._counts()
                if not session._links and all(now <= then for now, then in zip(after, before, strict=True)):
                    break
                await asyncio.sleep(0.1)
        self.report.connections_made = said["connections"]
        self.report.blocks_verified, self.report.blocks_wrong = said["right"], said["wrong"]
        self.report.descriptors, self.report.tasks, self.report.threads = zip(before, after, strict=True)
        self.report.seconds = round(time.monotonic() - started_at, 1)
        self._judge()

    def _counts(self) -> tuple[int, int, int]:
        return self._own.num_fds(), len(asyncio.all_tasks()), threading.active_count()

    async def _verify(self, files: ContentFiles) -> None:
        """Hash the content again and again, with threads of its own, as a check of another torrent would."""
        disk = Disk(asyncio.get_running_loop(), 1)
        geometry = self._metainfo.geometry
        try:
            while True:
                pieces = range(geometry.piece_count)
                have = await check_pieces(files, geometry, self._metainfo.piece_hashes, disk, pieces)
                assert have.is_full
                self.report.verified_bytes += geometry.total_bytes
        finally:
            await disk.close()

    async def _tick(self) -> None:
        """How late is the loop?"""
        report, begun_at = self.report, time.monotonic()
        while True:
            # Not the loop's own clock: uvloop's stands still while it works.
            wanted, busy_from = time.monotonic() + 0.005, time.thread_time()
            await asyncio.sleep(0.005)
            now = time.monotonic()
            late, busy = now - wanted, time.thread_time() - busy_from
            report.busy_longest_s = max(report.busy_longest_s, round(busy, 4))
            report.stall_longest_s = max(report.stall_longest_s, round(late, 4))
            report.stalls_over_limit += late > self._options.stall
            if late > 0.01:
                report.stalls.append((round(now - begun_at, 1), round(late, 4), round(busy, 4)))
                report.stalls = sorted(report.stalls, key=lambda stall: -stall[1])[:_STALLS_SHOWN]

    async def _look(self, session: Session, take_notices: object) -> None:
        begun_at = time.monotonic()
        settled_at = begun_at + min(300.0, 15.0 * self._options.minutes)
        while True:
            await asyncio.sleep(0.5)
            if callable(take_notices):
                take_notices()
            self.report.connections_peak = max(self.report.connections_peak, len(session._links))
            rss = self._own.memory_info().rss
            if time.monotonic() - begun_at >= 60 * (1 + len(self.report.rss_bytes)):
                self.report.rss_bytes.append(rss)
            if time.monotonic() < settled_at:
                self.report.rss_settled_bytes = rss
                continue
            self.report.rss_peak_bytes = max(self.report.rss_peak_bytes, rss)
            self.report.rss_end_bytes = rss

    def _judge(self) -> None:
        report, wrong = self.report, self.report.wrong
        if report.rss_end_bytes > report.rss_settled_bytes * (1 + self._options.growth):
            wrong.append(f"memory grew from {report.rss_settled_bytes} to {report.rss_end_bytes}")
        for name in ("descriptors", "tasks", "threads"):
            then, now = getattr(report, name)
            # The ticker and the other helpers of the measurement are gone by then.
            if now > then:
                wrong.append(f"{name}: {then} before, {now} after")
        if report.blocks_wrong:
            wrong.append(f"{report.blocks_wrong} wrong blocks were served")
        if not report.blocks_verified:
            wrong.append("nothing was served")


async def _fill_pool() -> None:
    """Start every thread of the loop's pool: it grows whenever it is busy, which would look like a leak."""
    pool = ThreadPoolExecutor(_POOL_THREADS)
    asyncio.get_running_loop().set_default_executor(pool)
    all_there = threading.Barrier(_POOL_THREADS)
    await asyncio.gather(*(asyncio.to_thread(all_there.wait) for _ in range(_POOL_THREADS)))


# -- the crowd --------------------------------------------------------------------------------------


class Crowd:
    """Peers that are not always polite."""

    def __init__(self, torrent: Path, content: Path, port: int, rng: random.Random) -> None:
        self._metainfo = Metainfo.parse(torrent.read_bytes())
        self._descriptor = os.open(content, os.O_RDONLY)
        self._port = port
        self._rng = rng
        self.counts = {"connections": 0, "right": 0, "wrong": 0}

    async def run(self, size: int, seconds: float) -> None:
        members = [asyncio.ensure_future(self._member(number)) for number in range(size)]
        await asyncio.sleep(seconds)
        for member in members:
            member.cancel()
        await asyncio.gather(*members, return_exceptions=True)
        os.close(self._descriptor)

    async def _member(self, number: int) -> None:
        # Spread over the loopback network: one address may not have all connections.
        address = f"127.0.{number // 250}.{1 + number % 250}"
        while True:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await self._visit(address)
            await asyncio.sleep(self._rng.uniform(0.0, 0.5))

    async def _visit(self, address: str) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port, local_addr=(address, 0))
        self.counts["connections"] += 1
        try:
            manner = self._rng.random()
            if manner < 0.05:
                await asyncio.sleep(self._rng.uniform(0, 5))
                return
            if manner < 0.1:
                writer.write(self._rng.randbytes(100))
                await asyncio.sleep(1)
                return
            name = b"-XX0000-" + self._rng.randbytes(12)
            writer.write(b"\x13BitTorrent protocol" + bytes(8) + self._metainfo.info_hash + name)
            if manner < 0.15:
                return
            await reader.readexactly(68)
            await asyncio.wait_for(self._ask(reader, writer), self._rng.uniform(5, 30))
        except TimeoutError:
            pass
        finally:
            # Half of them without a farewell.
            writer.transport.abort() if self._rng.random() < 0.5 else writer.close()

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\0\0\0\1\2")  # interested
        while True:
            length = int.from_bytes(await reader.readexactly(4), "big")
            message = await reader.readexactly(length) if length else b""
            if message[:1] == b"\1":
                self._request(writer)
            elif message[:1] == b"\7":
                self._verify(message)
                await asyncio.sleep(self._rng.uniform(0, 0.2))
                self._request(writer)

    def _request(self, writer: asyncio.StreamWriter) -> None:
        piece = self._rng.randrange(self._metainfo.geometry.piece_count)
        begin = _BLOCK * self._rng.randrange(self._metainfo.geometry.piece_bytes(piece) // _BLOCK)
        numbers = b"".join(number.to_bytes(4, "big") for number in (piece, begin, _BLOCK))
        writer.write(b"\0\0\0\x0d\6" + numbers)

    def _verify(self, message: bytes) -> None:
        piece, begin = int.from_bytes(message[1:5], "big"), int.from_bytes(message[5:9], "big")
        wanted = os.pread(self._descriptor, len(message) - 9, piece * PIECE + begin)
        is_right = sha1(wanted).digest() == sha1(message[9:]).digest()
        self.counts["right" if is_right else "wrong"] += 1


def _crowd(options: argparse.Namespace) -> None:
    torrent, content, port = options.crowd
    crowd = Crowd(Path(torrent), Path(content), int(port), random.Random(options.seed))
    asyncio.run(crowd.run(options.connections, options.minutes * 60))
    print(json.dumps(crowd.counts))


def main() -> None:
    parser = parser_of(
        "soak",
        "A seeder among hundreds of peers that come and go: what grows, what stalls?",
        "memory, descriptors, tasks or threads grew, or a wrong block was served.",
    )
    parser.add_argument("--minutes", type=float, default=20.0, help="how long (default: 20)")
    parser.add_argument("--connections", type=int, default=500, help="at a time (default: 500)")
    parser.add_argument("--size", type=parse_size, default="256M", help="of the content (default: 256M)")
    parser.add_argument("--growth", type=float, default=0.05, help="of memory, as a share (default: 0.05)")
    parser.add_argument("--stall", type=float, default=0.05, help="seconds, counted only (default: 0.05)")
    parser.add_argument("--crowd", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.crowd:
        _crowd(options)
        return
    with tempfile.TemporaryDirectory(prefix="swarm-soak-") as folder:
        soak = Soak(options, Path(folder))
        # The loop that users of the command get.
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(soak.run())
    end(soak.report, _lines(soak.report), is_json=options.json)


def _lines(report: SoakReport) -> list[str]:
    counts = {name: getattr(report, name) for name in ("descriptors", "tasks", "threads")}
    return [
        f"{report.seconds} s, {report.connections_made} connections, {report.connections_peak} at a time; "
        f"{report.blocks_verified} blocks verified, {format_size(report.verified_bytes)} hashed beside",
        f"memory: {format_size(report.rss_settled_bytes)} settled, "
        f"{format_size(report.rss_peak_bytes)} at most, {format_size(report.rss_end_bytes)} at the end",
        f"  by minute, MiB: {' '.join(f'{rss / (1 << 20):.1f}' for rss in report.rss_bytes)}",
        f"longest stall of the loop: {1000 * report.stall_longest_s:.1f} ms ({report.stalls_over_limit} over "
        f"the limit); the longest that it computed itself: {1000 * report.busy_longest_s:.1f} ms",
        *(
            f"  after {at:6.1f} s: {1000 * late:5.1f} ms, of them its own {1000 * busy:5.1f} ms"
            for at, late, busy in report.stalls
        ),
        *(f"{name}: {then} before, {now} after" for name, (then, now) in counts.items()),
    ]


if __name__ == "__main__":
    main()
